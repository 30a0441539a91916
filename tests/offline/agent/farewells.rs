//! The agent's last words, by the binary: what it says of the application's end.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Instant;

use super::pod::Pod;
use graceful::api::farewell::{Exit, Farewell};

fn said(pod: &Pod) -> Exit {
    let message = fs::read_to_string(pod.folder.path().join("message")).unwrap();
    assert!(message.len() <= 512, "{message}");
    let farewell = Farewell::parse(&message).expect("last words");
    assert_eq!(farewell.uid, "the-pod");
    farewell.exit
}

#[test]
fn time_from_the_hook_to_the_end_of_the_agent_is_the_shutdown() {
    let pod = Pod::new();
    let agent = pod.serve();
    let began = Instant::now();
    assert!(pod.prestop(&[]).status.success());
    assert!(agent.terminate().success());
    let shutdown = said(&pod).shutdown.expect("the hook told the agent");
    assert!(u128::from(shutdown) <= began.elapsed().as_millis());
}

#[test]
fn shutdown_is_not_known_without_the_hook_or_after_a_command_of_the_user() {
    let pod = Pod::new();
    assert!(pod.serve().terminate().success());
    assert_eq!(said(&pod).shutdown, None);
    let agent = pod.serve();
    assert!(pod.prestop(&["--then-exec", "true"]).status.success());
    assert!(agent.terminate().success());
    assert_eq!(said(&pod).shutdown, None);
}

/// T1: whoever shares the pod's network can say so, and nothing but a clock is started by it.
#[test]
fn word_of_a_stranger_withdraws_nothing() {
    let pod = Pod::new();
    let agent = pod.serve();
    let volume = fs::metadata(pod.folder.path().join("memory")).unwrap();
    let name = format!("graceful-agent/{:x}/{:x}", volume.dev(), volume.ino());
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let stranger = UnixDatagram::unbound().unwrap();
    for words in [&b"e"[..], b"drain", b""] {
        stranger.send_to_addr(words, &address).unwrap();
    }
    assert_eq!(pod.get("GET", "/readyz"), Some(200));
    assert!(!pod.mark().exists());
    assert!(agent.terminate().success());
    assert!(said(&pod).shutdown.is_some());
}
