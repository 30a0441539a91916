//! The offline tests.
