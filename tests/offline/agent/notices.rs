//! What the application is told of a drain and of its cancel, and when no more.

use std::time::{Duration, Instant};

use super::pod::{Application, Pod};
use super::wait;

const FINE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const POSTED: &str = "POST /bye HTTP/1.1\r\n";
const DELETED: &str = "DELETE /bye HTTP/1.1\r\n";

/// Begins a drain, and is out of service.
fn withdraw(pod: &mut Pod, epoch: &str, application: &Application) {
    pod.drain_by(epoch, &application.settings());
    wait("withdrawn", || pod.get("GET", "/readyz") == Some(503));
}

/// A client that is sent away before the routes have forgotten the pod would come straight back.
#[test]
fn application_is_told_when_routes_have_had_time_to_forget_the_pod() {
    let application = Application::listen();
    let mut pod = Pod::new();
    let _agent = pod.serve();
    pod.drain_by("one", &application.settings());
    wait("the agent has heard", || !pod.page()["drain"].is_null());
    assert!(application.is_left_alone(), "no probe was told yet");
    let before = Instant::now();
    withdraw(&mut pod, "one", &application);
    assert_eq!(application.hear(FINE), POSTED);
    assert!(before.elapsed() >= Duration::from_secs(2));
}

#[test]
fn application_is_told_of_the_drain_and_of_its_cancel() {
    let application = Application::listen();
    let mut pod = Pod::new();
    let _agent = pod.serve();
    withdraw(&mut pod, "one", &application);
    assert_eq!(application.hear(FINE), POSTED);
    pod.annotate("", &application.settings());
    assert_eq!(application.hear(FINE), DELETED);
}

#[test]
fn application_is_not_told_of_a_drain_after_its_cancel() {
    let application = Application::listen();
    let mut pod = Pod::new();
    let _agent = pod.serve();
    withdraw(&mut pod, "one", &application);
    assert_eq!(
        application.hear(b""),
        POSTED,
        "not answered: a second try is due in a second"
    );
    pod.annotate("", &application.settings());
    assert_eq!(application.hear(FINE), DELETED);
    withdraw(&mut pod, "two", &application);
    // By now that second is over.
    assert_eq!(application.hear(FINE), POSTED);
    pod.annotate("", &application.settings());
    assert_eq!(application.hear(FINE), DELETED);
}

#[test]
fn cancel_is_told_again_where_it_was_not_answered() {
    let application = Application::listen();
    let mut pod = Pod::new();
    let _agent = pod.serve();
    withdraw(&mut pod, "one", &application);
    assert_eq!(application.hear(FINE), POSTED);
    pod.annotate("", &application.settings());
    for answer in [b"".as_slice(), b"", FINE] {
        assert_eq!(application.hear(answer), DELETED);
    }
}

#[test]
fn cancel_is_told_no_more_once_the_next_drain_has_begun() {
    let application = Application::listen();
    let mut pod = Pod::new();
    let _agent = pod.serve();
    withdraw(&mut pod, "one", &application);
    assert_eq!(application.hear(FINE), POSTED);
    pod.annotate("", &application.settings());
    assert_eq!(application.hear(b""), DELETED);
    withdraw(&mut pod, "two", &application);
    // A second try may come before the agent hears of the drain, not after.
    while application.hear(FINE) != POSTED {}
    wait("that second is over", || {
        pod.page()["drain"]["seconds"].as_f64() > Some(2.5)
    });
    assert!(application.is_left_alone());
}
