//! The offline tests.

#[cfg(test)]
mod inject;
