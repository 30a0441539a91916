//! The panels, in the order in which they are read: first whether anything was cut, then what goes on, then
//! why it takes its time. What happens seldom is counted by the difference to the point before, which is a whole
//! number and tells of each event once, and the whole of a series that is younger: Prometheus' own increase is an
//! estimate with a fraction, over windows that lie on each other, and none where a series begins above zero.

/// One dashboard.
pub(super) struct Dashboard {
    pub(super) uid: &'static str,
    pub(super) title: &'static str,
    pub(super) says: &'static str,
    /// Name, and where its values come from.
    pub(super) variables: &'static [(&'static str, &'static str)],
    pub(super) panels: &'static [Panel],
}

/// One panel.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) says: &'static str,
    pub(super) form: Form,
    /// Grafana's name of the unit.
    pub(super) unit: &'static str,
    /// Expressions, each with its legend.
    pub(super) draws: &'static [(&'static str, &'static str)],
}

/// How a panel looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One number, red from 1 on.
    Alarm,
    /// One number, red at 0.
    Wanted,
    /// One number.
    Number,
    Lines,
    /// What is only now and then, so that there is nothing to join.
    Dots,
    /// What lasts, on top of each other.
    Areas,
    /// What happens now and then, on top of each other.
    Bars,
    Table,
}

impl Form {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Alarm | Self::Wanted | Self::Number => "stat",
            Self::Lines | Self::Dots | Self::Areas | Self::Bars => "timeseries",
            Self::Table => "table",
        }
    }

    /// Width and height in Grafana's grid.
    pub(super) fn size(self) -> (u64, u64) {
        match self {
            Self::Alarm | Self::Wanted | Self::Number => (6, 4),
            _ => (12, 8),
        }
    }
}

/// All of them.
pub(super) const DASHBOARDS: &[Dashboard] = &[
    Dashboard {
        uid: "graceful-rollouts",
        title: "Graceful rollouts",
        says: "What rollouts of GracefulDeployments do, and whether anything was cut.",
        variables: &[
            ("namespace", "label_values(graceful_replicas, namespace)"),
            (
                "name",
                "label_values(graceful_replicas{namespace=~\"$namespace\"}, name)",
            ),
        ],
        panels: ROLLOUTS,
    },
    Dashboard {
        uid: "graceful-operator",
        title: "Graceful operator",
        says: "Whether the operator itself is well.",
        variables: &[],
        panels: OPERATOR,
    },
];

