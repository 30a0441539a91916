//! The planner's tests by themselves: what a mutant of the planner is put to. Most of a mutant's time is
//! building, and these build without the simulation and all that it runs.
#![cfg(test)]

mod cases;
#[path = "../fixtures/merge.rs"]
mod merge;
mod rollout;
