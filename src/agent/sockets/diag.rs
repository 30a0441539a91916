//! The pure part of `NETLINK_SOCK_DIAG`: the bytes of the question and a parser of the answer, after
//! `include/uapi/linux/inet_diag.h` and `tcp.h`. It does no IO and trusts no length that it reads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::{Raw, RawInfo, Reading, State};

/// `TCPDIAG_GETSOCK`: the one request that dumps IPv4 and IPv6 sockets in a single walk over the
/// kernel's hash table, which `SOCK_DIAG_BY_FAMILY` would walk twice. The table is the machine's,
/// 262,144 buckets and more, so the walk is most of the price of a small dump.
const TCPDIAG_GETSOCK: u16 = 18;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const INET_DIAG_INFO: u16 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// States that are asked for, by bit: the kernel's numbers of [`State`]. `SYN_RECV` (3) stands for
/// the new kind (12) as well.
const STATES: u32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11;

const INET_DIAG_REQ_BYTECODE: u16 = 1;
const JUMP: u8 = 1;
const SOURCE_AT_LEAST: u8 = 2;
const SOURCE_AT_MOST: u8 = 3;
const PEER_AT_MOST: u8 = 5;

/// Bytes of a program that test for one port: two comparisons and a jump to the end. The comparison for
/// equality is shorter, and younger than kernels in use.
const PORT_TEST: usize = 20;
const LISTENER_TEST: usize = 8;

const HEADER: usize = 16;
const REQUEST: usize = 60;
pub(super) const MESSAGE: usize = 72;

/// The answer is not laid out as the kernel's header files say.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DiagError {
    /// A length in it points past its end.
    #[error("the kernel's answer is cut short")]
    Truncated,
}

/// What a datagram of the answer means for the next step.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// More datagrams follow.
    More,
    /// The dump is complete.
    Last,
    /// The kernel refused, with this error number.
    Refused(i32),
}

/// The question: `struct nlmsghdr`, `struct inet_diag_req`, and where ports are given the program by
/// which the kernel leaves out connections whose local port is none of them. Listeners it shows always.
#[must_use]
pub fn request(ports: &[u16]) -> Vec<u8> {
    question(ports, STATES)
}

