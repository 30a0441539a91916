//! `graceful-operator`.

fn main() {}
