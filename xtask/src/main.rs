//! Everything that a person or CI runs on this project.

mod load;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Load(load::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Load(args) => load::run(&args),
    }
}
