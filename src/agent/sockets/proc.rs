//! `/proc/net/tcp` and `/proc/net/tcp6`, for sandboxes that refuse `sock_diag`: states and queues,
//! but neither ages nor byte counters. The parser is pure; the reader holds one line at a time.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
    let mut file = BufReader::with_capacity(4096, File::open(path)?);
    let mut line = String::with_capacity(256);
    while file.read_line(&mut line)? > 0 {
        if let Some(reading) = parse(&line) {
            see(reading);
        }
        line.clear();
    }
    Ok(())
}

/// One line; `None` for the heading and for states that owe nobody anything.
#[must_use]
pub fn parse(line: &str) -> Option<Reading> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = address(words.next()?)?;
    let peer = address(words.next()?)?;
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let (written, unread) = words.next()?.split_once(':')?;
    let raw = Raw {
        cookie: name(local, peer),
        state: State::from_kernel(state)?,
        local,
        peer,
        receive_queue: u32::from_str_radix(unread, 16).ok()?,
        write_queue: u32::from_str_radix(written, 16).ok()?,
        info: None,
    };
    Some(raw.reading())
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
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| -> Option<[u8; 4]> {
        let digits = ip.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
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

    #[test]
    fn line_of_either_family_is_read() {
        let v4 =
            "   1: 0700F40A:1F90 0900F40A:9C40 01 00000005:00000003 00:00000000 00000000 0 0 1 1";
        let reading = parse(v4).unwrap();
        assert_eq!(reading.local, "10.244.0.7:8080".parse().unwrap());
        assert_eq!(reading.peer, "10.244.0.9:40000".parse().unwrap());
        assert_eq!(reading.state, State::Established);
        assert_eq!((reading.unread, reading.unacknowledged), (3, 5));
        let v6 =
            "0: 0000000000000000FFFF00000700F40A:1F90 000080FE00000000FF00FC00010000FE:9C40 08 0:0";
        let reading = parse(v6).unwrap();
        assert_eq!(reading.local, "10.244.0.7:8080".parse().unwrap());
        assert_eq!(
            reading.peer.ip(),
            "fe80::fc:ff:fe00:1".parse::<IpAddr>().unwrap()
        );
        assert_eq!(reading.state, State::CloseWait);
    }

    #[test]
    fn heading_and_dead_sockets_are_passed_over() {
        assert_eq!(
            parse("  sl  local_address rem_address   st tx_queue rx_queue"),
            None
        );
        assert_eq!(parse("1: 0700F40A:1F90 0900F40A:9C40 06 0:0"), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
