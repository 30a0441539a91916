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
    // Each socket holds a receiver as long as it lasts.
    let (draining, _) = watch::channel(false);
    let app = Router::new()
        .route("/", get(open))
        .route("/healthz", get(|| async {}))
        .route("/drain", post(drain).delete(resume))
        .with_state(draining.clone());
    let listener = TcpListener::bind("0.0.0.0:8080").await?;
    let mut stop = signal(SignalKind::terminate())?;
    let mut stop_serving = signal(SignalKind::terminate())?;
    let served = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop_serving.recv().await;
    });
    let server = tokio::spawn(served.into_future());
    stop.recv().await;

    draining.send_replace(true);
    let limit = std::env::var("SHUTDOWN_SECONDS").ok();
    let limit = limit.and_then(|text| text.parse().ok()).unwrap_or(5);
    let ended = timeout(Duration::from_secs(limit), async {
        let _ = server.await;
        // A socket is no longer the server's to wait for.
        draining.closed().await;
    });
    match ended.await {
        Ok(()) => println!("shutdown: clean"),
        Err(_) => println!("shutdown: {} sockets cut", draining.receiver_count()),
    }
    Ok(())
}

/// Answers notify.
async fn drain(State(draining): State<watch::Sender<bool>>) {
    draining.send_replace(true);
}

/// The drain was cancelled.
async fn resume(State(draining): State<watch::Sender<bool>>) {
    draining.send_replace(false);
}

async fn open(upgrade: WebSocketUpgrade, State(draining): State<watch::Sender<bool>>) -> Response {
    let draining = draining.subscribe();
    upgrade.on_upgrade(move |socket| talk(socket, draining))
}

/// Returns when it is time to say goodbye.
async fn goodbye(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|is| *is).await;
}

/// Answers each message with the same, until the goodbye.
async fn talk(mut socket: WebSocket, mut draining: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = goodbye(&mut draining) => break,
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
