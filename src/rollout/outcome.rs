//! How a drain by readiness ends: by its agent's receipt and the pod's conditions, at its deadline, or not
//! at all where the user keeps the pod.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::conditions::counted;
use super::drain::HEARING;
use super::observation::{ConditionStatus, Observation, Pod, after};
use super::plan::{Draft, Hold};
use super::retire;
use super::target::{AwaitedCondition, Overdue, Target};
use crate::api::RELEASE;
use crate::api::reason::Reason;
use crate::api::receipt::{Outcome, Receipt};
use crate::api::v1alpha1::{DrainEnd, DrainRecord};

/// For how long after the deadline the agent's own word on how the drain ended is waited for.
const SILENCE: Duration = Duration::from_secs(2);

/// An agent that ended by itself wrote a receipt; one that the kubelet has not published by then was
/// lost, and a new epoch asks for another.
const LOST_RECEIPT: Duration = Duration::from_secs(30);

/// A confirmation that did not hold or was ignored: its name, and why.
type Unheld = Option<(String, String)>;

/// The rollout withdraws no further pod: one that is kept is to end first.
pub(super) fn pauses(target: &Target, draft: &Draft) -> bool {
    target.on_timeout == Overdue::Pauses && draft.drains.iter().any(DrainRecord::is_kept)
}

/// One drain, and all that its end depends on.
struct Case<'a> {
    observation: &'a Observation,
    target: &'a Target,
    pod: &'a Pod,
    deadline: Timestamp,
}

/// Notes how the drain ended, where it has, or says what it waits for.
pub(super) fn note_outcome(
    observation: &Observation,
    target: &Target,
    pod: &Pod,
    drain: &mut DrainRecord,
    draft: &mut Draft,
) {
    let unheard = after(after(drain.since.0, HEARING), target.drain_timeout);
    let case = Case {
        observation,
        target,
        pod,
        deadline: drain.deadline.as_ref().map_or(unheard, |known| known.0),
    };
    let overdue = after(case.deadline, SILENCE);
    let lost = lost_receipt(pod, drain);
    if let Some(receipt) = pod.receipt(&drain.epoch) {
        case.take(receipt, drain, draft);
    } else if pod.node_lost {
        drain.outcome = Some(DrainEnd::NodeLost);
        draft.tally.forced += 1;
        let message = format!("node of {} was lost during its drain", pod.name);
        draft.tell(true, Reason::DrainNodeLost, message);
    } else if drain.overdue.is_some() {
        // Kept since before. What goes on in there ends by the agent's own clock.
        if target.on_timeout == Overdue::Pauses
            && let Some(lost) = lost
        {
            case.begin_anew_at(lost, drain, draft);
        }
        case.end_late(None, None, drain, draft);
    } else if overdue <= observation.now {
        case.end_late(None, None, drain, draft);
    } else {
        let until = lost.map_or(overdue, |lost| lost.min(overdue));
        if !lost.is_some_and(|lost| case.begin_anew_at(lost, drain, draft)) {
            let deadline = drain.deadline.as_ref().map(|deadline| deadline.0);
            let pod = pod.name.clone();
            draft.hold_until(until, Hold::Draining { pod, deadline });
        }
    }
}

/// When a receipt that must have been written is taken for lost.
fn lost_receipt(pod: &Pod, drain: &DrainRecord) -> Option<Timestamp> {
    let exited = pod.agent.exited.filter(|exited| *exited > drain.since.0)?;
    Some(after(exited, LOST_RECEIPT))
}

