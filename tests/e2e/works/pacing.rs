//! Five hundred clients that hold a WebSocket each and come back when they are told goodbye: how many do in a second is
//! what the app's turns and `maxDraining` say. Beside it, the same with neither.

use std::io::{Error, Result};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Verdict, World, names, test_under_load};
use crate::examples::{SOON, websockets};
use crate::figure::{assert_at_most, count, show};
use crate::rollout::ROLLOUT;
use crate::timeline::Timeline;

const CLIENTS: usize = 500;

/// Goodbyes of one pod in a second.
const RATE: &str = "12";

/// What 500 clients of four pods take, one pod after another, thrice.
const PACED: Duration = ROLLOUT.saturating_mul(2);

/// A frame that says goodbye, and one that answers it: masked, as a client's are.
const CLOSE: u8 = 0x88;
const ANSWER: [u8; 6] = [CLOSE, 0x80, 0, 0, 0, 0];

/// When clients came back, and sockets that ended without a goodbye.
#[derive(Default)]
struct Seen {
    back: Vec<Instant>,
    cut: Vec<String>,
}

/// Opens a socket and returns once it was told goodbye.
async fn socket(address: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let request = format!(
        "GET / HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(Error::other(String::from_utf8_lossy(&head).into_owned()));
    }
    // Nothing is said on it, so the first frame is the goodbye: a length, and the code 1001.
    let mut frame = [0; 4];
    stream.read_exact(&mut frame).await?;
    if frame[0] != CLOSE || frame[2..] != 1001_u16.to_be_bytes() {
        return Err(Error::other(format!("heard {frame:?}")));
    }
    stream.write_all(&ANSWER).await
}

async fn client(address: String, seen: Arc<Mutex<Seen>>) {
    loop {
        if let Err(error) = socket(&address).await {
            seen.lock().unwrap().cut.push(error.to_string());
            sleep(Duration::from_millis(500)).await;
        }
        seen.lock().unwrap().back.push(Instant::now());
    }
}

/// The most that came back in a second, and the mean from the first to the last.
fn peak_and_mean(back: &[Instant]) -> (f64, f64) {
    let first = back.iter().min().expect("somebody came back");
    let mut seconds = Vec::new();
    for at in back {
        let second = usize::try_from((*at - *first).as_secs()).expect("a second");
        if seconds.len() <= second {
            seconds.resize(second + 1, 0);
        }
        seconds[second] += 1;
    }
    println!("clients back, by second: {seconds:?}");
    let peak: usize = seconds.iter().copied().max().unwrap_or_default();
    let as_figure = |n: usize| count(n.try_into().expect("a count"));
    let mean = as_figure(back.len()) / as_figure(seconds.len());
    (as_figure(peak), mean)
}

/// Rolls four pods under these clients.
async fn roll(world: &World, name: &str, shape: impl Fn(App) -> App) -> Seen {
    let app = websockets(shape(App::graceful(name))).replicas(4);
    world.create::<GracefulDeployment>(app.object()).await;
    world.create::<Service>(app.service()).await;
    world.complete(name, SOON).await;
    let address = world.address(name).await;
    world.until_answers("the Service", &address, SOON).await;
    let seen = Arc::<Mutex<Seen>>::default();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(address.clone(), Arc::clone(&seen)));
        sleep(Duration::from_millis(4)).await;
    }
    let timeline = Timeline::of(world);
    let before = names(&world.pods(name).await);
    let change: Value = app.change(2);
    world.patch::<GracefulDeployment>(name, change).await;
    timeline.gone(world, name, &before, PACED).await;
    world.complete(name, PACED).await;
    clients.abort_all();
    while clients.join_next().await.is_some() {}
    std::mem::take(&mut *seen.lock().unwrap())
}

#[test]
fn clients_that_come_back_are_paced() {
    test_under_load("pacing", |world| async move {
        let limits = |app: App| app.container("/resources/limits/memory", json!("128Mi"));
        let free = roll(&world, "free", |app| {
            limits(app).env("GOODBYES_PER_SECOND", "100000")
        });
        let free = free.await;
        let paced = roll(&world, "paced", |app| {
            limits(app)
                .env("GOODBYES_PER_SECOND", RATE)
                .spec("/strategy/rollingUpdate/maxDraining", json!(1))
        });
        let paced = paced.await;
        let (peak_free, _) = peak_and_mean(&free.back);
        let (peak, mean) = peak_and_mean(&paced.back);
        println!(
            "not paced: {} back, {peak_free:.0} in a second",
            free.back.len()
        );
        println!("paced: {} back, {peak:.0} in a second", paced.back.len());
        // By the same mean: a rush has a short window of its own.
        show(
            "clients back in a second over the paced mean, not paced",
            peak_free / mean,
            None,
            "times",
        );
        assert_at_most(
            "clients back in a second over the mean, paced",
            peak / mean,
            2.0,
            "times",
        );
        assert!(peak_free > 2.0 * mean, "the clients show no rush");
        assert!(paced.cut.is_empty(), "{:?}", paced.cut);
        Verdict::Held
    });
}
