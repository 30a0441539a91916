//! Real sockets, read from the kernel and judged. Loopback counts as inbound here; only the test's
//! own port is looked at.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::wait;
use graceful::agent::activity::census::{Census, Counts, Evidence, Scope};
use graceful::agent::activity::{Millis, Rules};
use graceful::agent::sockets::{Reading, State, Table};
use graceful::api::receipt::MeasuredBy;
use graceful::api::v1alpha1::KeepAlive;

const RULES: Rules = Rules {
    quiet: 1200,
    unresponsive: 60_000,
    keep_alive: KeepAlive::Finish,
    quick_acks: 3,
};

/// A server's side and a client's side of a few connections, and an eye on them.
struct Rig {
    listener: TcpListener,
    port: u16,
    census: Census,
    table: Table,
    began: Instant,
}

impl Rig {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            port: listener.local_addr().unwrap().port(),
            listener,
            census: Census::default(),
            table: Table::open(),
            began: Instant::now(),
        }
    }

    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        client.set_nodelay(true).unwrap();
        let (server, _) = self.listener.accept().unwrap();
        server.set_nodelay(true).unwrap();
        (client, server)
    }

    fn scope(&self) -> Scope {
        Scope {
            ports: vec![self.port],
            loopback: true,
            ..Scope::default()
        }
    }

    fn look(&mut self) -> Evidence {
        let scope = self.scope();
        let now = self.now();
        let census = &mut self.census;
        census.begin();
        self.table
            .read(&mut |reading| census.see(&reading, &scope, now, &RULES))
            .unwrap();
        census.end(0, None, now)
    }

    fn now(&self) -> Millis {
        Millis::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    /// Looks every 50 ms until the counts are as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&Counts) -> bool) -> Evidence {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let evidence = self.look();
            if wanted(&evidence.counts) {
                return evidence;
            }
            assert!(Instant::now() < deadline, "{what}: {evidence:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn readings(&mut self) -> Vec<Reading> {
        let port = self.port;
        let mut seen = Vec::new();
        let mut keep = |reading: Reading| {
            if reading.local.port() == port {
                seen.push(reading);
            }
        };
        self.table.read(&mut keep).unwrap();
        seen
    }
}

fn answer(server: &mut TcpStream, client: &mut TcpStream, bytes: usize) {
    server.write_all(&vec![b'x'; bytes]).unwrap();
    client.read_exact(&mut vec![0; bytes]).unwrap();
}

fn ask(client: &mut TcpStream, server: &mut TcpStream, bytes: usize) {
    client.write_all(&vec![b'q'; bytes]).unwrap();
    server.read_exact(&mut vec![0; bytes]).unwrap();
}

#[test]
fn kernel_counts_the_bytes_that_went_over_the_wire() {
    let mut rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    ask(&mut client, &mut server, 300);
    answer(&mut server, &mut client, 70_000);
    let seen = rig.readings();
    assert_eq!(seen[0].state, State::Listen);
    let reading = seen[1];
    assert_eq!(reading.state, State::Established);
    assert_eq!(reading.peer, client.local_addr().unwrap());
    let info = reading.info.unwrap();
    assert_eq!((info.received, info.written), (300, 70_000));
    assert!(info.received_ago < 5000 && info.sent_ago < 5000);
}

#[test]
fn unread_bytes_and_a_half_closed_client_are_seen() {
    let mut rig = Rig::new();
    let (mut client, server) = rig.connect();
    client.write_all(&[b'q'; 50]).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let seen = rig.readings();
    assert_eq!(seen[1].state, State::CloseWait);
    assert_eq!((seen[1].unread, seen[1].unacknowledged), (50, 0));
    assert_eq!(seen[1].info.unwrap().received, 50);
    drop(server);
}

#[test]
fn text_table_tells_the_same_connections() {
    let mut rig = Rig::new();
    let (mut client, _server) = rig.connect();
    client.write_all(&[b'q'; 50]).unwrap();
    let by_diag = rig.readings();
    rig.table = Table::open_proc();
    assert_eq!(rig.table.read(&mut |_| ()).unwrap(), MeasuredBy::ProcNet);
    let by_text = rig.readings();
    let ends = |seen: &[Reading]| -> Vec<_> {
        let mut all: Vec<_> = seen
            .iter()
            .map(|one| (one.state, one.local, one.peer, one.unread))
            .filter(|one| one.0 != State::Listen)
            .collect();
        all.sort_by_key(|one| one.2);
        all
    };
    assert_eq!(ends(&by_diag), ends(&by_text));
}

