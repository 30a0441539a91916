//! A stream that a test holds on one pod: work that the kernel sees, for as long as it likes.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An open stream; closed when dropped.
pub(crate) struct Stream(JoinHandle<()>);

impl Stream {
    /// Opens a stream of that length on a pod and waits for its first byte.
    pub(crate) async fn open(pod: &Pod, length: Duration) -> Self {
        let address = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.clone())
            .expect("an address");
        let mut connection = TcpStream::connect((address.as_str(), 8080))
            .await
            .expect("a connection");
        let seconds = length.as_secs();
        let request = format!("GET /stream?seconds={seconds} HTTP/1.1\r\nHost: app\r\n\r\n");
        connection
            .write_all(request.as_bytes())
            .await
            .expect("sent");
        let mut buffer = [0; 4096];
        let read = connection.read(&mut buffer).await.expect("an answer");
        assert!(
            buffer[..read].starts_with(b"HTTP/1.1 200"),
            "the app answers with a stream"
        );
        Self(tokio::spawn(async move {
            while connection
                .read(&mut buffer)
                .await
                .is_ok_and(|read| read > 0)
            {}
        }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.abort();
    }
}
