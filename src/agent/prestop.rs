//! The hook that the kubelet runs in every container of the application before SIGTERM: drains the
//! pod where that was not done already, then runs the user's own hook. It touches neither readiness
//! nor the mark, and never fails for a reason of its own: SIGTERM comes either way.

use std::process::ExitCode;
use std::time::Duration;

use hyper::Method;
use tokio::time::{sleep, timeout};

use super::activity::Millis;
use super::chain;
use super::clock::Clock;
use super::confirm::{Confirmations, Own};
use super::drain::standing::{last, standings};
use super::drain::{Notice, Settings, Times, Verdict, Way, judge};
use super::hook::Hook;
use super::http::notify;
use super::memory::{Memory, Progress};
use super::podinfo::{Podinfo, Wanted};
use super::serve::Place;
use super::words::{Word, tell};
use crate::api::receipt::Outcome;

/// How often it is looked whether the application has answered.
const ANSWER: Millis = 50;

/// Drains within the grace period, then runs `hook`, whose exit status is ours. `within` is the
/// drain's share of the grace period that the pod was born with; the settings may have changed since.
pub async fn prestop(place: &Place, within: Option<i32>, hook: Hook) -> ExitCode {
    let memory = Memory::at(&place.memory);
    let podinfo = Podinfo::at(&place.podinfo);
    if is_drained(&memory, &podinfo) {
        println!("the pod was drained before");
    } else {
        // The agent sees what the application listens on while it does.
        tell(&place.memory, Word::Leaving).await;
        println!("{}", drain(&memory, &podinfo, within).await);
    }
    let word = if let Hook::Exec(_) = hook {
        Word::Leaving
    } else {
        Word::Ending
    };
    // A command takes our place: when it is done nobody tells.
    if word == Word::Leaving || hook == Hook::None {
        tell(&place.memory, word).await;
        return hook.run().await;
    }
    tell(&place.memory, Word::Leaving).await;
    let status = hook.run().await;
    tell(&place.memory, Word::Ending).await;
    status
}

/// Whether the pod's drain has finished and stands: the mark is erased before a pod turns ready.
fn is_drained(memory: &Memory, podinfo: &Podinfo) -> bool {
    let Wanted::Drain(request) = podinfo.wanted() else {
        return false;
    };
    memory
        .mark()
        .is_some_and(|mark| mark.state == Progress::Finished && mark.epoch == request.epoch)
}

async fn drain(memory: &Memory, podinfo: &Podinfo, within: Option<i32>) -> String {
    let clock = Clock::start();
    let mut drain = podinfo.config().unwrap_or_else(|error| {
        eprintln!("the settings cannot be read, the defaults stand in: {error}");
        crate::api::v1alpha1::Drain::default()
    });
    let share = within.unwrap_or(drain.deletion_timeout_seconds);
    drain.deletion_timeout_seconds = drain.deletion_timeout_seconds.min(share);
    let serving = memory.serving();
    let host_network = serving.is_some_and(|serving| serving.port.is_none());
    let settings = Settings::new(&drain, Way::Termination, host_network);
    let serving = serving.unwrap_or_default();
    let own = Own {
        port: serving.port,
        kubelet: serving.kubelet,
        accepted: 0,
    };
    let limit = Duration::from_millis(u64::try_from(settings.timeout).unwrap_or(0));
    let notice = match &drain.notify {
        None => Notice::None,
        Some(to) => match timeout(limit, notify(&to.http_post, Method::POST)).await {
            Ok(Ok(_)) => Notice::Delivered,
            Ok(Err(error)) => {
                eprintln!("notify the application: {}", chain(&error));
                Notice::Failed
            }
            Err(_) => Notice::Failed,
        },
    };
    // From the deletion on, endpoints call the pod terminating: that is when it was withdrawn.
    let times = Times {
        heard: 0,
        withdrawn: Some(0),
    };
    let mut confirmations = Confirmations::new(Vec::new(), None);
    loop {
        confirmations.take_answers(&settings, clock.now());
        if let Err(error) = confirmations.sample(&settings, &own, || clock.now()) {
            eprintln!("{}", chain(&error));
        }
        let now = clock.now();
        let judge = |confirmations: &Confirmations, now| {
            judge(&settings, times, notice, confirmations.seen(), now)
        };
        let mut verdict = judge(&confirmations, now);
        if let Verdict::Ended(outcome) = verdict {
            let all = standings(&settings, times, confirmations.seen(), now);
            return report(&confirmations, outcome, last(all, outcome), now);
        }
        let next = confirmations.pace.next_look(verdict, settings.timeout, now);
        // An end is believed on a fresh look alone, so an answer that ends the drain brings the look on.
        while matches!(verdict, Verdict::Waits(_)) && clock.now() < next {
            let now = clock.now();
            confirmations.ask(verdict, now);
            let most = if confirmations.is_asking() {
                ANSWER
            } else {
                next - now
            };
            let nap = u64::try_from(most.min(next - now)).unwrap_or(0);
            sleep(Duration::from_millis(nap)).await;
            confirmations.take_answers(&settings, clock.now());
            verdict = judge(&confirmations, clock.now());
        }
    }
}

/// How the drain ended, for the log of the container.
fn report(
    confirmations: &Confirmations,
    outcome: Outcome,
    last: Option<(String, Option<String>)>,
    took: Millis,
) -> String {
    let how = match outcome {
        Outcome::Drained => "drained",
        Outcome::TimedOut => "timed out",
        Outcome::Unresponsive => "left unresponsive connections",
    };
    let which = match (outcome, last) {
        (Outcome::TimedOut, Some((name, Some(why)))) => format!("; {name} did not hold: {why}"),
        (_, Some((name, Some(why)))) => format!("; {name} was ignored: {why}"),
        _ => String::new(),
    };
    format!(
        "{how} after {took} ms: {} connections at the start, {} at the end, {} with work{which}",
        confirmations.at_start.unwrap_or(0),
        confirmations.connections(),
        confirmations.busy(),
    )
}
