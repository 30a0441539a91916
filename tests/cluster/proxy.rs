//! Stands between one operator and the API server, and does to their talk what a bad day does: kills the
//! operator at a write, holds or loses what watches tell, refuses, dawdles, cuts. Plain HTTP on
//! loopback towards the operator, the test's own credentials towards the API server. Decides nothing:
//! what happens is the test's choice.

pub(crate) mod fault;
mod flow;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) use self::fault::{Crash, Faults, Flow, Refusal, When};
use crate::monitor::Call;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// A proxy for one operator.
#[derive(Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    faults: watch::Sender<Faults>,
    log: Mutex<Log>,
}

/// What went through.
#[derive(Default)]
struct Log {
    /// Writes so far, Events apart; refused ones too.
    writes: usize,
    listed: usize,
    calls: Vec<(Instant, Call)>,
    /// The last answer to each list.
    lists: BTreeMap<String, Bytes>,
}

/// What a request is about, by its method and path.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) verb: &'static str,
    /// Such as `pods` or `gracefuldeployments/status`.
    pub(crate) resource: String,
    pub(crate) name: String,
}

impl Proxy {
    /// Begins to listen.
    pub(crate) async fn start() -> Self {
        let mut config = Config::infer().await.expect("a cluster");
        config.default_retry = false;
        let shared = Arc::new(Shared {
            client: Client::try_from(config).expect("a client"),
            faults: watch::Sender::default(),
            log: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared }
    }

    /// A kubeconfig for the operator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "current-context": "proxy",
        });
        let name = format!("proxy-{}.kubeconfig", self.address.port());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, config.to_string()).expect("a kubeconfig");
        path
    }

    /// Changes what goes wrong from now on.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }

    /// Waits until the operator was killed at the write that was chosen.
    pub(crate) async fn crashed(&self) {
        let mut faults = self.shared.faults.subscribe();
        let crashed = faults.wait_for(|faults| faults.crash.is_none()).await;
        drop(crashed.expect("the proxy goes on"));
    }

    /// Lets the operator live; false where it is dead already.
    pub(crate) fn disarm(&self) -> bool {
        let mut was_armed = false;
        self.set(|faults| was_armed = faults.crash.take().is_some());
        was_armed
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        self.set(|faults| faults.cuts += 1);
    }

    /// Writes so far, Events apart.
    pub(crate) fn writes(&self) -> usize {
        self.shared.log.lock().unwrap().writes
    }

    /// Lists so far, pages counted.
    pub(crate) fn listed(&self) -> usize {
        self.shared.log.lock().unwrap().listed
    }

    /// Every write that was answered, Events too, and when.
    pub(crate) fn calls(&self) -> Vec<(Instant, Call)> {
        self.shared.log.lock().unwrap().calls.clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, shared.clone()));
    }
}