impl Case<'_> {
    /// The agent said how it ended. The pod's conditions have still to say the same.
    fn take(&self, receipt: &Receipt, drain: &mut DrainRecord, draft: &mut Draft) {
        if receipt.outcome == Outcome::TimedOut {
            let unheld = unheld(receipt);
            return self.end_late(Some(receipt), unheld, drain, draft);
        }
        match self.conditions(drain) {
            Conditions::Hold(ignored) => self.end(receipt, ignored, drain, draft),
            Conditions::GivenUp(unheld) => {
                self.end_late(Some(receipt), Some(unheld), drain, draft);
            }
            Conditions::Wait(condition, until) => {
                drain.condition = Some(condition.kind.clone());
                let hold = Hold::AwaitingCondition {
                    pod: self.pod.name.clone(),
                    condition: condition.kind.clone(),
                    status: self.status(condition),
                    until,
                };
                draft.hold_until(until, hold);
            }
        }
    }

    fn status(&self, condition: &AwaitedCondition) -> Option<ConditionStatus> {
        self.pod.conditions.get(&condition.kind).copied()
    }

    fn conditions(&self, drain: &DrainRecord) -> Conditions<'_> {
        let begin = drain.withdrawn.as_ref().unwrap_or(&drain.since).0;
        let (mut ignored, mut given_up, mut waits) = (None, None, None);
        for condition in &self.target.conditions {
            let status = self.status(condition);
            let name = format!("condition {}", condition.kind);
            let unheld = (name, in_words(status).to_owned());
            let timeout = condition.timeout.map(|timeout| after(begin, timeout));
            let until = timeout.map_or(self.deadline, |own| own.min(self.deadline));
            match status {
                Some(ConditionStatus::True) => {}
                Some(ConditionStatus::Unknown) if condition.ignores_errors => {
                    ignored.get_or_insert(unheld);
                }
                _ if until > self.observation.now => {
                    waits.get_or_insert((condition, until));
                }
                _ => {
                    given_up.get_or_insert(unheld);
                }
            }
        }
        match (waits, given_up) {
            (Some((condition, until)), _) => Conditions::Wait(condition, until),
            (None, Some(unheld)) => Conditions::GivenUp(unheld),
            (None, None) => Conditions::Hold(ignored),
        }
    }

    /// Everything that was waited for holds.
    fn end(&self, receipt: &Receipt, ignored: Unheld, drain: &mut DrainRecord, draft: &mut Draft) {
        let name = &self.pod.name;
        drain.outcome = Some(receipt.outcome.into());
        if receipt.outcome == Outcome::Unresponsive {
            cut(receipt, draft);
            let message = format!(
                "{name} was left with requests without any answer after {} and leaves with {}",
                length(receipt),
                counted(receipt.busy, "busy connection")
            );
            draft.tell(true, Reason::DrainUnresponsive, message);
        } else {
            draft.tally.drained += 1;
            let message = format!("{name} drained in {}", length(receipt));
            draft.tell(false, Reason::Drained, message);
        }
        for (what, why) in unheld(receipt).into_iter().chain(ignored) {
            let message = format!("{name} leaves without {what} (onError: Ignore): {why}");
            draft.tell(true, Reason::ConfirmationIgnored, message);
        }
    }

    /// The deadline has passed with work left, as far as anybody knows.
    fn end_late(
        &self,
        receipt: Option<&Receipt>,
        unheld: Unheld,
        drain: &mut DrainRecord,
        draft: &mut Draft,
    ) {
        let name = &self.pod.name;
        let timed_out = receipt.filter(|receipt| receipt.outcome == Outcome::TimedOut);
        let when = timed_out.map_or(String::new(), |it| format!(" after {}", length(it)));
        let busy = receipt.map(|it| format!("with {}", counted(it.busy, "busy connection")));
        let what = unheld.map(|(what, why)| format!("; {what} did not hold: {why}"));
        let what = what.unwrap_or_default();
        if !self.is_let_go(receipt, drain) {
            let busy = busy.map_or(String::new(), |busy| format!(" {busy}"));
            let found = format!("{name} reached its drain deadline{when}{busy}{what}");
            self.keep(&found, drain, draft);
            if timed_out.is_some() && self.target.on_timeout == Overdue::Pauses {
                self.begin_anew(drain);
            }
            return;
        }
        let Some(receipt) = receipt else {
            return self.end_unreported(drain, draft);
        };
        drain.outcome = Some(DrainEnd::TimedOut);
        cut(receipt, draft);
        let busy = busy.unwrap_or_default();
        let message = format!("{name} reached its drain deadline{when} and leaves {busy}{what}");
        draft.tell(true, Reason::DrainTimedOut, message);
    }

    /// The pod may leave at its deadline. A person's word is acted on when the pod has heard of its epoch:
    /// only that is known to be out of service.
    fn is_let_go(&self, receipt: Option<&Receipt>, drain: &DrainRecord) -> bool {
        let may_leave = self.target.on_timeout == Overdue::Leaves || self.pod.is_released;
        let request = self.pod.request.as_ref();
        let is_asked = request.is_some_and(|request| request.epoch == drain.epoch);
        may_leave && (receipt.is_some() || is_asked || drain.overdue.is_none())
    }

    fn end_unreported(&self, drain: &mut DrainRecord, draft: &mut Draft) {
        let name = &self.pod.name;
        draft.tally.forced += 1;
        if drain.overdue.is_some() {
            drain.outcome = Some(DrainEnd::TimedOut);
            let message = format!("{name} has reached its drain deadline and is let go");
            return draft.tell(true, Reason::DrainTimedOut, message);
        }
        drain.outcome = Some(DrainEnd::Silent);
        let message = format!(
            "agent of {name} said nothing until the deadline; the pod leaves and drains in its preStop hook"
        );
        draft.tell(true, Reason::DrainSilent, message);
    }

    /// The pod stays as it is. Told once; the hold says it for as long as it lasts.
    fn keep(&self, found: &str, drain: &mut DrainRecord, draft: &mut Draft) {
        let is_new = drain.overdue.is_none();
        let now = MicroTime(self.observation.now);
        let since = drain.overdue.get_or_insert(now).0;
        let pod = self.pod.name.clone();
        let (reason, until, hold) = if self.target.on_timeout == Overdue::Pauses {
            let until = "the rollout stops until its work ends, or it is let go";
            (Reason::DrainPaused, until, Hold::DrainPaused { pod, since })
        } else {
            let until = "it stays, withdrawn, until it is let go";
            (Reason::DrainHeld, until, Hold::Held { pod, since })
        };
        if is_new {
            let message = format!("{found}; {until}: {}", how_to_let_go(&self.pod.name));
            draft.tell(true, reason, message);
        }
        // A person is to act on it: nothing else is as worth reading.
        let is_alike = |hold: &Hold| matches!(hold, Hold::Held { .. } | Hold::DrainPaused { .. });
        let before = draft.holds.iter().take_while(|hold| is_alike(hold)).count();
        draft.holds.insert(before, hold);
    }

    /// Another epoch, once a receipt is lost. False where it may yet come.
    fn begin_anew_at(&self, lost: Timestamp, drain: &mut DrainRecord, draft: &mut Draft) -> bool {
        let is_lost = lost <= self.observation.now;
        if is_lost {
            self.begin_anew(drain);
        } else {
            draft.wake_at(lost);
        }
        is_lost
    }

    fn begin_anew(&self, drain: &mut DrainRecord) {
        drain.epoch = retire::epoch(self.observation, self.pod);
        drain.since = MicroTime(self.observation.now);
        drain.condition = None;
    }
}

