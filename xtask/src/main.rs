//! Everything that a person or CI runs on this project.

mod bench;
mod charts;
mod check;
mod cluster;
mod connections;
mod coverage;
mod dashboards;
mod debian;
mod demo;
mod example;
mod folders;
mod generate;
mod image;
mod integrations;
mod load;
mod measurements;
mod modules;
mod pictures;
mod process;
mod sbom;
mod simulate;
mod stage;
mod test;
mod threats;
mod tools;
mod transcript;
mod works_with;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge the source and run the tests that need no cluster.
    Check,
    /// Run every test, in stages; the one test command.
    Test(test::Args),
    Bench(bench::Args),
    Load(load::Args),
    /// Write crds/ and the other generated files.
    Generate(generate::Args),
    /// A real Kubernetes on this machine
    Cluster(cluster::Args),
    Demo(demo::Args),
    Pictures(pictures::Args),
    /// Run the operator in a simulated cluster: many seeds, or one told whole
    Simulate(simulate::Args),
    /// Build the images of operator and agent as tar files
    Image(image::Args),
    /// Write what the two programs are made of, as CycloneDX
    Sbom(sbom::Args),
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Says what failed and why, without the stack that a returned error shows under RUST_BACKTRACE.
#[expect(clippy::print_stderr, reason = "the last words of the program")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("Error: {error:#}");
    ExitCode::FAILURE
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Check => check::run(),
        Command::Test(args) => tokio::runtime::Runtime::new()?.block_on(test::run(&args)),
        Command::Bench(args) => tokio::runtime::Runtime::new()?.block_on(bench::run(&args)),
        Command::Load(args) => load::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Cluster(args) => cluster::main(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Pictures(args) => tokio::runtime::Runtime::new()?.block_on(pictures::run(&args)),
        Command::Simulate(args) => simulate::run(&args),
        Command::Image(args) => image::main(&args),
        Command::Sbom(args) => sbom::run(&args),
    }
}
