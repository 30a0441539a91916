//! Clients as a browser's page is one: a socket each, opened anew after a goodbye, and what was not
//! answered by then said again. Any other end of a socket is a loss, and so is one that cannot be opened.

use std::io::{Error, Result};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Half of them talk, and the others say a word now and then.
const CLIENTS: u32 = 20;
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(10)];

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Tally {
    messages: u32,
    goodbyes: u32,
    refused: u32,
    cut: u32,
}

/// Runs until SIGTERM, and fails where something was lost.
pub async fn call(address: &str) -> Result<()> {
    let (over, _) = watch::channel(false);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let pause = PAUSES[n as usize % PAUSES.len()];
            tokio::spawn(client(format!("ws://{address}/"), pause, over.subscribe()))
        })
        .collect();
    signal(SignalKind::terminate())?.recv().await;
    let _ = over.send(true);
    let mut all = Tally::default();
    for client in clients {
        let one = client.await?;
        all.messages += one.messages;
        all.goodbyes += one.goodbyes;
        all.refused += one.refused;
        all.cut += one.cut;
    }
    println!(
        "messages {}, goodbyes {}, refused {}, cut {}",
        all.messages, all.goodbyes, all.refused, all.cut
    );
    if all.refused + all.cut > 0 {
        Err(Error::other("sockets were refused or cut"))
    } else {
        Ok(())
    }
}

async fn client(address: String, pause: Duration, mut over: watch::Receiver<bool>) -> Tally {
    let mut tally = Tally::default();
    while !*over.borrow() {
        let end = match connect_async(&address).await {
            Err(error) => {
                tally.refused += 1;
                Err(Error::other(error))
            }
            Ok((opened, _)) => {
                let end = talk(opened, pause, &mut over, &mut tally).await;
                tally.cut += u32::from(end.is_err());
                end
            }
        };
        if let Err(error) = end {
            println!("{error}");
            sleep_until(Instant::now() + Duration::from_millis(200)).await;
        }
    }
    tally
}

/// One socket, to its goodbye.
async fn talk(
    mut socket: Socket,
    pause: Duration,
    over: &mut watch::Receiver<bool>,
    tally: &mut Tally,
) -> Result<()> {
    let mut next = Instant::now();
    loop {
        let message = Message::text(format!("message {}", tally.messages));
        let mut is_answered = true;
        loop {
            let until = if is_answered { next } else { next + PATIENCE };
            let heard = tokio::select! {
                heard = timeout_at(until, socket.next()) => heard,
                _ = over.changed() => {
                    let _ = socket.close(None).await;
                    return Ok(());
                }
            };
            match heard {
                Ok(Some(Ok(Message::Close(Some(frame))))) if frame.code == CloseCode::Away => {
                    tally.goodbyes += 1;
                    let _ = socket.flush().await;
                    return Ok(());
                }
                Ok(Some(Ok(heard))) if heard == message => {
                    tally.messages += 1;
                    next = Instant::now() + pause;
                    break;
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Ok(Some(Ok(other))) => return Err(Error::other(format!("heard {other:?}"))),
                Ok(Some(Err(error))) => return Err(Error::other(error)),
                Ok(None) => return Err(Error::other("closed without a goodbye")),
                Err(_) if is_answered => {
                    next = Instant::now();
                    is_answered = false;
                    if let Err(error) = socket.send(message.clone()).await {
                        return Err(Error::other(error));
                    }
                }
                Err(_) => return Err(Error::other("no answer")),
            }
        }
    }
}