/// What the pod's conditions come to.
enum Conditions<'a> {
    /// All hold, but for one that is ignored.
    Hold(Unheld),
    /// One is waited for.
    Wait(&'a AwaitedCondition, Timestamp),
    /// One is waited for no longer.
    GivenUp((String, String)),
}

/// What is known of a condition that does not hold.
pub(super) fn in_words(status: Option<ConditionStatus>) -> &'static str {
    match status {
        None => "nobody has set it",
        Some(ConditionStatus::Unknown) => "it is Unknown",
        Some(_) => "it is False",
    }
}

/// What a person does about a pod that is kept.
pub(super) fn how_to_let_go(pod: &str) -> String {
    format!("kubectl annotate pod {pod} {RELEASE}=true, or set spec.drain.onTimeout to Terminate")
}

fn length(receipt: &Receipt) -> String {
    let tenths = receipt.milliseconds % 1000 / 100;
    format!("{}.{tenths} s", receipt.milliseconds / 1000)
}

/// The pod leaves with what the agent last saw of its work.
fn cut(receipt: &Receipt, draft: &mut Draft) {
    draft.tally.forced += 1;
    draft.tally.connections_cut += i32::try_from(receipt.busy).unwrap_or(i32::MAX);
}

/// The confirmation that a receipt says something of, and what. Short and of one line, whoever wrote it.
fn unheld(receipt: &Receipt) -> Unheld {
    /// Longer than all that an agent writes.
    const MOST: usize = 100;
    let plain = |text: &String| -> String {
        let chars = text.chars().filter(|c| !c.is_control());
        chars.take(MOST).collect()
    };
    Some((plain(receipt.last.as_ref()?), plain(receipt.why.as_ref()?)))
}
