//! `graceful-operator`.

use clap::Parser;

fn main() -> anyhow::Result<()> {
    Ok(graceful::operator::run(graceful::operator::Args::parse())?)
}
