//! Sends finished spans to a collector, by OTLP over HTTP. Between a reconcile and the collector lies a queue
//! with a bound: a collector that is slow or away costs spans, never a reconcile.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::client::Body;
use kube::{Client, Config};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::otlp::{encode, refused};
use super::span::Span;
use super::tree::spans;
use crate::operator::error::in_words;
use crate::rollout::{Observation, Plan};

/// So many spans wait for the collector: those of 400 pods that left, 0.7 MB.
const QUEUE: usize = 2048;

/// So many go with one request; collectors take 4 MB and more.
const BATCH: usize = 512;

/// For so long spans are collected for one request: a rollout that ends has several at once.
const LINGER: Duration = Duration::from_secs(1);

/// Time that a collector has to answer: OpenTelemetry's own default.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits between tries. Together longer than a collector's restart takes; what comes meanwhile is in the queue.
const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// What is queued at the end has so long to be sent, once.
const FINISH: Duration = Duration::from_secs(2);

/// An answer is a few bytes.
const ANSWER: usize = 64 * 1024;

/// Where spans go.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::operator) struct To {
    /// Send traces of rollouts to the OpenTelemetry collector at this address, by OTLP over HTTP (mostly port
    /// 4318); where it is absent or empty, none are made.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_name = "URL",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) otlp_endpoint: Endpoint,
}

/// Base address of a collector. Empty is none, as with each of OpenTelemetry's variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Endpoint(Option<Uri>);

/// An address that no collector has.
#[derive(Debug, thiserror::Error)]
#[error("an address such as http://collector.observability:4318 is expected")]
pub(super) struct NoEndpoint;

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let uri: Uri = text.trim().parse().map_err(|_| NoEndpoint)?;
        let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
        if is_known && uri.host().is_some_and(|host| !host.is_empty()) {
            Ok(Self(Some(uri)))
        } else {
            Err(NoEndpoint)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |uri| write!(to, "{uri}"))
    }
}

/// No client could be made for the collector.
#[derive(Debug, thiserror::Error)]
#[error("making a client for the collector at {address}")]
pub struct NoCollector {
    address: String,
    source: Box<kube::Error>,
}

/// Tells the collector what has ended, where there is one.
#[derive(Clone, Debug, Default)]
pub(in crate::operator) struct Traces {
    queue: Option<Arc<Queue>>,
    counts: Counts,
}

/// What became of the spans.
#[derive(Clone, Debug, Default)]
struct Counts {
    sent: Counter,
    lost: Counter,
}

#[derive(Debug)]
struct Queue {
    spans: mpsc::Sender<Span>,
    counts: Counts,
    stop: watch::Sender<bool>,
    exporter: Mutex<Option<JoinHandle<()>>>,
}

impl Traces {
    /// Begins to send what is told from now on; `instance` is the name of this operator among others.
    ///
    /// # Errors
    ///
    /// Where no client can be made for the address: by https, without any certificate to trust.
    pub(in crate::operator) fn begin(to: &To, instance: String) -> Result<Self, NoCollector> {
        let Some(uri) = to.otlp_endpoint.0.clone() else {
            return Ok(Self::default());
        };
        let address = uri.to_string();
        let client = client(uri).map_err(|source| NoCollector {
            address: address.clone(),
            source: Box::new(source),
        })?;
        let (spans, queue) = mpsc::channel(QUEUE);
        let (stop, stopped) = watch::channel(false);
        let counts = Counts::default();
        let exporter = Exporter {
            client,
            address,
            instance,
            queue,
            stopped,
            counts: counts.clone(),
            known: 0,
            outage: None,
        };
        let exporter = Mutex::new(Some(tokio::spawn(exporter.run())));
        let queue = Queue {
            spans,
            counts: counts.clone(),
            stop,
            exporter,
        };
        Ok(Self {
            queue: Some(Arc::new(queue)),
            counts,
        })
    }

    /// Shows what became of the spans.
    pub(in crate::operator) fn register(&self, registry: &mut Registry) {
        registry.register(
            "spans_sent",
            "Spans that the collector took",
            self.counts.sent.clone(),
        );
        registry.register(
            "spans_lost",
            "Spans that found no room in the queue, or that the collector did not take",
            self.counts.lost.clone(),
        );
    }

    /// Tells of what ended by the status of this plan, which was written just now.
    pub(in crate::operator) fn tell(
        &self,
        object: &ObjectMeta,
        observation: &Observation,
        plan: &Plan,
    ) {
        if let (Some(queue), Some(status)) = (&self.queue, &plan.status) {
            queue.add(spans(object, observation, (status, &plan.counted)));
        }
    }

    /// Sends what is queued and ends.
    pub(in crate::operator) async fn finish(&self) {
        let Some(queue) = &self.queue else {
            return;
        };
        queue.stop.send_replace(true);
        let exporter = queue.exporter.lock();
        let exporter = exporter.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut exporter) = exporter
            && timeout(FINISH, &mut exporter).await.is_err()
        {
            exporter.abort();
            warn!("the collector did not take the last spans in time");
        }
    }
}

