//! `cargo xtask simulate`: the seeded simulation of tests/offline, for more seeds than a test run has,
//! or one seed told whole. It judges nothing: the test does.

use anyhow::Result;

use crate::process;
use crate::stage::in_root;

/// Arguments of `cargo xtask simulate`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run this seed alone and tell what happens in it.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,

    /// With --seed: leave out whatever its failure does not need.
    #[arg(long, requires = "seed")]
    shorten: bool,

    /// Run so many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,

    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
}

/// Runs the simulation and passes its words on.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = in_root("cargo")?;
    command.args(["test", "--quiet", "--test", "offline"]);
    command.args(["--", "--nocapture", "--exact"]);
    if let Some(seed) = args.seed {
        command.arg("simulation::seed_is_told");
        command.env("SIMULATION_SEED", seed.to_string());
        if args.shorten {
            command.env("SIMULATION_SHORTEN", "1");
        }
    } else {
        command.arg("simulation::no_seed_breaks_a_promise");
        command.env("SIMULATION_SEEDS", args.seeds.to_string());
        command.env("SIMULATION_FROM", args.from.to_string());
    }
    process::run(&mut command)
}
