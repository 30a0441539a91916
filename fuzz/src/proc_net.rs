//! The text tables of /proc/net: sockets, the pod's addresses, the count of connections. A line that is cut
//! off is none at all: read as a shorter one it would tell of less work than there is.

use std::net::{IpAddr, SocketAddr};

use graceful::agent::activity::arrivals::passive_opens;
use graceful::agent::sockets::local::{parse_v4, parse_v6};
use graceful::agent::sockets::proc::{parse, read_table};
use graceful::agent::sockets::{Reading, State};

use super::cuts::lengths;

const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n";

/// Holds for any text.
pub fn hold(data: &[u8]) {
    table_holds(data);
    let text = String::from_utf8_lossy(data);
    for line in text.lines() {
        line_holds(line);
    }
    addresses_hold(&text);
    if let Some(count) = passive_opens(&text) {
        let digits = count.to_string();
        assert!(text.contains(&digits), "a count from nowhere");
    }
}

/// A table is read to its end, or is an error.
fn table_holds(data: &[u8]) {
    let read = |bytes: &[u8]| {
        let mut seen = Vec::new();
        let is_whole = read_table(bytes, &mut |reading| seen.push(reading)).is_ok();
        (seen, is_whole)
    };
    let table = [HEADING.as_bytes(), data].concat();
    let (whole, is_whole) = read(&table);
    let mut lines = data.split(|byte| *byte == b'\n');
    let last = lines.next_back().unwrap_or_default();
    if is_whole {
        assert!(last.is_empty(), "a line without its end");
        assert!(whole.len() <= lines.count(), "sockets of nothing");
    }
    for length in lengths(data.len()) {
        let cut = table.get(..HEADING.len() + length).unwrap_or_default();
        let (seen, is_cut_whole) = read(cut);
        assert!(whole.starts_with(&seen), "a cut invents sockets");
        assert!(
            !is_cut_whole || cut.ends_with(b"\n"),
            "a cut line is passed over"
        );
    }
}

fn line_holds(line: &str) {
    let Ok(Some(whole)) = parse(line) else {
        return;
    };
    for length in lengths(line.len()) {
        let cut = line.get(..length).and_then(|cut| parse(cut).ok());
        assert!(cut.is_none_or(|cut| cut == Some(whole)), "a cut says less");
    }
    let again = parse(&written(&whole));
    let again = again.ok().flatten().map(|again| Reading {
        cookie: whole.cookie,
        ..again
    });
    assert_eq!(again, Some(whole), "it is not read as it is written");
}

/// As the kernel writes it. The ends of stream, which it counts as bytes, are added again.
fn written(reading: &Reading) -> String {
    let (state, clients, ours) = match reading.state {
        State::Established => (1, 0, 0),
        State::SynReceived => (3, 0, 0),
        State::FinWait1 => (4, 0, 1),
        State::CloseWait => (8, 1, 0),
        State::LastAck => (9, 1, 1),
        State::Listen => (10, 0, 0),
        State::Closing => (11, 1, 1),
    };
    let (local, peer) = (address(reading.local), address(reading.peer));
    let written = reading.unacknowledged.saturating_add(ours);
    let unread = reading.unread.saturating_add(clients);
    format!("   1: {local} {peer} {state:02X} {written:08X}:{unread:08X} 00:00000000")
}

fn address(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| {
        let word = word.first_chunk().copied().unwrap_or_default();
        format!("{:08X}", u32::from_ne_bytes(word))
    });
    format!("{}:{:04X}", words.collect::<String>(), address.port())
}

fn addresses_hold(text: &str) {
    let v4 = parse_v4(text);
    for (at, ip) in v4.iter().enumerate() {
        assert!(ip.is_ipv4() && text.contains(&ip.to_string()));
        assert!(!v4.iter().skip(at + 1).any(|other| other == ip), "twice");
    }
    let v6 = parse_v6(text);
    assert!(v6.len() <= text.lines().count() && v6.iter().all(IpAddr::is_ipv6));
}
