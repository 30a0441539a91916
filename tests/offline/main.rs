//! The offline tests.
#![cfg(test)]

mod architecture;
mod chart;
mod inject;
