//! A metrics server of the tests' own: what pods use is what a scenario says, for no pod here uses anything. The API
//! server asks it as one of its aggregated APIs, so that the real autoscaler reads it as on any cluster. It
//! knows nothing of who scales what.

mod registration;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{ListParams, ObjectList};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

use self::registration::{EXTERNAL, RESOURCE, VERSION};
use crate::world::trail::{is_draining, is_ready, is_terminating};

/// What the pods of a namespace are told to use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Each pod uses so many percent of what it requests, and those that drain nothing.
    Each(u64),
    /// The pods in service share so much; 400 is all that four pods request.
    Shared(u64),
    /// So much waits in a queue, which is no pod's.
    Queue(u64),
}

/// The metrics of one namespace, told as long as somebody holds this.
pub(crate) struct Metrics {
    namespace: String,
}

/// What is told of a namespace, and how often it was.
struct Told {
    load: Load,
    asked: Arc<AtomicUsize>,
}

/// The server of this process.
struct Server {
    told: Arc<Mutex<HashMap<String, Told>>>,
    holders: UnboundedSender<Holder>,
}

/// Somebody begins or ends to hold metrics, and waits until the cluster's APIs are as they are to be.
struct Holder {
    begins: bool,
    done: mpsc::Sender<()>,
}

impl Metrics {
    /// Tells of a namespace from now on.
    pub(crate) fn tell(namespace: &str, load: Load) -> Self {
        let asked = Arc::default();
        server()
            .told()
            .insert(namespace.to_owned(), Told { load, asked });
        server().hold(true);
        Self {
            namespace: namespace.to_owned(),
        }
    }

    /// Tells something else from now on.
    pub(crate) fn set(&self, load: Load) {
        if let Some(told) = server().told().get_mut(&self.namespace) {
            told.load = load;
        }
    }

    /// How often somebody asked.
    pub(crate) fn asked(&self) -> usize {
        let told = server().told();
        told.get(&self.namespace)
            .map_or(0, |told| told.asked.load(Ordering::Relaxed))
    }
}

impl Drop for Metrics {
    /// An API that nobody serves would hold up the deletion of every namespace.
    fn drop(&mut self) {
        server().told().remove(&self.namespace);
        server().hold(false);
    }
}

impl Server {
    /// A scenario that failed leaves nothing half done.
    fn told(&self) -> std::sync::MutexGuard<'_, HashMap<String, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, begins: bool) {
        let (done, is_done) = mpsc::channel();
        let _ = self.holders.send(Holder { begins, done });
        // Where the server is gone its thread has said why.
        let _ = is_done.recv();
    }
}

fn server() -> &'static Server {
    static STARTED: OnceLock<Server> = OnceLock::new();
    STARTED.get_or_init(|| {
        let (holders, held) = unbounded_channel();
        let told: Arc<Mutex<HashMap<String, Told>>> = Arc::default();
        let telling = told.clone();
        // A runtime of its own: those of the tests end with the tests.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(serve(telling, held));
        });
        Server { told, holders }
    })
}

/// Listens, and is part of the cluster while somebody holds metrics.
async fn serve(told: Arc<Mutex<HashMap<String, Told>>>, mut held: UnboundedReceiver<Holder>) {
    let client = Client::try_default().await.expect("a cluster that answers");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (acceptor, authority) = registration::identity();
    tokio::spawn(accept(listener, acceptor, client.clone(), told));
    let mut holders = 0_usize;
    while let Some(Holder { begins, done }) = held.recv().await {
        if begins && holders == 0 {
            registration::begin(&client, port, &authority).await;
        }
        holders = if begins { holders + 1 } else { holders - 1 };
        if holders == 0 {
            registration::end(&client).await;
        }
        // Nobody waits for it any more where the test that did has given up.
        let _ = done.send(());
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    client: Client,
    told: Arc<Mutex<HashMap<String, Told>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(talk(stream, acceptor.clone(), client.clone(), told.clone()));
    }
}

