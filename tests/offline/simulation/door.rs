//! The operator's way to the API server: a service that kube's client is made of. Calls take their
//! time, and some of them fail, are lost, or are the last that the operator made.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Collected};
use hyper::{Request as HttpRequest, Response};
use kube::Client;
use kube::client::Body;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use super::apiserver::http::{read, status_of, written};
use super::apiserver::kinds::EVENTS;
use super::apiserver::{Refusal, Request, Verb};
use super::script::Fault;
use super::world::{Who, World};

/// The cluster, as the operator's client and the clock share it.
#[derive(Clone)]
pub(super) struct Shared {
    world: Arc<Mutex<World>>,
    /// Something was written.
    pub(super) stirred: Arc<Notify>,
    start: Instant,
}

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self {
            world: Arc::new(Mutex::new(world)),
            stirred: Arc::new(Notify::new()),
            start: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// The world as it is now; what is due has happened.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.pass(self.now());
        world
    }

    pub(super) fn start(&self) -> Instant {
        self.start
    }

    pub(super) fn client(&self) -> Client {
        let shared = self.clone();
        let service = service_fn(move |request: HttpRequest<Body>| {
            let shared = shared.clone();
            async move { Ok::<_, Infallible>(shared.answer(request).await) }
        });
        Client::new(service, super::world::NAMESPACE)
    }

    async fn answer(&self, request: HttpRequest<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(Collected::to_bytes);
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let wants_metadata = header("accept").is_some_and(|all| all.contains("PartialObjectMeta"));
        let content = header("content-type").unwrap_or_default();
        let body = body.unwrap_or_default();
        let Some(request) = read(head.method.as_str(), head.uri.path(), (content, &body)) else {
            panic!(
                "the simulated API server does not serve {} {}",
                head.method, head.uri
            );
        };
        let (there, back, fault) = self.world().fate(&request);
        sleep(there).await;
        match fault {
            Some(Fault::CrashBefore) => self.crash().await,
            Some(Fault::Lost) => std::future::pending().await,
            Some(Fault::Refused(code)) => return refused(code),
            _ => {}
        }
        let answer = self.world().ask(Who::Operator, &request);
        self.stirred.notify_one();
        match fault {
            Some(Fault::CrashAfter) => self.crash().await,
            Some(Fault::DoneButLost) => std::future::pending().await,
            Some(Fault::DoneButFailed) => return refused(500),
            _ => {}
        }
        sleep(back).await;
        let (code, body) = written(request.verb, answer, wants_metadata);
        response(code, &body)
    }

    /// The operator dies here: no answer ever comes.
    async fn crash(&self) {
        self.world().is_killed = true;
        self.stirred.notify_one();
        std::future::pending::<()>().await;
    }
}

fn refused(code: u16) -> Response<Body> {
    let reason = match code {
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let mut status = status_of(&Refusal {
        code,
        reason,
        message: "by chance".into(),
    });
    if code == 429 {
        status["details"] = serde_json::json!({"retryAfterSeconds": 3});
    }
    response(code, &status)
}

fn response(code: u16, body: &serde_json::Value) -> Response<Body> {
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string().into_bytes()))
        .expect("a response")
}

impl World {
    /// How long a call takes there and back, and what becomes of it.
    fn fate(&mut self, request: &Request) -> (Duration, Duration, Option<Fault>) {
        let mut wait = || Duration::from_millis(self.luck.within(1, 15).unsigned_abs());
        let (there, back) = (wait(), wait());
        if matches!(request.verb, Verb::Get | Verb::List) {
            return (there, back, None);
        }
        let nth = self.writes;
        self.writes += 1;
        if *request.resource != EVENTS {
            self.last_write = self.now;
        }
        let fault = self.script.faults.iter().find(|(at, _)| *at == nth);
        let fault = fault.map(|(_, fault)| *fault).filter(|_| !self.is_calm);
        if let Some(fault) = fault {
            let (verb, named) = (request.verb, request.name.clone());
            self.say(|| format!("write {nth}, {verb:?} {named}: {fault:?}"));
        }
        (there, back, fault)
    }
}
