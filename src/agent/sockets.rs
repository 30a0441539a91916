//! The kernel's socket table as a stream of [`Reading`]s, one per TCP socket of this network
//! namespace. A thin reader over two pure parsers, [`diag`] and [`proc`]; it judges nothing and
//! keeps nothing but one buffer of fixed size.

pub mod closed;
pub mod diag;
pub mod local;
pub mod proc;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use rustix::io::Errno;
use thiserror::Error;

use crate::api::receipt::MeasuredBy;

/// The kernel fills at most 32 KiB of a dump at a time, however large the buffer is.
const BUFFER: usize = 32 * 1024;

/// The TCP states that matter to a drain. A socket in any other (`FIN_WAIT2`, `TIME_WAIT`, …) owes
/// nobody anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits for clients.
    Listen,
    /// The handshake is under way.
    SynReceived,
    /// Open both ways.
    Established,
    /// The client has sent its last byte and may wait for an answer.
    CloseWait,
    /// We have closed first; our last bytes are not acknowledged.
    FinWait1,
    /// Both have closed; our last bytes are not acknowledged.
    Closing,
    /// The client closed first, then we did; our last bytes are not acknowledged.
    LastAck,
}

impl State {
    /// By the kernel's number (`include/net/tcp_states.h`).
    #[must_use]
    pub fn from_kernel(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            _ => return None,
        })
    }

    /// Whether the client's end of stream has come. It takes a sequence number, so the kernel
    /// counts it as a byte received.
    fn has_clients_end(self) -> bool {
        matches!(self, Self::CloseWait | Self::Closing | Self::LastAck)
    }

    /// Whether our own end of stream is under way, which the kernel counts as a byte written.
    fn has_our_end(self) -> bool {
        matches!(self, Self::FinWait1 | Self::Closing | Self::LastAck)
    }
}

/// What the kernel says of one socket at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The kernel's name of the socket, never given twice while the machine runs.
    pub cookie: u64,
    /// Where in its life the connection is.
    pub state: State,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// Bytes received that the application has not read.
    pub unread: u32,
    /// Bytes written that the client has not acknowledged, sent or not.
    pub unacknowledged: u32,
    /// What only `tcp_info` knows.
    pub info: Option<Info>,
}

/// The part of the kernel's `tcp_info` that tells who spoke last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Bytes received since the connection began.
    pub received: u64,
    /// Bytes written by the application since the connection began.
    pub written: u64,
    /// Milliseconds since data was last received, in steps of a kernel tick (4 ms at most).
    pub received_ago: u32,
    /// Milliseconds since data was last sent, retransmissions included.
    pub sent_ago: u32,
    /// Milliseconds since the client last acknowledged anything, with data of its own or bare.
    pub acked_ago: u32,
    /// Segments received that carried data.
    pub data_segments_in: u32,
    /// Segments sent that carried data.
    pub data_segments_out: u32,
    /// Segments sent that carried nothing but an acknowledgement: the client's data was not
    /// answered within the delayed-acknowledgement time (40 ms).
    pub bare_acks_out: u32,
}

/// Fields as they stand in the kernel's books, before the ends of stream are taken off.
pub(crate) struct Raw {
    pub(crate) cookie: u64,
    pub(crate) state: State,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) receive_queue: u32,
    pub(crate) write_queue: u32,
    pub(crate) info: Option<RawInfo>,
}

/// The fields of `tcp_info` that are read.
pub(crate) struct RawInfo {
    pub(crate) received: u64,
    pub(crate) acked: u64,
    pub(crate) received_ago: u32,
    pub(crate) sent_ago: u32,
    pub(crate) acked_ago: u32,
    pub(crate) segments_out: u32,
    pub(crate) data_segments_in: u32,
    pub(crate) data_segments_out: u32,
}

