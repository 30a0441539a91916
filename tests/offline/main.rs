//! The offline tests.

#[cfg(test)]
mod generated;
