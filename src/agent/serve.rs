//! The sidecar: follows the annotation, withdraws the pod, drains it, leaves a receipt and exits.
//! IO and order of events only; each decision is made by a pure function beside.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use hyper::Method;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::activity::Millis;
use super::clock::Clock;
use super::confirm::{Confirmations, Own};
use super::drain::{Notice, Settings, Times, Verdict, Way, judge};
use super::http::notify;
use super::memory::{Mark, Memory, Progress, Serving};
use super::podinfo::{Podinfo, Wanted};
use super::server::{self, Shared};
use super::service::{State, Step, step};
use super::view::{DrainView, seconds};
use crate::api::receipt::{Outcome, Receipt};
use crate::api::request::DrainRequest;
use crate::api::v1alpha1::{Drain, Notify};
use crate::api::{AGENT, POD_UID_ENV};

/// How often the annotation is looked at: one `readlink`, 0.02 % of a core, and half the time that
/// the kubelet needs to bring it.
const TICK: Duration = Duration::from_millis(100);

/// The agent cannot serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The port is taken.
    #[error("listen on port {port}")]
    Listen {
        /// The port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// Signals cannot be heard.
    #[error("listen to signals")]
    Signals(#[source] io::Error),
    /// The hook would have no binary to run.
    #[error("copy the agent's binary into its volume")]
    Install(#[source] io::Error),
}

/// Where the agent finds its world.
#[derive(Clone, Debug)]
pub struct Place {
    /// The agent's volume.
    pub memory: PathBuf,
    /// The projected annotations.
    pub podinfo: PathBuf,
    /// The termination message.
    pub message: PathBuf,
}

/// The drain under way.
struct Active {
    request: DrainRequest,
    settings: Settings,
    mark: Mark,
    times: Times,
    notice: Rc<Cell<Notice>>,
    confirmations: Confirmations,
    /// The server's count of connections at the last sample.
    accepted: u32,
    next_sample: Millis,
}

struct Agent {
    clock: Clock,
    memory: Memory,
    podinfo: Podinfo,
    message: PathBuf,
    uid: String,
    serving: Serving,
    shared: Rc<RefCell<Shared>>,
    active: Option<Active>,
    finished: Option<String>,
}

/// Serves until the drain is over or the pod ends. No port means the host's network.
///
/// # Errors
/// When the port is taken or the volume cannot be written.
pub async fn serve(port: Option<u16>, place: Place) -> Result<(), ServeError> {
    // Listening comes first: from here on the kernel takes the kubelet's probe, and it is answered
    // as soon as the state is known.
    let listener = port.map(listen).transpose()?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let memory = Memory::at(&place.memory);
    let mut agent = Agent {
        clock: Clock::start(),
        podinfo: Podinfo::at(&place.podinfo),
        message: place.message,
        uid: std::env::var(POD_UID_ENV).unwrap_or_default(),
        serving: Serving {
            port,
            kubelet: None,
        },
        shared: Rc::default(),
        active: None,
        finished: None,
        memory,
    };
    agent.restore();
    agent.follow();
    if let Some(listener) = listener {
        spawn_local(server::serve(listener, Rc::clone(&agent.shared)));
    }
    let binary = Path::new("/proc/self/exe");
    agent
        .memory
        .install_binary(binary, AGENT)
        .map_err(ServeError::Install)?;
    agent.write_serving();

    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = terminate.recv() => {
                agent.leave();
                return Ok(());
            }
        }
        agent.follow();
        if agent.advance() {
            // The server still answers what it has accepted.
            sleep(Duration::from_millis(10)).await;
            return Ok(());
        }
    }
}

