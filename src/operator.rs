//! The operator: watches GracefulDeployments and brings each nearer to what is wanted, one small step
//! at a time. Holds nothing that matters: killed at any moment, the next one goes on.

mod act;
mod adoption;
mod args;
mod caches;
mod check;
mod clock;
mod collect;
mod echo;
mod endings;
mod error;
mod guard;
mod host;
mod lease;
mod memory;
mod metrics;
mod preflight;
mod prune;
mod reconcile;
mod report;
mod scopes;
mod server;
mod strays;
mod traces;
mod watch;

use std::future::Future;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::{self, UnboundedReceiver};
use futures::{FutureExt, StreamExt};
use kube::runtime::controller::{self, Error as ControllerError};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tracing::{debug, error, info};
use tracing_subscriber::EnvFilter;

use self::adoption::Adoption;
pub use self::args::Args;
use self::args::{Command, LogFormat, Run};
pub use self::caches::Guarded;
use self::collect::collect;
use self::error::in_words;
pub use self::host::Host;
use self::lease::{Candidate, Leadership};
use self::metrics::Metrics;
pub use self::metrics::{HOLDS, sample as sample_of_metrics};
use self::reconcile::{Agent, Context, after_error, reconcile};
use self::strays::Found;
use self::traces::Traces;
use self::watch::Sync;
pub use self::watch::{Watch, Watches};
use crate::api::FIELD_MANAGER;

/// For so long changes are collected before their object is looked at: longer than the EndpointSlices
/// follow a pod, and a hundredth of what a step of a rollout takes.
const MOMENT: Duration = Duration::from_millis(100);

/// Time that reconciles under way have to finish after SIGTERM: they are a few short calls, and
/// whatever they leave undone the next operator does.
const FINISH: Duration = Duration::from_secs(2);

