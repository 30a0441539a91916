//! A WebSocket server that says goodbye: on a drain's notice, and on SIGTERM, each socket gets a close
//! frame (1001, going away), upon which its client connects anew, to another pod. `--call ADDRESS` is
//! many such clients.

mod client;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--call") {
        let address = arguments.next().expect("an address");
        return client::call(&address).await;
    }
    let rate = std::env::var("GOODBYES_PER_SECOND").ok();
    let rate = rate.and_then(|text| text.parse().ok()).unwrap_or(100_u32);
    let mut turns = interval(Duration::from_secs(1) / rate.max(1));
    // Turns that nobody took are not made up for.
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Each socket holds a receiver as long as it lasts.
    let (stage, _) = watch::channel(Stage::Serving);
    let door = Door {
        stage: stage.clone(),
        turns: Arc::new(Mutex::new(turns)),
    };
    let app = Router::new()
        .route("/", get(open))
        .route("/healthz", get(|| async {}))
        .route("/drain", post(drain).delete(resume))
        .with_state(door);
    let listener = TcpListener::bind("0.0.0.0:8080").await?;
    let mut stop = signal(SignalKind::terminate())?;
    let mut stop_serving = signal(SignalKind::terminate())?;
    let served = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop_serving.recv().await;
    });
    let server = tokio::spawn(served.into_future());
    stop.recv().await;

    stage.send_replace(Stage::Ending);
    let limit = std::env::var("SHUTDOWN_SECONDS").ok();
    let limit = limit.and_then(|text| text.parse().ok()).unwrap_or(5);
    let ended = timeout(Duration::from_secs(limit), async {
        let _ = server.await;
        // A socket is no longer the server's to wait for.
        stage.closed().await;
    });
    match ended.await {
        Ok(()) => println!("shutdown: clean"),
        Err(_) => println!("shutdown: {} sockets cut", stage.receiver_count()),
    }
    Ok(())
}

/// What is said to every socket.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Serving,
    /// Goodbye, one after another: there is time, and whoever they come back to has to take them.
    Draining,
    /// Goodbye, at once.
    Ending,
}

#[derive(Clone)]
struct Door {
    stage: watch::Sender<Stage>,
    turns: Arc<Mutex<Interval>>,
}

/// Answers notify.
async fn drain(State(door): State<Door>) {
    door.stage.send_replace(Stage::Draining);
}

/// The drain was cancelled.
async fn resume(State(door): State<Door>) {
    door.stage.send_replace(Stage::Serving);
}

async fn open(upgrade: WebSocketUpgrade, State(door): State<Door>) -> Response {
    let stage = door.stage.subscribe();
    upgrade.on_upgrade(move |socket| talk(socket, stage, door.turns))
}

/// Returns when it is time to say goodbye.
async fn goodbye(stage: &mut watch::Receiver<Stage>, turns: &Mutex<Interval>) {
    loop {
        let _ = stage.wait_for(|is| *is != Stage::Serving).await;
        tokio::select! {
            _ = stage.wait_for(|is| *is == Stage::Ending) => return,
            () = async { _ = turns.lock().await.tick().await } => {}
        }
        // Not where the drain was cancelled meanwhile.
        if *stage.borrow() != Stage::Serving {
            return;
        }
    }
}

/// Answers each message with the same, until the goodbye.
async fn talk(
    mut socket: WebSocket,
    mut stage: watch::Receiver<Stage>,
    turns: Arc<Mutex<Interval>>,
) {
    loop {
        tokio::select! {
            () = goodbye(&mut stage, &turns) => break,
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
