//! `graceful-agent`.

fn main() {}
