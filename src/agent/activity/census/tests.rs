//! Which sockets count, and what a sample says of all of them.

use super::*;
use crate::agent::sockets::{Info, State};
use crate::api::v1alpha1::KeepAlive;

const RULES: Rules = Rules {
    quiet: 3000,
    unresponsive: 60_000,
    keep_alive: KeepAlive::Finish,
    quick_acks: 1,
};

fn listener(address: &str) -> Reading {
    Reading {
        cookie: 1,
        state: State::Listen,
        local: address.parse().unwrap(),
        peer: "0.0.0.0:0".parse().unwrap(),
        unread: 0,
        unacknowledged: 0,
        info: None,
    }
}

/// A connection with a request that nobody has answered for two seconds.
fn asking(cookie: u64, local: &str, peer: &str) -> Reading {
    Reading {
        cookie,
        state: State::Established,
        local: local.parse().unwrap(),
        peer: peer.parse().unwrap(),
        info: Some(Info {
            received: 200,
            received_ago: 2000,
            sent_ago: 2000,
            data_segments_in: 1,
            ..Info::default()
        }),
        ..listener(local)
    }
}

fn sample(census: &mut Census, scope: &Scope, now: Millis, all: &[Reading]) -> Evidence {
    census.begin();
    for reading in all {
        census.see(reading, scope, now, &RULES);
    }
    census.end(0, None, now)
}

fn pod() -> Vec<Reading> {
    vec![
        listener("0.0.0.0:8080"),
        listener("0.0.0.0:9090"),
        listener("0.0.0.0:15990"),
        listener("127.0.0.1:6000"),
        asking(10, "10.0.0.1:8080", "10.0.0.9:40000"),
        asking(11, "10.0.0.1:9090", "10.0.0.9:40001"),
        asking(12, "10.0.0.1:15990", "10.0.0.9:40002"),
        // Outbound: no socket listens on its local port.
        asking(13, "10.0.0.1:50000", "10.0.0.9:5432"),
        // The pod to itself, in each of three ways.
        asking(14, "127.0.0.1:6000", "127.0.0.1:40003"),
        asking(15, "10.0.0.1:8080", "10.0.0.1:40004"),
        asking(16, "127.0.0.1:8080", "10.0.0.1:40005"),
    ]
}

fn scope(settings: &Connections) -> Scope {
    Scope::new(settings, Some(15990), vec!["10.0.0.1".parse().unwrap()])
}

#[test]
fn inbound_is_what_clients_opened_to_listening_ports() {
    let scope = scope(&Connections::default());
    let evidence = sample(&mut Census::default(), &scope, 0, &pod());
    assert_eq!(evidence.counts.all(), 2);
    assert_eq!((evidence.counts.busy, evidence.counts.holding), (2, 2));
}

#[test]
fn stream_holds_the_drain_between_two_of_its_writes_too() {
    let scope = scope(&Connections::default());
    let mut census = Census::default();
    let holding: Vec<u32> = (1..=40_u32)
        .map(|line| {
            let mut stream = asking(10, "10.0.0.1:8080", "10.0.0.9:40000");
            let now = Millis::from(line) * 100;
            stream.info = Some(Info {
                received: 200,
                received_ago: line * 100,
                written: u64::from(line) * 1000,
                sent_ago: 40,
                data_segments_in: 1,
                data_segments_out: line,
                ..Info::default()
            });
            let seen = [listener("0.0.0.0:8080"), stream];
            sample(&mut census, &scope, now, &seen).counts.holding
        })
        .collect();
    assert_eq!(holding[30..], [1; 10], "{holding:?}");
}

#[test]
fn ports_and_except_ports_narrow_it() {
    let only = Connections {
        ports: vec![8080],
        ..Connections::default()
    };
    let but = Connections {
        except_ports: vec![8080, 9090],
        ..Connections::default()
    };
    let count = |settings| {
        let mut census = Census::default();
        sample(&mut census, &scope(settings), 0, &pod())
            .counts
            .all()
    };
    assert_eq!(count(&only), 1);
    assert_eq!(count(&but), 0);
}

#[test]
fn connections_are_known_after_their_listener_has_closed_and_after_a_restart() {
    let scope = scope(&Connections::default());
    let orphan = [asking(10, "10.0.0.1:8080", "10.0.0.9:40000")];
    let mut census = Census::default();
    sample(&mut census, &scope, 0, &pod());
    assert_eq!(sample(&mut census, &scope, 100, &orphan).counts.all(), 1);
    let mut restarted = Census::new(census.listened());
    assert_eq!(sample(&mut restarted, &scope, 200, &orphan).counts.all(), 1);
    assert_eq!(
        sample(&mut Census::default(), &scope, 0, &orphan)
            .counts
            .all(),
        0
    );
}

/// Whatever ended it between two samples may have been its last byte.
#[test]
fn quiet_time_begins_anew_where_a_connection_at_work_is_gone() {
    let scope = scope(&Connections::default());
    let mut census = Census::default();
    sample(&mut census, &scope, 0, &pod());
    for now in [500, 1000] {
        let after = sample(&mut census, &scope, now, &pod()[..4]);
        assert_eq!(after.counts, Counts::default());
        assert_eq!(after.disturbed, Some(500));
    }
}

/// The netlink socket can break in the middle of a dump.
#[test]
fn sample_that_broke_off_makes_no_arrivals_of_what_was_there() {
    let scope = scope(&Connections::default());
    let mut census = Census::default();
    census.begin();
    for reading in &pod()[..5] {
        census.see(reading, &scope, 0, &RULES);
    }
    assert_eq!(sample(&mut census, &scope, 100, &pod()).arrivals, 0);
}

#[test]
fn probes_every_second_are_no_arrivals() {
    let mut scope = scope(&Connections::default());
    scope.kubelet = Some("10.0.0.254".parse().unwrap());
    let mut census = Census::default();
    sample(&mut census, &scope, 0, &pod()[..2]);
    for second in 1..60 {
        let mut all = pod()[..2].to_vec();
        let name = u64::try_from(1000 + second).unwrap();
        all.push(asking(name, "10.0.0.1:8080", "10.0.0.254:1234"));
        sample(&mut census, &scope, second * 1000, &all);
        let evidence = sample(&mut census, &scope, second * 1000 + 100, &pod()[..2]);
        assert_eq!(evidence.arrivals, 0, "after {second} s");
    }
    let mut all = pod()[..2].to_vec();
    all.push(asking(9, "10.0.0.1:8080", "10.0.0.9:1234"));
    assert_eq!(sample(&mut census, &scope, 61_000, &all).arrivals, 1);
}

#[test]
fn connections_beyond_the_memory_are_still_judged() {
    let scope = scope(&Connections::default());
    let mut census = Census::default();
    let many = u64::try_from(MOST).unwrap() + 10;
    let mut all = pod()[..2].to_vec();
    all.extend((0..many).map(|one| asking(100 + one, "10.0.0.1:8080", "10.0.0.9:1234")));
    for now in [0, 100] {
        let evidence = sample(&mut census, &scope, now, &all);
        assert_eq!(u64::from(evidence.counts.busy), many);
        assert_eq!(evidence.arrivals, 0);
    }
}
