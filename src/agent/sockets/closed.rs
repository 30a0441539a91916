//! Connections that are no more: the kernel's announcements of sockets that it destroys, each with its
//! last `tcp_info`, and what it keeps of connections that this side closed first. Announcements reach
//! anybody in the network namespace who asks for them, and cost the kernel something for each connection
//! that ends: they are asked for only while a pod ends.

use std::io;
use std::net::SocketAddr;

use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};

use super::diag::{self, DiagError, MESSAGE, Part};
use super::{BUFFER, SocketsError, canonical, dump};

/// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY` (`include/uapi/linux/sock_diag.h`).
const GROUPS: [u32; 2] = [1, 3];

/// States of connections that this side closed first, and waits for the network to forget: `FIN_WAIT2` (5)
/// and `TIME_WAIT` (6), before which they are in `FIN_WAIT1` (4) or `CLOSING` (11), until the other side has
/// acknowledged it. And those in which an application still has one: `ESTABLISHED` (1) and `CLOSE_WAIT` (8).
const STATES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 11;

/// The timer of a connection that no process has any more.
const TIME_WAIT_TIMER: u8 = 3;

/// `TCP_TIMEWAIT_LEN`: how long the kernel remembers a connection after the other side closed it too.
const TIME_WAIT: u32 = 60_000;

/// One announcement is about 600 bytes.
const ANNOUNCEMENTS: usize = 8192;

/// A connection that the kernel has just destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// Milliseconds since this side last sent data. The end of the stream is no data.
    pub sent_ago: u32,
}

/// What is left of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remain {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// Whether it is over.
    pub end: End,
}

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An application has it.
    Open,
    /// It was closed from this side first, which the other side does not know yet.
    Closing,
    /// It was closed from this side first, so many milliseconds ago.
    Closed(u32),
}

/// The kernel's announcements, from when it was opened.
pub struct Closings {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Closings {
    /// Asks for the announcements.
    ///
    /// # Errors
    /// Where the kernel has none, or does not let us.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            buffer: vec![0; ANNOUNCEMENTS],
        })
    }

    /// Shows what was destroyed since the last call.
    ///
    /// # Errors
    /// When some were lost: more ended at a time than the kernel keeps for us.
    pub fn read(&mut self, see: &mut dyn FnMut(Closed)) -> io::Result<()> {
        loop {
            let mut room: &mut [u8] = &mut self.buffer;
            let length = match self.socket.recv(&mut room, 0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            };
            let datagram = self.buffer.get(..length).unwrap_or_default();
            announced(datagram, see).map_err(io::Error::other)?;
        }
    }
}

/// Shows every connection that an application has or that this side closed first. One is shown in each of the
/// steps to its end, so that none is missed between two of them.
///
/// # Errors
/// When `sock_diag` does not work.
pub fn remains(see: &mut dyn FnMut(Remain)) -> Result<(), SocketsError> {
    /// `tcp_fin_timeout`: how long the kernel waits for the other side to close too.
    const USUAL: u32 = 60;
    let patience = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fin_timeout");
    let patience = patience.ok().and_then(|text| text.trim().parse().ok());
    let patience = patience.unwrap_or(USUAL).saturating_mul(1000);
    let question = diag::question(&[], STATES);
    let mut buffer = vec![0; BUFFER];
    dump(&mut None, &question, &mut buffer, &mut |datagram| {
        remaining(datagram, patience, see)
    })
}

/// Shows every connection that one datagram announces the end of.
///
/// # Errors
/// When a length points past the end.
pub fn announced(datagram: &[u8], see: &mut dyn FnMut(Closed)) -> Result<Part, DiagError> {
    diag::messages(datagram, &mut |body| {
        if let Some(closed) = closed(body)? {
            see(closed);
        }
        Ok(())
    })
}

/// Shows what is left of connections in one datagram of the answer. The kernel waits for `patience`, in
/// milliseconds, until the other side has closed too.
///
/// # Errors
/// When a length points past the end.
pub fn remaining(
    datagram: &[u8],
    patience: u32,
    see: &mut dyn FnMut(Remain),
) -> Result<Part, DiagError> {
    diag::messages(datagram, &mut |body| {
        if let Some(remain) = remain(body, patience) {
            see(remain);
        }
        Ok(())
    })
}

fn ends(message: &[u8]) -> Option<(u8, SocketAddr, SocketAddr)> {
    let [family, state] = diag::field::<2>(message, 0)?;
    let local = diag::address(message, family, 4, 8)?;
    let peer = diag::address(message, family, 6, 24)?;
    Some((state, canonical(local), canonical(peer)))
}

