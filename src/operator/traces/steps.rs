//! The steps of one drain, from what is on record of it: withdrawn, confirmed, given up, gone. A time that
//! nobody wrote down is derived from those that somebody did, and never lies outside of them. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::span::Value;
use crate::api::receipt::Receipt;
use crate::api::v1alpha1::{DrainEnd, DrainRecord, DrainWay};
use crate::rollout::{End, Observation};

/// What became of the pod whose drain is off the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is gone, since then.
    Gone(Timestamp),
    /// It serves again.
    Cancelled,
    /// It drains anew.
    BegunAnew,
}

/// All that is known of a drain that is over.
pub(super) struct Facts<'a> {
    pub(super) drain: &'a DrainRecord,
    pub(super) fate: Fate,
    pub(super) node: Option<&'a String>,
    receipt: Option<&'a Receipt>,
    end: Option<&'a End>,
    now: Timestamp,
}

/// One step.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) attributes: Vec<(&'static str, Value)>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(drain: &'a DrainRecord, observation: &'a Observation) -> Self {
        let now = observation.now;
        let pod = observation.pods.iter().find(|pod| pod.uid == drain.uid);
        let end = observation.ends.iter().find(|end| end.uid == drain.uid);
        let said = end.and_then(|end| {
            let mut receipts = end.receipts.iter();
            receipts.find(|it| it.epoch == drain.epoch && it.uid == drain.uid)
        });
        // The kubelet cuts the fraction of the second off, and the status may be written seconds later.
        let finished = end.and_then(|end| end.finished);
        let finished = finished.and_then(|at| at.checked_add(Duration::from_secs(1)).ok());
        let fate = match pod {
            Some(_) => Fate::Cancelled,
            None => Fate::Gone(finished.map_or(now, |at| at.min(now))),
        };
        let node = end.and_then(|end| end.node.as_ref());
        Self {
            drain,
            fate,
            node: node.or(pod.and_then(|pod| pod.node.as_ref())),
            receipt: said.or(pod.and_then(|pod| pod.receipt(&drain.epoch))),
            end,
            now,
        }
    }

    /// When the drain was over.
    pub(super) fn ends_at(&self) -> Timestamp {
        let at = match self.fate {
            Fate::Gone(at) => at,
            Fate::Cancelled | Fate::BegunAnew => self.now,
        };
        let retired = self.drain.retired.as_ref().map(|retired| retired.0);
        at.max(retired.unwrap_or(at)).max(self.drain.since.0)
    }

    /// In one word: as the record has it, or what became of it without an outcome.
    pub(super) fn outcome(&self) -> String {
        match (self.fate, self.drain.outcome, &self.drain.retired) {
            (Fate::Cancelled, ..) => "Cancelled".into(),
            (Fate::BegunAnew, ..) => "BegunAnew".into(),
            (Fate::Gone(_), Some(outcome), _) => format!("{outcome:?}"),
            (Fate::Gone(_), None, Some(_)) => "Terminated".into(),
            (Fate::Gone(_), None, None) => format!("{:?}", DrainEnd::Vanished),
        }
    }

    /// The confirmation that held last, or the one that did not hold.
    pub(super) fn last(&self) -> Option<Value> {
        let condition = self.drain.condition.as_ref();
        let condition = condition.map(|kind| Value::Text(format!("condition {kind}")));
        let receipt = self.receipt.and_then(|receipt| receipt.last.as_ref());
        condition.or(receipt.map(|last| plain(last)))
    }

    /// When everything was confirmed, or no longer waited for. The agent says how long it took since it
    /// heard; conditions are waited for until the pod is given up.
    fn confirmed(&self) -> Option<Timestamp> {
        let drain = self.drain;
        let retired = drain.retired.as_ref().map(|retired| retired.0);
        let deadline = drain.deadline.as_ref().map(|deadline| deadline.0);
        let is_over = drain.outcome.is_some() || retired.is_some();
        let receipt = self.receipt.filter(|_| drain.condition.is_none());
        let said = receipt.and_then(|receipt| {
            let took = Duration::from_millis(receipt.milliseconds);
            drain.since.0.checked_add(took).ok()
        });
        let late = match drain.outcome {
            Some(DrainEnd::TimedOut | DrainEnd::Silent) if drain.overdue.is_none() => deadline,
            _ => None,
        };
        is_over.then(|| said.or(late).or(retired).unwrap_or(self.now))
    }

    fn of_confirmations(&self) -> Vec<(&'static str, Value)> {
        let last = self.last();
        let mut attributes: Vec<_> = last
            .map(|last| ("graceful.confirmation.last", last))
            .into_iter()
            .collect();
        if let Some(receipt) = self.receipt {
            let why = receipt.why.as_ref();
            attributes.extend(why.map(|why| ("graceful.confirmation.why", plain(why))));
            attributes.extend([
                (
                    "graceful.connections.at_start",
                    receipt.connections_at_start.into(),
                ),
                (
                    "graceful.connections.at_end",
                    receipt.connections_at_end.into(),
                ),
                ("graceful.connections.busy", receipt.busy.into()),
            ]);
        }
        attributes
    }

    fn of_termination(&self) -> Vec<(&'static str, Value)> {
        let Some(end) = self.end else {
            return vec![("graceful.unseen", true.into())];
        };
        let codes = end.containers.iter().map(|one| one.code.to_string());
        let codes: Vec<_> = codes.collect();
        let exit = end.exit.unwrap_or_default();
        let shutdown = exit
            .shutdown
            .map(|took| ("graceful.shutdown_ms", took.into()));
        let codes = Value::Text(codes.join(","));
        let mut attributes = vec![("graceful.exit_codes", codes)];
        attributes.extend(shutdown);
        attributes
    }
}

