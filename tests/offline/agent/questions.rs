//! Confirmations that ask the application, over real sockets: what it answers holds a drain or ends it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::pod::Pod;
use super::site::{Site, page};
use super::wait;
use graceful::api::receipt::Outcome;

/// A page that is idle once there are no jobs, and a number of them.
fn worker(jobs: i32) -> (Site, Arc<AtomicI32>) {
    let running = Arc::new(AtomicI32::new(jobs));
    let known = Arc::clone(&running);
    let site = Site::new(move |path, stream| {
        let jobs = known.load(Ordering::SeqCst);
        let answer = match path {
            "/idle" if jobs == 0 => page("204 No Content", ""),
            "/idle" => page("503 Service Unavailable", "secret"),
            _ => page(
                "200 OK",
                &format!("jobs{{queue=\"mail\"}} {jobs}\njobs{{queue=\"sms\"}} 7\n"),
            ),
        };
        drop(stream.write_all(answer.as_bytes()));
    });
    (site, running)
}

fn settings(confirm: &str) -> String {
    format!(r#"{{"minSeconds":0,"quietSeconds":1,"timeoutSeconds":60,"confirm":[{confirm}]}}"#)
}

fn http_get(port: u16) -> String {
    format!(r#"{{"httpGet":{{"port":{port},"path":"/idle"}}}}"#)
}

fn metric(port: u16, at_most: i32) -> String {
    let labels = r#"{"queue":"mail"}"#;
    format!(
        r#"{{"metric":{{"port":{port},"path":"/metrics","name":"jobs","labels":{labels},"atMost":{at_most}}}}}"#
    )
}

/// B56.
#[test]
fn drain_lasts_until_the_application_says_that_it_is_idle() {
    let (site, jobs) = worker(3);
    let mut pod = Pod::new();
    let agent = pod.serve();
    pod.withdraw_by(&settings(&http_get(site.port)));
    let name = format!("httpGet :{}/idle", site.port);
    wait("the page says what holds it", || {
        pod.page()["drain"]["waitsFor"] == format!("{name}: answered 503")
    });
    let standing = &pod.page()["drain"]["confirmations"][0];
    assert_eq!(
        (&standing["name"], &standing["state"]),
        (&name.as_str().into(), &"Waits".into())
    );
    // Asked again and again, and not in a hurry.
    let before = site.heads().len();
    wait("it is asked again", || site.heads().len() >= before + 3);
    assert_eq!(pod.receipt(), None);

    jobs.store(0, Ordering::SeqCst);
    assert!(agent.end().success());
    let receipt = pod.receipt().unwrap();
    assert_eq!(receipt.outcome, Outcome::Drained);
    assert_eq!(
        (receipt.last.as_deref(), receipt.why),
        (Some(name.as_str()), None)
    );
    let head = &site.heads()[0];
    assert!(head.starts_with("GET /idle HTTP/1.1\r\n"), "{head}");
    assert!(!pod.log().contains("secret"));
}

#[test]
fn drain_lasts_until_the_number_is_low_enough() {
    let (site, jobs) = worker(3);
    let mut pod = Pod::new();
    let agent = pod.serve();
    pod.withdraw_by(&settings(&metric(site.port, 1)));
    wait("the page says what holds it", || {
        pod.page()["drain"]["waitsFor"] == "metric jobs: the sum is above atMost"
    });
    jobs.store(1, Ordering::SeqCst);
    assert!(agent.end().success());
    let receipt = pod.receipt().unwrap();
    assert_eq!(
        (receipt.outcome, receipt.last.as_deref()),
        (Outcome::Drained, Some("metric jobs"))
    );
}

#[test]
fn one_of_several_that_does_not_hold_holds_the_drain() {
    let ((idle, _), (busy, jobs)) = (worker(0), worker(1));
    let mut pod = Pod::new();
    let agent = pod.serve();
    let all = [
        http_get(idle.port),
        metric(idle.port, 0),
        http_get(busy.port),
    ];
    pod.withdraw_by(&settings(&all.join(",")));
    wait("two of three hold", || {
        let states = pod.page()["drain"]["confirmations"].clone();
        [0, 1, 2].map(|at| states[at]["state"].clone()) == ["Holds", "Holds", "Waits"]
    });
    wait("longer than the quiet time", || {
        pod.page()["drain"]["seconds"].as_f64() > Some(4.0)
    });
    assert_eq!(pod.receipt(), None);
    jobs.store(0, Ordering::SeqCst);
    assert!(agent.end().success());
    assert_eq!(pod.receipt().unwrap().outcome, Outcome::Drained);
}

/// The drain ends at the confirmation's own timeout, and does not say that it is done.
#[test]
fn confirmation_is_waited_for_no_longer_than_its_own_timeout() {
    let (site, _jobs) = worker(1);
    let mut pod = Pod::new();
    let agent = pod.serve();
    let one = http_get(site.port).replacen('{', r#"{"timeoutSeconds":3,"#, 1);
    pod.withdraw_by(&settings(&one));
    assert!(agent.end().success());
    let receipt = pod.receipt().unwrap();
    assert_eq!(receipt.outcome, Outcome::TimedOut);
    assert!(
        (3000..20_000).contains(&receipt.milliseconds),
        "{receipt:?}"
    );
    assert_eq!(receipt.why.as_deref(), Some("answered 503"));
}

#[test]
fn ignored_error_does_not_hold_the_drain_and_is_reported() {
    let mut pod = Pod::new();
    let agent = pod.serve();
    let one = http_get(1).replacen('{', r#"{"onError":"Ignore","#, 1);
    pod.withdraw_by(&settings(&one));
    assert!(agent.end().success());
    let receipt = pod.receipt().unwrap();
    assert_eq!(receipt.outcome, Outcome::Drained);
    assert_eq!(receipt.last.as_deref(), Some("httpGet :1/idle"));
    assert_eq!(receipt.why.as_deref(), Some("nobody listens on its port"));
}

/// An answer is none where the error is another: busy is busy.
#[test]
fn busy_page_holds_the_drain_whatever_errors_do() {
    let (site, jobs) = worker(1);
    let mut pod = Pod::new();
    let agent = pod.serve();
    let one = http_get(site.port).replacen('{', r#"{"onError":"Ignore","#, 1);
    pod.withdraw_by(&settings(&one));
    wait("longer than the quiet time", || {
        pod.page()["drain"]["seconds"].as_f64() > Some(4.0)
    });
    assert_eq!(pod.receipt(), None);
    jobs.store(0, Ordering::SeqCst);
    assert!(agent.end().success());
}

/// A change of the settings is in force at once, during a drain too.
#[test]
fn confirmation_that_is_taken_out_no_longer_holds_the_drain() {
    let (site, _jobs) = worker(1);
    let mut pod = Pod::new();
    let agent = pod.serve();
    pod.withdraw_by(&settings(&http_get(site.port)));
    wait("it is asked", || !site.heads().is_empty());
    pod.drain_by("one", &settings(""));
    assert!(agent.end().success());
    assert_eq!(pod.receipt().unwrap().outcome, Outcome::Drained);
}

/// Unplanned exits ask the same questions.
#[test]
fn hook_waits_for_the_application_too() {
    let (site, jobs) = worker(1);
    let mut pod = Pod::new();
    let all = [http_get(site.port), metric(site.port, 0)].join(",");
    pod.annotate("", &settings(&all));
    let hook = pod
        .agent(&["prestop"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait("it is asked again and again", || site.heads().len() >= 6);
    let released = std::time::Instant::now();
    jobs.store(0, Ordering::SeqCst);
    let output = hook.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        released.elapsed() >= Duration::from_secs(1),
        "the quiet time is waited for"
    );
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("drained after"), "{said}");
}

#[test]
fn hook_says_what_it_waited_for_in_vain() {
    let (site, _jobs) = worker(1);
    let mut pod = Pod::new();
    pod.annotate("", &settings(&http_get(site.port)));
    let output = pod.prestop(&["--within", "2"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("timed out after"), "{said}");
    let which = format!("httpGet :{}/idle did not hold: answered 503", site.port);
    assert!(said.contains(&which), "{said}");
}
