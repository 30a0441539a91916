//! The agent killed, refused what it writes, flooded with connections and shown old requests.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::pod::{Pod, SETTINGS};
use super::wait;
use graceful::api::receipt::Outcome;
use tokio::net::TcpSocket;

/// R10: as after an OOM kill, the kubelet starts the container again. A confirmation of a kind that
/// the agent does not know never holds.
#[test]
fn killed_agent_stays_withdrawn_and_keeps_its_deadline() {
    let mut pod = Pod::new();
    let mut agent = pod.serve();
    let began = Instant::now();
    pod.drain_by("one", r#"{"timeoutSeconds":8,"confirm":[{}]}"#);
    wait("withdrawn", || pod.get("GET", "/readyz") == Some(503));
    wait("half of its time is over", || {
        pod.page()["drain"]["seconds"].as_f64() > Some(4.0)
    });
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    assert_eq!(
        pod.receipt(),
        None,
        "nothing is confirmed by an agent that died"
    );

    let agent = pod.serve();
    assert_eq!(
        pod.get("GET", "/readyz"),
        Some(503),
        "its first answer is that"
    );
    assert!(agent.end().success());
    assert!(began.elapsed() < Duration::from_secs(12));
    let receipt = pod.receipt().unwrap();
    assert_eq!(receipt.outcome, Outcome::TimedOut);
    assert!(receipt.milliseconds >= 8000, "{receipt:?}");
}

/// R10: the receipt is there before the mark says so, so a kill between the two repeats the drain
/// and never leaves a mark without a receipt.
#[test]
fn finished_drain_without_receipt_does_not_exist() {
    let mut pod = Pod::new();
    let message = pod.folder.path().join("message");
    fs::create_dir(&message).unwrap();
    let agent = pod.serve();
    pod.drain("one");
    wait("withdrawn", || pod.get("GET", "/readyz") == Some(503));
    wait("the receipt is refused", || {
        pod.log().contains("write the receipt")
    });
    // Many more tries than one.
    wait("it is tried for two seconds", || {
        pod.page()["drain"]["seconds"].as_f64() > Some(4.0)
    });
    let said = pod.log();
    assert_eq!(said.matches("write the receipt").count(), 1, "{said}");
    assert!(!fs::read_to_string(pod.mark()).unwrap().contains("Finished"));

    fs::remove_dir(&message).unwrap();
    assert!(agent.end().success());
    assert_eq!(pod.receipt().unwrap().outcome, Outcome::Drained);
}

/// R14: what nobody reads cannot shorten a drain by jumping. Times within the process are `Instant`s,
/// and a restarted agent goes by the time since boot.
#[test]
fn time_of_day_is_asked_by_nobody_in_the_agent() {
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/agent")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for clock in ["SystemTime", "Timestamp::now", "Realtime", "Zoned::now"] {
                assert!(!text.contains(clock), "{} uses {clock}", path.display());
            }
            files += 1;
        }
    }
    assert!(files > 20, "{files} files of the agent were read");
}

/// T5: an epoch that has been drained, cancelled and comes again is not answered from memory.
#[test]
fn replayed_epoch_is_drained_anew() {
    let mut pod = Pod::new();
    let agent = pod.serve();
    pod.drain("one");
    wait("withdrawn", || pod.get("GET", "/readyz") != Some(200));
    assert!(agent.end().success());
    let first = pod.receipt().unwrap();

    // The kubelet gives each container a message of its own.
    fs::remove_file(pod.folder.path().join("message")).unwrap();
    pod.annotate("", SETTINGS);
    let agent = pod.serve();
    assert_eq!(pod.get("GET", "/readyz"), Some(200));
    pod.drain_by("one", r#"{"minSeconds":2,"quietSeconds":1}"#);
    wait("withdrawn", || pod.get("GET", "/readyz") != Some(200));
    assert_eq!(
        pod.receipt(),
        None,
        "{first:?} is not the answer to this one"
    );
    assert!(agent.end().success());
    let again = pod.receipt().unwrap();
    assert!(again.milliseconds >= 2000, "{again:?}");
}

/// T2, T5: a mark of another epoch, left or forged, is no answer to the request that there is.
#[test]
fn mark_of_another_epoch_neither_withdraws_nor_confirms() {
    let mut pod = Pod::new();
    let agent = pod.serve();
    pod.drain("old");
    wait("withdrawn", || pod.get("GET", "/readyz") != Some(200));
    assert!(agent.end().success());
    let mark = fs::read_to_string(pod.mark()).unwrap();
    assert!(mark.contains("Finished"));
    fs::remove_file(pod.folder.path().join("message")).unwrap();

    pod.drain_by("new", r#"{"minSeconds":600,"timeoutSeconds":900}"#);
    let agent = pod.serve();
    wait("the new drain is under way", || {
        pod.page()["drain"]["epoch"] == "new" && pod.page()["drain"]["state"] == "Draining"
    });
    assert_eq!(pod.receipt(), None);
    drop(agent);

    fs::write(pod.mark(), mark).unwrap();
    pod.annotate("", SETTINGS);
    let _agent = pod.serve();
    assert_eq!(pod.get("GET", "/readyz"), Some(200));
    assert!(!pod.mark().exists());
}

/// T14: the agent is stopped here as one that gets no processor while connections come in.
#[test]
fn probe_in_front_of_a_flood_is_answered() {
    let pod = Pod::new();
    let agent = pod.serve();
    agent.signal("STOP");
    let mut probe = TcpStream::connect(("127.0.0.1", pod.port)).unwrap();
    probe.write_all(&request("kube-probe/1.36")).unwrap();
    let flood = flood(pod.port, 100, 1);
    agent.signal("CONT");
    assert_eq!(status(&mut probe), Some(200));
    drop(flood);
}

/// T14: no address of the flood has more connections than the kubelet, and the probe asks late.
#[test]
fn probe_that_asks_late_outlasts_a_flood_from_many_addresses() {
    let pod = Pod::new();
    let _agent = pod.serve();
    assert_eq!(pod.get("GET", "/readyz"), Some(200));
    let mut probe = TcpStream::connect(("127.0.0.1", pod.port)).unwrap();
    let flood = flood(pod.port, 100, 100);
    // Behind the flood: once this one is answered, all of the flood has been let in.
    let mut last = connect("127.0.1.1", pod.port);
    last.write_all(&request("curl/8")).unwrap();
    assert_eq!(status(&mut last), Some(200));
    probe.write_all(&request("kube-probe/1.36")).unwrap();
    assert_eq!(status(&mut probe), Some(200));
    drop(flood);
}

fn request(agent: &str) -> Vec<u8> {
    format!("GET /readyz HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\n\r\n").into_bytes()
}

/// The status of the answer; none where the connection was broken.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    std::str::from_utf8(&answer[9..]).ok()?.parse().ok()
}

/// Clients that begin a request and never end it.
fn flood(port: u16, number: u8, addresses: u8) -> Vec<TcpStream> {
    let open = |one: u8| {
        let mut stream = connect(&format!("127.0.0.{}", 2 + one % addresses), port);
        stream.write_all(b"GET /readyz HTTP/1.1\r\n").unwrap();
        stream
    };
    (0..number).map(open).collect()
}

/// Connects from an address of one's choice.
fn connect(from: &str, port: u16) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        let from: IpAddr = from.parse().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        socket.connect(([127, 0, 0, 1], port).into()).await.unwrap()
    });
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}
