//! The drain under way: what is known of it, and the samples that are taken for it. The verdict on it
//! is [`super::drain`]'s; what follows from the verdict is [`super::serve`]'s.

use hyper::Method;

use super::activity::Millis;
use super::announce::Announcement;
use super::clock::Clock;
use super::confirm::{Confirmations, Own};
use super::drain::standing::{Standing, last, standings};
use super::drain::{Late, Notice, Settings, Times, Verdict, Wait, Way, judge};
use super::memory::{Mark, Serving};
use super::trouble::Trouble;
use super::view::{DrainView, seconds};
use crate::api::receipt::{Outcome, Receipt};
use crate::api::request::DrainRequest;
use crate::api::v1alpha1::Notify;

/// From the first 503 until the application is told. Routes lead to the pod for another second or two
/// (the kubelet's status, the EndpointSlice, kube-proxy's next round): a client that is sent away before
/// that comes straight back.
const ROUTES: Millis = 2000;

/// One drain of this pod.
pub struct Active {
    /// What outlives the process of it.
    pub mark: Mark,
    /// Whether the mark has changed since it was written.
    pub unsaved: bool,
    /// The server's count of connections at the last sample.
    pub accepted: u32,
    settings: Settings,
    notify: Option<Notify>,
    times: Times,
    announcement: Option<Announcement>,
    confirmations: Confirmations,
    late: Late,
    trouble: Trouble,
    host_network: bool,
    next_look: Millis,
}

impl Active {
    /// Begins a drain, or goes on with one after a restart.
    #[must_use]
    pub fn new(request: DrainRequest, mark: Mark, host_network: bool, clock: &Clock) -> Self {
        let withdrawn = mark.withdrawn.as_ref();
        Self {
            unsaved: true,
            accepted: 0,
            settings: Settings::new(&request.drain, Way::Readiness, host_network),
            notify: request.drain.notify,
            times: Times {
                heard: clock.place(&mark.heard),
                withdrawn: withdrawn.map(|stamp| clock.place(stamp)),
            },
            announcement: None,
            confirmations: Confirmations::new(mark.listened.clone(), mark.at_start),
            late: Late::default(),
            trouble: Trouble::default(),
            host_network,
            next_look: Millis::MIN,
            mark,
        }
    }

    /// Goes on by other settings. The deadline is counted from the same moment.
    pub fn adjust(&mut self, request: DrainRequest) {
        self.settings = Settings::new(&request.drain, Way::Readiness, self.host_network);
        self.next_look = Millis::MIN;
        if self.notify != request.drain.notify {
            self.notify = request.drain.notify;
            self.announcement = None;
        }
    }

    /// Whom to tell that the drain was cancelled. They are told nothing else from here on.
    #[must_use]
    pub fn into_notify(self) -> Option<Notify> {
        self.notify
    }

