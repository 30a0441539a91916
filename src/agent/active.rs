//! The drain under way: what is known of it, and the samples that are taken for it. The verdict on it
//! is [`super::drain`]'s; what follows from the verdict is [`super::serve`]'s.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hyper::Method;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use super::activity::Millis;
use super::chain;
use super::clock::Clock;
use super::confirm::{Confirmations, Own};
use super::drain::{Notice, Settings, Times, Verdict, Way, judge};
use super::http::notify;
use super::memory::{Mark, Serving};
use super::view::{DrainView, seconds};
use crate::api::receipt::{Outcome, Receipt};
use crate::api::request::DrainRequest;
use crate::api::v1alpha1::Notify;

/// One drain of this pod.
pub struct Active {
    /// What outlives the process of it.
    pub mark: Mark,
    /// The server's count of connections at the last sample.
    pub accepted: u32,
    settings: Settings,
    notify: Option<Notify>,
    times: Times,
    notice: Rc<Cell<Notice>>,
    announcement: Option<AbortHandle>,
    confirmations: Confirmations,
    host_network: bool,
    next_sample: Millis,
}

impl Active {
    /// Begins a drain, or goes on with one after a restart, and tells the application.
    #[must_use]
    pub fn new(request: DrainRequest, mark: Mark, host_network: bool, clock: &Clock) -> Self {
        let withdrawn = mark.withdrawn.as_ref();
        let mut active = Self {
            accepted: 0,
            settings: Settings::new(&request.drain, Way::Readiness, host_network),
            notify: request.drain.notify,
            times: Times {
                heard: clock.place(&mark.heard),
                withdrawn: withdrawn.map(|stamp| clock.place(stamp)),
            },
            notice: Rc::default(),
            announcement: None,
            confirmations: Confirmations::new(mark.listened.clone(), mark.at_start),
            host_network,
            next_sample: Millis::MIN,
            mark,
        };
        active.announce();
        active
    }

    /// Goes on by other settings. The deadline is counted from the same moment.
    pub fn adjust(&mut self, request: DrainRequest) {
        self.settings = Settings::new(&request.drain, Way::Readiness, self.host_network);
        if self.notify != request.drain.notify {
            self.notify = request.drain.notify;
            self.announce();
        }
    }

    /// Whom to tell that the drain was cancelled. They are told nothing else from here on.
    #[must_use]
    pub fn into_notify(self) -> Option<Notify> {
        self.hush();
        self.notify
    }

    /// A readiness probe was told that the pod is withdrawn. `true` the first time.
    pub fn withdraw(&mut self, clock: &Clock) -> bool {
        if self.times.withdrawn.is_some() {
            return false;
        }
        self.times.withdrawn = Some(clock.now());
        self.mark.withdrawn = Some(clock.stamp());
        true
    }

    /// Takes a sample if it is time for one. `true` if the mark has changed by it.
    pub fn sample(&mut self, serving: &Serving, accepted: u32, clock: &Clock) -> bool {
        // A tick that comes a little early is as good as the next one.
        if clock.now() + 10 < self.next_sample {
            return false;
        }
        let own = Own {
            port: serving.port,
            kubelet: serving.kubelet,
            accepted: accepted.wrapping_sub(self.accepted),
        };
        self.accepted = accepted;
        let confirmations = &mut self.confirmations;
        if let Err(error) = confirmations.sample(&self.settings, &own, || clock.now()) {
            eprintln!("{}", chain(&error));
        }
        let pause = confirmations.interval().as_millis();
        self.next_sample = clock.now() + Millis::try_from(pause).unwrap_or(1000);
        let (listened, at_start) = (confirmations.listened(), confirmations.at_start);
        let changed = self.mark.listened != listened || self.mark.at_start != at_start;
        self.mark.listened = listened;
        self.mark.at_start = at_start;
        changed
    }

    /// Where the drain stands.
    #[must_use]
    pub fn verdict(&self, now: Millis) -> Verdict {
        let evidence = &self.confirmations.evidence;
        judge(&self.settings, self.times, self.notice.get(), evidence, now)
    }

    /// The report of a drain that has ended so.
    #[must_use]
    pub fn receipt(&self, outcome: Outcome, now: Millis) -> Receipt {
        let confirmations = &self.confirmations;
        let connections = confirmations.connections();
        Receipt {
            epoch: self.mark.epoch.clone(),
            uid: self.mark.uid.clone(),
            outcome,
            milliseconds: u64::try_from(now - self.times.heard).unwrap_or(0),
            connections_at_start: confirmations.at_start.unwrap_or(connections),
            connections_at_end: connections,
            busy: confirmations.busy(),
            last: (!self.settings.connections.is_empty()).then(|| "connections".to_owned()),
            measured_by: confirmations.measured_by,
        }
    }

    /// What is shown of it.
    #[must_use]
    pub fn view(&self, now: Millis) -> DrainView {
        let (state, waits_for) = match self.verdict(now) {
            Verdict::Ended(outcome) => (format!("{outcome:?}"), None),
            Verdict::Waits(wait) => ("Draining".into(), Some(wait.to_string())),
        };
        let evidence = self.confirmations.evidence.first();
        let evidence = evidence.copied().unwrap_or_default();
        let deadline = self.times.heard + self.settings.timeout;
        DrainView {
            epoch: self.mark.epoch.clone(),
            state,
            waits_for,
            seconds: seconds(now - self.times.heard),
            seconds_left: seconds((deadline - now).max(0)),
            withdrawn: self.times.withdrawn.is_some(),
            connections: evidence.counts.into(),
            arrivals: evidence.arrivals,
            notice: format!("{:?}", self.notice.get()),
            measured_by: format!("{:?}", self.confirmations.measured_by),
            sample_seconds: self.confirmations.cost().as_secs_f64(),
        }
    }

    /// Tells the application, up to three times. The drain waits for the first try alone.
    fn announce(&mut self) {
        self.hush();
        let Some(Notify { http_post }) = self.notify.clone() else {
            self.notice.set(Notice::None);
            return;
        };
        self.notice.set(Notice::Pending);
        let notice = Rc::clone(&self.notice);
        let announcement = spawn_local(async move {
            for _ in 0..3 {
                match notify(&http_post, Method::POST).await {
                    Ok(_) => return notice.set(Notice::Delivered),
                    Err(error) => {
                        eprintln!("notify the application: {}", chain(&error));
                        notice.set(Notice::Failed);
                    }
                }
                sleep(Duration::from_secs(1)).await;
            }
        });
        self.announcement = Some(announcement.abort_handle());
    }

    /// A try that is left would reach the application behind what it is told next, and leave it
    /// draining in service.
    fn hush(&self) {
        if let Some(announcement) = &self.announcement {
            announcement.abort();
        }
    }
}
