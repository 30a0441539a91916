//! `/proc/net/tcp` and `/proc/net/tcp6`, for sandboxes that refuse `sock_diag`: states and queues,
//! but neither ages nor byte counters. The parser is pure; the reader holds one line at a time.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::{Raw, Reading, State};

/// Shows every socket of both families to `see`.
pub(crate) fn read(see: &mut dyn FnMut(Reading)) -> io::Result<()> {
    read_file("/proc/net/tcp", see)?;
    match read_file("/proc/net/tcp6", see) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn read_file(path: &str, see: &mut dyn FnMut(Reading)) -> io::Result<()> {
    read_table(BufReader::with_capacity(4096, File::open(path)?), see)
}

/// Shows every socket of one table.
///
/// # Errors
/// When it cannot be read, or a line of it: a connection that is passed over would count as gone.
pub fn read_table(mut table: impl BufRead, see: &mut dyn FnMut(Reading)) -> io::Result<()> {
    let mut line = String::with_capacity(256);
    table.read_line(&mut line)?;
    loop {
        line.clear();
        if table.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with('\n');
        let parsed = parse(&line).ok().filter(|_| is_whole);
        if let Some(reading) = parsed.ok_or_else(|| io::Error::other(LineError))? {
            see(reading);
        }
    }
}

/// It is not laid out as the kernel lays it out, or is cut off.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a line of the table cannot be read")]
pub struct LineError;

/// One line below the heading; `None` for states that owe nobody anything.
///
/// # Errors
/// When it is not what the kernel writes: nothing is guessed of a socket.
pub fn parse(line: &str) -> Result<Option<Reading>, LineError> {
    let line = fields(line).ok_or(LineError)?;
    let raw = State::from_kernel(line.state).map(|state| Raw {
        cookie: name(line.local, line.peer),
        state,
        local: line.local,
        peer: line.peer,
        receive_queue: line.unread,
        write_queue: line.written,
        info: None,
    });
    Ok(raw.map(Raw::reading))
}

/// A line as it stands there.
struct Fields {
    local: SocketAddr,
    peer: SocketAddr,
    state: u8,
    written: u32,
    unread: u32,
}

fn fields(line: &str) -> Option<Fields> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = address(words.next()?)?;
    let peer = address(words.next()?)?;
    let state = u8::try_from(hexadecimal(words.next()?, 2)?).ok()?;
    let (written, unread) = words.next()?.split_once(':')?;
    Some(Fields {
        local,
        peer,
        state,
        written: hexadecimal(written, 8)?,
        unread: hexadecimal(unread, 8)?,
    })
}

/// A number of so many digits and nothing else: with fewer it is cut off.
fn hexadecimal(text: &str, digits: usize) -> Option<u32> {
    let is_whole = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(text, 16).ok();
    number.filter(|_| is_whole)
}

/// The text table has no cookies: the two ends name the connection.
fn name(local: SocketAddr, peer: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (local, peer).hash(&mut hasher);
    hasher.finish()
}

/// `0100007F:1F90`: each group of eight digits is a 32-bit word of the address in the machine's own
/// byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::try_from(hexadecimal(port, 4)?).ok()?;
    let word = |at: usize| -> Option<[u8; 4]> {
        let digits = ip.get(at * 8..at * 8 + 8)?;
        Some(hexadecimal(digits, 8)?.to_ne_bytes())
    };
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n";
    const LIVE: &str =
        "   1: 0700F40A:1F90 0900F40A:9C40 01 00000005:00000003 00:00000000 00000000 0 0 1 1\n";
    const DEAD: &str =
        "   2: 0700F40A:1F90 0900F40A:9C41 06 00000000:00000000 03:00001771 00000000 0 0 0 3\n";

    #[test]
    fn line_of_either_family_is_read() {
        let v4 =
            "   1: 0700F40A:1F90 0900F40A:9C40 01 00000005:00000003 00:00000000 00000000 0 0 1 1";
        let reading = parse(v4).unwrap().unwrap();
        assert_eq!(reading.local, "10.244.0.7:8080".parse().unwrap());
        assert_eq!(reading.peer, "10.244.0.9:40000".parse().unwrap());
        assert_eq!(reading.state, State::Established);
        assert_eq!((reading.unread, reading.unacknowledged), (3, 5));
        let v6 = "0: 0000000000000000FFFF00000700F40A:1F90 000080FE00000000FF00FC00010000FE:9C40 08 00000000:00000000";
        let reading = parse(v6).unwrap().unwrap();
        assert_eq!(reading.local, "10.244.0.7:8080".parse().unwrap());
        assert_eq!(
            reading.peer.ip(),
            "fe80::fc:ff:fe00:1".parse::<IpAddr>().unwrap()
        );
        assert_eq!(reading.state, State::CloseWait);
    }

    #[test]
    fn heading_and_dead_sockets_are_passed_over() {
        let mut seen = 0;
        read_table(format!("{HEADING}{DEAD}{LIVE}").as_bytes(), &mut |_| {
            seen += 1;
        })
        .unwrap();
        assert_eq!(seen, 1);
        assert_eq!(parse(DEAD), Ok(None));
    }

    #[test]
    fn a_socket_that_cannot_be_read_is_an_error_and_not_a_socket_less() {
        let end = LIVE.find(" 00:").unwrap();
        for length in 1..end {
            assert_eq!(parse(&LIVE[..length]), Err(LineError), "{length}");
        }
        for length in 1..LIVE.len() {
            let table = format!("{HEADING}{LIVE}{}", &LIVE[..length]);
            read_table(table.as_bytes(), &mut |_| ()).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
