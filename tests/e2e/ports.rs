//! Addresses of the node, which pods reach. One of its ports is known for what listens there, and tests that run side
//! by side have it one after the other.

use tokio::net::TcpListener;
use tokio::sync::{Mutex, MutexGuard};

use crate::cluster::World;
use crate::examples::SOON;

/// The node's address.
pub(crate) const NODE: &str = "10.10.0.1";

/// An address of the node that nobody listens on.
pub(crate) async fn free_address() -> String {
    let listener = TcpListener::bind((NODE, 0)).await.expect("a port");
    listener.local_addr().expect("its address").to_string()
}

/// The port by which PostgreSQL is known: connections to it are told by their goodbye.
pub(crate) struct KnownPort(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl KnownPort {
    pub(crate) const NUMBER: u16 = 5432;

    /// Waits until it is this test's, and free.
    pub(crate) async fn take(world: &World) -> Self {
        static TAKEN: Mutex<()> = Mutex::const_new(());
        let guard = TAKEN.lock().await;
        // The server of the test before is killed, and may not have ended yet.
        world
            .until("the port of PostgreSQL is free", SOON, async || {
                let listener = TcpListener::bind((NODE, Self::NUMBER)).await;
                listener.map(drop).map_err(|error| error.to_string())
            })
            .await;
        Self(guard)
    }
}
