//! The cluster tests.

#[cfg(test)]
mod crd;
