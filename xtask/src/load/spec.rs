//! What to load, from where and for how long, and the checks that keep it bounded and at home:
//! only loopback and private addresses are ever loaded.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::source::{PORTS, REST};

/// One run of the load client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Spec {
    /// Seed of every random choice. Two runs with one seed start their clients at the same phases.
    #[serde(default = "defaults::seed")]
    pub(crate) seed: u64,
    /// Ends the run after so many seconds, at most [`MAX_SECONDS`]. A signal ends it sooner.
    #[serde(default = "defaults::seconds")]
    pub(crate) seconds: u64,
    /// Ends the run after so many requests, all targets together.
    #[serde(default = "defaults::requests")]
    pub(crate) max_requests: u64,
    /// Local addresses that connections come from, in turn. Empty leaves the choice to the kernel
    /// and counts as one.
    #[serde(default)]
    pub(crate) sources: Vec<IpAddr>,
    /// The arms, all loaded at once.
    pub(crate) targets: Vec<Target>,
}

/// One arm: an address and the clients that load it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Target {
    /// Name in the report.
    pub(crate) name: String,
    /// Where the Service answers.
    pub(crate) address: SocketAddr,
    /// Who loads it.
    pub(crate) clients: Clients,
}

/// The clients of one arm.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Clients {
    /// Requests a second that open a connection of their own.
    pub(crate) new_per_second: f64,
    /// Connections that send one POST after another.
    pub(crate) keep_alive: usize,
    /// Mean pause between two POSTs of one connection, in milliseconds.
    pub(crate) pause_millis: u64,
    /// How long the server takes over such a POST, in milliseconds. 0 means that it answers at once.
    pub(crate) kept_millis: u64,
    /// Clients with a slow POST under way nearly always.
    pub(crate) slow: usize,
    /// How long the server takes over a slow POST. 0 means 8.
    pub(crate) slow_seconds: u64,
    /// Clients with a stream open nearly always.
    pub(crate) streams: usize,
    /// How long a stream lasts. 0 means 20.
    pub(crate) stream_seconds: u64,
}

/// No run is longer: load is always bounded.
pub(crate) const MAX_SECONDS: u64 = 3600;

/// No run sends more: load is always bounded.
pub(crate) const MAX_REQUESTS: u64 = 2_000_000;

impl Clients {
    /// Seconds of one slow POST.
    pub(crate) fn slow_seconds(&self) -> u64 {
        if self.slow_seconds == 0 {
            8
        } else {
            self.slow_seconds
        }
    }

    /// Seconds of one stream.
    pub(crate) fn stream_seconds(&self) -> u64 {
        if self.stream_seconds == 0 {
            20
        } else {
            self.stream_seconds
        }
    }

    /// Connections that are opened in a second, keep-alive ones aside: those are few.
    #[expect(clippy::cast_precision_loss, reason = "counts of clients are small")]
    fn connections_per_second(&self) -> f64 {
        self.new_per_second
            + self.slow as f64 / self.slow_seconds() as f64
            + self.streams as f64 / self.stream_seconds() as f64
    }
}

impl Spec {
    /// Refuses what must not be loaded, and rates that would bring a source's ports round before
    /// connection tracking has forgotten them.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            !self.targets.is_empty(),
            "nothing to load: name at least one target"
        );
        ensure!(
            (1..=MAX_SECONDS).contains(&self.seconds),
            "seconds is {}, must be 1 to {MAX_SECONDS}",
            self.seconds
        );
        ensure!(
            (1..=MAX_REQUESTS).contains(&self.max_requests),
            "maxRequests is {}, must be 1 to {MAX_REQUESTS}",
            self.max_requests
        );
        for source in &self.sources {
            ensure!(
                is_home(*source),
                "source {source} is neither loopback nor private"
            );
        }
        for target in &self.targets {
            target
                .check(self.sources.len().max(1))
                .with_context(|| format!("target {}", target.name))?;
        }
        Ok(())
    }
}

impl Target {
    fn check(&self, sources: usize) -> anyhow::Result<()> {
        ensure!(
            is_home(self.address.ip()),
            "{} is neither loopback nor private: only those are ever loaded",
            self.address
        );
        let rate = self.clients.connections_per_second();
        ensure!(
            rate.is_finite() && self.clients.new_per_second >= 0.0,
            "newPerSecond is {}",
            self.clients.new_per_second
        );
        // 28,000 ports in 120 s are 233 connections a second and source; 200 leaves room for
        // reconnects and for the bursts of random arrivals.
        #[expect(clippy::cast_precision_loss, reason = "a handful of sources")]
        let most = 200.0 * sources as f64;
        ensure!(
            rate <= most,
            "{rate:.0} new connections a second from {sources} source addresses, at most {most:.0}: \
             {PORTS} ports of a source come round in less than the {} s that connection tracking \
             remembers a connection; add sources",
            REST.as_secs()
        );
        Ok(())
    }
}

/// Whether an address is on this machine or in a private network (RFC 1918, RFC 4193).
fn is_home(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

mod defaults {
    pub(super) fn seed() -> u64 {
        1
    }
    pub(super) fn seconds() -> u64 {
        600
    }
    pub(super) fn requests() -> u64 {
        200_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(address: &str, rate: f64, sources: usize) -> Spec {
        Spec {
            seed: 1,
            seconds: 10,
            max_requests: 1000,
            sources: (1..=sources)
                .map(|n| format!("10.10.0.{n}").parse().unwrap())
                .collect(),
            targets: vec![Target {
                name: "arm".into(),
                address: address.parse().unwrap(),
                clients: Clients {
                    new_per_second: rate,
                    ..Clients::default()
                },
            }],
        }
    }

    #[test]
    fn public_address_is_never_loaded() {
        for public in [
            "8.8.8.8:80",
            "172.32.0.1:80",
            "192.169.0.1:80",
            "11.0.0.1:80",
            "[2001:db8::1]:80",
        ] {
            assert!(spec(public, 1.0, 4).check().is_err(), "{public}");
        }
        for home in [
            "127.0.0.1:80",
            "10.96.0.10:80",
            "172.31.255.1:80",
            "192.168.1.1:80",
            "[::1]:80",
        ] {
            spec(home, 1.0, 4).check().unwrap();
        }
    }

    #[test]
    fn rate_that_wears_out_the_ports_asks_for_more_sources() {
        assert!(spec("10.96.0.1:80", 250.0, 1).check().is_err());
        spec("10.96.0.1:80", 250.0, 2).check().unwrap();
        assert!(spec("10.96.0.1:80", f64::NAN, 4).check().is_err());
    }

    #[test]
    fn run_without_bounds_is_refused() {
        let mut endless = spec("10.96.0.1:80", 1.0, 1);
        endless.seconds = MAX_SECONDS + 1;
        assert!(endless.check().is_err());
        let mut countless = spec("10.96.0.1:80", 1.0, 1);
        countless.max_requests = MAX_REQUESTS + 1;
        assert!(countless.check().is_err());
    }
}