impl Queue {
    fn add(&self, spans: Vec<Span>) {
        let unqueued = spans
            .into_iter()
            .filter_map(|span| self.spans.try_send(span).err());
        let count = u64::try_from(unqueued.count()).unwrap_or(u64::MAX);
        self.counts.lost.inc_by(count);
    }
}

#[cfg(test)]
impl Traces {
    /// As if they had been told.
    pub(super) fn add(&self, spans: Vec<Span>) {
        if let Some(queue) = &self.queue {
            queue.add(spans);
        }
    }

    /// Spans that were sent, and those that were lost.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.counts.sent.get(), self.counts.lost.get())
    }
}

/// The way to the API server is the way to the collector too: one HTTP client and one TLS stack.
fn client(uri: Uri) -> kube::Result<Client> {
    let is_plain = uri.scheme_str() == Some("http");
    let mut config = Config::new(uri);
    config.default_retry = false;
    // Without TLS no certificate is trusted: an image from scratch has none, which would be an error.
    config.root_cert = is_plain.then(Vec::new);
    let agent = concat!("graceful-operator/", env!("CARGO_PKG_VERSION"));
    config
        .headers
        .push((USER_AGENT, HeaderValue::from_static(agent)));
    Client::try_from(config)
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("making the request")]
    Request(#[source] hyper::http::Error),
    #[error("sending the request")]
    Send(#[source] kube::Error),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the answer was {0}")]
    Answer(StatusCode),
    #[error("{0} spans were refused: {1}")]
    Refused(i64, String),
}

impl Failure {
    /// Another try may go better; of answers, those that OTLP names.
    fn may_pass(&self) -> bool {
        match self {
            Self::Send(_) | Self::Late => true,
            Self::Answer(status) => [429, 502, 503, 504].contains(&status.as_u16()),
            Self::Request(_) | Self::Refused(..) => false,
        }
    }
}

struct Exporter {
    client: Client,
    address: String,
    instance: String,
    queue: mpsc::Receiver<Span>,
    stopped: watch::Receiver<bool>,
    counts: Counts,
    /// How many were lost when that was last looked at.
    known: u64,
    /// How many had been lost before the collector began to take none.
    outage: Option<u64>,
}

impl Exporter {
    async fn run(mut self) {
        info!(address = self.address, "traces are sent");
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                count = self.queue.recv_many(&mut batch, BATCH) => if count == 0 {
                    return;
                },
                // What is queued comes still, and then nothing.
                _ = self.stopped.wait_for(|is| *is), if !self.queue.is_closed() => self.queue.close(),
            }
            if batch.is_empty() {
                continue;
            }
            self.pause(LINGER).await;
            while batch.len() < BATCH
                && let Ok(span) = self.queue.try_recv()
            {
                batch.push(span);
            }
            self.send(&batch).await;
        }
    }

    /// Waits, but not for long once it is to end. False where it is.
    async fn pause(&mut self, wait: Duration) -> bool {
        let stopped = self.stopped.wait_for(|is| *is);
        timeout(wait, stopped).await.is_err()
    }

    /// Sends one request, several times where that may help.
    async fn send(&mut self, batch: &[Span]) {
        let body = encode(&self.instance, batch);
        let mut waits = WAITS.into_iter();
        let failure = loop {
            let Err(failure) = self.try_once(body.clone()).await else {
                break None;
            };
            let wait = waits.next().filter(|_| failure.may_pass());
            debug!(
                error = in_words(&failure),
                "the collector did not take spans"
            );
            match wait {
                Some(wait) if self.pause(wait).await => {}
                _ => break Some(failure),
            }
        };
        self.conclude(batch.len(), failure.as_ref());
    }

    /// Counts, and says once that spans are lost, and how many when that is over.
    fn conclude(&mut self, count: usize, failure: Option<&Failure>) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let refused = match failure {
            None => 0,
            Some(Failure::Refused(refused, _)) => u64::try_from(*refused).unwrap_or(0).min(count),
            Some(_) => count,
        };
        self.counts.lost.inc_by(refused);
        self.counts.sent.inc_by(count - refused);
        let before = std::mem::replace(&mut self.known, self.counts.lost.get());
        let lost = self.known.saturating_sub(self.outage.unwrap_or(before));
        let address = &self.address;
        match failure {
            None => {
                self.outage = None;
                if lost > 0 {
                    info!(address, lost, "the collector takes spans again");
                }
            }
            Some(failure) if self.outage.is_none() => {
                let error = in_words(failure);
                warn!(address, error, lost, "spans are lost");
                self.outage = Some(before);
            }
            Some(_) => {}
        }
    }

    async fn try_once(&self, body: Vec<u8>) -> Result<(), Failure> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/traces")
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(Body::from(body))
            .map_err(Failure::Request)?;
        let answer = async {
            let answer = self.client.send(request).await.map_err(Failure::Send)?;
            let status = answer.status();
            if !status.is_success() {
                return Err(Failure::Answer(status));
            }
            // The spans are taken: an answer that cannot be read says nothing against that.
            let body = Limited::new(answer.into_body(), ANSWER).collect().await;
            let body = body
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default();
            refused(&body).map_or(Ok(()), |(count, why)| Err(Failure::Refused(count, why)))
        };
        timeout(PATIENCE, answer)
            .await
            .unwrap_or(Err(Failure::Late))
    }
}
