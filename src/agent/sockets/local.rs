//! The pod's own addresses, from `/proc/net/fib_trie` and `/proc/net/if_inet6`. A connection from one
//! of them is the pod talking to itself (a mesh's redirection looks like that). Pure parsers under a
//! reader that takes a missing file for an empty one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All addresses of this network namespace, loopback included.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    let v4 = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut all = parse_v4(&v4);
    all.extend(parse_v6(&v6));
    all
}

/// Reads `fib_trie`. An address line is followed by a line about it; `/32 host LOCAL` says that it is ours.
#[must_use]
pub fn parse_v4(text: &str) -> Vec<IpAddr> {
    let mut last = None;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(ip) = line.strip_prefix("|-- ") {
            last = ip.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(ip) = last.map(IpAddr::from)
            && !found.contains(&ip)
        {
            found.push(ip);
        }
    }
    found
}

/// Reads `if_inet6`: an address begins each line.
#[must_use]
pub fn parse_v6(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| u128::from_str_radix(line.split(' ').next()?, 16).ok())
        .map(|bits| Ipv6Addr::from(bits).into())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_hosts_are_ours() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.244.0.0\n        /24 link UNICAST\n     \
                    |-- 10.244.0.7\n        /32 host LOCAL\n     |-- 10.244.0.255\n        \
                    /32 link BROADCAST\nLocal:\n     |-- 10.244.0.7\n        /32 host LOCAL\n";
        assert_eq!(parse_v4(text), ["10.244.0.7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn ipv6_addresses_are_read() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    fd000000000000000000000000000002 04 40 00 82     eth0\n";
        assert_eq!(
            parse_v6(text),
            ["::1".parse::<IpAddr>().unwrap(), "fd00::2".parse().unwrap()]
        );
    }
}
