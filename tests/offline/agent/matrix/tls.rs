//! The same under TLS 1.3, by real handshakes: its records are larger than what they carry, and session
//! tickets come after a handshake.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::watch::QUIET;
use super::wire::{Pair, Wire};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

const REQUEST: usize = 120;
const ANSWER: usize = 600;
const EVENT: usize = 140;

/// Frames of HTTP/2.
const HELLO: usize = 24 + 27 + 13;
const WINDOW_UPDATE: usize = 13;
const PING: usize = 17;

super::scripts! {
    tls_connection_after_its_handshake_is_idle => |wire| {
        let _pair = shake(wire);
        wire.rest();
    },
    tls_connection_after_an_answer_is_idle => |wire| {
        let mut pair = shake(wire);
        pair.turn(REQUEST, ANSWER);
        wire.rest();
    },
    tls_short_requests_are_cycling => |wire| {
        let mut pair = shake(wire);
        wire.every(QUIET / 10, || pair.turn(REQUEST, ANSWER));
    },
    tls_slow_request_is_busy => |wire| {
        let mut pair = shake(wire);
        pair.ask(REQUEST);
        wire.rest();
    },
    tls_events_in_short_gaps_are_busy => |wire| {
        let mut pair = shake(wire);
        pair.turn(REQUEST, ANSWER);
        wire.every(QUIET / 5, || pair.answer(EVENT));
    },
    tls_pool_after_a_late_window_update_turns_unresponsive => |wire| {
        let mut pair = shake(wire);
        pair.turn(HELLO, 27 + 9);
        pair.ask(9);
        pair.turn(REQUEST, 16 * 1024);
        wire.pause(Duration::from_millis(300));
        pair.ask(WINDOW_UPDATE);
        wire.rest();
    },
    tls_rare_pings_leave_a_pool_idle_in_between => |wire| {
        let mut pair = shake(wire);
        pair.turn(HELLO, 27 + 9);
        pair.turn(REQUEST, ANSWER);
        wire.every(QUIET * 7 / 4, || pair.turn(PING, PING));
    },
}

type Client = StreamOwned<ClientConnection, TcpStream>;
type Server = StreamOwned<ServerConnection, TcpStream>;

/// A connection after its handshake.
fn shake(wire: &Wire) -> Pair<Client, Server> {
    let made = rcgen::generate_simple_self_signed(["app.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let Pair {
        client: near,
        server: far,
    } = wire.connect();
    let shaken = thread::spawn(move || {
        let session = ServerConnection::new(Arc::new(server)).unwrap();
        let mut server = StreamOwned::new(session, far);
        server.conn.complete_io(&mut server.sock).unwrap();
        server
    });
    let name = ServerName::try_from("app.example").unwrap();
    let session = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut client = StreamOwned::new(session, near);
    client.conn.complete_io(&mut client.sock).unwrap();
    Pair {
        client,
        server: shaken.join().unwrap(),
    }
}
