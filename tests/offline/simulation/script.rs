//! What happens in one run: the object, the cluster, what meddlers do and when, and which calls of the
//! operator fail. All of it follows from the seed, and parts of it can be left out.

use serde_json::{Value, json};

use super::chance::Chance;

/// For so long, in milliseconds, anything may happen.
pub(super) const STORM: i64 = 60_000;

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) object: Value,
    pub(super) services: Vec<Value>,
    /// Longest lag of a watch of the operator, in milliseconds.
    pub(super) lag: i64,
    /// Longest lag of a controller's caches.
    pub(super) controller_lag: i64,
    pub(super) deeds: Vec<(i64, Deed)>,
    /// By the number of the operator's write.
    pub(super) faults: Vec<(usize, Fault)>,
    pub(super) permanent: Permanent,
    /// The operator is shown ReplicaSets whose controller seems to have seen whatever the operator has:
    /// the one evidence of its caches is taken away.
    pub(super) is_flattered: bool,
}

/// What somebody does to the cluster. Numbers choose among what there is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    Template(&'static str),
    Replicas(i64),
    Pause(bool),
    Bounds(Value),
    DrainTimeout(i64),
    DeletePod(usize),
    ForceDeletePod(usize),
    KillNode(usize),
    WipePod(usize),
    CostPod(usize, i64),
    FlapPod(usize, i64),
    KillAgent(usize),
    ScaleSet(usize, i64),
    DeleteSet(usize),
    Quota(i64),
    /// The operator's machine has its clock set, by so many milliseconds.
    Jump(i64),
    Crash,
    /// The operator is there again with another agent's image.
    Upgrade,
    /// One of the operator's watches says nothing for so long.
    Stall(usize, i64),
    /// One of the operator's watches begins anew.
    Relist(usize),
}

/// What becomes of one write of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Refused with this code.
    Refused(u16),
    /// Done, and answered with an error all the same.
    DoneButFailed,
    /// Done, and the answer is lost.
    DoneButLost,
    /// Lost on its way.
    Lost,
    CrashBefore,
    CrashAfter,
}

/// What stays broken after the storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permanent {
    Nothing,
    /// The connections that are open then never close.
    EndlessConnections,
    /// Agents finish no drain.
    SilentAgents,
    /// No node takes another pod.
    FullNodes,
    /// Pods of the last template never turn ready.
    BrokenTemplate,
}

impl Script {
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "script");
        let object = object(&mut chance);
        let services = services(&mut chance);
        let permanent = match chance.within(0, 9) {
            0 | 1 => Permanent::EndlessConnections,
            2 | 3 => Permanent::SilentAgents,
            4 => Permanent::FullNodes,
            5 => Permanent::BrokenTemplate,
            _ => Permanent::Nothing,
        };
        let is_calm = chance.percent(15);
        let count = if is_calm { 2 } else { chance.within(2, 10) };
        let mut deeds: Vec<_> = (0..count)
            .map(|_| {
                let at = chance.within(4000, STORM);
                let deed = if is_calm || chance.percent(40) {
                    wish(&mut chance)
                } else {
                    mischief(&mut chance)
                };
                (at, deed)
            })
            .collect();
        deeds.sort_by_key(|(at, _)| *at);
        let count = if is_calm { 0 } else { chance.within(0, 6) };
        let mut faults: Vec<_> = (0..count)
            .map(|_| {
                let nth = usize::try_from(chance.within(0, 80)).unwrap_or(0);
                (nth, fault(&mut chance))
            })
            .collect();
        faults.sort_by_key(|(nth, _)| *nth);
        Self {
            seed,
            object,
            services,
            lag: *chance.pick(&[5, 100, 800, 3000]).unwrap_or(&5),
            controller_lag: *chance.pick(&[5, 100, 400]).unwrap_or(&5),
            deeds,
            faults,
            permanent,
            is_flattered: false,
        }
    }
}

impl Script {
    /// One rollout with one drain at a time, and a ReplicaSet controller whose caches lag by seconds.
    pub(super) fn slow_controller(seed: u64) -> Self {
        let mut script = Self::of(seed);
        let spec = &mut script.object["spec"];
        spec["replicas"] = json!(4);
        spec["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {
            "maxSurge": 1, "maxUnavailable": 0, "maxDraining": 1,
        }});
        spec["podReplacementPolicy"] = json!("DrainStarted");
        spec["drain"]["withdraw"] = json!("Readiness");
        (script.lag, script.controller_lag) = (5, 8000);
        script.deeds.clear();
        script.faults.clear();
        script.permanent = Permanent::Nothing;
        script
    }
}

