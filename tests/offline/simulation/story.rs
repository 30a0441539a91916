//! The story of a run, for a person: what was asked of the API server and what came of it, in short.

use serde_json::{Value, json};

use super::apiserver::{Answer, Part, Request, Verb, name};
use super::world::{Who, World};

impl World {
    /// One line of the story.
    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        let (now, ahead) = (self.now, self.now % 1000);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:6}.{:03} {}", now / 1000, ahead, line()));
        }
    }

    pub(super) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    pub(super) fn say_call(&mut self, who: Who, request: &Request, answer: &Answer) {
        if matches!(request.verb, Verb::Get | Verb::List) {
            return;
        }
        let outcome = match answer {
            Ok(object) => format!("rv {}", super::apiserver::version(object)),
            Err(refusal) => format!("{} {}", refusal.code, refusal.message),
        };
        let is_creation = request.verb == Verb::Create;
        let body = match request.resource.plural {
            "events" => request.body["note"].clone(),
            "gracefuldeployments" if request.part == Part::Status => {
                answer.as_ref().map(in_short).unwrap_or_default()
            }
            _ if is_creation => json!({"replicas": request.body["spec"]["replicas"]}),
            _ => request.body.clone(),
        };
        let named = if is_creation {
            answer.as_ref().map(name).unwrap_or_default().to_owned()
        } else {
            request.name.clone()
        };
        let (verb, plural) = (request.verb, request.resource.plural);
        self.say(|| format!("{who:?} {verb:?} {plural} {named} {body} -> {outcome}"));
    }
}

/// What a status remembers and says.
fn in_short(object: &Value) -> Value {
    let all = object["status"]["drains"].as_array();
    let drains: Vec<_> = all
        .into_iter()
        .flatten()
        .map(|drain| {
            let retired = drain["retired"].as_str().map(|_| "retired");
            let withdrawn = drain["withdrawn"].as_str().map(|_| "withdrawn");
            json!([
                drain["pod"],
                drain["way"],
                drain["epoch"],
                withdrawn,
                drain["outcome"],
                retired
            ])
        })
        .collect();
    let ready = object["status"]["conditions"][0]["message"].clone();
    json!({"drains": drains, "available": object["status"]["availableReplicas"], "says": ready})
}