impl Raw {
    pub(crate) fn reading(self) -> Reading {
        let clients_end = u32::from(self.state.has_clients_end());
        let our_end = u32::from(self.state.has_our_end());
        let queue = self.write_queue;
        Reading {
            cookie: self.cookie,
            state: self.state,
            local: canonical(self.local),
            peer: canonical(self.peer),
            unread: self.receive_queue.saturating_sub(clients_end),
            unacknowledged: queue.saturating_sub(our_end),
            info: self.info.map(|info| Info {
                received: info.received.saturating_sub(u64::from(clients_end)),
                written: info
                    .acked
                    .saturating_add(queue.into())
                    .saturating_sub(our_end.into()),
                received_ago: info.received_ago,
                sent_ago: info.sent_ago,
                acked_ago: info.acked_ago,
                data_segments_in: info.data_segments_in,
                data_segments_out: info.data_segments_out,
                bare_acks_out: info.segments_out.saturating_sub(info.data_segments_out),
            }),
        }
    }
}

/// A dual-stack listener (`[::]:8080`) shows its IPv4 clients as `::ffff:a.b.c.d`.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Reading the socket table failed.
#[derive(Debug, Error)]
pub enum SocketsError {
    /// The netlink socket could not be used.
    #[error("ask the kernel for its sockets by sock_diag")]
    Diag(#[source] io::Error),
    /// The answer does not look as the kernel's header files say.
    #[error("parse the kernel's answer")]
    Parse(#[from] diag::DiagError),
    /// The text table could not be read either.
    #[error("read /proc/net/tcp")]
    Proc(#[source] io::Error),
}

/// The kernel runs a filter for each socket, port by port: beyond so many ports it is no saving.
const MOST_PORTS: usize = 64;

/// So many failures in a row are a refusal: a sandbox may have an error number of its own for it.
const FAILURES: u32 = 5;

impl SocketsError {
    /// Whether the kernel will never tell, as opposed to not this time: a policy forbids it, or it was
    /// built without (the module of `sock_diag` is what `ENOENT` misses).
    fn is_refusal(&self) -> bool {
        let Self::Diag(error) = self else {
            return false;
        };
        Errno::from_io_error(error).is_some_and(|errno| REFUSALS.contains(&errno))
    }
}

const REFUSALS: [Errno; 8] = [
    Errno::PERM,
    Errno::ACCESS,
    Errno::NOENT,
    Errno::NOSYS,
    Errno::OPNOTSUPP,
    Errno::PROTONOSUPPORT,
    Errno::SOCKTNOSUPPORT,
    Errno::AFNOSUPPORT,
];

/// Reads the socket table, by `sock_diag` where the kernel lets us, else from `/proc/net`.
pub struct Table {
    way: Way,
    buffer: Vec<u8>,
    ports: BTreeSet<u16>,
    request: Vec<u8>,
}

enum Way {
    /// By this socket, or one to be opened: what is left in one that failed is no answer to the next
    /// question.
    Diag {
        socket: Option<Socket>,
        failures: u32,
    },
    Proc,
}

impl Table {
    /// A table that is read by `sock_diag` until the kernel refuses.
    #[must_use]
    pub fn open() -> Self {
        Self {
            way: Way::Diag {
                socket: None,
                failures: 0,
            },
            buffer: vec![0; BUFFER],
            ports: BTreeSet::new(),
            request: diag::request(&[]),
        }
    }

    /// Opens the text table alone, as where a sandbox refuses `sock_diag`.
    #[must_use]
    pub fn open_proc() -> Self {
        Self {
            way: Way::Proc,
            buffer: Vec::new(),
            ports: BTreeSet::new(),
            request: Vec::new(),
        }
    }

    /// Leaves out connections whose local port is none of these, where the kernel can: a pod may have
    /// as many to others as others have to it. Listeners are always shown.
    pub fn narrow(&mut self, ports: &BTreeSet<u16>) {
        if self.ports != *ports {
            self.ports.clone_from(ports);
            let few = ports.iter().copied().take(MOST_PORTS + 1);
            let few: Vec<_> = few.collect();
            self.request = diag::request(if few.len() > MOST_PORTS { &[] } else { &few });
        }
    }

    /// Shows every socket that matters to `see`: the listening ones of a family before its
    /// connections.
    ///
    /// # Errors
    /// When it does not work this time; some sockets may have been shown by then.
    pub fn read(&mut self, see: &mut dyn FnMut(Reading)) -> Result<MeasuredBy, SocketsError> {
        if let Way::Diag { socket, failures } = &mut self.way {
            let parse = &mut |datagram: &[u8]| diag::parse(datagram, see);
            match dump(socket, &self.request, &mut self.buffer, parse) {
                Ok(()) => {
                    *failures = 0;
                    return Ok(MeasuredBy::SockDiag);
                }
                Err(error) => {
                    *socket = None;
                    *failures += 1;
                    if !error.is_refusal() && *failures < FAILURES {
                        return Err(error);
                    }
                }
            }
            *self = Self::open_proc();
        }
        proc::read(see).map_err(SocketsError::Proc)?;
        Ok(MeasuredBy::ProcNet)
    }
}

/// Asks the kernel by this socket, or by one to be opened, and parses each datagram of its answer.
fn dump(
    socket: &mut Option<Socket>,
    request: &[u8],
    buffer: &mut [u8],
    parse: &mut dyn FnMut(&[u8]) -> Result<diag::Part, diag::DiagError>,
) -> Result<(), SocketsError> {
    let socket = match socket {
        Some(socket) => socket,
        None => socket.insert(Socket::new(NETLINK_SOCK_DIAG).map_err(SocketsError::Diag)?),
    };
    socket.send(request, 0).map_err(SocketsError::Diag)?;
    loop {
        let mut room: &mut [u8] = buffer;
        let length = socket.recv(&mut room, 0).map_err(SocketsError::Diag)?;
        let datagram = buffer.get(..length).ok_or(diag::DiagError::Truncated)?;
        match parse(datagram)? {
            diag::Part::More => {}
            diag::Part::Last => return Ok(()),
            diag::Part::Refused(errno) => {
                return Err(SocketsError::Diag(io::Error::from_raw_os_error(errno)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_sys::protocols::NETLINK_USERSOCK;

    fn read(table: &mut Table) -> Result<MeasuredBy, SocketsError> {
        table.read(&mut |_| ())
    }

    /// A socket that the kernel does not answer on, in place of one that it ran out of memory for.
    fn break_socket(table: &mut Table) {
        if let Way::Diag { socket, .. } = &mut table.way {
            *socket = Some(Socket::new(NETLINK_USERSOCK).unwrap());
        }
    }

    #[test]
    fn failed_dump_is_tried_again_by_sock_diag() {
        let mut table = Table::open();
        for _ in 0..2 * FAILURES {
            break_socket(&mut table);
            assert!(matches!(read(&mut table), Err(SocketsError::Diag(_))));
            assert_eq!(read(&mut table).unwrap(), MeasuredBy::SockDiag);
        }
    }

    #[test]
    fn dump_that_always_fails_is_a_refusal() {
        let mut table = Table::open();
        for _ in 1..FAILURES {
            break_socket(&mut table);
            assert!(read(&mut table).is_err());
        }
        break_socket(&mut table);
        assert_eq!(read(&mut table).unwrap(), MeasuredBy::ProcNet);
    }

    #[test]
    fn refusal_is_told_from_a_failure() {
        let by = |errno: Errno| SocketsError::Diag(errno.into()).is_refusal();
        assert!(by(Errno::PERM) && by(Errno::PROTONOSUPPORT) && by(Errno::NOENT));
        assert!(!by(Errno::NOBUFS) && !by(Errno::INTR) && !by(Errno::MFILE));
        assert!(!SocketsError::Parse(diag::DiagError::Truncated).is_refusal());
    }
}
