//! The client against servers on loopback that misbehave in one way each: every way is counted as
//! its own cause, and a good server loses nothing.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::outcome::{Cause, Failure, Kind, Phase};
use super::*;

/// How a server treats each request.
#[derive(Clone, Copy)]
enum Manner {
    Good,
    Reset,
    Close,
    CutBody,
    ResetInBody,
    Hang,
    Unavailable,
    NotFound,
    WrongEcho,
    StreamWithoutEnd,
    CloseAfterEach,
    ResetAfterEach,
    CloseAtSecond,
}

async fn server(manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, manner));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, manner: Manner) -> io::Result<()> {
    for exchange in 0.. {
        let Some(body) = request(&mut stream).await? else {
            return Ok(());
        };
        let echo = |body: &[u8]| {
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\nx-pod: a\r\ncontent-length: {}\r\n\r\n",
                body.len()
            )
            .into_bytes();
            answer.extend_from_slice(body);
            answer
        };
        match manner {
            Manner::Reset => return stream.set_zero_linger(),
            Manner::Close => return Ok(()),
            Manner::CutBody | Manner::ResetInBody => {
                let mut answer = echo(b"0123456789");
                answer.pop();
                stream.write_all(&answer).await?;
                if matches!(manner, Manner::ResetInBody) {
                    stream.set_zero_linger()?;
                }
                return Ok(());
            }
            Manner::Hang => std::future::pending().await,
            Manner::Unavailable | Manner::NotFound => {
                let status = if matches!(manner, Manner::Unavailable) {
                    503
                } else {
                    404
                };
                let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await?;
            }
            Manner::WrongEcho => stream.write_all(&echo(b"somebody else's")).await?,
            Manner::StreamWithoutEnd => stream.write_all(&echo(b"0\n1\n2\n")).await?,
            Manner::CloseAfterEach | Manner::ResetAfterEach => {
                stream.write_all(&echo(&body)).await?;
                if matches!(manner, Manner::ResetAfterEach) {
                    stream.set_zero_linger()?;
                }
                return Ok(());
            }
            Manner::CloseAtSecond if exchange == 1 => return Ok(()),
            Manner::Good | Manner::CloseAtSecond => stream.write_all(&echo(&body)).await?,
        }
    }
    Ok(())
}

/// Reads one request; its body is as long as it says.
async fn request(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            while read.len() < end + 4 + length {
                if stream.read_buf(&mut read).await? == 0 {
                    return Ok(None);
                }
            }
            return Ok(Some(read.split_off(end + 4)));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
    }
}

fn spec(address: SocketAddr, requests: u64, clients: Clients) -> Spec {
    Spec {
        seed: 7,
        seconds: 20,
        max_requests: requests,
        sources: vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()],
        targets: vec![Target {
            name: "arm".into(),
            address,
            clients,
        }],
    }
}

async fn load(address: SocketAddr, requests: u64, clients: Clients) -> Report {
    let spec = spec(address, requests, clients);
    spec.check().unwrap();
    let mut outcome = drive(&spec, None, Until::default()).await.unwrap();
    assert_eq!(outcome.ended_by, "requests");
    outcome.targets.remove(0)
}

fn new() -> Clients {
    Clients {
        new_per_second: 50.0,
        ..Clients::default()
    }
}

fn keep_alive() -> Clients {
    Clients {
        keep_alive: 2,
        pause_millis: 20,
        ..Clients::default()
    }
}

/// Every one of five requests is lost, each for the same cause.
async fn all_lost(manner: Manner, clients: Clients, cause: Cause) -> Vec<Failure> {
    let kind = if clients.keep_alive > 0 {
        Kind::KeepAlive
    } else if clients.streams > 0 {
        Kind::Stream
    } else {
        Kind::New
    };
    let report = load(server(manner).await, 5, clients).await;
    assert_eq!(
        report.lost_by,
        BTreeMap::from([(kind, BTreeMap::from([(cause, 5)]))]),
        "{:#?}",
        report.failures
    );
    assert_eq!((report.requests, report.lost, report.unfinished), (5, 5, 0));
    report.failures
}

