//! Where connections come from: each source address hands out its own ports, one after another, so
//! that no pair of source and Service meets a port again while connection tracking may remember it.
//!
//! The arithmetic: Linux remembers a closed flow for up to 120 s (`TIME_WAIT`), with the pod that it
//! was translated to, and a new connection from the same port may be sent to that pod though it is
//! gone. A source has 28,000 ports here, so at most 233 connections a second to one Service keep
//! every port at rest for 120 s. The kernel's own choice of ports would not: it draws at random, and
//! two draws in a row may be equal.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use tokio::net::{TcpSocket, TcpStream};

/// Ports of one source address, from [`FIRST_PORT`] on: Linux's own ephemeral range.
pub(super) const PORTS: u16 = 28_000;

/// How long a port rests before it meets the same Service again.
pub(super) const REST: Duration = Duration::from_mins(2);

const FIRST_PORT: u16 = 32_768;

/// Ports tried before a connection is given up: others may hold a few of them.
const TRIES: usize = 8;

/// The source addresses of one target.
pub(super) struct Sources {
    rings: Vec<Ring>,
    turn: AtomicUsize,
}

/// The ports of one address towards one Service.
struct Ring {
    address: IpAddr,
    ports: Mutex<Ports>,
}

struct Ports {
    next: u16,
    used: Vec<Option<Instant>>,
}

impl Sources {
    /// Sources for one target. Ports begin where the clock says, so that a run that follows another
    /// within two minutes goes on behind it rather than over it.
    pub(super) fn new(addresses: &[IpAddr]) -> Self {
        let seconds = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let lap = u64::from(PORTS) / REST.as_secs();
        let next = u16::try_from(seconds * lap % u64::from(PORTS)).unwrap_or_default();
        let addresses = if addresses.is_empty() {
            &[IpAddr::V4(Ipv4Addr::UNSPECIFIED)]
        } else {
            addresses
        };
        let ring = |address: &IpAddr| Ring {
            address: *address,
            ports: Mutex::new(Ports {
                next,
                used: vec![None; usize::from(PORTS)],
            }),
        };
        Self {
            rings: addresses.iter().map(ring).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Opens a connection from the next source's next port.
    pub(super) async fn connect(&self, target: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
        let mut last = io::Error::other("no source address");
        for _ in 0..TRIES {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let Some(ring) = self.rings.get(turn % self.rings.len().max(1)) else {
                break;
            };
            let Some(source) = ring.next(Instant::now()) else {
                last =
                    io::Error::other("every port of this source was used in the last two minutes");
                continue;
            };
            match connect_from(source, target).await {
                Err(taken) if is_taken(&taken) => last = taken,
                Err(refused) => return Err(refused),
                Ok(stream) => {
                    let source = stream.local_addr().unwrap_or(source);
                    return Ok((stream, source));
                }
            }
        }
        Err(last)
    }
}

impl Ring {
    fn next(&self, now: Instant) -> Option<SocketAddr> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let next = ports.next;
        let used = ports.used.get_mut(usize::from(next))?;
        if used.is_some_and(|at| now.duration_since(at) < REST) {
            return None;
        }
        *used = Some(now);
        ports.next = (next + 1) % PORTS;
        Some(SocketAddr::new(self.address, FIRST_PORT + next))
    }
}

async fn connect_from(source: SocketAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // The same port may serve another target at the same time.
    socket.set_reuseaddr(true)?;
    if source.is_ipv4() == target.is_ipv4() {
        socket.bind(source)?;
    }
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether somebody on this machine holds the port: nothing has been sent.
fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
    )
}

/// Refuses addresses that no device here has.
pub(super) fn check(addresses: &[IpAddr]) -> anyhow::Result<()> {
    for address in addresses {
        std::net::TcpListener::bind((*address, 0)).with_context(|| {
            format!("use {address} as a source: add it with `ip addr add {address}/24 dev DEVICE`")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_rests_two_minutes() {
        let sources = Sources::new(&[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        let ring = &sources.rings[0];
        let start = Instant::now();
        let first = ring.next(start).unwrap();
        for _ in 1..PORTS {
            assert_ne!(ring.next(start).unwrap(), first);
        }
        assert_eq!(ring.next(start + REST / 2), None);
        assert_eq!(ring.next(start + REST), Some(first));
    }
}
