//! A WebSocket server that says goodbye: on a drain's notice, and on SIGTERM, each socket gets a close
//! frame (1001, going away), upon which its client connects anew, to another pod. `--call ADDRESS` is
//! many such clients.

mod client;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--call") {
        let address = arguments.next().expect("an address");
        return client::call(&address).await;
    }
    // Counts the goodbyes. Each socket holds a receiver as long as it lasts.
    let (goodbye, _) = watch::channel(0_u32);
    let app = Router::new()
        .route("/", get(open))
        .route("/healthz", get(|| async {}))
        .route("/drain", post(drain).delete(|| async {}))
        .with_state(goodbye.clone());
    let listener = TcpListener::bind("0.0.0.0:8080").await?;
    let mut stop = signal(SignalKind::terminate())?;
    let mut stop_serving = signal(SignalKind::terminate())?;
    let served = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop_serving.recv().await;
    });
    let server = tokio::spawn(served.into_future());
    stop.recv().await;

    goodbye.send_modify(|times| *times += 1);
    let limit = std::env::var("SHUTDOWN_SECONDS").ok();
    let limit = limit.and_then(|text| text.parse().ok()).unwrap_or(5);
    let ended = timeout(Duration::from_secs(limit), async {
        let _ = server.await;
        // A socket is no longer the server's to wait for.
        goodbye.closed().await;
    });
    match ended.await {
        Ok(()) => println!("shutdown: clean"),
        Err(_) => println!("shutdown: {} sockets cut", goodbye.receiver_count()),
    }
    Ok(())
}

/// Answers notify. Sockets that are opened later, over a route that still leads here, are told at SIGTERM.
async fn drain(State(goodbye): State<watch::Sender<u32>>) {
    goodbye.send_modify(|times| *times += 1);
}

async fn open(upgrade: WebSocketUpgrade, State(goodbye): State<watch::Sender<u32>>) -> Response {
    let told = goodbye.subscribe();
    upgrade.on_upgrade(move |socket| talk(socket, told))
}

/// Answers each message with the same, until the goodbye.
async fn talk(mut socket: WebSocket, mut goodbye: watch::Receiver<u32>) {
    loop {
        tokio::select! {
            _ = goodbye.changed() => break,
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
            },
        }
    }
    let frame = CloseFrame {
        code: close_code::AWAY,
        reason: "draining".into(),
    };
    let _ = socket.send(Message::Close(Some(frame))).await;
    // Closed at once, with bytes of the client unread, the frame could be lost to a reset.
    let rest = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = timeout(Duration::from_secs(2), rest).await;
}
