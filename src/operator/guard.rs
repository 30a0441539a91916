//! `graceful-operator guard`: what helm asks before an uninstall. Refuses while GracefulDeployments exist,
//! and says what would become of them. Reads only; whether to go on is a person's to decide.

use std::fmt::Write as _;
use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep};

use super::args::Guard;
use super::caches::Guarded;
use super::error::{Failure, in_words};

/// Time between two attempts.
const AGAIN: Duration = Duration::from_secs(1);

/// Objects of one page of the list.
const PAGE: u32 = 100;

/// Objects that are named; the others are counted.
const NAMED: usize = 5;

/// Why an uninstall is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is something that needs the operator.
    #[error("{0}")]
    InUse(String),
    /// It cannot be known.
    #[error(
        "listing GracefulDeployments: {0}; to uninstall without being asked, add --no-hooks to helm uninstall"
    )]
    Unknown(String),
}

/// What there is that needs the operator.
#[derive(Debug, Default)]
struct Found {
    names: Vec<String>,
    draining: i64,
}

/// Lists every GracefulDeployment that the operator is there for.
///
/// # Errors
///
/// [`Refused`] where there is one.
pub(super) async fn guard(client: Client, guard: &Guard) -> Result<(), Refused> {
    let end = Instant::now() + Duration::from_secs(guard.timeout_seconds);
    let found = loop {
        match Found::in_all(&client, &guard.watch_namespace).await {
            Ok(found) => break found,
            Err(error) if Instant::now() >= end => {
                return Err(Refused::Unknown(in_words(&Failure::from(error))));
            }
            Err(_) => sleep(AGAIN).await,
        }
    };
    if found.names.is_empty() {
        println!("no GracefulDeployment exists: nothing needs the operator");
        return Ok(());
    }
    Err(Refused::InUse(found.in_words(guard)))
}

impl Found {
    async fn in_all(client: &Client, namespaces: &[String]) -> kube::Result<Self> {
        let mut found = Self::default();
        if namespaces.is_empty() {
            found.list(&Api::all(client.clone())).await?;
        }
        for namespace in namespaces {
            let api = Api::namespaced(client.clone(), namespace);
            found.list(&api).await?;
        }
        Ok(found)
    }

    async fn list(&mut self, api: &Api<Guarded>) -> kube::Result<()> {
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = match api.list(&page).await {
                Ok(list) => list,
                // No CRD, so no object.
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(error) => return Err(error),
            };
            for object in list.items {
                let namespace = object.namespace().unwrap_or_default();
                self.names
                    .push(format!("{namespace}/{}", object.name_any()));
                let readable = object.0.as_ref().ok();
                let status = readable.and_then(|object| object.bare().status.as_ref());
                self.draining += status.map_or(0, |status| i64::from(status.draining_replicas));
            }
            match list.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => page = page.continue_token(&next),
                None => return Ok(()),
            }
        }
    }

    fn in_words(&self, guard: &Guard) -> String {
        let Guard {
            release,
            release_namespace,
            release_revision,
            deletes_crd,
            ..
        } = guard;
        let mut words = match self.names.len() {
            1 => String::from("1 GracefulDeployment exists: "),
            count => format!("{count} GracefulDeployments exist: "),
        };
        let named: Vec<_> = self.names.iter().take(NAMED).map(String::as_str).collect();
        words += &named.join(", ");
        if self.names.len() > NAMED {
            let _ = write!(words, " and {} more", self.names.len() - NAMED);
        }
        words += ".\nWithout the operator their pods serve on, are replaced when they die and drain when they \
                  are deleted; but nothing rolls out and nothing is scaled.\n";
        if self.draining > 0 {
            let _ = writeln!(
                words,
                "Pods that drain just now ({}) would stay out of service until an operator runs again.",
                self.draining
            );
        }
        if *deletes_crd {
            words += "The CustomResourceDefinition would go as well (crds.keep is false), and with it every \
                      GracefulDeployment and ALL THEIR PODS.\n";
        } else {
            words += "The CustomResourceDefinition and the objects would stay.\n";
        }
        let _ = write!(
            words,
            "To keep it (helm takes no upgrade of what it began to uninstall, until then):\n  \
             helm rollback {release} {release_revision} --namespace {release_namespace}\n\
             To uninstall all the same:\n  \
             helm uninstall {release} --namespace {release_namespace} --no-hooks"
        );
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(count: usize, draining: i64, deletes_crd: bool) -> String {
        let found = Found {
            names: (0..count).map(|number| format!("shop/{number}")).collect(),
            draining,
        };
        found.in_words(&Guard {
            release: "graceful".into(),
            release_namespace: "ours".into(),
            release_revision: 4,
            watch_namespace: Vec::new(),
            deletes_crd,
            timeout_seconds: 0,
        })
    }

    #[test]
    fn refusal_names_objects_and_the_way_round_it() {
        let one = words(1, 0, false);
        assert!(
            one.starts_with("1 GracefulDeployment exists: shop/0.\n"),
            "{one}"
        );
        assert!(one.contains("objects would stay"), "{one}");
        assert!(!one.contains("drain just now"), "{one}");
        let keep = "  helm rollback graceful 4 --namespace ours\n";
        assert!(one.contains(keep), "{one}");
        let last = one.lines().next_back().unwrap();
        assert_eq!(
            last,
            "  helm uninstall graceful --namespace ours --no-hooks"
        );
        let many = words(7, 0, false);
        assert!(many.contains("shop/4 and 2 more.\n"), "{many}");
    }

    #[test]
    fn what_would_be_lost_is_said() {
        assert!(words(1, 3, false).contains("drain just now (3)"));
        assert!(words(1, 0, true).contains("ALL THEIR PODS"));
    }
}
