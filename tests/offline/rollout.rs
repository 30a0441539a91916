//! The planner, held to its promises: properties over random observations, and whole rollouts in a
//! small model of a cluster.

mod advice;
mod claims;
mod confirmations;
mod contract;
mod decisions;
mod ends;
mod faults;
mod fixtures;
mod generators;
mod given_up;
mod house;
mod judge;
mod ledger;
mod overdue;
mod pace;
mod properties;
mod ranking;
mod scaled;
mod scenarios;
mod shown;
mod storms;
mod told;
mod world;
