//! New connections as a hint that routes still lead here. Pure.
//!
//! Probes, scrapes and health checks come on the same way as clients, so a hint is all it is: what
//! the kubelet's probes explain is forgiven, and the rest may restart the quiet time for
//! `arrivalsSeconds` at most.

use super::Millis;

/// The kubelet probes a port at most twice a second: readiness and liveness, with the shortest
/// period of one second each.
const PROBES_PER_SECOND: u32 = 2;

/// Forgives as many new connections as probes explain and counts the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arrivals {
    /// Thousandths of a connection that are still forgiven.
    credit: i64,
    since: Millis,
    last: Option<Millis>,
    total: u64,
    passive_opens: Option<u64>,
}

/// New connections between two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct New {
    /// Seen by the sample, from addresses that probes do not come from.
    pub from_clients: u32,
    /// Seen by the sample, from the address that probes come from.
    pub from_kubelet: u32,
    /// Seen by the sample, all of them, those within the pod included.
    pub seen: u32,
    /// Accepted by the agent itself.
    pub own: u32,
    /// The kernel's count of connections that were ever opened to this namespace.
    pub passive_opens: Option<u64>,
    /// Ports that probes may go to.
    pub ports: u32,
}

impl Arrivals {
    /// Takes in what came since the last sample.
    pub fn count(&mut self, new: &New, now: Millis) {
        let rate = i64::from(PROBES_PER_SECOND * new.ports.max(1));
        let elapsed = (now - self.since).clamp(0, 1000);
        self.credit = (self.credit + elapsed * rate).min(rate * 1000);
        self.since = now;

        let opened = match (new.passive_opens, self.passive_opens) {
            (Some(after), Some(before)) => after.saturating_sub(before),
            _ => 0,
        };
        self.passive_opens = new.passive_opens;
        let unseen = opened.saturating_sub(u64::from(new.seen) + u64::from(new.own));
        let like_probes = unseen + u64::from(new.from_kubelet);
        let cost = i64::try_from(like_probes * 1000).unwrap_or(i64::MAX);
        let beyond = (cost - self.credit).max(0) / 1000;
        self.credit = (self.credit - cost).max(0);

        let arrived = u64::from(new.from_clients) + beyond.unsigned_abs();
        if arrived > 0 {
            self.total += arrived;
            self.last = Some(now);
        }
    }

    /// When the last one came that probes do not explain.
    #[must_use]
    pub fn last(&self) -> Option<Millis> {
        self.last
    }

    /// How many came that probes do not explain.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// Reads `PassiveOpens` from the text of `/proc/net/snmp`: a line of names and a line of numbers.
#[must_use]
pub fn passive_opens(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let at = lines
        .next()?
        .split_whitespace()
        .position(|name| name == "PassiveOpens")?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opened(before: u64, ports: u32) -> New {
        New {
            passive_opens: Some(before),
            ports,
            ..New::default()
        }
    }

    #[test]
    fn probes_are_forgiven_for_ever() {
        let mut arrivals = Arrivals::default();
        for tick in 0..10_000 {
            // Readiness and liveness once a second each, sampled every 100 ms.
            let new = opened(u64::try_from(tick / 10 * 2).unwrap(), 1);
            arrivals.count(&new, tick * 100);
        }
        assert_eq!(arrivals.total(), 0);
    }

    #[test]
    fn own_and_seen_connections_are_not_counted_twice() {
        let mut arrivals = Arrivals::default();
        for tick in 0..100 {
            let new = New {
                seen: 3,
                own: 2,
                ..opened(u64::try_from(tick * 5).unwrap(), 1)
            };
            arrivals.count(&new, tick * 100);
        }
        assert_eq!(arrivals.total(), 0);
    }

    #[test]
    fn client_is_an_arrival_at_once() {
        let mut arrivals = Arrivals::default();
        arrivals.count(&opened(0, 1), 0);
        assert_eq!(arrivals.last(), None);
        arrivals.count(
            &New {
                from_clients: 1,
                seen: 1,
                ..opened(1, 1)
            },
            100,
        );
        assert_eq!((arrivals.last(), arrivals.total()), (Some(100), 1));
    }

    #[test]
    fn unsampled_traffic_beyond_probes_is_an_arrival() {
        let mut arrivals = Arrivals::default();
        for tick in 0..50 {
            arrivals.count(&opened(u64::try_from(tick).unwrap(), 1), tick * 100);
        }
        // Ten a second, two of them forgiven.
        assert!(arrivals.total() >= 35, "{arrivals:?}");
    }

    #[test]
    fn passive_opens_is_found_by_name() {
        let text = "Ip: A B\nIp: 1 2\nTcp: RtoMin PassiveOpens X\nTcp: 200 17 3\n";
        assert_eq!(passive_opens(text), Some(17));
        assert_eq!(passive_opens("Tcp: A\n"), None);
    }

    proptest! {
        #[test]
        fn never_more_arrivals_than_opens(opens in proptest::collection::vec(0_u64..20, 1..60)) {
            let mut arrivals = Arrivals::default();
            let mut sum = 0;
            arrivals.count(&opened(0, 1), 0);
            for (at, more) in opens.iter().enumerate() {
                sum += more;
                arrivals.count(&opened(sum, 1), i64::try_from(at).unwrap() * 100 + 100);
            }
            prop_assert!(arrivals.total() <= sum);
        }
    }
}
