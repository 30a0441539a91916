//! The events of one watch on their way to the operator: one line of JSON each, passed on, held,
//! gathered, delayed or lost.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Answer, BoxError, Faults, Flow};

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3600);

/// Puts the faults of a resource between the events of its watch and the operator.
pub(super) fn through(
    answer: Response<Body>,
    resource: &str,
    faults: &watch::Sender<Faults>,
) -> Answer {
    let (parts, body) = answer.into_parts();
    let (send, receive) = mpsc::unbounded_channel();
    let faults = faults.subscribe();
    tokio::spawn(pass(body, resource.to_owned(), faults, send));
    let lines = futures::stream::unfold(receive, async |mut receive| {
        let line: Bytes = receive.recv().await?;
        Some((Ok(Frame::data(line)), receive))
    });
    Response::from_parts(parts, BodyExt::boxed_unsync(StreamBody::new(lines)))
}

async fn pass(
    body: Body,
    resource: String,
    mut faults: watch::Receiver<Faults>,
    send: mpsc::UnboundedSender<Bytes>,
) {
    let mut chunks = body.into_data_stream().map_err(BoxError::from).boxed();
    let mut lines = Lines::default();
    let (mut known, mut has_ended) = (Flow::Pass, false);
    loop {
        let flow = faults
            .borrow_and_update()
            .flows
            .get(resource.as_str())
            .copied();
        let flow = flow.unwrap_or_default();
        if known == Flow::Lose && flow != Flow::Lose {
            let _ = send.send(forgotten());
            return;
        }
        known = flow;
        for line in lines.due(flow, Instant::now()) {
            if send.send(line).is_err() {
                return;
            }
        }
        // The API server ends each watch at its time; what is held back goes first.
        if has_ended && lines.whole.is_empty() {
            return;
        }
        let next = lines
            .next_due(flow)
            .unwrap_or_else(|| Instant::now() + NEVER);
        tokio::select! {
            chunk = chunks.next(), if !has_ended => match chunk {
                Some(Ok(chunk)) => lines.add(&chunk, Instant::now()),
                _ => has_ended = true,
            },
            changed = faults.changed() => if changed.is_err() { return },
            () = sleep_until(next) => {}
            () = send.closed() => return,
        }
    }
}

/// Lines that wait.
#[derive(Default)]
struct Lines {
    whole: VecDeque<(Instant, Bytes)>,
    part: Vec<u8>,
}

impl Lines {
    fn add(&mut self, chunk: &[u8], at: Instant) {
        self.part.extend_from_slice(chunk);
        while let Some(end) = self.part.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.part.drain(..=end).collect();
            self.whole.push_back((at, line.into()));
        }
    }

    /// When the next line may go, if it is a matter of time.
    fn next_due(&self, flow: Flow) -> Option<Instant> {
        let (first, _) = self.whole.front()?;
        match flow {
            Flow::Coalesce(time) | Flow::Delay(time) => Some(*first + time),
            Flow::Pass | Flow::Hold | Flow::Lose => None,
        }
    }

    /// The lines that may go now.
    fn due(&mut self, flow: Flow, now: Instant) -> Vec<Bytes> {
        let is_due = self.next_due(flow).is_some_and(|due| due <= now);
        match flow {
            Flow::Pass => self.whole.drain(..).map(|(_, line)| line).collect(),
            Flow::Lose => {
                self.whole.clear();
                Vec::new()
            }
            Flow::Coalesce(_) if is_due => last_of_each(self.whole.drain(..).map(|(_, line)| line)),
            Flow::Delay(time) if is_due => {
                let count = self.whole.partition_point(|(at, _)| *at + time <= now);
                self.whole.drain(..count).map(|(_, line)| line).collect()
            }
            Flow::Hold | Flow::Coalesce(_) | Flow::Delay(_) => Vec::new(),
        }
    }
}

/// Of the events of one object only the last, where it stood.
fn last_of_each(lines: impl Iterator<Item = Bytes>) -> Vec<Bytes> {
    let mut kept: Vec<(String, Bytes)> = Vec::new();
    for line in lines {
        let event: Value = serde_json::from_slice(&line).unwrap_or_default();
        let uid = event["object"]["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        kept.retain(|(known, _)| uid.is_empty() || *known != uid);
        kept.push((uid, line));
    }
    kept.into_iter().map(|(_, line)| line).collect()
}

/// What the API server says of a version that it has forgotten.
fn forgotten() -> Bytes {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired",
        "message": "too old resource version",
    });
    format!("{}\n", json!({"type": "ERROR", "object": status})).into()
}
