//! The sidecar: follows the annotation, withdraws the pod, drains it, leaves a receipt and exits.
//! IO and order of events only; each decision is made by a pure function beside.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use hyper::Method;
use serde_json::json;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::active::Active;
use super::announce::Announcement;
use super::clock::Clock;
use super::departure::{self, Departure};
use super::drain::Verdict;
use super::memory::{Mark, Memory, Progress, Serving};
use super::podinfo::{Podinfo, Wanted};
use super::server::{self, Shared};
use super::service::{State, Step, step};
use super::trouble::Trouble;
use super::view::DrainView;
use super::words;
use crate::api::receipt::Outcome;
use crate::api::request::DrainRequest;
use crate::api::v1alpha1::Drain;
use crate::api::{AGENT, POD_UID_ENV};

/// How often the annotation is looked at: one `readlink`, 0.05 % of a core. Not by inotify:
/// a user may have 128 instances of it on a node, and all agents are one user.
const TICK: Duration = Duration::from_millis(200);

/// The same while the application is asked: a drain may end with its answer.
const ANSWER: Duration = Duration::from_millis(50);

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
    /// The application is about to end.
    departure: Option<Departure>,
    /// The application is being told that a drain was cancelled.
    cancellation: Option<Announcement>,
    troubles: Troubles,
}

/// What can go wrong as long as the drain lasts.
#[derive(Default)]
struct Troubles {
    receipt: Trouble,
    mark: Trouble,
    cancel: Trouble,
}

/// Serves until the drain is over or the pod ends. No port means the host's network.
///
/// # Errors
/// When the port is taken or the volume cannot be written.
pub async fn serve(port: Option<u16>, place: Place) -> Result<(), ServeError> {
    // Listening comes first: from here on the kernel takes the kubelet's probe, and it is answered
    // as soon as the state is known.
    let listen = |port| server::listen(port).map_err(|source| ServeError::Listen { port, source });
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
        departure: None,
        cancellation: None,
        troubles: Troubles::default(),
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

    let woken = Rc::clone(&agent.shared.borrow().woken);
    let ear = words::listen(&place.memory);
    let ear = ear
        .inspect_err(|error| eprintln!("listen to the hooks: {error}"))
        .ok();
    loop {
        tokio::select! {
            () = sleep(agent.pause()) => {}
            () = woken.notified() => {}
            heard = words::hear(ear.as_ref()) => heard.heed(|word| agent.heed(word)),
            _ = terminate.recv() => {
                agent.leave().await;
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
            (Some(active), _) => State::Draining(&active.mark.epoch),
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
                if let Some(active) = &mut self.active {
                    active.adjust(*request);
                }
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
        self.cancellation = None;
        let mut shared = self.shared.borrow_mut();
        shared.told = false;
        shared.view.drains += 1;
        let host_network = self.serving.port.is_none();
        let mut active = Active::new(request, mark, host_network, &self.clock);
        active.accepted = shared.accepted;
        self.active = Some(active);
    }

    /// The mark goes before the pod turns ready: a hook that finds it takes the pod for drained.
    fn cancel(&mut self) {
        let erased = self.memory.erase_mark();
        if !self.troubles.cancel.is_over("erase the mark", erased) {
            self.podinfo.forget();
            return;
        }
        eprintln!("drain cancelled");
        let notify = match self.active.take() {
            Some(active) => active.into_notify(),
            None => self.config().notify,
        };
        self.finished = None;
        self.shared.borrow_mut().view.drain = None;
        self.cancellation = notify.map(|to| Announcement::begin(to, Method::DELETE));
    }

    /// Until when there is nothing to do, if nothing happens.
    fn pause(&self) -> Duration {
        let now = self.clock.now();
        if self.departure.as_ref().is_some_and(|it| !it.is_stale(now)) {
            return departure::TICK;
        }
        let Some(active) = &self.active else {
            return TICK;
        };
        let left = active.next_look().saturating_sub(now);
        let tick = if active.is_asking() { ANSWER } else { TICK };
        tick.min(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// Takes the drain under way one step further. `true` when it is over.
    fn advance(&mut self) -> bool {
        self.learn();
        if let Some(departure) = &mut self.departure {
            departure.look(&self.serving, &self.clock);
        }
        let Some(active) = &mut self.active else {
            return false;
        };
        let told = self.shared.borrow().told;
        if !active.is_withdrawn() && (told || self.memory.is_told(&active.mark.epoch)) {
            active.withdraw(&self.clock);
        }
        active.announce(self.clock.now());
        active.ask(self.clock.now());
        let verdict = (active.next_look() <= self.clock.now()).then(|| self.look());
        self.keep();
        self.show();
        match verdict.flatten() {
            Some(Verdict::Ended(outcome)) => self.finish(outcome),
            _ => false,
        }
    }

    fn look(&mut self) -> Option<Verdict> {
        let accepted = self.shared.borrow().accepted;
        let active = self.active.as_mut()?;
        Some(active.look(&self.serving, accepted, &self.clock))
    }

    /// The receipt comes before the mark: a crash in between drains once more and writes it again.
    fn finish(&mut self, outcome: Outcome) -> bool {
        if !self.write_receipt(outcome) {
            return false;
        }
        if let Some(active) = &mut self.active {
            active.mark.state = Progress::Finished;
            active.unsaved = true;
        }
        self.keep();
        true
    }

    /// A hook says that its container is about to be ended.
    fn heed(&mut self, word: words::Word) {
        let now = self.clock.now();
        let known = self.departure.take().filter(|it| !it.is_stale(now));
        let begin = || Departure::begin(&self.memory, self.config(), &self.serving, now);
        self.departure
            .insert(known.unwrap_or_else(begin))
            .heed(word, now);
    }

    /// The pod ends, and the application has ended: says how, and what a drain has come to.
    async fn leave(&mut self) {
        let outcome = self.look().map(|verdict| match verdict {
            Verdict::Ended(outcome) => outcome,
            Verdict::Waits(_) => Outcome::TimedOut,
        });
        let exit = departure::exit(self.departure.take(), &self.serving, &self.clock).await;
        let now = self.clock.now();
        let drained = self.active.as_ref().zip(outcome);
        let receipt = drained.map(|(active, outcome)| active.receipt(outcome, now));
        self.write_message(&departure::last_words(&self.uid, exit, receipt.as_ref()));
    }

    fn write_receipt(&mut self, outcome: Outcome) -> bool {
        let Some(active) = &self.active else {
            return false;
        };
        let receipt = active.receipt(outcome, self.clock.now());
        self.write_message(&json!(receipt).to_string())
    }

    fn write_message(&mut self, text: &str) -> bool {
        let written = std::fs::write(&self.message, text).inspect(|()| eprintln!("{text}"));
        self.troubles.receipt.is_over("write the receipt", written)
    }

    fn keep(&mut self) {
        if let Some(active) = &mut self.active
            && active.unsaved
        {
            let written = self.memory.write_mark(&active.mark);
            active.unsaved = !self.troubles.mark.is_over("write the mark", written);
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
            (Some(active), _) => Some(active.view(now)),
            (None, Some(epoch)) => Some(DrainView {
                epoch: epoch.clone(),
                state: "Finished".into(),
                ..DrainView::default()
            }),
            (None, None) => None,
        };
    }
}