const ROLLOUTS: &[Panel] = &[
    Panel {
        title: "Connections cut",
        says: "Connections with a request or a stream under way when their pod left, in the time shown. This is the number that matters: it should be 0.",
        form: Form::Alarm,
        unit: "short",
        draws: &[(
            "sum(increase(graceful_connections_cut_total{namespace=~\"$namespace\", name=~\"$name\"}[$__range])) or 0 * max(graceful_operator_leader)",
            "",
        )],
    },
    Panel {
        title: "Forced kills",
        says: "Pods of which a container was ended by SIGKILL, because it was not done in its grace period or out of memory, in the time shown.",
        form: Form::Alarm,
        unit: "short",
        draws: &[(
            "sum(increase(graceful_forced_kills_total{namespace=~\"$namespace\", name=~\"$name\"}[$__range])) or 0 * max(graceful_operator_leader)",
            "",
        )],
    },
    Panel {
        title: "Pools left open",
        says: "Pools of connections to others (a database, a queue) that pods left open at their end, in the time shown.",
        form: Form::Alarm,
        unit: "short",
        draws: &[(
            "sum(increase(graceful_pools_left_open_total{namespace=~\"$namespace\", name=~\"$name\"}[$__range])) or 0 * max(graceful_operator_leader)",
            "",
        )],
    },
    Panel {
        title: "Rollouts in flight",
        says: "Objects whose wanted revision is not complete yet.",
        form: Form::Number,
        unit: "short",
        draws: &[(
            "sum(graceful_rollout_in_flight{namespace=~\"$namespace\", name=~\"$name\"})",
            "",
        )],
    },
    Panel {
        title: "What each object says",
        says: "The condition Ready of each object that is not complete, with its reason: docs/reference/reasons.md has them all.",
        form: Form::Table,
        unit: "short",
        draws: &[(
            "max by (namespace, name, reason) (graceful_condition{condition=\"Ready\", namespace=~\"$namespace\", name=~\"$name\"}) < 1",
            "",
        )],
    },
    Panel {
        title: "Rollouts in flight, by object",
        says: "From the change of a template until its last old pod is gone, each object on top of the others.",
        form: Form::Areas,
        unit: "short",
        draws: &[(
            "max by (namespace, name) (graceful_rollout_in_flight{namespace=~\"$namespace\", name=~\"$name\"})",
            "{{namespace}}/{{name}}",
        )],
    },
    Panel {
        title: "Drain times",
        says: "From the request to drain until the work was over: half of the drains, and all but one in twenty, were faster. Estimates within a bucket: 68 s lies anywhere between 60 and 120.",
        form: Form::Dots,
        unit: "s",
        draws: &[
            (
                "histogram_quantile(0.5, sum by (le) (clamp_min(graceful_drain_seconds_bucket{namespace=~\"$namespace\", name=~\"$name\"} - (graceful_drain_seconds_bucket{namespace=~\"$namespace\", name=~\"$name\"} offset $__interval or graceful_drain_seconds_bucket{namespace=~\"$namespace\", name=~\"$name\"} * 0), 0)))",
                "half",
            ),
            (
                "histogram_quantile(0.95, sum by (le) (clamp_min(graceful_drain_seconds_bucket{namespace=~\"$namespace\", name=~\"$name\"} - (graceful_drain_seconds_bucket{namespace=~\"$namespace\", name=~\"$name\"} offset $__interval or graceful_drain_seconds_bucket{namespace=~\"$namespace\", name=~\"$name\"} * 0), 0)))",
                "19 of 20",
            ),
        ],
    },
    Panel {
        title: "Drain times, by what came last",
        says: "The mean drain, by the kind of the confirmation that held last, or that did not hold until the deadline.",
        form: Form::Dots,
        unit: "s",
        draws: &[(
            "sum by (confirmation) (clamp_min(graceful_drain_seconds_sum{namespace=~\"$namespace\", name=~\"$name\"} - (graceful_drain_seconds_sum{namespace=~\"$namespace\", name=~\"$name\"} offset $__interval or graceful_drain_seconds_sum{namespace=~\"$namespace\", name=~\"$name\"} * 0), 0)) / (sum by (confirmation) (clamp_min(graceful_drain_seconds_count{namespace=~\"$namespace\", name=~\"$name\"} - (graceful_drain_seconds_count{namespace=~\"$namespace\", name=~\"$name\"} offset $__interval or graceful_drain_seconds_count{namespace=~\"$namespace\", name=~\"$name\"} * 0), 0)) > 0)",
            "{{confirmation}}",
        )],
    },
    Panel {
        title: "Longest drain under way",
        says: "How long the oldest drain of each object has lasted.",
        form: Form::Lines,
        unit: "s",
        draws: &[(
            "time() - min by (namespace, name) (graceful_drain_since_timestamp_seconds{namespace=~\"$namespace\", name=~\"$name\"})",
            "{{namespace}}/{{name}}",
        )],
    },
    Panel {
        title: "How drains ended",
        says: "Drains that ended, by outcome. Drained is good; TimedOut, Silent and NodeLost want a look.",
        form: Form::Bars,
        unit: "short",
        draws: &[(
            "sum by (outcome) (clamp_min(graceful_operator_drains_ended_total - (graceful_operator_drains_ended_total offset $__interval or graceful_operator_drains_ended_total * 0), 0)) > 0",
            "{{outcome}}",
        )],
    },
    Panel {
        title: "Connections cut, by object",
        says: "When it happened, and to whom. Nothing is good.",
        form: Form::Bars,
        unit: "short",
        draws: &[(
            "sum by (namespace, name) (clamp_min(graceful_connections_cut_total{namespace=~\"$namespace\", name=~\"$name\"} - (graceful_connections_cut_total{namespace=~\"$namespace\", name=~\"$name\"} offset $__interval or graceful_connections_cut_total{namespace=~\"$namespace\", name=~\"$name\"} * 0), 0)) > 0",
            "{{namespace}}/{{name}}",
        )],
    },
    Panel {
        title: "Time held, by cause",
        says: "What rollouts wait for: 1 is one rollout waiting all the time, and one may wait for several things at once. Of all objects, whatever is chosen above.",
        form: Form::Areas,
        unit: "short",
        draws: &[(
            "sum by (hold) (rate(graceful_held_seconds_total[$__rate_interval])) and on (hold) (sum by (hold) (increase(graceful_held_seconds_total[$__range])) > 0)",
            "{{hold}}",
        )],
    },
    Panel {
        title: "What holds now",
        says: "Each object that waits, with what for: docs/reference/metrics.md explains each hold.",
        form: Form::Table,
        unit: "short",
        draws: &[(
            "max by (namespace, name, hold) (graceful_held{namespace=~\"$namespace\", name=~\"$name\"})",
            "",
        )],
    },
    Panel {
        title: "Capacity",
        says: "Pods in service, of those wanted. A dip below 1 − maxUnavailable is not the operator's doing.",
        form: Form::Lines,
        unit: "percentunit",
        draws: &[(
            "max by (namespace, name) (graceful_replicas{state=\"available\", namespace=~\"$namespace\", name=~\"$name\"}) / (max by (namespace, name) (graceful_replicas{state=\"desired\", namespace=~\"$namespace\", name=~\"$name\"}) > 0)",
            "{{namespace}}/{{name}}",
        )],
    },
    Panel {
        title: "Pods, by state",
        says: "Pods of the chosen objects. Draining and terminating ones are above the number wanted: size quotas for them.",
        form: Form::Lines,
        unit: "short",
        draws: &[(
            "sum by (state) (graceful_replicas{namespace=~\"$namespace\", name=~\"$name\"})",
            "{{state}}",
        )],
    },
    Panel {
        title: "Connections of draining pods",
        says: "As the agents see them: only busy ones hold a drain. Needs the agents to be scraped (metrics.agentMonitor).",
        form: Form::Areas,
        unit: "short",
        draws: &[(
            "sum by (class) (graceful_agent_connections{namespace=~\"$namespace\"})",
            "{{class}}",
        )],
    },
];

