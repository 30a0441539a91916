//! The binary's whole life, in a made-up pod.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pod::{Agent, Pod, SETTINGS};
use super::wait;
use graceful::api::receipt::Outcome;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// T2: the receipt names the request's epoch and the pod's own UID.
#[test]
fn drain_withdraws_leaves_a_receipt_and_stays_withdrawn_until_it_is_cancelled() {
    let mut pod = Pod::new();
    let agent = pod.serve();
    assert_eq!(pod.get("GET", "/readyz"), Some(200));
    pod.drain("first");
    wait("withdrawn", || pod.get("GET", "/readyz") != Some(200));
    assert!(agent.end().success());
    let receipt = pod.receipt().unwrap();
    assert_eq!(
        (receipt.epoch.as_str(), receipt.uid.as_str()),
        ("first", "the-pod")
    );
    assert_eq!(receipt.outcome, Outcome::Drained);
    assert!(
        fs::metadata(pod.folder.path().join("message"))
            .unwrap()
            .len()
            <= 512
    );

    let agent = pod.serve();
    assert_eq!(pod.get("GET", "/readyz"), Some(503));
    pod.annotate("", SETTINGS);
    wait("back in service", || pod.get("GET", "/readyz") == Some(200));
    assert!(!pod.mark().exists());

    pod.drain("second");
    wait("withdrawn", || pod.get("GET", "/readyz") != Some(200));
    assert!(agent.end().success());
    assert_eq!(pod.receipt().unwrap().epoch, "second");
}

/// R10.
#[test]
fn drain_goes_on_after_the_agent_was_killed() {
    let mut pod = Pod::new();
    let held = r#"{"minSeconds":600,"timeoutSeconds":900,"quietSeconds":1}"#;
    let mut agent = pod.serve();
    pod.drain_by("one", held);
    wait("withdrawn", || pod.get("GET", "/readyz") == Some(503));
    wait("the mark says so", || {
        fs::read_to_string(pod.mark()).is_ok_and(|mark| mark.contains("withdrawn"))
    });
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();

    let agent = pod.serve();
    assert_eq!(pod.get("GET", "/readyz"), Some(503));
    // The same epoch with other settings: in force at once.
    pod.drain("one");
    assert!(agent.end().success());
    assert_eq!(pod.receipt().unwrap().outcome, Outcome::Drained);
}

#[test]
fn annotation_removed_while_the_agent_was_down_is_a_cancel() {
    let mut pod = Pod::new();
    let agent = pod.serve();
    pod.drain("one");
    wait("withdrawn", || pod.get("GET", "/readyz") != Some(200));
    assert!(agent.end().success());
    pod.annotate("", SETTINGS);
    let _agent = pod.serve();
    assert_eq!(pod.get("GET", "/readyz"), Some(200));
    assert!(!pod.mark().exists());
}

/// T12.
#[test]
fn garbage_in_the_annotation_withdraws_nothing_and_is_shown() {
    let mut pod = Pod::new();
    let _agent = pod.serve();
    pod.annotate("{\"epoch\":", SETTINGS);
    wait("it is shown", || {
        pod.ask("GET", "/drain")
            .is_some_and(|(_, page)| page.contains("complaint"))
    });
    assert_eq!(pod.get("GET", "/readyz"), Some(200));
    let (_, metrics) = pod.ask("GET", "/metrics").unwrap();
    assert!(
        metrics.contains("graceful_agent_request_unclear 1"),
        "{metrics}"
    );
}

