//! The injected preStop hook: drain first, then what the user's own hook says. Every ordinary
//! container gets it, because the kubelet stops each of them right after its own hook. A user's
//! native sidecar needs none: the kubelet stops sidecars after the last ordinary container is gone,
//! so nothing of the pod's work is left when theirs run.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Refusal;
use super::draft::child;
use super::hash::canonical;
use super::pod::{At, Container, Object, read};
use crate::api::{AGENT, AGENT_PATH};

/// A container's own preStop hook.
#[derive(Debug, PartialEq)]
pub(super) enum Hook {
    /// There is none.
    None,
    /// A command, run as it is: neither Kubernetes nor the agent puts a shell around it.
    Exec(Vec<String>),
    /// A request to the container, its port as a number.
    HttpGet(Object),
    /// A sleep of seconds.
    Sleep(i64),
}

/// Unknown fields are refused rather than dropped: what they mean could not be kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exec {
    #[serde(default)]
    command: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sleep {
    seconds: i64,
}

impl Hook {
    /// Reads a container's own hook.
    pub(super) fn read(container: &At<Container>) -> Result<Self, Refusal> {
        let at = format!("{}.lifecycle.preStop", container.at);
        let hook = match container.it.lifecycle.get("preStop") {
            None | Some(Value::Null) => return Ok(Self::None),
            Some(Value::Object(hook)) => hook,
            Some(_) => {
                return Err(Refusal::Unreadable {
                    at,
                    why: "expected an object".into(),
                });
            }
        };
        let mut kinds = hook.iter().filter(|(_, handler)| !handler.is_null());
        let (Some((kind, Value::Object(handler))), None) = (kinds.next(), kinds.next()) else {
            return Err(Refusal::UnknownHook { at });
        };
        match kind.as_str() {
            "exec" => exec(&format!("{at}.exec"), handler),
            "httpGet" => http_get(&format!("{at}.httpGet"), handler, &container.it),
            "sleep" => sleep(&format!("{at}.sleep"), handler),
            _ => Err(Refusal::UnknownHook { at }),
        }
    }

    /// Replaces the container's hook by ours, which runs theirs when the drain is over.
    pub(super) fn inject(&self, container: &mut Object, seconds: i64) {
        if let Some(lifecycle) = child(container, "lifecycle") {
            lifecycle.insert(
                "preStop".into(),
                json!({"exec": {"command": self.command(seconds)}}),
            );
        }
    }

    /// `prestop`, how long it may drain, then at most one of the agent's three ways to say what the
    /// user's hook does: last, because all that follows `--then-exec` is the user's.
    fn command(&self, seconds: i64) -> Vec<String> {
        let mut command = vec![format!("{AGENT_PATH}/{AGENT}"), "prestop".into()];
        command.extend(["--within".into(), seconds.to_string()]);
        match self {
            Self::None => {}
            Self::Exec(then) => {
                command.push("--then-exec".into());
                command.extend(then.iter().cloned());
            }
            Self::HttpGet(get) => {
                command.extend([
                    "--then-http-get".into(),
                    canonical(&Value::Object(get.clone())),
                ]);
            }
            Self::Sleep(seconds) => command.extend(["--then-sleep".into(), seconds.to_string()]),
        }
        command
    }
}

fn exec(at: &str, handler: &Object) -> Result<Hook, Refusal> {
    let command = read::<Exec>(at, handler)?.command.unwrap_or_default();
    if command.is_empty() {
        return Err(Refusal::NoCommand { at: at.into() });
    }
    Ok(Hook::Exec(command))
}

fn sleep(at: &str, handler: &Object) -> Result<Hook, Refusal> {
    let seconds = read::<Sleep>(at, handler)?.seconds;
    if seconds < 0 {
        return Err(Refusal::Negative {
            at: format!("{at}.seconds"),
        });
    }
    Ok(Hook::Sleep(seconds))
}

/// The agent does not know the names of a container's ports, so the number is written here.
fn http_get(at: &str, handler: &Object, container: &Container) -> Result<Hook, Refusal> {
    let at = format!("{at}.port");
    let port = match handler.get("port") {
        Some(Value::String(name)) => match container.port_named(name) {
            Some(port) => port,
            None => {
                return Err(Refusal::UnknownPort {
                    at,
                    name: name.clone(),
                });
            }
        },
        Some(Value::Number(number)) => match number.as_u64().and_then(|n| u16::try_from(n).ok()) {
            Some(port) => port,
            None => return Err(no_port(at)),
        },
        _ => return Err(no_port(at)),
    };
    let mut handler: Map<_, _> = handler.clone();
    handler.insert("port".into(), port.into());
    Ok(Hook::HttpGet(handler))
}

fn no_port(at: String) -> Refusal {
    Refusal::Unreadable {
        at,
        why: "expected a port number or the name of a port".into(),
    }
}