#[tokio::test]
async fn good_server_loses_nothing() {
    let address = server(Manner::Good).await;
    let both = Clients {
        keep_alive: 2,
        pause_millis: 20,
        ..new()
    };
    let report = load(address, 40, both).await;
    assert_eq!(
        (report.requests, report.lost, report.unfinished),
        (40, 0, 0)
    );
    assert_eq!(report.pods["a"].requests, 40);
    assert!(report.pods["a"].last_millis[&Kind::KeepAlive] >= report.pods["a"].first_millis);
    assert_eq!(report.closed_idle, 0);
    // Two keep-alive connections, and one for each request of the other client.
    assert_eq!(report.connects, 2 + report.kinds[&Kind::New].requests);
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let report = load(address, 5, new()).await;
    assert_eq!(
        report.lost_by[&Kind::New],
        BTreeMap::from([(Cause::Refused, 5)])
    );
    assert_eq!(report.failures[0].phase, Phase::Connect);
    assert_eq!(report.connects, 0);
}

#[tokio::test]
async fn reset_before_an_answer_is_a_reset() {
    let failures = all_lost(Manner::Reset, new(), Cause::Reset).await;
    assert!(failures[0].sent > 0 && failures[0].received == 0);
    assert!(failures[0].source.is_some());
}

#[tokio::test]
async fn orderly_close_before_an_answer_is_its_own_cause() {
    all_lost(Manner::Close, new(), Cause::ClosedBeforeAnswer).await;
}

#[tokio::test]
async fn answer_that_does_not_end_is_cut() {
    let failures = all_lost(Manner::CutBody, new(), Cause::CutMidBody).await;
    assert_eq!(failures[0].pod.as_deref(), Some("a"));
    assert!(failures[0].received > 0);
    all_lost(Manner::ResetInBody, new(), Cause::CutMidBody).await;
}

#[tokio::test]
async fn stream_without_its_end_is_cut() {
    let streams = Clients {
        streams: 2,
        stream_seconds: 1,
        ..Clients::default()
    };
    all_lost(Manner::StreamWithoutEnd, streams, Cause::CutMidBody).await;
}

#[tokio::test]
async fn silent_server_is_a_timeout() {
    let failures = all_lost(Manner::Hang, new(), Cause::Timeout).await;
    assert_eq!(failures[0].phase, Phase::Answer);
}

#[tokio::test]
async fn server_error_is_told_from_another_status() {
    let failures = all_lost(Manner::Unavailable, new(), Cause::ServerError).await;
    assert!(failures[0].detail.contains("503"));
    all_lost(Manner::NotFound, new(), Cause::Other).await;
}

#[tokio::test]
async fn body_of_another_request_is_noticed() {
    all_lost(Manner::WrongEcho, keep_alive(), Cause::Other).await;
}

#[tokio::test]
async fn close_between_two_requests_is_no_loss() {
    for manner in [Manner::CloseAfterEach, Manner::ResetAfterEach] {
        let report = load(server(manner).await, 10, keep_alive()).await;
        assert_eq!((report.requests, report.lost), (10, 0));
        assert_eq!(report.connects, 10);
        assert_eq!(report.closed_idle, 8);
    }
}

#[tokio::test]
async fn close_with_a_post_on_its_way_is_a_loss() {
    let report = load(server(Manner::CloseAtSecond).await, 10, keep_alive()).await;
    let lost = report.lost_by[&Kind::KeepAlive][&Cause::ClosedBeforeAnswer];
    assert!(lost >= 4, "{report:#?}");
    assert_eq!(report.failures[0].exchanges, 1);
}

#[tokio::test]
async fn run_stops_at_its_time() {
    let address = server(Manner::Good).await;
    let mut spec = spec(address, 1000, new());
    spec.seconds = 1;
    let outcome = drive(&spec, None, Until::default()).await.unwrap();
    assert_eq!(outcome.ended_by, "seconds");
    let report = &outcome.targets[0];
    assert_eq!((report.lost, report.unfinished), (0, 0));
    assert!((20..=100).contains(&report.requests), "{}", report.requests);
}