#[test]
fn narrowed_table_shows_listeners_and_the_asked_ports_alone() {
    let mut rig = Rig::new();
    let (client, _server) = rig.connect();
    let outbound = client.local_addr().unwrap().port();
    let inbound = rig.port;
    // Sockets at the inbound port, its listener among them, and at the outbound one.
    let mut count = |ports: Vec<u16>| {
        let mut seen = (0, 0);
        rig.table.narrow(&ports.into_iter().collect());
        let mut see = |reading: Reading| {
            let port = reading.local.port();
            seen.0 += u32::from(port == inbound);
            seen.1 += u32::from(port == outbound);
        };
        rig.table.read(&mut see).unwrap();
        seen
    };
    assert_eq!(count(vec![]), (2, 1));
    assert_eq!(count(vec![inbound]), (2, 0));
    assert_eq!(count(vec![1, 2, inbound, outbound, 65535]), (2, 1));
    assert_eq!(count(vec![1]), (1, 0));
    assert_eq!(count((1..=1000).collect()), (2, 1), "too many are none");
}

#[test]
fn dual_stack_listener_shows_ipv4_clients() {
    let Ok(listener) = TcpListener::bind("[::]:0") else {
        return;
    };
    let mut rig = Rig::new();
    rig.port = listener.local_addr().unwrap().port();
    rig.listener = listener;
    let (client, _server) = rig.connect();
    let seen = rig.readings();
    assert_eq!(seen[0].state, State::Listen);
    assert_eq!(seen[1].peer, client.local_addr().unwrap());
}

#[test]
fn answered_connection_turns_idle_and_disturbs_nothing() {
    let mut rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    ask(&mut client, &mut server, 200);
    answer(&mut server, &mut client, 500);
    let evidence = rig.until("idle", |counts| counts.idle == 1);
    assert_eq!(evidence.counts.all(), 1);
}

#[test]
fn slow_request_holds_until_its_answer() {
    let mut rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    ask(&mut client, &mut server, 200);
    let held = rig.until("held", |counts| counts.holding == 1);
    assert_eq!(held.counts.busy, 1);
    answer(&mut server, &mut client, 500);
    rig.until("done", |counts| counts.holding == 0 && counts.idle == 1);
}

/// A client without think time: its next slow request comes in the very tick of the last answer.
#[test]
fn next_slow_request_on_the_same_connection_holds_too() {
    let mut rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    for _ in 0..5 {
        ask(&mut client, &mut server, 200);
        // Long enough for the kernel to acknowledge the request without an answer.
        wait("unanswered", || {
            rig.readings().iter().any(|one| {
                one.info
                    .is_some_and(|info| info.received > 0 && info.received_ago > 250)
            })
        });
        answer(&mut server, &mut client, 100);
    }
    ask(&mut client, &mut server, 200);
    rig.until("held", |counts| counts.holding == 1);
    assert_eq!(rig.look().counts.holding, 1);
}

#[test]
fn stream_holds_while_it_flows() {
    let mut rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    ask(&mut client, &mut server, 200);
    let flow = std::thread::spawn(move || {
        for _ in 0..25 {
            answer(&mut server, &mut client, 400);
            std::thread::sleep(Duration::from_millis(100));
        }
        (client, server)
    });
    let busy = rig.until("stream", |counts| counts.busy == 1 && counts.cycling == 0);
    assert!(busy.counts.all() == 1);
    let mut last = rig.look();
    while !flow.is_finished() {
        last = rig.look();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        last.disturbed.is_some_and(|at| rig.now() - at < 1000),
        "{last:?}"
    );
    let _ends = flow.join().unwrap();
    rig.until("stream is over", |counts| counts.idle == 1);
}

#[test]
fn closed_connection_is_gone_and_a_new_one_is_an_arrival() {
    let mut rig = Rig::new();
    let (client, server) = rig.connect();
    assert_eq!(rig.look().counts.all(), 1);
    drop((client, server));
    rig.until("gone", |counts| counts.all() == 0);
    let _new = rig.connect();
    let evidence = rig.look();
    assert_eq!((evidence.counts.all(), evidence.arrivals), (1, 1));
}

#[test]
fn connections_outlive_their_listener() {
    let mut rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    ask(&mut client, &mut server, 200);
    let scope = Scope {
        ports: Vec::new(),
        ..rig.scope()
    };
    let count = |rig: &mut Rig| {
        let mut own = 0;
        let now = rig.now();
        rig.census.begin();
        let census = &mut rig.census;
        let see = &mut |reading: Reading| census.see(&reading, &scope, now, &RULES);
        rig.table.read(see).unwrap();
        own += rig
            .census
            .listened()
            .filter(|port| *port == rig.port)
            .count();
        (own, rig.census.end(0, None, now).counts.all())
    };
    let (known, before) = count(&mut rig);
    rig.listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(known, 1);
    assert!(before >= 1 && count(&mut rig).1 >= 1);
}

#[test]
fn loopback_counts_for_nothing_in_a_pod() {
    let mut rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    ask(&mut client, &mut server, 200);
    let scope = Scope {
        loopback: false,
        ..rig.scope()
    };
    rig.census.begin();
    let census = &mut rig.census;
    let see = &mut |reading: Reading| census.see(&reading, &scope, 0, &RULES);
    rig.table.read(see).unwrap();
    assert_eq!(rig.census.end(0, None, 0).counts.all(), 0);
}
