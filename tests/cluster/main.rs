//! The cluster tests.
#![cfg(test)]

mod chart;
