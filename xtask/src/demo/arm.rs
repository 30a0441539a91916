//! The three ways to run the same server, and the load that each is under.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::load::Clients;

/// Pods of each arm.
pub(super) const REPLICAS: usize = 4;

/// One way to run the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Arm {
    /// A Deployment.
    Deployment,
    /// A Deployment with a preStop sleep of 10 s.
    DeploymentSleep,
    /// A GracefulDeployment.
    Graceful,
}

impl Arm {
    /// All of them, in the order of the table.
    pub(super) const ALL: [Self; 3] = [Self::Deployment, Self::DeploymentSleep, Self::Graceful];

    /// Name in the JSON, of the manifest, and of the objects after `go-net-http-`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::DeploymentSleep => "deployment-sleep",
            Self::Graceful => "graceful",
        }
    }

    /// Name in the table.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::DeploymentSleep => "Deployment, sleep 10",
            Self::Graceful => "GracefulDeployment",
        }
    }

    /// Its kind, as kubectl takes it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Deployment | Self::DeploymentSleep => "deployment.apps",
            Self::Graceful => "gracefuldeployment.graceful.dev",
        }
    }

    /// Name of its workload, its Service and the `app` label of its pods.
    pub(super) fn app(self) -> String {
        format!("go-net-http-{}", self.name())
    }

    /// The arm that an `app` label names.
    pub(super) fn of_app(app: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arm| arm.app() == app)
    }
}

/// The load on each arm: about 250 requests a second. Three times that, together with the pods,
/// keeps four cores half idle, so that the arms, which run at the same time, do not disturb each
/// other. At the same time, because then whatever else the machine does hits all of them alike, and
/// because one after another they would take longer than anybody watches.
pub(super) fn clients() -> Clients {
    Clients {
        new_per_second: 150.0,
        keep_alive: 40,
        pause_millis: 400,
        slow: 12,
        streams: 12,
        ..Clients::default()
    }
}

/// The same in words.
pub(super) const CLIENTS: &str = "150 connections/s, 40 keep-alive, 12 slow POSTs, 12 streams";

/// What one arm came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    pub(super) name: Arm,
    pub(super) requests: u64,
    pub(super) lost: u64,
    /// By client, by who broke them.
    pub(super) lost_by: BTreeMap<crate::load::Kind, BTreeMap<crate::load::Cause, u64>>,
    /// From the change to when all new pods were ready.
    pub(super) ready_seconds: Option<f64>,
    /// From the change to when the last old pod was gone.
    pub(super) gone_seconds: Option<f64>,
}

/// What `--json` writes.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Verdicts {
    pub(super) arms: Vec<Verdict>,
}

/// Seconds with one decimal.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Cause, Kind};

    #[test]
    fn json_has_the_names_that_others_read() {
        let verdict = Verdict {
            name: Arm::DeploymentSleep,
            requests: 3,
            lost: 1,
            lost_by: BTreeMap::from([(Kind::KeepAlive, BTreeMap::from([(Cause::ServerError, 1)]))]),
            ready_seconds: Some(2.5),
            gone_seconds: None,
        };
        let json = serde_json::to_value(Verdicts {
            arms: vec![verdict],
        })
        .unwrap();
        assert_eq!(
            json,
            serde_json::json!({"arms": [{
                "name": "deployment-sleep",
                "requests": 3,
                "lost": 1,
                "lostBy": {"keepAlive": {"5xx": 1}},
                "readySeconds": 2.5,
                "goneSeconds": null,
            }]})
        );
    }

    #[test]
    fn each_arm_has_its_manifest() {
        for arm in Arm::ALL {
            let path = format!("../examples/go-net-http/{}.yaml", arm.name());
            let manifest = std::fs::read_to_string(path).unwrap();
            assert!(manifest.contains(&format!("app: {}", arm.app())));
            assert_eq!(Arm::of_app(&arm.app()), Some(arm));
        }
    }
}