/// Listens on both families where the node has both.
fn listen(port: u16) -> Result<TcpListener, ServeError> {
    let bind = |socket: io::Result<TcpSocket>, address: SocketAddr| {
        let socket = socket?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(128)
    };
    bind(TcpSocket::new_v6(), (Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|_| bind(TcpSocket::new_v4(), (Ipv4Addr::UNSPECIFIED, port).into()))
        .map_err(|source| ServeError::Listen { port, source })
}

impl Agent {
    /// Takes up what the mark says. What the annotation makes of it comes after.
    fn restore(&mut self) {
        let Some(mark) = self.memory.mark() else {
            return;
        };
        if mark.state == Progress::Finished {
            self.finished = Some(mark.epoch);
        } else {
            let drain = match self.podinfo.wanted() {
                Wanted::Drain(request) if request.epoch == mark.epoch => request.drain,
                _ => self.config(),
            };
            let request = DrainRequest {
                epoch: mark.epoch.clone(),
                drain,
                asked: None,
            };
            self.resume(request, mark);
        }
        self.show();
    }

    fn config(&self) -> Drain {
        self.podinfo.config().unwrap_or_default()
    }

    /// Follows the annotation.
    fn follow(&mut self) {
        let Some(wanted) = self.podinfo.changed() else {
            return;
        };
        let state = match (&self.active, &self.finished) {
            (Some(active), _) => State::Draining(&active.request.epoch),
            (None, Some(epoch)) => State::Finished(epoch),
            (None, None) => State::Service,
        };
        let complaint = match step(state, wanted) {
            Step::Complain(reason) => Some(reason),
            Step::Stay => None,
            Step::Begin(request) => {
                self.begin(*request);
                None
            }
            Step::Adjust(request) => {
                self.adjust(*request);
                None
            }
            Step::Cancel => {
                self.cancel();
                None
            }
        };
        let mut shared = self.shared.borrow_mut();
        if let Some(reason) = &complaint
            && shared.view.complaint != complaint
        {
            eprintln!("the drain annotation is not followed: {reason}");
        }
        shared.view.complaint = complaint;
    }

    fn begin(&mut self, request: DrainRequest) {
        eprintln!("drain {} begins", request.epoch);
        let mark = Mark {
            epoch: request.epoch.clone(),
            uid: self.uid.clone(),
            state: Progress::Draining,
            heard: self.clock.stamp(),
            withdrawn: None,
            listened: Vec::new(),
            at_start: None,
        };
        self.finished = None;
        self.resume(request, mark);
        self.keep();
        self.show();
    }

    fn resume(&mut self, request: DrainRequest, mark: Mark) {
        {
            let mut shared = self.shared.borrow_mut();
            shared.told = false;
            shared.view.drains += 1;
        }
        let times = Times {
            heard: self.clock.place(&mark.heard),
            withdrawn: mark.withdrawn.as_ref().map(|stamp| self.clock.place(stamp)),
        };
        let notice = Rc::new(Cell::new(Notice::None));
        announce(request.drain.notify.as_ref(), &notice);
        self.active = Some(Active {
            settings: self.settings(&request.drain),
            confirmations: Confirmations::new(mark.listened.clone(), mark.at_start),
            request,
            mark,
            times,
            notice,
            accepted: self.shared.borrow().accepted,
            next_sample: Millis::MIN,
        });
    }

    fn adjust(&mut self, request: DrainRequest) {
        let settings = self.settings(&request.drain);
        if let Some(active) = &mut self.active {
            if active.request.drain.notify != request.drain.notify {
                announce(request.drain.notify.as_ref(), &active.notice);
            }
            active.settings = settings;
            active.request = request;
        }
    }

    fn settings(&self, drain: &Drain) -> Settings {
        Settings::new(drain, Way::Readiness, self.serving.port.is_none())
    }

    /// The mark goes before the pod turns ready: a hook that finds it takes the pod for drained.
    fn cancel(&mut self) {
        if let Err(error) = self.memory.erase_mark() {
            eprintln!("erase the mark, will be tried again: {error}");
            self.podinfo.forget();
            return;
        }
        eprintln!("drain cancelled");
        let notice = match self.active.take() {
            Some(active) => active.request.drain.notify,
            None => self.config().notify,
        };
        self.finished = None;
        self.shared.borrow_mut().view.drain = None;
        if let Some(Notify { http_post }) = notice {
            spawn_local(async move { notify(&http_post, Method::DELETE).await });
        }
    }

    /// Takes the drain under way one step further. `true` when it is over.
    fn advance(&mut self) -> bool {
        self.learn();
        let now = self.clock.now();
        let Some(active) = &mut self.active else {
            return false;
        };
        let told = self.shared.borrow().told || self.memory.is_told(&active.request.epoch);
        if active.times.withdrawn.is_none() && told {
            active.times.withdrawn = Some(now);
            active.mark.withdrawn = Some(self.clock.stamp());
            self.keep();
        }
        self.sample();
        let verdict = self.verdict();
        self.show();
        match verdict {
            Some(Verdict::Ended(outcome)) => self.finish(outcome),
            _ => false,
        }
    }

    fn sample(&mut self) {
        let Some(active) = &mut self.active else {
            return;
        };
        // A tick that comes a little early is as good as the next one.
        if self.clock.now() + 10 < active.next_sample {
            return;
        }
        let accepted = self.shared.borrow().accepted;
        let own = Own {
            port: self.serving.port,
            kubelet: self.serving.kubelet,
            accepted: accepted.wrapping_sub(active.accepted),
        };
        active.accepted = accepted;
        let sampled = active
            .confirmations
            .sample(&active.settings, &own, || self.clock.now());
        if let Err(error) = sampled {
            eprintln!("look at the connections: {error}");
        }
        let pause = active.confirmations.interval().as_millis();
        active.next_sample = self.clock.now() + Millis::try_from(pause).unwrap_or(1000);
        let listened = active.confirmations.listened();
        let at_start = active.confirmations.at_start;
        if active.mark.listened != listened || active.mark.at_start != at_start {
            active.mark.listened = listened;
            active.mark.at_start = at_start;
            self.keep();
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        let active = self.active.as_ref()?;
        Some(judge(
            &active.settings,
            active.times,
            active.notice.get(),
            &active.confirmations.evidence,
            self.clock.now(),
        ))
    }

    /// The receipt comes before the mark: a crash in between drains once more and writes it again.
    fn finish(&mut self, outcome: Outcome) -> bool {
        if !self.write_receipt(outcome) {
            return false;
        }
        if let Some(active) = &mut self.active {
            active.mark.state = Progress::Finished;
        }
        self.keep();
        true
    }

    /// The pod ends: what a drain has come to is said in a last receipt.
    fn leave(&mut self) {
        if let Some(verdict) = self.verdict() {
            self.write_receipt(match verdict {
                Verdict::Ended(outcome) => outcome,
                Verdict::Waits(_) => Outcome::TimedOut,
            });
        }
    }

    fn write_receipt(&self, outcome: Outcome) -> bool {
        let Some(active) = &self.active else {
            return false;
        };
        let confirmations = &active.confirmations;
        let connections = confirmations.connections();
        let receipt = Receipt {
            epoch: active.request.epoch.clone(),
            uid: self.uid.clone(),
            outcome,
            milliseconds: u64::try_from(self.clock.now() - active.times.heard).unwrap_or(0),
            connections_at_start: confirmations.at_start.unwrap_or(connections),
            connections_at_end: connections,
            busy: confirmations.busy(),
            last: (!active.settings.connections.is_empty()).then(|| "connections".to_owned()),
            measured_by: confirmations.measured_by,
        };
        let text = serde_json::to_string(&receipt).unwrap_or_default();
        eprintln!("{text}");
        let written = std::fs::write(&self.message, text);
        if let Err(error) = &written {
            eprintln!("write the receipt: {error}");
        }
        written.is_ok()
    }

    fn keep(&self) {
        if let Some(active) = &self.active
            && let Err(error) = self.memory.write_mark(&active.mark)
        {
            eprintln!("write the mark: {error}");
        }
    }

    /// Notes where the probes come from, for the hook to know as well.
    fn learn(&mut self) {
        let kubelet = self.shared.borrow().kubelet;
        if kubelet != self.serving.kubelet {
            self.serving.kubelet = kubelet;
            self.write_serving();
        }
    }

    fn write_serving(&self) {
        if let Err(error) = self.memory.write_serving(&self.serving) {
            eprintln!("write who serves: {error}");
        }
    }

    /// Brings the view up to date. A drain in the view is what `/readyz` goes by.
    fn show(&self) {
        let now = self.clock.now();
        let mut shared = self.shared.borrow_mut();
        shared.view.drain = match (&self.active, &self.finished) {
            (Some(active), _) => Some(active.view(self.verdict(), now)),
            (None, Some(epoch)) => Some(DrainView {
                epoch: epoch.clone(),
                state: "Finished".into(),
                ..DrainView::default()
            }),
            (None, None) => None,
        };
    }
}

impl Active {
    fn view(&self, verdict: Option<Verdict>, now: Millis) -> DrainView {
        let (state, waits_for) = match verdict {
            Some(Verdict::Ended(outcome)) => (format!("{outcome:?}"), None),
            Some(Verdict::Waits(wait)) => ("Draining".into(), Some(wait.to_string())),
            None => ("Draining".into(), None),
        };
        let evidence = self
            .confirmations
            .evidence
            .first()
            .copied()
            .unwrap_or_default();
        DrainView {
            epoch: self.request.epoch.clone(),
            state,
            waits_for,
            seconds: seconds(now - self.times.heard),
            seconds_left: seconds((self.times.heard + self.settings.timeout - now).max(0)),
            withdrawn: self.times.withdrawn.is_some(),
            connections: evidence.counts.into(),
            arrivals: evidence.arrivals,
            notice: format!("{:?}", self.notice.get()),
            measured_by: format!("{:?}", self.confirmations.measured_by),
            sample_seconds: self.confirmations.cost.as_secs_f64(),
        }
    }
}

/// Tells the application, up to three times. The drain waits for the first try alone.
fn announce(to: Option<&Notify>, notice: &Rc<Cell<Notice>>) {
    let Some(Notify { http_post }) = to.cloned() else {
        notice.set(Notice::None);
        return;
    };
    notice.set(Notice::Pending);
    let notice = Rc::clone(notice);
    spawn_local(async move {
        for _ in 0..3 {
            match notify(&http_post, Method::POST).await {
                Ok(_) => return notice.set(Notice::Delivered),
                Err(error) => {
                    eprintln!("notify the application: {error}");
                    notice.set(Notice::Failed);
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
}
