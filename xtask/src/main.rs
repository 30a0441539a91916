//! Everything that a person or CI runs on this project.

mod cluster;
mod debian;
mod demo;
mod folders;
mod image;
mod load;
mod process;
mod tools;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A real Kubernetes on this machine
    Cluster(cluster::Args),
    Demo(demo::Args),
    /// Build the images of operator and agent as tar files
    Image(image::Args),
    Load(load::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Cluster(args) => cluster::main(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Image(args) => image::main(&args),
        Command::Load(args) => load::run(&args),
    }
}
