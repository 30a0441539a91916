//! What the application is told of a drain and of its cancel, and when no more.

use super::pod::{Application, Pod};
use super::wait;

const FINE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const POSTED: &str = "POST /bye HTTP/1.1\r\n";
const DELETED: &str = "DELETE /bye HTTP/1.1\r\n";

#[test]
fn application_is_told_of_the_drain_and_of_its_cancel() {
    let application = Application::listen();
    let mut pod = Pod::new();
    let _agent = pod.serve();
    pod.drain_by("one", &application.settings());
    assert_eq!(application.hear(FINE), POSTED);
    pod.annotate("", &application.settings());
    assert_eq!(application.hear(FINE), DELETED);
}

#[test]
fn application_is_not_told_of_a_drain_after_its_cancel() {
    let application = Application::listen();
    let mut pod = Pod::new();
    let _agent = pod.serve();
    pod.drain_by("one", &application.settings());
    assert_eq!(
        application.hear(b""),
        POSTED,
        "not answered: a second try is due in a second"
    );
    pod.annotate("", &application.settings());
    assert_eq!(application.hear(FINE), DELETED);
    pod.drain_by("two", &application.settings());
    assert_eq!(application.hear(FINE), POSTED);
    wait("that second is over", || {
        pod.page()["drain"]["seconds"].as_f64() > Some(1.5)
    });
    pod.annotate("", &application.settings());
    assert_eq!(application.hear(FINE), DELETED);
}

#[test]
fn cancel_is_told_again_where_it_was_not_answered() {
    let application = Application::listen();
    let mut pod = Pod::new();
    let _agent = pod.serve();
    pod.drain_by("one", &application.settings());
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
    pod.drain_by("one", &application.settings());
    assert_eq!(application.hear(FINE), POSTED);
    pod.annotate("", &application.settings());
    assert_eq!(application.hear(b""), DELETED);
    pod.drain_by("two", &application.settings());
    // A second try may come before the agent hears of the drain, not after.
    while application.hear(FINE) != POSTED {}
    wait("that second is over", || {
        pod.page()["drain"]["seconds"].as_f64() > Some(2.5)
    });
    assert!(application.is_left_alone());
}