/// Why the operator ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The event loop could not be made.
    #[error("starting the event loop")]
    Runtime(#[source] std::io::Error),
    /// No way to the API server is configured.
    #[error("finding the API server, by KUBECONFIG or by a ServiceAccount")]
    NoConfig(#[source] Box<kube::Error>),
    /// The client could not be made.
    #[error("making a client for the API server at {address}")]
    NoClient {
        /// Where it is.
        address: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// The address for probes and metrics cannot be had.
    #[error("listening on {address} for /livez, /readyz and /metrics")]
    NoAddress {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Another operator leads now, or this one cannot say that it does.
    #[error("leads no longer: {0}; begins anew as one that stands by")]
    Deposed(String),
    /// Traces cannot be sent.
    #[error(transparent)]
    NoCollector(#[from] traces::NoCollector),
    /// Kubernetes is too old.
    #[error(transparent)]
    TooOld(#[from] preflight::TooOld),
    /// An uninstall would leave something behind.
    #[error(transparent)]
    Refused(#[from] guard::Refused),
    /// The cluster is not ready for GracefulDeployments.
    #[error(transparent)]
    Broken(#[from] check::Broken),
}

/// Does what the command line says; returns when it is done or when SIGTERM came.
///
/// # Errors
///
/// Where the operator cannot start.
pub fn run(args: Args) -> Result<(), Fatal> {
    match args.command {
        Command::Crd => {
            print!("{}", crate::api::crd::yaml());
            Ok(())
        }
        Command::Run(run) => {
            log_as(run.log_format);
            runtime()?.block_on(async {
                let traces = Traces::begin(&run.traces, machine())?;
                let end = operate(run, &traces).await;
                traces.finish().await;
                end
            })
        }
        Command::Guard(guard) => runtime()?.block_on(async {
            let (client, _) = connect().await?;
            Ok(guard::guard(client, &guard).await?)
        }),
        Command::Check(check) => runtime()?.block_on(async {
            let (client, _) = connect().await?;
            Ok(check::check(&client, &check).await?)
        }),
    }
}

/// One thread: the work is waiting, and memory is part of the promise.
fn runtime() -> Result<tokio::runtime::Runtime, Fatal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(Fatal::Runtime)
}

fn log_as(format: LogFormat) {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| "info".into());
    // What these say of a failed call is said here once more, in words.
    let filter = EnvFilter::new(format!("kube_client=off,kube_runtime=off,{wanted}"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
}

async fn operate(run: Run, traces: &Traces) -> Result<(), Fatal> {
    let mut stop = stop_signal().map_err(Fatal::Runtime)?.boxed().shared();
    let (client, address) = connect().await?;
    let metrics = Arc::new(Metrics::new().with(traces));
    let sync = Sync::default();
    let listener = server::listen(run.http_address).await;
    let listener = listener.map_err(|source| Fatal::NoAddress {
        address: run.http_address,
        source,
    })?;
    if let Ok(address) = listener.local_addr() {
        info!(%address, "answers probes and scrapes");
    }
    sync.wait("API server", format!("no answer from {address} yet"));
    tokio::spawn(server::serve(listener, metrics.clone(), sync.clone()));
    let version = tokio::select! {
        version = preflight::check(&client, &address) => version?,
        () = &mut stop => return Ok(()),
    };
    sync.done("API server");
    info!(address, version, "reached the API server");

    let (queue, mut changes) = mpsc::unbounded();
    let adoption = Adoption::default();
    let watches = Watches::open(&client, &run.watch_namespace, &adoption);
    let (caches, found) = watch::start(watches, &sync, &queue, adoption);
    tokio::select! {
        () = caches.complete() => info!("caches are complete"),
        () = &mut stop => return Ok(()),
    }
    let host: Arc<dyn Host> = Arc::new(host::System);
    let agent = Agent {
        image: run.agent_image,
        pull_policy: run.agent_pull_policy.map(args::PullPolicy::as_str),
    };
    let mut candidate = run.lease.as_ref().map(|place| {
        let own = format!("{}_{:016x}", machine(), host.random());
        Candidate::new(&client, place, own)
    });
    if let Some(candidate) = &mut candidate {
        tokio::select! {
            () = candidate.win() => {}
            () = stand_by(&mut changes) => {}
            () = &mut stop => return Ok(()),
        }
        // What ended until now the other one has counted.
        caches.endings.clear();
        // Whatever changed meanwhile: the caches have it.
        for object in caches.objects.store().state() {
            // The receiver is here.
            let _ = queue.unbounded_send(ObjectRef::from_obj(object.as_ref()));
        }
    }
    metrics.leads();
    metrics.tell_of(caches.objects.store().clone());
    let leadership = candidate.as_ref().map(|it| it.leadership.clone());
    let leadership = leadership.unwrap_or_else(Leadership::always);
    let context = Context::begin(client, caches, host, metrics, agent)
        .led_by(leadership)
        .traced_by(traces.clone());
    let work = control(Arc::new(context), (changes, found), run.concurrency, stop);
    match &mut candidate {
        None => work.await,
        Some(candidate) => {
            tokio::select! {
                () = work => {}
                why = candidate.keep() => return Err(Fatal::Deposed(why)),
            }
            candidate.release().await;
        }
    }
    info!("stopped");
    Ok(())
}

/// Lets changes pass by for as long as another operator leads.
async fn stand_by(changes: &mut UnboundedReceiver<ObjectRef<Guarded>>) {
    while changes.next().await.is_some() {}
    std::future::pending::<()>().await;
}

/// Name of this machine: the pod's, in a pod.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// The operator in a cluster of somebody's making: all of it but the process, the connection and the
/// server for probes and metrics. It runs until the future is dropped, which is how it is killed.
///
/// Must be polled on a tokio runtime: that is where its time comes from. What it spawns ends with the
/// streams of `watches`.
pub async fn live_in(client: Client, watches: Watches, host: Arc<dyn Host>, agent_image: &str) {
    let (queue, changes) = mpsc::unbounded();
    let (caches, found) = watch::start(watches, &Sync::default(), &queue, Adoption::default());
    caches.complete().await;
    let agent = Agent {
        image: agent_image.into(),
        pull_policy: None,
    };
    let context = Context::begin(client, caches, host, Arc::new(Metrics::new()), agent);
    let never = std::future::pending();
    control(Arc::new(context), (changes, found), 1, never).await;
}

/// A client for the cluster that KUBECONFIG or the ServiceAccount names, and its address.
async fn connect() -> Result<(Client, String), Fatal> {
    let config = Config::infer().await;
    let mut config = config.map_err(|source| {
        let source = Box::new(kube::Error::InferConfig(source));
        Fatal::NoConfig(source)
    })?;
    // Errors are handled for each object, with waits that grow; a client that repeats by itself would
    // hold a reconcile for minutes.
    config.default_retry = false;
    config.headers.push((
        hyper::header::USER_AGENT,
        hyper::header::HeaderValue::from_static(FIELD_MANAGER),
    ));
    let address = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|source| Fatal::NoClient {
        address: address.clone(),
        source: Box::new(source),
    })?;
    Ok((client, address))
}

/// Resolves when the process is asked to end.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        info!("asked to stop");
    })
}

/// Reconciles whatever changes, and cleans pods that are nobody's, until it is asked to stop; then what
/// is under way is finished.
async fn control(
    context: Arc<Context>,
    (changes, found): (UnboundedReceiver<ObjectRef<Guarded>>, Found),
    concurrency: u16,
    stop: impl Future<Output = ()> + Clone + Send + 'static,
) {
    let changes = collect(changes.take_until(stop.clone()).boxed(), MOMENT);
    let changes = changes.map(Ok::<_, std::convert::Infallible>);
    let store = context.caches.objects.store().clone();
    let config = controller::Config::default().concurrency(concurrency);
    let results = controller::applier(
        |object, context| reconcile(object, context).boxed(),
        |object: Arc<Guarded>, error, context: Arc<Context>| after_error(&object, error, &context),
        context.clone(),
        store,
        changes,
        config,
    );
    let work = results.for_each(|result| {
        match result {
            Ok(_) | Err(ControllerError::ReconcilerFailed(..)) => {}
            Err(ControllerError::ObjectNotFound(object)) => {
                debug!(%object, "object is gone");
                let object = object.into_kind_unchecked(());
                context.memory.forget(&object);
                context.caches.endings.forget(&object);
                context.metrics.forget(&object);
            }
            Err(other) => error!(error = in_words(&other), "the controller failed"),
        }
        std::future::ready(())
    });
    let mut work = std::pin::pin!(work);
    tokio::select! {
        () = &mut work => return,
        never = strays::clean(&context, found) => match never {},
        () = stop => {}
    }
    if timeout(FINISH, work).await.is_err() {
        debug!("reconciles under way were left to the next operator");
    }
}