/// `None` for one without `tcp_info`, which was never open.
fn closed(body: &[u8]) -> Result<Option<Closed>, DiagError> {
    let message = body.get(..MESSAGE).ok_or(DiagError::Truncated)?;
    let Some((_, local, peer)) = ends(message) else {
        return Ok(None);
    };
    let info = diag::info(body.get(MESSAGE..).unwrap_or_default())?;
    Ok(info.map(|info| Closed {
        local,
        peer,
        sent_ago: info.sent_ago,
    }))
}

fn remain(body: &[u8], patience: u32) -> Option<Remain> {
    let (state, local, peer) = ends(body)?;
    let [_, _, timer, _] = diag::field::<4>(body, 0)?;
    let expires = diag::u32_at(body, 52);
    let end = match (state, timer) {
        (6, _) => End::Closed(TIME_WAIT.saturating_sub(expires)),
        (5, TIME_WAIT_TIMER) => End::Closed(patience.saturating_sub(expires)),
        (4 | 11, _) => End::Closing,
        // Half closed by an application that still reads, or open.
        _ => End::Open,
    };
    Some(Remain { local, peer, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    /// A connection, and its other end.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// By both ends: connections to others may have the same port here.
    fn wait_for(closings: &mut Closings, ends: (SocketAddr, SocketAddr)) -> Closed {
        let limit = Instant::now() + Duration::from_secs(10);
        let mut found = None;
        while found.is_none() && Instant::now() < limit {
            let read = closings.read(&mut |closed| {
                if (closed.local, closed.peer) == ends {
                    found = Some(closed);
                }
            });
            read.unwrap();
            std::thread::yield_now();
        }
        found.expect("the kernel announces it")
    }

    /// Spoken on first, so that there is a last word to tell the age of.
    fn spoken() -> (TcpStream, TcpStream) {
        let (mut client, mut server) = pair();
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        server.write_all(b"yes").unwrap();
        client.read_exact(&mut [0; 3]).unwrap();
        (client, server)
    }

    #[test]
    fn a_goodbye_tells_a_connection_that_was_closed_in_order() {
        let mut closings = Closings::open().unwrap();
        let ages = [false, true].map(|says_goodbye| {
            let (mut client, server) = spoken();
            let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            // Silence has no other sign than its length.
            std::thread::sleep(Duration::from_millis(300));
            if says_goodbye {
                client.write_all(b"X").unwrap();
            }
            drop((client, server));
            wait_for(&mut closings, ends).sent_ago
        });
        assert!(ages[0] >= 290, "{ages:?}");
        assert!(ages[1] < ages[0], "{ages:?}");
    }

    #[test]
    fn who_closes_first_is_remembered_and_the_other_is_not() {
        let (client, server) = spoken();
        let ends = [&client, &server].map(|end| end.local_addr().unwrap());
        drop(client);
        drop(server);
        // A dump in several parts may show one twice.
        let mut found = BTreeSet::new();
        remains(&mut |remain| {
            if ends.contains(&remain.local) {
                found.insert((remain.local, matches!(remain.end, End::Closed(_))));
            }
        })
        .unwrap();
        assert_eq!(found, BTreeSet::from([(ends[0], true)]));
    }

    #[test]
    fn an_open_connection_has_not_been_closed() {
        let (client, _server) = pair();
        let local = client.local_addr().unwrap();
        let mut found = None;
        remains(&mut |remain| {
            if remain.local == local {
                found = Some(remain.end);
            }
        })
        .unwrap();
        assert_eq!(found, Some(End::Open));
    }

    #[test]
    fn a_connection_whose_end_is_under_way_is_neither_open_nor_closed() {
        let (client, _server) = spoken();
        let local = client.local_addr().unwrap();
        // Nobody reads at the other end: what fills its window stands before the end of the stream.
        client.set_nonblocking(true).unwrap();
        let words = vec![0; 1 << 20];
        while (&client).write(&words).is_ok() {}
        drop(client);
        let mut found = None;
        remains(&mut |remain| {
            if remain.local == local {
                found = Some(remain.end);
            }
        })
        .unwrap();
        assert_eq!(found, Some(End::Closing));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_parsers(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let _ = announced(&bytes, &mut |_| ());
            let _ = remaining(&bytes, 60_000, &mut |_| ());
            let _ = remain(&bytes, 60_000);
        }
    }
}
