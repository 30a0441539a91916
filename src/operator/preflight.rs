//! What a person reads in the first hour: an API server that cannot be reached, a missing CRD, a
//! missing permission, a Kubernetes that is too old. Says what to do, once at the start and at every
//! watch that fails.

use std::time::Duration;

use kube::Client;
use kube::runtime::watcher;
use tracing::warn;

use super::error::{Failure, in_words};

/// The oldest minor version of Kubernetes 1 that has all that is relied on: native sidecars, and
/// fields that pass through the CRD's schema as it is.
const OLDEST_MINOR: u32 = 33;

/// Time between two attempts to reach the API server.
const AGAIN: Duration = Duration::from_secs(2);

/// Why the operator does not start.
#[derive(Debug, thiserror::Error)]
#[error(
    "the API server at {address} is Kubernetes {version}; graceful-operator needs 1.{OLDEST_MINOR} or newer"
)]
pub struct TooOld {
    address: String,
    version: String,
}

/// Waits until the API server answers, and looks at its version.
///
/// # Errors
///
/// [`TooOld`] where it is older than what is needed.
pub(super) async fn check(client: &Client, address: &str) -> Result<String, TooOld> {
    loop {
        match client.apiserver_version().await {
            Ok(info) => {
                let minor = number(&info.minor);
                if info.major == "1" && minor < OLDEST_MINOR {
                    return Err(TooOld {
                        address: address.into(),
                        version: info.git_version,
                    });
                }
                return Ok(info.git_version);
            }
            Err(error) => {
                let error = in_words(&Failure::from(error));
                warn!(
                    address,
                    error, "the API server cannot be reached and is tried again"
                );
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// The digits that a minor version begins with: clouds write `33+`.
fn number(minor: &str) -> u32 {
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(OLDEST_MINOR)
}

/// Why a watch failed, and what to do about it.
pub(super) fn watch_in_words(kind: &str, error: &watcher::Error) -> String {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        other => return in_words(other),
    };
    match status.code {
        404 if kind == "GracefulDeployments" => {
            "the CustomResourceDefinition gracefuldeployments.graceful.dev is missing: \
             kubectl apply -f crds/, or helm with crds.enabled=true"
                .into()
        }
        403 => format!(
            "no permission: {}; see the chart's ClusterRole",
            status.message
        ),
        _ => status.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: u16) -> watcher::Error {
        let status = serde_json::json!({
            "status": "Failure", "code": code, "reason": "",
            "message": "pods is forbidden: User \"a\" cannot list resource \"pods\"",
        });
        watcher::Error::InitialListFailed(kube::Error::Api(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn a_missing_crd_is_called_so() {
        let words = watch_in_words("GracefulDeployments", &failed(404));
        assert!(words.contains("kubectl apply -f crds/"), "{words}");
    }

    #[test]
    fn a_missing_permission_names_verb_and_resource() {
        let words = watch_in_words("Pods", &failed(403));
        assert!(words.contains("cannot list resource \"pods\""), "{words}");
    }

    #[test]
    fn minor_versions_of_clouds_are_read() {
        assert_eq!(number("32+"), 32);
        assert_eq!(number("36"), 36);
    }
}
