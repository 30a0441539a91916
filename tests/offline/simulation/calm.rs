//! After the storm: whether the cluster is as it should be, or says honestly why not, and whether it
//! then stays quiet.

use serde_json::{Value, json};

use super::script::{Permanent, STORM};
use super::sets::{is_active, is_ready};
use super::world::{Event, World};

/// By then it must be as it should be: a clock that was set back by a minute and agents that say
/// nothing, one after the other, take their time.
const BOUND: i64 = 40 * 60_000;

/// For so long nothing is written then.
const QUIET: i64 = 60_000;

/// Counts are written up to a second late.
const LATE: i64 = 5000;

impl World {
    pub(super) fn look(&mut self) {
        self.later(5000, Event::Look);
        let unsettled = self.unsettled();
        // A controller's last word is waited for.
        let late = LATE + self.script.controller_lag;
        if unsettled.is_some() {
            self.settled = None;
        }
        match (unsettled, self.settled) {
            (Some(why), _) if self.now > STORM + BOUND => {
                let object = self.object();
                let status = object.map(|object| object["status"].clone());
                let status = status.unwrap_or_default();
                self.fail(format!("not settled, for {why}: {status}"));
            }
            (None, None) => self.settled = Some(self.now),
            (None, Some(since)) if self.now >= since + late + QUIET => {
                if self.last_write > since + late {
                    self.fail("the operator writes though nothing changes".into());
                }
                self.is_over = true;
            }
            _ => {}
        }
    }

    /// Why the cluster is not as it should be; `None` where it is, or where its status says why not.
    fn unsettled(&self) -> Option<String> {
        let Some(object) = self.object() else {
            return Some("the object is gone".into());
        };
        let status = &object["status"];
        if status["observedGeneration"] != object["metadata"]["generation"] {
            return Some("a generation that was not observed".into());
        }
        let permanent = self.script.permanent;
        let may_stand_still =
            [Permanent::FullNodes, Permanent::BrokenTemplate].contains(&permanent);
        // The deadline is the rollout's: one that was complete, of no pods perhaps, has none for those of another size.
        let is_complete = condition(status, "Progressing") == ("True", "NewReplicaSetAvailable");
        let is_overdue = condition(status, "Progressing") == ("False", "ProgressDeadlineExceeded");
        let says_so = condition(status, "Ready") == ("False", "RollingOut");
        if may_stand_still && (is_overdue || (is_complete && says_so)) {
            return None;
        }
        let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
        let pods = self.pods();
        if pods.len() as u64 != wanted {
            return Some(format!("{} pods of {wanted}", pods.len()));
        }
        let image = object["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        let is_right = |pod: &Value| {
            is_active(pod) && is_ready(pod) && pod["spec"]["containers"][0]["image"] == image
        };
        if !pods.iter().all(|pod| is_right(pod)) {
            return Some("a pod that is not as wanted".into());
        }
        if status["drains"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
        {
            return Some("a drain that is remembered".into());
        }
        if condition(status, "Ready").0 != "True" || status["availableReplicas"] != json!(wanted) {
            return Some("a status that does not say so".into());
        }
        None
    }
}

/// Status and reason of a condition.
fn condition<'a>(status: &'a Value, kind: &str) -> (&'a str, &'a str) {
    let all = status["conditions"].as_array();
    let found = all
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind);
    found.map_or(("", ""), |one| {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        (text("status"), text("reason"))
    })
}