const OPERATOR: &[Panel] = &[
    Panel {
        title: "Leaders",
        says: "Operators that lead: one for each release.",
        form: Form::Wanted,
        unit: "short",
        draws: &[("sum(graceful_operator_leader)", "")],
    },
    Panel {
        title: "Objects",
        says: "GracefulDeployments that the operator knows.",
        form: Form::Number,
        unit: "short",
        draws: &[("count(graceful_replicas{state=\"desired\"})", "")],
    },
    Panel {
        title: "Failures",
        says: "Reconciles that failed in the time shown. Each is tried again.",
        form: Form::Alarm,
        unit: "short",
        draws: &[(
            "sum(increase(graceful_operator_errors_total[$__range])) or 0 * max(graceful_operator_leader)",
            "",
        )],
    },
    Panel {
        title: "Memory",
        says: "Resident memory of the leader.",
        form: Form::Number,
        unit: "bytes",
        draws: &[(
            "max(process_resident_memory_bytes and on (instance) graceful_operator_leader == 1)",
            "",
        )],
    },
    Panel {
        title: "Reconciles",
        says: "Looks at objects, a second. At rest there are next to none.",
        form: Form::Lines,
        unit: "ops",
        draws: &[(
            "sum(rate(graceful_operator_reconcile_seconds_count[$__rate_interval]))",
            "all",
        )],
    },
    Panel {
        title: "Time of a reconcile",
        says: "With its calls to the API server.",
        form: Form::Dots,
        unit: "s",
        draws: &[
            (
                "histogram_quantile(0.5, sum by (le) (rate(graceful_operator_reconcile_seconds_bucket[$__rate_interval])))",
                "half",
            ),
            (
                "histogram_quantile(0.99, sum by (le) (rate(graceful_operator_reconcile_seconds_bucket[$__rate_interval])))",
                "99 of 100",
            ),
        ],
    },
    Panel {
        title: "Calls to the API server",
        says: "Watches apart, a second.",
        form: Form::Areas,
        unit: "ops",
        draws: &[(
            "sum by (verb, kind) (rate(graceful_operator_api_calls_total[$__rate_interval]))",
            "{{verb}} {{kind}}",
        )],
    },
    Panel {
        title: "Failures, by what was tried",
        says: "docs/runbooks.md, GracefulReconcileErrors, says what to do about each.",
        form: Form::Bars,
        unit: "short",
        draws: &[(
            "sum by (error) (clamp_min(graceful_operator_errors_total - (graceful_operator_errors_total offset $__interval or graceful_operator_errors_total * 0), 0)) > 0",
            "{{error}}",
        )],
    },
    Panel {
        title: "Waits for a cache",
        says: "Looks put off because a watch did not show our last write yet, and those that went on without it. Many of the second kind: the API server is slow.",
        form: Form::Lines,
        unit: "ops",
        draws: &[
            (
                "sum(rate(graceful_operator_cache_waits_total[$__rate_interval]))",
                "put off",
            ),
            (
                "sum(rate(graceful_operator_cache_expiries_total[$__rate_interval]))",
                "went on",
            ),
        ],
    },
    Panel {
        title: "Memory, by operator",
        says: "It depends on the number of objects and pods alone: it must not grow from day to day.",
        form: Form::Lines,
        unit: "bytes",
        draws: &[(
            "process_resident_memory_bytes and on (instance) graceful_operator_leader",
            "{{instance}}",
        )],
    },
    Panel {
        title: "CPU",
        says: "Of each operator, in cores.",
        form: Form::Lines,
        unit: "short",
        draws: &[(
            "rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) graceful_operator_leader",
            "{{instance}}",
        )],
    },
];
