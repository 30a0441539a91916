//! Everything that a person or CI runs on this project.

mod generate;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write crds/ and the other generated files.
    Generate(generate::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Generate(args) => generate::run(&args),
    }
}
