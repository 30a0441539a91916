//! Protocols of their own over TCP, one-way feeds, and what is not TCP at all.

use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

use super::watch::QUIET;
use super::wire::Pair;

super::scripts! {
    queries_and_answers_are_cycling => |wire| {
        let mut pair = wire.connect();
        wire.every(QUIET / 10, || pair.turn(45, 90));
    },
    silent_subscription_is_idle => |wire| {
        let mut pair = wire.connect();
        pair.turn(33, 41);
        wire.rest();
    },
    feed_to_the_client_is_busy => |wire| {
        let mut pair = wire.connect();
        wire.every(QUIET / 10, || pair.answer(200));
    },
    feed_from_the_client_is_busy => |wire| {
        let mut pair = wire.connect();
        wire.every(QUIET / 10, || pair.ask(200));
    },
    feed_that_rests_turns_unresponsive => |wire| {
        let mut pair = wire.connect();
        for _ in 0..10 {
            pair.ask(200);
        }
        wire.rest();
    },
    datagrams_are_not_seen => |wire| {
        let server = UdpSocket::bind(("127.0.0.1", wire.port())).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        wire.every(QUIET / 10, || {
            client.send(&[b'x'; 100]).unwrap();
            server.recv(&mut [0; 100]).unwrap();
        });
    },
    unix_sockets_are_not_seen => |wire| {
        let (client, server) = UnixStream::pair().unwrap();
        let mut pair = Pair { client, server };
        wire.every(QUIET / 10, || pair.turn(100, 200));
    },
}
