//! The cluster tests.