    /// Whether a readiness probe was told that the pod is withdrawn.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.times.withdrawn.is_some()
    }

    /// A readiness probe was told just now.
    pub fn withdraw(&mut self, clock: &Clock) {
        self.times.withdrawn = Some(clock.now());
        self.mark.withdrawn = Some(clock.stamp());
        self.unsaved = true;
        self.next_look = Millis::MIN;
    }

    /// When the connections are to be looked at next.
    #[must_use]
    pub fn next_look(&self) -> Millis {
        self.next_look
    }

    /// Tells the application, where that is due: no later than the routes are trusted to have
    /// forgotten the pod. The drain waits for the first try alone.
    pub fn announce(&mut self, now: Millis) {
        let routes = ROUTES.min(self.settings.min);
        let is_due = |withdrawn| now - withdrawn >= routes;
        if self.announcement.is_none() && self.times.withdrawn.is_some_and(is_due) {
            let to = self.notify.clone();
            self.announcement = to.map(|to| Announcement::begin(to, Method::POST));
        }
    }

    /// Looks at the connections, and judges by what is seen.
    pub fn look(&mut self, serving: &Serving, accepted: u32, clock: &Clock) -> Verdict {
        let own = Own {
            port: serving.port,
            kubelet: serving.kubelet,
            accepted: accepted.wrapping_sub(self.accepted),
        };
        self.accepted = accepted;
        let sample = self
            .confirmations
            .sample(&self.settings, &own, || clock.now());
        self.trouble.is_over("look at the connections", sample);
        let (listened, at_start) = (self.confirmations.listened(), self.confirmations.at_start);
        self.unsaved |= self.mark.listened != listened || self.mark.at_start != at_start;
        self.mark.listened = listened;
        self.mark.at_start = at_start;

        let now = clock.now();
        let evidence = self.confirmations.seen().evidence;
        self.late.count(&self.settings, self.times, evidence, now);
        let verdict = self.verdict(now);
        let pace = &self.confirmations.pace;
        let deadline = if self.settings.outlasts {
            Millis::MAX
        } else {
            self.deadline()
        };
        self.next_look = pace.next_look(verdict, deadline, now);
        verdict
    }

    /// Takes in what the application has answered, and asks what is due. Where that was the last thing
    /// that was waited for, the connections are looked at at once.
    pub fn ask(&mut self, now: Millis) {
        self.confirmations.take_answers(&self.settings, now);
        let verdict = self.verdict(now);
        if matches!(verdict, Verdict::Ended(_)) {
            self.next_look = Millis::MIN;
        }
        self.confirmations.ask(verdict, now);
    }

    /// Whether an answer of the application is awaited.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.confirmations.is_asking()
    }

    /// Where the drain stands, by the last look.
    #[must_use]
    pub fn verdict(&self, now: Millis) -> Verdict {
        let seen = self.confirmations.seen();
        judge(&self.settings, self.times, self.notice(), seen, now)
    }

    fn notice(&self) -> Notice {
        match &self.announcement {
            Some(announcement) => announcement.notice(),
            None if self.notify.is_some() => Notice::Pending,
            None => Notice::None,
        }
    }

    fn deadline(&self) -> Millis {
        self.times.heard + self.settings.timeout
    }

    fn standings(&self, now: Millis) -> Vec<Standing> {
        standings(&self.settings, self.times, self.confirmations.seen(), now)
    }

    /// The report of a drain that has ended so.
    #[must_use]
    pub fn receipt(&self, outcome: Outcome, now: Millis) -> Receipt {
        let confirmations = &self.confirmations;
        let (last, why) = last(self.standings(now), outcome).unzip();
        let connections = confirmations.connections();
        Receipt {
            epoch: self.mark.epoch.clone(),
            uid: self.mark.uid.clone(),
            outcome,
            milliseconds: u64::try_from(now - self.times.heard).unwrap_or(0),
            connections_at_start: confirmations.at_start.unwrap_or(connections),
            connections_at_end: connections,
            busy: confirmations.busy(),
            last,
            why: why.flatten(),
            measured_by: confirmations.measured_by,
            late_arrivals: self.late.number,
        }
    }

    /// What is shown of it.
    #[must_use]
    pub fn view(&self, now: Millis) -> DrainView {
        let (state, waits_for) = match self.verdict(now) {
            Verdict::Ended(outcome) => (format!("{outcome:?}"), None),
            Verdict::Waits(wait) => ("Draining".into(), Some(self.in_words(wait))),
        };
        let evidence = self.confirmations.seen().evidence.first();
        let evidence = evidence.copied().unwrap_or_default();
        DrainView {
            epoch: self.mark.epoch.clone(),
            state,
            waits_for,
            seconds: seconds(now - self.times.heard),
            seconds_left: seconds((self.deadline() - now).max(0)),
            withdrawn: self.is_withdrawn(),
            confirmations: self.standings(now),
            connections: evidence.counts.into(),
            arrivals: evidence.arrivals,
            late_arrivals: self.late.number,
            notice: format!("{:?}", self.notice()),
            measured_by: format!("{:?}", self.confirmations.measured_by),
            sample_seconds: self.confirmations.pace.cost().as_secs_f64(),
        }
    }

    /// What is waited for, by the name that the spec gives it.
    fn in_words(&self, wait: Wait) -> String {
        let name = |at: usize| self.settings.questions.get(at).map(|one| one.what.name());
        match wait {
            Wait::Answer(at, why) => format!("{}: {why}", name(at).unwrap_or_default()),
            Wait::FreshAnswer(at) => format!("{}: a last answer", name(at).unwrap_or_default()),
            other => other.to_string(),
        }
    }
}