/// One connection, until it is cut.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut faults = shared.faults.subscribe();
    let cuts = faults.borrow().cuts;
    let is_cut = |faults: &Faults| faults.outage || faults.cuts > cuts;
    let answer = service_fn(|request| answer(request, shared.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        biased;
        _ = faults.wait_for(is_cut) => {}
        // How a connection ends is the operator's affair.
        _ = connection => {}
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Answer, BoxError> {
    let about = About::read(request.method(), request.uri());
    let is_write = about.is_write();
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let number = shared.number(&about);
    let faults = shared.faults.borrow().clone();
    if let Some(delay) = faults.delay {
        tokio::time::sleep(delay).await;
    }
    shared.crash(number, When::Before)?;
    let agent = parts.headers.get(hyper::header::USER_AGENT);
    let agent = agent
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let mut call = Call {
        agent: agent.to_owned(),
        verb: about.verb.to_owned(),
        resource: about.resource.clone(),
        name: about.name.clone(),
        code: 0,
        body: serde_json::from_slice(&body).ok(),
    };
    if let Some(refusal) = shared.refusal(&about) {
        call.code = refusal.code.into();
        shared.note(is_write.then_some(call));
        return Ok(refused(&refusal));
    }
    let uri = parts.uri.clone();
    let answer = shared.forward(parts, body).await?;
    shared.crash(number, When::After)?;
    call.code = answer.status().as_u16().into();
    shared.note(is_write.then_some(call));
    Ok(match about.verb {
        "watch" => flow::through(answer, &about.resource, &shared.faults),
        "list" => shared.list(&uri, answer).await?,
        _ => answer.map(|body| body.map_err(BoxError::from).boxed_unsync()),
    })
}

impl Shared {
    /// Counts a write.
    fn number(&self, about: &About) -> Option<usize> {
        if !about.is_write() || about.resource == "events" {
            return None;
        }
        let mut log = self.log.lock().unwrap();
        log.writes += 1;
        Some(log.writes)
    }

    fn note(&self, call: Option<Call>) {
        let call = call.map(|call| (Instant::now(), call));
        self.log.lock().unwrap().calls.extend(call);
    }

    /// Kills the operator where this is the write that was chosen.
    fn crash(&self, number: Option<usize>, when: When) -> Result<(), BoxError> {
        let mut dies = false;
        self.faults.send_if_modified(|faults| {
            let is_this = |crash: &mut Crash| number == Some(crash.at) && crash.when == when;
            let crash = faults.crash.take_if(is_this);
            dies = crash.inspect(|crash| fault::kill(crash.process)).is_some();
            dies
        });
        if dies {
            return Err("the operator is dead".into());
        }
        Ok(())
    }

    /// The refusal that this request meets, if any.
    fn refusal(&self, about: &About) -> Option<Refusal> {
        let mut refusal = None;
        self.faults.send_if_modified(|faults| {
            let mut refusals = faults.refusals.iter_mut();
            let found = refusals.find(|refusal| refusal.times > 0 && (refusal.of)(about));
            if let Some(found) = found {
                found.times -= 1;
                refusal = Some(found.clone());
            }
            false
        });
        refusal
    }

    async fn forward(
        &self,
        mut parts: hyper::http::request::Parts,
        body: Bytes,
    ) -> Result<Response<Body>, BoxError> {
        for header in [HOST, CONTENT_LENGTH, CONNECTION] {
            parts.headers.remove(header);
        }
        let plain = HeaderValue::from_static("identity");
        parts.headers.insert(ACCEPT_ENCODING, plain);
        let request = Request::from_parts(parts, Body::from(body.to_vec()));
        Ok(self.client.send(request).await?)
    }

    /// The list as it is, or as it was when it was asked for last.
    async fn list(&self, uri: &Uri, answer: Response<Body>) -> Result<Answer, BoxError> {
        let (mut parts, body) = answer.into_parts();
        let mut bytes = body.collect().await?.to_bytes();
        let key = uri.to_string();
        let is_stale = self.faults.borrow().stale_lists;
        let mut log = self.log.lock().unwrap();
        log.listed += 1;
        match log.lists.get(&key) {
            Some(known) if is_stale => bytes = known.clone(),
            _ => {
                log.lists.insert(key, bytes.clone());
            }
        }
        parts.headers.remove(CONTENT_LENGTH);
        Ok(Response::from_parts(parts, full(bytes)))
    }
}

impl About {
    /// It changes something.
    pub(crate) fn is_write(&self) -> bool {
        !["get", "list", "watch"].contains(&self.verb)
    }

    /// `/apis/apps/v1/namespaces/web/replicasets/chat-1/scale` and the like.
    fn read(method: &Method, uri: &Uri) -> Self {
        let words: Vec<_> = uri
            .path()
            .split('/')
            .filter(|word| !word.is_empty())
            .collect();
        let group = if words.first() == Some(&"apis") { 3 } else { 2 };
        let mut words = words.into_iter().skip(group).peekable();
        if words.peek() == Some(&"namespaces") {
            words.nth(1);
        }
        let [resource, name, part] = std::array::from_fn(|_| words.next().unwrap_or_default());
        let is_watch = uri
            .query()
            .is_some_and(|query| query.contains("watch=true"));
        let verb = match method.as_str() {
            "GET" if is_watch => "watch",
            "GET" if name.is_empty() && !resource.is_empty() => "list",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" if name.is_empty() => "deletecollection",
            "DELETE" => "delete",
            _ => "get",
        };
        Self {
            verb,
            resource: match part {
                "" => resource.to_owned(),
                part => format!("{resource}/{part}"),
            },
            name: name.to_owned(),
        }
    }
}

fn refused(refusal: &Refusal) -> Answer {
    let details = refusal
        .retry_after
        .map(|seconds| json!({"retryAfterSeconds": seconds}));
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": refusal.code,
        "reason": refusal.reason(), "message": "refused by the proxy", "details": details,
    });
    let mut answer = Response::builder().status(refusal.code);
    if let Some(seconds) = refusal.retry_after {
        answer = answer.header(RETRY_AFTER, seconds);
    }
    let body = full(Bytes::from(Value::to_string(&status)));
    answer
        .header("content-type", "application/json")
        .body(body)
        .expect("an answer")
}

fn full(bytes: Bytes) -> UnsyncBoxBody<Bytes, BoxError> {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}
