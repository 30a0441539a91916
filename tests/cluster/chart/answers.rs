//! What helm's hooks say where something is wrong: each time what to do. A proxy makes the API server say no
//! where the tests beside this one need it to say yes.

use std::path::Path;

use tokio::process::Command;

use super::text;
use crate::proxy::fault::Refusal;
use crate::proxy::{About, Proxy};

/// Runs a subcommand; what it says, and whether it is content.
async fn ask(kubeconfig: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_graceful-operator"))
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .env("RUST_BACKTRACE", "0")
        .output();
    let output = output.await.expect("started");
    (
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

/// A proxy that refuses objects of ours, so often, with a code.
async fn refusing(code: u16, times: usize) -> Proxy {
    crate::crd::install();
    let proxy = Proxy::start().await;
    let of = |about: &About| about.resource == "gracefuldeployments";
    proxy.set(|faults| {
        faults.refusals = vec![Refusal {
            of,
            code,
            retry_after: None,
            times,
        }];
    });
    proxy
}

const OFTEN: usize = 1000;

#[tokio::test]
async fn check_says_what_is_missing() {
    for (code, advice) in [
        (
            404,
            "install the CustomResourceDefinition (crds.enabled=true",
        ),
        (422, "is not this operator's"),
        (403, "no permission"),
        (500, "asking the API server to take a GracefulDeployment"),
    ] {
        let proxy = refusing(code, OFTEN).await;
        let check = ["check", "--namespace", "default", "--timeout-seconds", "1"];
        let (is_content, said) = ask(&proxy.kubeconfig(), &check).await;
        assert!(!is_content && said.contains(advice), "{code}: {said}");
    }
    let proxy = refusing(404, 0).await;
    let check = ["check", "--namespace", "nowhere", "--timeout-seconds", "0"];
    let (is_content, said) = ask(&proxy.kubeconfig(), &check).await;
    assert!(
        !is_content && said.contains("namespaces \"nowhere\" not found"),
        "{said}"
    );
}

/// A CRD that was just made is not served at once.
#[tokio::test]
async fn check_waits_for_what_comes() {
    let proxy = refusing(404, 3).await;
    let (is_content, said) = ask(&proxy.kubeconfig(), &["check", "--namespace", "default"]).await;
    assert!(is_content, "{said}");
}

#[tokio::test]
async fn guard_does_not_take_silence_for_consent() {
    let proxy = refusing(403, OFTEN).await;
    let guard = ["guard", "--timeout-seconds", "1"];
    let (is_content, said) = ask(&proxy.kubeconfig(), &guard).await;
    assert!(!is_content && said.contains("--no-hooks"), "{said}");
}

/// Without the CRD there is no object.
#[tokio::test]
async fn guard_lets_go_what_was_never_used() {
    let proxy = refusing(404, OFTEN).await;
    let (is_content, said) = ask(&proxy.kubeconfig(), &["guard"]).await;
    assert!(is_content, "{said}");
}