/// R24.
#[test]
fn overdue_drain_times_out_and_says_so() {
    let mut pod = Pod::new();
    let agent = pod.serve();
    pod.drain_by("one", r#"{"minSeconds":600,"timeoutSeconds":1}"#);
    assert!(agent.end().success());
    assert_eq!(pod.receipt().unwrap().outcome, Outcome::TimedOut);
}

#[test]
fn end_of_the_pod_ends_the_agent_with_a_last_receipt() {
    let mut pod = Pod::new();
    let agent = pod.serve();
    assert!(agent.terminate().success());
    assert_eq!(pod.receipt(), None);

    let agent = pod.serve();
    pod.drain_by("one", r#"{"minSeconds":600,"timeoutSeconds":900}"#);
    wait("withdrawn", || pod.get("GET", "/readyz") == Some(503));
    assert!(agent.terminate().success());
    assert_eq!(pod.receipt().unwrap().outcome, Outcome::TimedOut);
}

/// T1.
#[test]
fn nobody_can_change_anything_over_the_network() {
    let pod = Pod::new();
    let _agent = pod.serve();
    for path in ["/readyz", "/drain", "/metrics"] {
        assert_eq!(pod.get("POST", path), Some(405));
        assert_eq!(pod.get("DELETE", path), Some(405));
    }
    assert_eq!(pod.get("GET", "/"), Some(404));
    assert_eq!(pod.get("POST", "/wait-for-drain"), Some(404));
}

/// T14.
#[test]
fn slow_clients_do_not_keep_the_kubelet_from_its_answer() {
    let pod = Pod::new();
    let _agent = pod.serve();
    let slow: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", pod.port)).unwrap();
            stream.write_all(b"GET /readyz HTTP/1.1\r\n").unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    assert_eq!(pod.get("GET", "/readyz"), Some(200));
    assert!(began.elapsed() < Duration::from_secs(2));
    drop(slow);
}

/// B63, B68.
#[test]
fn hook_drains_then_takes_the_users_exit_status() {
    let pod = Pod::new();
    let began = Instant::now();
    let script = "echo \"hook: $0\"; exit 7";
    let output = pod.prestop(&["--then-exec", "sh", "-c", script, "--port", "--"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "it waits the quiet time"
    );
    let said = text(&output.stdout);
    assert!(
        said.contains("drained after") && said.contains("hook: --port"),
        "{said}"
    );
}

/// B64.
#[test]
fn hook_of_a_drained_pod_returns_at_once() {
    let mut pod = Pod::new();
    let agent = pod.serve();
    pod.drain("one");
    wait("withdrawn", || pod.get("GET", "/readyz") != Some(200));
    assert!(agent.end().success());
    let slow = r#"{"minSeconds":600,"deletionTimeoutSeconds":900}"#;
    pod.drain_by("one", slow);
    let said = text(&pod.prestop(&["--then-sleep", "0"]).stdout);
    assert!(said.contains("drained before"), "{said}");
}

/// T2, T5.
#[test]
fn hook_drains_where_the_mark_is_of_another_epoch() {
    let mut pod = Pod::new();
    let agent = pod.serve();
    pod.drain("one");
    wait("withdrawn", || pod.get("GET", "/readyz") != Some(200));
    assert!(agent.end().success());
    pod.drain("two");
    let said = text(&pod.prestop(&[]).stdout);
    assert!(said.contains("drained after"), "{said}");
}

#[test]
fn hook_ends_within_its_timeout_and_touches_no_mark() {
    let mut pod = Pod::new();
    pod.annotate("", r#"{"minSeconds":600,"deletionTimeoutSeconds":1}"#);
    let output = pod.prestop(&[]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("timed out after"));
    assert!(!pod.mark().exists());
}

#[test]
fn hook_of_the_user_by_http_is_sent_as_the_kubelet_would() {
    let application = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = application.local_addr().unwrap().port();
    let answers = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for status in ["200 OK", "500 No"] {
            let (mut stream, _) = application.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let lines = lines
                .by_ref()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty());
            requests.push(lines.collect::<Vec<_>>().join("\n").to_lowercase());
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
        requests
    });
    let pod = Pod::new();
    let get = format!(
        r#"{{"port":{port},"path":"/bye?a=b","httpHeaders":[{{"name":"X-Why","value":"end"}}]}}"#
    );
    assert!(pod.prestop(&["--then-http-get", &get]).status.success());
    assert!(!pod.prestop(&["--then-http-get", &get]).status.success());
    let requests = answers.join().unwrap();
    assert!(
        requests[0].starts_with("get /bye?a=b http/1.1"),
        "{requests:?}"
    );
    assert!(requests[0].contains("x-why: end"), "{requests:?}");
}

/// The certificate names nobody that the hook asks for, as a container's rarely does.
#[test]
fn hook_of_the_user_by_https_takes_any_certificate() {
    let made = rcgen::generate_simple_self_signed(["elsewhere.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let application = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = application.local_addr().unwrap().port();
    let answers = std::thread::spawn(move || {
        let (stream, _) = application.accept().unwrap();
        let session = ServerConnection::new(Arc::new(config)).unwrap();
        let mut tls = BufReader::new(StreamOwned::new(session, stream));
        let mut line = String::new();
        tls.read_line(&mut line).unwrap();
        tls.get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        line
    });
    let get = format!(r#"{{"port":{port},"path":"/bye","scheme":"HTTPS"}}"#);
    let output = Pod::new().prestop(&["--then-http-get", &get]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(answers.join().unwrap(), "GET /bye HTTP/1.1\r\n");
}

#[test]
fn readiness_by_command_withdraws_a_pod_without_port() {
    let mut pod = Pod::new();
    let agent = Agent(pod.agent(&["serve"]).spawn().unwrap());
    wait("the agent serves", || {
        pod.folder.path().join("memory/serving").exists()
    });
    assert!(pod.agent(&["ready"]).status().unwrap().success());
    pod.drain_by("one", r#"{"minSeconds":0}"#);
    wait("withdrawn", || {
        !pod.agent(&["ready"]).status().unwrap().success()
    });
    assert!(agent.end().success());
    let receipt = pod.receipt().unwrap();
    assert_eq!(receipt.outcome, Outcome::Drained);
    assert_eq!(receipt.last, None);
}
