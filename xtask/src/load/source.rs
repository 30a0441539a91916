//! Where connections come from: each source address hands out its own ports, one after another, so
//! that no pair of source and Service meets a port again while connection tracking may remember it.
//!
//! The arithmetic: Linux remembers a flow for up to 120 s after its last packet, with the pod that it
//! was translated to; a new connection from the same port may be sent to that pod though it is gone.
//! A source has 28,000 ports here, so at most 233 connections a second to one Service keep every port
//! at rest for 120 s after its connection was closed. The kernel's own choice of ports would not: it
//! draws at random, and two draws in a row may be equal.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    rings: Vec<Arc<Ring>>,
    turn: AtomicUsize,
}

/// The ports of one address towards one Service.
struct Ring {
    address: IpAddr,
    ports: Mutex<Ports>,
}

struct Ports {
    next: u16,
    states: Vec<PortState>,
}

#[derive(Clone, Copy)]
enum PortState {
    Fresh,
    Held,
    ClosedAt(Instant),
}

/// A port in use; dropped when its connection is closed, from when on the port rests.
pub(super) struct Port {
    ring: Arc<Ring>,
    number: u16,
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut ports = self.ring.lock();
        if let Some(state) = ports.states.get_mut(usize::from(self.number)) {
            *state = PortState::ClosedAt(Instant::now());
        }
    }
}

impl Port {
    /// The local address.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ring.address, FIRST_PORT + self.number)
    }
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
        let ring = |address: &IpAddr| {
            Arc::new(Ring {
                address: *address,
                ports: Mutex::new(Ports {
                    next,
                    states: vec![PortState::Fresh; usize::from(PORTS)],
                }),
            })
        };
        Self {
            rings: addresses.iter().map(ring).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Opens a connection from the next source's next port.
    pub(super) async fn connect(&self, target: SocketAddr) -> io::Result<(TcpStream, Port)> {
        let mut last = io::Error::other("no source address");
        for _ in 0..TRIES {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let Some(ring) = self.rings.get(turn % self.rings.len().max(1)) else {
                break;
            };
            let Some(port) = ring.next(Instant::now()) else {
                last = io::Error::other("every port of this source was used in two minutes");
                continue;
            };
            match connect_from(port.address(), target).await {
                Err(taken) if is_taken(&taken) => last = taken,
                Err(error) => return Err(error),
                Ok(stream) => return Ok((stream, port)),
            }
        }
        Err(last)
    }
}

impl Ring {
    /// The next port in turn that nobody holds, unless it has not rested yet.
    fn next(self: &Arc<Self>, now: Instant) -> Option<Port> {
        let mut ports = self.lock();
        for _ in 0..PORTS {
            let number = ports.next;
            let state = ports.states.get_mut(usize::from(number))?;
            match *state {
                PortState::ClosedAt(at) if now.saturating_duration_since(at) < REST => {
                    return None;
                }
                PortState::Held => ports.next = (number + 1) % PORTS,
                PortState::Fresh | PortState::ClosedAt(_) => {
                    *state = PortState::Held;
                    ports.next = (number + 1) % PORTS;
                    return Some(Port {
                        ring: Arc::clone(self),
                        number,
                    });
                }
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Ports> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn port_rests_two_minutes_after_its_connection() {
        let sources = Sources::new(&[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        let ring = &sources.rings[0];
        let first = ring.next(Instant::now()).unwrap();
        let address = first.address();
        for _ in 1..PORTS {
            assert_ne!(ring.next(Instant::now()).unwrap().address(), address);
        }
        // The first one is still held, and the second was closed just now.
        assert!(ring.next(Instant::now()).is_none());
        assert!(ring.next(Instant::now() + REST).is_some());
        drop(first);
        for _ in 2..PORTS {
            assert_ne!(ring.next(Instant::now() + REST).unwrap().address(), address);
        }
        assert!(ring.next(Instant::now() + REST / 2).is_none());
        assert_eq!(ring.next(Instant::now() + REST).unwrap().address(), address);
    }
}
