//! The stages of a run: what each is called, and what is particular to it.

use std::time::Duration;

use clap::ValueEnum;

/// One stage of a run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// The source: fmt, clippy, dependencies, docs, generated files.
    Check,
    /// Tests without a cluster.
    Offline,
    /// Tests against a real API server.
    Cluster,
    /// The operator under real traffic.
    E2e,
    /// Long: the workflows by zizmor, and the scripts in them by shellcheck.
    Audit,
    /// Long: the book of docs/, made by mdBook.
    Book,
    /// Long: properties with many cases, and the agent's parsers by cargo-fuzz, which needs Rust's nightly.
    Fuzz,
    /// Long: the simulation with many seeds.
    Simulation,
    /// Long: a thousand changes of one object in a row, on a real API server.
    Changes,
    /// Long: kube-state-metrics with our configuration, on a real API server.
    StateMetrics,
    /// Long: mutants of the planner, each to be caught.
    Mutants,
    /// Long: the operator of the previous commit, upgraded and uninstalled under load.
    Upgrade,
    /// Long: each example three times.
    Examples,
    /// Long: kinds of work that take minutes.
    Works,
    /// Long: each kind of work under each kind of rollout, as the table of the docs.
    Matrix,
    /// Long: the operator that leads killed, stopped, and lost with its node, on two nodes.
    Nodes,
    /// Long: what grows in the operator over two thousand objects, on a real API server.
    Soak,
    /// Long: one operator with a thousand objects and five thousand pods, on a real API server.
    Scale,
    /// Long: what is promised, measured.
    Bench,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Offline => "offline",
            Self::Cluster => "cluster",
            Self::E2e => "e2e",
            Self::Audit => "audit",
            Self::Book => "book",
            Self::Fuzz => "fuzz",
            Self::Simulation => "simulation",
            Self::Changes => "changes",
            Self::StateMetrics => "state-metrics",
            Self::Mutants => "mutants",
            Self::Upgrade => "upgrade",
            Self::Examples => "examples",
            Self::Works => "works",
            Self::Matrix => "matrix",
            Self::Nodes => "nodes",
            Self::Soak => "soak",
            Self::Scale => "scale",
            Self::Bench => "bench",
        }
    }

    /// How many nodes its cluster has.
    pub(super) fn nodes(self) -> u8 {
        if self == Self::Nodes { 2 } else { 1 }
    }

    /// How many times its tests run, one run after the other.
    pub(super) fn times(self) -> u8 {
        if self == Self::Examples { 3 } else { 1 }
    }

    /// Whether its tests start a PostgreSQL.
    pub(super) fn has_postgres(self) -> bool {
        matches!(self, Self::E2e | Self::Examples)
    }

    /// Whether it is left to `--full`.
    pub(super) fn is_long(self) -> bool {
        !matches!(
            self,
            Self::Check | Self::Offline | Self::Cluster | Self::E2e
        )
    }

    /// How its tests are built. Where one machine plays all nodes of thousands of pods, what the nodes take is taken
    /// from what is measured.
    pub(super) fn profile(self) -> &'static str {
        if matches!(self, Self::Soak | Self::Scale) {
            "fuzz"
        } else {
            "test"
        }
    }

    /// When a stage's tests, its cluster up and ready, are taken to hang: about three times what
    /// they need, and together within the hour that a run may take on a fresh machine.
    pub(super) fn limit(self) -> Duration {
        match self {
            Self::E2e | Self::Works => Duration::from_mins(30),
            Self::Examples => Duration::from_mins(25),
            Self::Cluster => Duration::from_mins(15),
            Self::Changes => Duration::from_mins(40),
            _ => Duration::from_mins(8),
        }
    }
}