fn object(chance: &mut Chance) -> Value {
    let recreate = chance.percent(8);
    let strategy = if recreate {
        json!({"type": "Recreate"})
    } else {
        json!({"type": "RollingUpdate", "rollingUpdate": bounds(chance)})
    };
    let policy = [
        "DrainStarted",
        "DrainStarted",
        "DrainStarted",
        "TerminationComplete",
    ];
    let withdraw = ["Auto", "Auto", "Auto", "Readiness", "Termination"];
    json!({
        "metadata": {"name": "chat"},
        "spec": {
            "replicas": chance.within(1, 5),
            "selector": {"matchLabels": {"app": "chat"}},
            "template": template("v1"),
            "minReadySeconds": chance.pick(&[0, 0, 2]),
            "progressDeadlineSeconds": 60,
            "revisionHistoryLimit": chance.within(0, 2),
            "strategy": strategy,
            "podReplacementPolicy": chance.pick(&policy),
            "drain": {
                "withdraw": chance.pick(&withdraw),
                "timeoutSeconds": chance.within(15, 60),
                "deletionTimeoutSeconds": chance.within(10, 30),
                "minSeconds": chance.within(3, 5),
                "quietSeconds": chance.within(1, 3),
            },
            "shutdown": {"timeoutSeconds": 5},
        },
    })
}

fn bounds(chance: &mut Chance) -> Value {
    let surge = chance.within(0, 3);
    let unavailable = chance.within(i64::from(surge == 0), 2);
    let draining = *chance.pick(&["100%", "100%", "1", "2"]).unwrap_or(&"100%");
    let draining = draining
        .parse::<i64>()
        .map_or_else(|_| json!(draining), |count| json!(count));
    json!({"maxSurge": surge, "maxUnavailable": unavailable, "maxDraining": draining})
}

/// The user's pod template of one version.
pub(super) fn template(version: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "chat"}},
        "spec": {"containers": [{
            "name": "app",
            "image": version,
            "ports": [{"containerPort": 8080}],
        }]},
    })
}

fn services(chance: &mut Chance) -> Vec<Value> {
    let service = |name: &str, more: Value| {
        let mut spec =
            json!({"selector": {"app": "chat"}, "ports": [{"port": 80, "protocol": "TCP"}]});
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        json!({"metadata": {"name": name}, "spec": spec})
    };
    match chance.within(0, 9) {
        0 => vec![],
        1 => vec![service("local", json!({"internalTrafficPolicy": "Local"}))],
        2 => vec![service(
            "udp",
            json!({"ports": [{"port": 53, "protocol": "UDP"}]}),
        )],
        3 => vec![
            service("web", json!({})),
            service(
                "peers",
                json!({"publishNotReadyAddresses": true, "clusterIP": "None"}),
            ),
        ],
        _ => vec![service("web", json!({}))],
    }
}

/// What a user wants.
fn wish(chance: &mut Chance) -> Deed {
    match chance.within(0, 9) {
        0..=4 => Deed::Template(chance.pick(&["v1", "v2", "v3", "broken"]).unwrap_or(&"v2")),
        5..=7 => Deed::Replicas(chance.within(0, 6)),
        8 => Deed::Pause(chance.percent(50)),
        _ if chance.percent(50) => Deed::DrainTimeout(chance.within(10, 60)),
        _ => Deed::Bounds(bounds(chance)),
    }
}

/// What nobody asked for.
fn mischief(chance: &mut Chance) -> Deed {
    let which = usize::try_from(chance.within(0, 9)).unwrap_or(0);
    match chance.within(0, 18) {
        0 | 1 => Deed::DeletePod(which),
        2 => Deed::ForceDeletePod(which),
        3 => Deed::KillNode(which),
        4 | 5 => Deed::WipePod(which),
        6 => Deed::CostPod(which, chance.within(-5, 5)),
        7 | 8 => Deed::FlapPod(which, chance.within(500, 9000)),
        9 => Deed::KillAgent(which),
        10 => Deed::ScaleSet(which, chance.within(0, 5)),
        11 => Deed::DeleteSet(which),
        12 => Deed::Quota(chance.within(1, 6)),
        13 => Deed::Jump(chance.within(-60_000, 120_000)),
        14 | 15 => Deed::Crash,
        16 => Deed::Upgrade,
        17 => Deed::Stall(which, chance.within(1000, 12_000)),
        _ => Deed::Relist(which),
    }
}

fn fault(chance: &mut Chance) -> Fault {
    match chance.within(0, 9) {
        0 => Fault::Refused(409),
        1 => Fault::Refused(429),
        2 => Fault::Refused(500),
        3 => Fault::DoneButFailed,
        4 => Fault::DoneButLost,
        5 => Fault::Lost,
        6 | 7 => Fault::CrashBefore,
        _ => Fault::CrashAfter,
    }
}
