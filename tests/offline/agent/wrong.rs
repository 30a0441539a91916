//! Confirmations that can never hold: none counts as done, none takes the agent beyond its limits, and
//! each says in words what is wrong.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::pod::Pod;
use super::site::{Site, page};
use super::wait;
use graceful::api::receipt::Outcome;

/// What no answer may bring into a log, a page or a receipt.
const SECRET: &str = "pwned";

/// What an answer may take of the agent's memory, in KiB.
const ROOM: u64 = 512;

/// Drains by one confirmation that never holds, up to a deadline of four seconds.
fn fails(site: Option<&Site>, confirm: &str, why: &str) {
    let mut pod = Pod::new();
    let agent = pod.serve();
    let before = peak(agent.0.id());
    let settings = r#""minSeconds":0,"quietSeconds":1,"timeoutSeconds":4"#;
    pod.withdraw_by(&format!(r#"{{{settings},"confirm":[{confirm}]}}"#));
    wait("the page says what is wrong", || {
        let page = pod.page();
        assert!(!page.to_string().contains(SECRET), "{page}");
        let waits_for = page["drain"]["waitsFor"].as_str().map(str::to_owned);
        waits_for.is_some_and(|text| text.ends_with(why))
    });
    let peak = peak(agent.0.id());
    assert!(
        peak < before + ROOM,
        "{before} KiB grew to {peak} KiB: {why}"
    );
    assert!(agent.end().success());
    let receipt = pod.receipt().unwrap();
    assert_eq!(
        (receipt.outcome, receipt.why.as_deref()),
        (Outcome::TimedOut, Some(why))
    );
    let text = serde_json::to_string(&receipt).unwrap();
    assert!(text.len() <= 512 && !text.contains(SECRET), "{text}");
    let said = pod.log();
    assert!(!said.contains(SECRET), "{said}");
    assert!(
        said.lines().count() <= 4,
        "one line for a fault that lasts: {said}"
    );
    for head in site.map(Site::heads).unwrap_or_default() {
        assert!(head.starts_with("GET "), "{head}");
    }
}

/// The most memory of its own that a process ever had resident, in KiB: without the pages of its binary,
/// of which it maps more the more it does.
fn peak(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    line("VmHWM") - line("RssFile")
}

fn http_get(port: u16) -> String {
    format!(r#"{{"httpGet":{{"port":{port},"path":"/idle"}}}}"#)
}

fn metric(port: u16) -> String {
    format!(r#"{{"metric":{{"port":{port},"path":"/metrics","name":"jobs","atMost":0}}}}"#)
}

/// T6.
#[test]
fn page_that_fails_for_ever_is_never_done() {
    let site = Site::saying(page("500 Internal Server Error", SECRET));
    fails(Some(&site), &http_get(site.port), "answered 500");
    fails(Some(&site), &metric(site.port), "answered 500");
}

/// T6.
#[test]
fn port_that_nobody_listens_on_is_never_done() {
    fails(None, &http_get(1), "nobody listens on its port");
    fails(None, &metric(1), "nobody listens on its port");
}

/// T6: what it points to is not asked.
#[test]
fn redirect_is_not_followed() {
    let elsewhere = Site::saying(page("200 OK", "jobs 0\n"));
    let to = format!("http://127.0.0.1:{}/{SECRET}", elsewhere.port);
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let site = Site::saying(answer);
    let why = "answered 302: redirects are not followed";
    fails(Some(&site), &http_get(site.port), why);
    fails(Some(&site), &metric(site.port), why);
    assert_eq!(elsewhere.heads(), [""; 0]);
}

/// T6, T7.
#[test]
fn metric_that_does_not_exist_is_never_zero() {
    let site = Site::saying(page("200 OK", &format!("jobs_total 0\n{SECRET} 0\n")));
    let why = "the page has no series of that name with these labels";
    fails(Some(&site), &metric(site.port), why);
    let site = Site::saying(page("200 OK", &format!("jobs {SECRET}\n")));
    fails(
        Some(&site),
        &metric(site.port),
        "a line of that name cannot be read",
    );
    let site = Site::saying(page("200 OK", ""));
    fails(Some(&site), &metric(site.port), why);
}

/// T6, T11: 10 MB that are announced, and 10 MB that are not.
#[test]
fn huge_answer_is_never_done_and_takes_no_memory() {
    let huge = |head: &'static str| {
        Site::new(move |_, stream: &mut TcpStream| {
            let line = format!("jobs{{what=\"{SECRET}\"}} 0\n").repeat(40);
            let mut written = stream.write_all(head.as_bytes());
            for _ in 0..10_000_000 / line.len() {
                if written.is_err() {
                    return;
                }
                written = stream.write_all(line.as_bytes());
            }
        })
    };
    let announced = huge("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n");
    let endless = huge("HTTP/1.1 200 OK\r\n\r\n");
    for site in [announced, endless] {
        fails(
            Some(&site),
            &http_get(site.port),
            "the answer is larger than 64 KiB",
        );
        fails(
            Some(&site),
            &metric(site.port),
            "the answer is larger than 4096 KiB",
        );
    }
}

/// T6, T14.
#[test]
fn slow_answer_is_never_done() {
    let site = Site::new(|_, stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\njobs 0\n"));
        // A byte now and then, and no end.
        while stream.write_all(b"#").is_ok() {
            thread::sleep(Duration::from_millis(300));
        }
    });
    fails(Some(&site), &http_get(site.port), "no answer within 2 s");
    fails(Some(&site), &metric(site.port), "no answer within 2 s");
}

/// T6, T12.
#[test]
fn answer_that_is_none_is_never_done() {
    let why = "the answer breaks off or is not HTTP";
    let headers = "x".repeat(100_000);
    let endless = format!("HTTP/1.1 200 OK\r\nX-A: {headers}{SECRET}\r\n\r\n");
    let cut_off = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\njobs 0\n";
    for answer in ["", "jobs 0\n", "SSH-2.0-pwned\r\n", cut_off, &endless] {
        let site = Site::saying(answer.to_owned());
        fails(Some(&site), &metric(site.port), why);
    }
    let zipped = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\njobs 0\n";
    let site = Site::saying(zipped.to_owned());
    fails(Some(&site), &metric(site.port), "the answer is encoded");
    let kind = "Content-Type: application/openmetrics-text; version=1.0.0";
    let site = Site::saying(format!("HTTP/1.1 200 OK\r\n{kind}\r\n\r\njobs 0\n"));
    fails(
        Some(&site),
        &metric(site.port),
        "the page ends without # EOF, or within a line",
    );
}

/// A page of nearly 4 MiB is read whole, in no more memory than a small one.
#[test]
fn large_page_of_metrics_is_read_in_constant_memory() {
    let site = Site::new(|_, stream| {
        let line = "other_metric_with_a_long_name{some=\"label\",and=\"another\"} 12345\n";
        let body = line.repeat(4_000_000 / line.len());
        drop(stream.write_all(page("200 OK", &format!("{body}jobs 0\n")).as_bytes()));
    });
    let mut pod = Pod::new();
    let agent = pod.serve();
    let before = peak(agent.0.id());
    let settings = r#""minSeconds":0,"quietSeconds":1,"timeoutSeconds":60"#;
    let confirm = metric(site.port);
    pod.withdraw_by(&format!(r#"{{{settings},"confirm":[{confirm}]}}"#));
    let mut after = before;
    wait("it has held and is asked again", || {
        after = peak(agent.0.id()).max(after);
        pod.page()["drain"]["confirmations"][0]["state"] == "Holds"
    });
    assert!(after < before + ROOM, "{before} KiB grew to {after} KiB");
    assert!(agent.end().success());
    assert_eq!(pod.receipt().unwrap().outcome, Outcome::Drained);
}