/// The same, for sockets in these states.
pub(super) fn question(ports: &[u16], states: u32) -> Vec<u8> {
    let program = if ports.is_empty() {
        Vec::new()
    } else {
        filter(ports)
    };
    let attribute = if program.is_empty() { 0 } else { 4 };
    let length = HEADER + REQUEST + attribute + program.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(TCPDIAG_GETSOCK.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes.extend([0; 8]);
    let extensions = 1 << (INET_DIAG_INFO - 1);
    bytes.extend([AF_INET, 0, 0, extensions]);
    bytes.extend([0; 48]);
    bytes.extend(states.to_ne_bytes());
    bytes.extend([0; 4]);
    if !program.is_empty() {
        bytes.extend(short(attribute + program.len()).to_ne_bytes());
        bytes.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
        bytes.extend(program);
    }
    bytes
}

/// A program for the kernel's `inet_diag_bc_run`: a list of `struct inet_diag_bc_op`, each with the
/// distance to the next one to run, in bytes, if it holds and if it does not. To run to the end is to
/// show the socket, to run past it is not to. The kernel takes a program only where each distance leads
/// to an operation that is reached by what holds alone, hence the jumps.
fn filter(ports: &[u16]) -> Vec<u8> {
    let operation = |code: u8, yes: u8, no: usize| {
        let [low, high] = short(no).to_ne_bytes();
        [code, yes, low, high]
    };
    let operand = |port: u16| operation(0, 0, port.into());
    let mut program = Vec::with_capacity(ports.len() * PORT_TEST + LISTENER_TEST);
    for (at, port) in ports.iter().enumerate() {
        let left = (ports.len() - at - 1) * PORT_TEST + LISTENER_TEST;
        program.extend(operation(SOURCE_AT_LEAST, 8, PORT_TEST));
        program.extend(operand(*port));
        program.extend(operation(SOURCE_AT_MOST, 8, PORT_TEST - 8));
        program.extend(operand(*port));
        program.extend(operation(JUMP, 4, 4 + left));
    }
    // A listener has no peer, so the port of its peer is zero.
    program.extend(operation(PEER_AT_MOST, 8, LISTENER_TEST + 4));
    program.extend(operand(0));
    program
}

/// The kernel's lengths and distances of 16 bits. [`super::MOST_PORTS`] keeps them far below.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// Shows every socket in one datagram of the answer to `see`.
///
/// # Errors
/// When a length points past the end.
pub fn parse(datagram: &[u8], see: &mut dyn FnMut(Reading)) -> Result<Part, DiagError> {
    messages(datagram, &mut |body| {
        if let Some(raw) = socket(body)? {
            see(raw.reading());
        }
        Ok(())
    })
}

/// Shows the body of every message in one datagram: a `struct inet_diag_msg` and its attributes.
pub(super) fn messages(
    mut datagram: &[u8],
    see: &mut dyn FnMut(&[u8]) -> Result<(), DiagError>,
) -> Result<Part, DiagError> {
    while !datagram.is_empty() {
        let length = field::<4>(datagram, 0).map(u32::from_ne_bytes);
        let length = length.ok_or(DiagError::Truncated)? as usize;
        let kind = field::<2>(datagram, 4).map(u16::from_ne_bytes);
        let body = datagram.get(HEADER..length).ok_or(DiagError::Truncated)?;
        match kind {
            Some(kind @ (NLMSG_DONE | NLMSG_ERROR)) => {
                let code = field::<4>(body, 0).map(i32::from_ne_bytes);
                let code = code.ok_or(DiagError::Truncated)?;
                // A dump that fails on its way ends too, with the error (`netlink_dump`): without the module
                // of TCP it is an end and nothing else.
                return Ok(if kind == NLMSG_DONE && code >= 0 {
                    Part::Last
                } else {
                    Part::Refused(code.saturating_neg())
                });
            }
            _ => see(body)?,
        }
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    Ok(Part::More)
}

/// One `struct inet_diag_msg` and its attributes. `None` where its family or state is of no interest.
fn socket(body: &[u8]) -> Result<Option<Raw>, DiagError> {
    let message = body.get(..MESSAGE).ok_or(DiagError::Truncated)?;
    let [family, state] = field::<2>(message, 0).ok_or(DiagError::Truncated)?;
    let (Some(state), Some(local), Some(peer)) = (
        State::from_kernel(state),
        address(message, family, 4, 8),
        address(message, family, 6, 24),
    ) else {
        return Ok(None);
    };
    let low = u64::from(u32_at(message, 44));
    let high = u64::from(u32_at(message, 48));
    Ok(Some(Raw {
        cookie: high << 32 | low,
        state,
        local,
        peer,
        receive_queue: u32_at(message, 56),
        write_queue: u32_at(message, 60),
        info: info(body.get(MESSAGE..).unwrap_or_default())?,
    }))
}

/// The attribute with `struct tcp_info`. Absent for a handshake under way and for listeners; older
/// kernels send a shorter one, of which only whole fields count.
pub(super) fn info(mut attributes: &[u8]) -> Result<Option<RawInfo>, DiagError> {
    while let Some(length) = field::<2>(attributes, 0).map(u16::from_ne_bytes) {
        let kind = field::<2>(attributes, 2).map(u16::from_ne_bytes);
        let length = usize::from(length);
        let value = attributes.get(4..length).ok_or(DiagError::Truncated)?;
        if kind == Some(INET_DIAG_INFO) && value.len() >= 160 {
            return Ok(Some(RawInfo {
                sent_ago: u32_at(value, 44),
                received_ago: u32_at(value, 52),
                acked_ago: u32_at(value, 56),
                acked: u64_at(value, 120),
                received: u64_at(value, 128),
                segments_out: u32_at(value, 136),
                data_segments_in: u32_at(value, 152),
                data_segments_out: u32_at(value, 156),
            }));
        }
        attributes = attributes.get(aligned(length)..).unwrap_or_default();
    }
    Ok(None)
}

pub(super) fn address(message: &[u8], family: u8, port: usize, ip: usize) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(field(message, port)?);
    let ip: IpAddr = match family {
        AF_INET => Ipv4Addr::from(field::<4>(message, ip)?).into(),
        AF_INET6 => Ipv6Addr::from(field::<16>(message, ip)?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    field(bytes, at).map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    field(bytes, at).map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + body.len())
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    fn body(family: u8, state: u8, info: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = vec![0; MESSAGE];
        bytes[0] = family;
        bytes[1] = state;
        bytes[4..6].copy_from_slice(&8080_u16.to_be_bytes());
        bytes[6..8].copy_from_slice(&40000_u16.to_be_bytes());
        bytes[8..12].copy_from_slice(&[10, 244, 0, 7]);
        bytes[24..28].copy_from_slice(&[10, 244, 0, 9]);
        bytes[44..48].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[56..60].copy_from_slice(&3_u32.to_ne_bytes());
        bytes[60..64].copy_from_slice(&5_u32.to_ne_bytes());
        if let Some(info) = info {
            bytes.extend(u16::try_from(info.len() + 4).unwrap().to_ne_bytes());
            bytes.extend(INET_DIAG_INFO.to_ne_bytes());
            bytes.extend(info);
        }
        bytes
    }

    fn sockets(datagram: &[u8]) -> (Vec<super::super::Reading>, Result<Part, DiagError>) {
        let mut seen = Vec::new();
        let part = parse(datagram, &mut |reading| seen.push(reading));
        (seen, part)
    }

    #[test]
    fn connection_is_read_with_its_counters() {
        let mut info = vec![0; 232];
        info[44..48].copy_from_slice(&12_u32.to_ne_bytes());
        info[52..56].copy_from_slice(&8_u32.to_ne_bytes());
        info[120..128].copy_from_slice(&1000_u64.to_ne_bytes());
        info[128..136].copy_from_slice(&200_u64.to_ne_bytes());
        info[136..140].copy_from_slice(&9_u32.to_ne_bytes());
        info[156..160].copy_from_slice(&4_u32.to_ne_bytes());
        let (seen, part) = sockets(&message(20, &body(AF_INET, 1, Some(&info))));
        assert_eq!(part, Ok(Part::More));
        let reading = seen[0];
        assert_eq!(reading.cookie, 7);
        assert_eq!(reading.local, "10.244.0.7:8080".parse().unwrap());
        assert_eq!(reading.peer, "10.244.0.9:40000".parse().unwrap());
        assert_eq!((reading.unread, reading.unacknowledged), (3, 5));
        let info = reading.info.unwrap();
        assert_eq!((info.received, info.written), (200, 1005));
        assert_eq!((info.received_ago, info.sent_ago), (8, 12));
        assert_eq!(info.bare_acks_out, 5);
    }

    #[test]
    fn ends_of_stream_are_not_bytes() {
        let mut info = vec![0; 160];
        info[120..128].copy_from_slice(&1000_u64.to_ne_bytes());
        info[128..136].copy_from_slice(&200_u64.to_ne_bytes());
        let (seen, _) = sockets(&message(20, &body(AF_INET, 9, Some(&info))));
        assert_eq!((seen[0].unread, seen[0].unacknowledged), (2, 4));
        let info = seen[0].info.unwrap();
        assert_eq!((info.received, info.written), (199, 1004));
    }

    #[test]
    fn mapped_address_is_shown_as_ipv4() {
        let mut body = body(AF_INET6, 1, None);
        for at in [8, 24] {
            body[at..at + 10].fill(0);
            body[at + 10..at + 16].copy_from_slice(&[0xff, 0xff, 10, 1, 2, 3]);
        }
        let (seen, _) = sockets(&message(20, &body));
        assert_eq!(seen[0].peer.ip(), Ipv4Addr::new(10, 1, 2, 3));
    }

    #[test]
    fn done_and_refusal_end_the_dump() {
        assert_eq!(sockets(&message(NLMSG_DONE, &[0; 4])).1, Ok(Part::Last));
        let refused = message(NLMSG_ERROR, &(-13_i32).to_ne_bytes());
        assert_eq!(sockets(&refused).1, Ok(Part::Refused(13)));
    }

    #[test]
    fn dump_that_failed_on_its_way_is_a_refusal() {
        let failed = message(NLMSG_DONE, &(-2_i32).to_ne_bytes());
        assert_eq!(sockets(&failed).1, Ok(Part::Refused(2)));
        let lowest = message(NLMSG_ERROR, &i32::MIN.to_ne_bytes());
        assert_eq!(sockets(&lowest).1, Ok(Part::Refused(i32::MAX)));
    }

    #[test]
    fn cut_answer_is_an_error() {
        let whole = message(20, &body(AF_INET, 1, None));
        for length in 1..whole.len() {
            assert_eq!(sockets(&whole[..length]).1, Err(DiagError::Truncated));
        }
    }

    /// What the kernel makes of a program (`inet_diag_bc_run`).
    fn shows(program: &[u8], local: u16, peer: u16) -> bool {
        let mut left = i32::try_from(program.len()).unwrap();
        while left > 0 {
            let at = program.len() - usize::try_from(left).unwrap();
            let no = u16::from_ne_bytes([program[at + 2], program[at + 3]]);
            let operand = || u16::from_ne_bytes([program[at + 6], program[at + 7]]);
            let holds = match program[at] {
                SOURCE_AT_LEAST => local >= operand(),
                SOURCE_AT_MOST => local <= operand(),
                PEER_AT_MOST => peer <= operand(),
                _ => false,
            };
            left -= if holds {
                i32::from(program[at + 1])
            } else {
                i32::from(no)
            };
        }
        left == 0
    }

    #[test]
    fn question_without_ports_has_no_program() {
        assert_eq!(request(&[]).len(), HEADER + REQUEST);
    }

    proptest! {
        /// T12.
        #[test]
        fn filter_shows_listeners_and_its_ports_alone(
            ports in proptest::collection::vec(1_u16.., 1..64),
            other in 1_u16..,
            peer in 1_u16..,
        ) {
            let program = filter(&ports);
            for port in &ports {
                prop_assert!(shows(&program, *port, peer));
            }
            prop_assert_eq!(shows(&program, other, peer), ports.contains(&other));
            prop_assert!(shows(&program, other, 0));
        }

        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = sockets(&bytes);
        }
    }
}