/// What a receipt says, short and of one line, whoever wrote it.
fn plain(text: &str) -> Value {
    /// Longer than all that an agent writes.
    const MOST: usize = 100;
    let chars = text.chars().filter(|one| !one.is_control());
    Value::Text(chars.take(MOST).collect())
}

/// The steps that the drain came to, each from the end of the one before. The last is as long as the drain
/// was, however far it came.
pub(super) fn steps(facts: &Facts<'_>) -> Vec<Step> {
    let drain = facts.drain;
    let at = |time: &Option<MicroTime>| time.as_ref().map(|time| time.0);
    let (withdrawn, retired) = (at(&drain.withdrawn), at(&drain.retired));
    let gone = match facts.fate {
        Fate::Gone(_) => Some(facts.ends_at()),
        Fate::Cancelled | Fate::BegunAnew => None,
    };
    let mut marks = Vec::new();
    match (drain.way, withdrawn) {
        (DrainWay::Termination, _) => {}
        // It never heard, or was not seen to have left the EndpointSlices.
        (DrainWay::Readiness, None) => marks.push(("withdraw", retired)),
        (DrainWay::Readiness, Some(withdrawn)) => {
            marks.push(("withdraw", Some(withdrawn)));
            marks.push(("confirm", facts.confirmed()));
        }
    }
    if drain.way == DrainWay::Termination || withdrawn.is_some() {
        marks.push(("give up", retired));
    }
    marks.push(("terminate", gone));
    let end = facts.ends_at();
    let mut from = drain.since.0;
    let mut steps = Vec::new();
    for (name, reached) in marks {
        // No later step can have been before the pod was given up.
        let latest = match name {
            "terminate" => end,
            _ => retired.unwrap_or(end),
        };
        let until = reached.unwrap_or(end).min(latest).max(from);
        let attributes = match name {
            "confirm" => facts.of_confirmations(),
            "terminate" => facts.of_termination(),
            _ => Vec::new(),
        };
        steps.push(Step {
            name,
            start: from,
            end: until,
            attributes,
        });
        if reached.is_none() {
            break;
        }
        from = until;
    }
    steps
}
