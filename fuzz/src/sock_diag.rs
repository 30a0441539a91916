//! The kernel's answers by netlink: the dump of its socket table, its announcements of closed connections, and
//! what it remembers of them. A connection is never lost by what stands behind it, and only an answer whose
//! end came, without an error, is a whole one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use graceful::agent::sockets::closed::{End, announced, remaining};
use graceful::agent::sockets::diag::{DiagError, Part, parse, request};
use graceful::agent::sockets::{Reading, State};

use super::cuts::{Numbers, lengths};

/// `struct nlmsghdr`, and with it the shortest message about a socket.
const HEADER: usize = 16;
const MESSAGE: usize = HEADER + 72;

/// `NLMSG_DONE`.
const DONE: u16 = 3;

const PATIENCE: u32 = 60_000;

/// Holds for any datagram.
pub fn hold(data: &[u8]) {
    let (whole, part) = read(data);
    assert!(whole.len() <= data.len() / MESSAGE, "sockets of nothing");
    for reading in &whole {
        assert!(is_plain(reading.local) && is_plain(reading.peer));
    }
    assert!(part != Ok(Part::Last) || has_end(data), "an end of nothing");
    for length in lengths(data.len()) {
        let cut = data.get(..length).unwrap_or_default();
        let (seen, part_of) = read(cut);
        assert!(whole.starts_with(&seen), "a cut invents sockets");
        if part_of == Ok(Part::Last) {
            assert!(part == Ok(Part::Last) && seen == whole, "a cut is an end");
        }
    }
    ours_comes_through(data);
    others_hold(data, &part);
    question_holds(data);
}

fn read(datagram: &[u8]) -> (Vec<Reading>, Result<Part, DiagError>) {
    let mut seen = Vec::new();
    let part = parse(datagram, &mut |reading| seen.push(reading));
    (seen, part)
}

fn is_plain(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_none(),
    }
}

/// Whether the bytes of an end without an error stand anywhere in it.
fn has_end(data: &[u8]) -> bool {
    let number = |at: usize| data.get(at..)?.first_chunk::<4>().copied();
    (0..data.len()).step_by(4).any(|at| {
        let kind = number(at + 4).map(|[low, high, ..]| u16::from_ne_bytes([low, high]));
        let code = number(at + HEADER).map(i32::from_ne_bytes);
        kind == Some(DONE) && code.is_some_and(|code| code >= 0)
    })
}

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(body);
    bytes
}

/// A connection written as the kernel writes it is read as it was written, whatever stands behind it; and
/// the end of the answer is one only where the kernel reports no error.
fn ours_comes_through(data: &[u8]) {
    let mut numbers = Numbers(data);
    let (cookie, [receive, write]) = (numbers.bytes::<8>(), [numbers.u32(), numbers.u32()]);
    let (local, peer) = (numbers.bytes::<4>(), numbers.bytes::<4>());
    let (port, other) = (numbers.u16(), numbers.u16());
    let code = i32::from_ne_bytes(numbers.bytes());
    let mut body = vec![2, 1, 0, 0];
    body.extend(port.to_be_bytes().into_iter().chain(other.to_be_bytes()));
    body.extend(local.into_iter().chain([0; 12]));
    body.extend(peer.into_iter().chain([0; 12]));
    body.extend([0; 4].into_iter().chain(cookie));
    body.extend([0; 4]);
    body.extend(receive.to_ne_bytes().into_iter().chain(write.to_ne_bytes()));
    body.extend([0; 8]);
    let written = Reading {
        cookie: u64::from_ne_bytes(cookie),
        state: State::Established,
        local: (Ipv4Addr::from(local), port).into(),
        peer: (Ipv4Addr::from(peer), other).into(),
        unread: receive,
        unacknowledged: write,
        info: None,
    };
    let mut datagram = message(20, &body);
    let (before, _) = read(data);
    datagram.extend(data);
    let (together, _) = read(&datagram);
    assert_eq!(
        together.split_first(),
        Some((&written, &*before)),
        "a connection is lost"
    );
    let (_, end) = read(&message(DONE, &code.to_ne_bytes()));
    assert_eq!(
        end == Ok(Part::Last),
        code >= 0,
        "a dump that failed is whole"
    );
}

/// The other two readers agree with the first on where the answer ends.
fn others_hold(data: &[u8], part: &Result<Part, DiagError>) {
    let mut ends = 0;
    let remains = remaining(data, PATIENCE, &mut |remain| {
        ends += 1;
        assert!(is_plain(remain.local) && is_plain(remain.peer));
        if let End::Closed(ago) = remain.end {
            assert!(ago <= PATIENCE, "closed before it was remembered");
        }
    });
    assert!(ends <= data.len() / HEADER);
    // It reads no further than the first message that it cannot read, which this one passes over.
    if let Ok(part) = part {
        assert_eq!(remains.as_ref(), Ok(part));
    }
    let mut closed = 0;
    let announced = announced(data, &mut |_| closed += 1);
    assert!(closed <= data.len() / MESSAGE);
    if let (Ok(one), Ok(other)) = (&announced, part) {
        assert_eq!(one, other);
    }
}

/// What we ask says its own length, whatever the ports.
fn question_holds(data: &[u8]) {
    let mut numbers = Numbers(data);
    let count = usize::from(numbers.u8()) % 65;
    let ports: Vec<_> = (0..count).map(|_| numbers.u16()).collect();
    let question = request(&ports);
    let length = question.first_chunk().copied().map(u32::from_ne_bytes);
    assert_eq!(length, u32::try_from(question.len()).ok());
}
