//! Large uploads and downloads, whose bytes wait in the kernel's queues.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::watch::QUIET;

const REQUEST: usize = 150;
const PIECE: usize = 16 * 1024;

/// More than the socket buffers of both ends hold.
const LARGE: usize = 16 << 20;

super::scripts! {
    upload_is_busy => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        wire.every(20, || pair.ask(PIECE));
    },
    upload_in_rare_pieces_is_busy => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        wire.every(QUIET * 5 / 4, || pair.ask(PIECE));
    },
    upload_that_nobody_reads_turns_unresponsive => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        fill(&mut pair.client);
        wire.rest();
    },
    download_by_a_slow_client_is_busy => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        let mut server = pair.server;
        let writer = thread::spawn(move || server.write_all(&vec![b'x'; LARGE]));
        wire.every(QUIET / 10, || {
            pair.client.read_exact(&mut vec![0; PIECE]).unwrap();
        });
        // The writer's end closes with ours.
        drop(pair.client);
        let _ = writer.join();
    },
    download_that_the_app_has_closed_is_busy => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        fill(&mut pair.server);
        drop(pair.server);
        wire.every(QUIET / 10, || {
            pair.client.read_exact(&mut vec![0; 2048]).unwrap();
        });
    },
    download_that_nobody_reads_turns_unresponsive => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        fill(&mut pair.server);
        wire.rest();
    },
}

/// Writes until both ends' buffers are full, and for some time not a byte more fits.
fn fill(end: &mut TcpStream) {
    end.set_nonblocking(true).unwrap();
    let mut refused = 0;
    while refused < 10 {
        match end.write(&[b'x'; PIECE]) {
            Ok(_) => refused = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
    }
}