async fn talk(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    client: Client,
    told: Arc<Mutex<HashMap<String, Told>>>,
) {
    // The API server comes again.
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let (client, told) = (&client, &*told);
    let service = service_fn(|request: Request<Incoming>| async move {
        let body = answer(client, told, &request).await;
        let status = if body.is_some() { 200 } else { 404 };
        let body = body.unwrap_or_default().to_string();
        let answer = Response::builder()
            .status(status)
            .header("Content-Type", "application/json")
            .body(Full::new(Bytes::from(body)));
        Ok::<_, Infallible>(answer.expect("an answer"))
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    client: &Client,
    told: &Mutex<HashMap<String, Told>>,
    request: &Request<Incoming>,
) -> Option<Value> {
    let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    let load = |namespace: &str| {
        let told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = told.get(namespace)?;
        Some((told.load, told.asked.clone()))
    };
    let (answer, asked) = match path[..] {
        ["apis", group, VERSION] => return Some(registration::resources(group)),
        ["apis", RESOURCE, VERSION, "namespaces", namespace, "pods"] => {
            let (load, asked) = load(namespace)?;
            let query = request.uri().query().unwrap_or_default();
            (pods(client, namespace, query, load).await?, asked)
        }
        ["apis", EXTERNAL, VERSION, "namespaces", namespace, metric] => {
            let (load, asked) = load(namespace)?;
            (queue(metric, load)?, asked)
        }
        _ => return None,
    };
    asked.fetch_add(1, Ordering::Relaxed);
    Some(answer)
}

/// What the pods that the query selects use; the API server reads the query.
async fn pods(client: &Client, namespace: &str, query: &str, load: Load) -> Option<Value> {
    // What is told goes by this one list: who turned ready after it has no share yet, and who has begun to drain
    // since is not selected any more.
    let all = Api::<Pod>::namespaced(client.clone(), namespace);
    let all = all.list(&ListParams::default()).await.ok()?;
    let all: HashMap<String, Value> = all.iter().map(|pod| (pod.name_any(), json!(pod))).collect();
    let path = format!("/api/v1/namespaces/{namespace}/pods?{query}");
    let selected = Request::get(path).body(Vec::new()).ok()?;
    let selected: ObjectList<Pod> = client.request(selected).await.ok()?;
    let in_service = all.values().filter(|pod| is_in_service(pod)).count();
    let shares = u64::try_from(in_service.max(1)).ok()?;
    let percent_of = |pod: &Value| match load {
        Load::Each(percent) if is_ready(pod) || !is_draining(pod) => (percent, 1),
        Load::Shared(percent) if is_in_service(pod) => (percent, shares),
        _ => (0, 1),
    };
    let now = jiff::Timestamp::now().to_string();
    let items = selected.iter().filter_map(|pod| {
        let (percent, shares) = percent_of(all.get(&pod.name_any())?);
        let used = |container: &Container| {
            let nanocores = requested_millicores(container) * percent * 10_000 / shares;
            let usage = json!({"cpu": format!("{nanocores}n"), "memory": "1Mi"});
            json!({"name": container.name, "usage": usage})
        };
        Some(json!({
            "metadata": {"name": pod.name_any(), "namespace": namespace},
            "timestamp": now, "window": "1s",
            "containers": running(pod).map(used).collect::<Vec<_>>(),
        }))
    });
    Some(json!({
        "kind": "PodMetricsList", "apiVersion": format!("{RESOURCE}/{VERSION}"), "metadata": {},
        "items": items.collect::<Vec<_>>(),
    }))
}

fn queue(metric: &str, load: Load) -> Option<Value> {
    let Load::Queue(length) = load else {
        return None;
    };
    Some(json!({
        "kind": "ExternalMetricValueList", "apiVersion": format!("{EXTERNAL}/{VERSION}"), "metadata": {},
        "items": [{
            "metricName": metric, "metricLabels": {}, "value": length.to_string(),
            "timestamp": jiff::Timestamp::now().to_string(),
        }],
    }))
}

/// Traffic comes to it. A pod that is asked to drain has its share until it has heard, though its label leaves it
/// out of what is told.
fn is_in_service(pod: &Value) -> bool {
    is_ready(pod) && !is_terminating(pod)
}

/// The containers that run as long as the pod does.
fn running(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| {
        let init = spec.init_containers.iter().flatten();
        let sidecars = init.filter(|one| one.restart_policy.as_deref() == Some("Always"));
        spec.containers.iter().chain(sidecars)
    })
}

/// Whole cores, or millicores.
fn requested_millicores(container: &Container) -> u64 {
    let resources = container.resources.as_ref();
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let Some(cpu) = requests.and_then(|requests| requests.get("cpu")) else {
        return 0;
    };
    match cpu.0.strip_suffix('m') {
        Some(milli) => milli.parse().expect("millicores"),
        None => cpu.0.parse::<u64>().expect("cores") * 1000,
    }
}
