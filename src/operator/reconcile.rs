//! Four steps: observe, plan, report, act. Everything that is decided is decided by the planner, and
//! what it remembers is in the status before anything is done.

mod recalled;
mod wake;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::runtime::controller::Action as Requeue;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource, ResourceExt};
use tokio::time::Instant;
use tracing::{debug, warn};

use self::recalled::Recalled;
use self::wake::{SHORTEST, SOON, next_look};
use super::act::{Actor, Calls};
use super::caches::{Caches, Guarded};
use super::clock::Clock;
use super::echo::repeat;
use super::error::{Class, Error, in_words};
use super::host::Host;
use super::lease::Leadership;
use super::memory::{Freshness, Memory, Notes};
use super::metrics::Metrics;
use super::report::{Refusal, Reported, Standing, report, report_unreadable, tell};
use super::traces::Traces;
use crate::api::v1alpha1::GracefulDeployment;
use crate::inject::{Injected, Injection, inject, template_hash};
use crate::observe::{Objects, Wanted, observe};
use crate::rollout::{Event, Invalid, Observation, Plan, Target, plan};

/// How often what was just written is planned on before the cache shows it. A rollout that begins has
/// two statuses to write; more is for the next look.
const ROUNDS: u32 = 3;

/// What every reconcile needs.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) caches: Caches,
    pub(super) memory: Memory,
    pub(super) clock: Clock,
    pub(super) leadership: Leadership,
    pub(super) host: Arc<dyn Host>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) agent: Agent,
    pub(super) traces: Traces,
}

/// The agent that is injected.
pub(super) struct Agent {
    pub(super) image: String,
    pub(super) pull_policy: Option<&'static str>,
}

/// Brings one object nearer to what is wanted, by one small step.
pub(super) async fn reconcile(
    object: Arc<Guarded>,
    context: Arc<Context>,
) -> Result<Requeue, Error> {
    let started = Instant::now();
    let steps = AssertUnwindSafe(reconcile_guarded(&object, &context)).catch_unwind();
    let result = steps.await.unwrap_or_else(|panic| {
        Err(Error::Panicked {
            name: object.name_any(),
            message: words_of(&*panic),
        })
    });
    context.metrics.reconciled(started.elapsed());
    result
}

async fn reconcile_guarded(object: &Guarded, context: &Context) -> Result<Requeue, Error> {
    let key = ObjectRef::from_obj(object);
    let folded = match &object.0 {
        Ok(folded) => folded,
        Err(invalid) => {
            return reconcile_unreadable(object, &invalid.error, &key, context).await;
        }
    };
    if let Some(rest) = context.memory.of(&key, |notes| notes.rests(Instant::now())) {
        return Ok(Requeue::requeue(rest));
    }
    let readable = match folded.unfold() {
        Ok(readable) => readable,
        Err(error) => {
            return reconcile_unreadable(object, &error.to_string(), &key, context).await;
        }
    };
    let mut objects = context.caches.objects_of(&readable);
    let recalled = context.recall(&key, &objects);
    match recalled.freshness {
        Freshness::Current => {}
        Freshness::Behind(rest) => {
            context.metrics.waited();
            debug!("the cache does not show our last write yet");
            return Ok(Requeue::requeue(rest));
        }
        Freshness::Expired => {
            context.metrics.expired();
            warn!("a cache did not show our last write in time; going on with what it shows");
        }
    }
    objects.replica_sets.extend(recalled.foreign.clone());
    four_steps(&objects, &recalled, &key, context).await
}

async fn four_steps(
    objects: &Objects<'_>,
    recalled: &Recalled,
    key: &ObjectRef<Guarded>,
    context: &Context,
) -> Result<Requeue, Error> {
    let wanted = context.want(objects.object);
    let seen = wanted.as_ref().map(|(wanted, _)| wanted.clone());
    let seen = seen.map_err(Clone::clone);
    let mut observation = observe(objects, seen, recalled.now, context.host.random());
    recalled.correct(&mut observation);
    context.count_ends(objects, &mut observation, key);
    let actor = Actor {
        calls: context.calls(),
        objects,
        wanted: wanted.as_ref().ok(),
        size: observation.target.as_ref().ok().map(Target::size),
        now: observation.now,
    };
    let mut told = Vec::new();
    let steps = settle_and_act(&actor, observation, recalled, (key, context), &mut told).await;
    tell(&actor.calls, objects.object, &told).await;
    steps
}

/// The steps that change something. `told` is what the user of the object is to hear of it, however it ends.
async fn settle_and_act(
    actor: &Actor<'_>,
    mut observation: Observation,
    recalled: &Recalled,
    (key, context): (&ObjectRef<Guarded>, &Context),
    told: &mut Vec<Event>,
) -> Result<Requeue, Error> {
    let settled = settle(actor, &mut observation, recalled, (key, context), told).await;
    let (mut plan, again) = settled?;
    context.metrics.held(key, &plan.holds);
    repeat(
        &mut plan,
        actor.objects,
        &observation.previous,
        observation.now,
    );
    let acts = actor.act(&plan.actions).await;
    let is_taken = acts.foreign.is_some();
    context.memory.of(key, |notes| {
        let at = Instant::now();
        notes.foreign = acts.foreign.map(Arc::new).or(notes.foreign.take());
        notes.refusal = Refusal::among(&acts.errors);
        for written in acts.written {
            notes.wrote(written, at);
        }
    });
    if let Some(error) = acts.errors.into_iter().next() {
        return Err(error);
    }
    let again = [again, is_taken.then_some(SOON)].into_iter().flatten();
    context.memory.of(key, |notes| notes.failures = 0);
    Ok(Requeue::requeue(next_look(&plan, recalled.now, again)))
}

/// Plans, and writes what the plan wants to be remembered. Nothing is done that the status does not
/// remember; what rests on the memory need not wait for the cache to show it, and is planned for at
/// once.
async fn settle(
    actor: &Actor<'_>,
    observation: &mut Observation,
    recalled: &Recalled,
    (key, context): (&ObjectRef<Guarded>, &Context),
    told: &mut Vec<Event>,
) -> Result<(Plan, Option<Duration>), Error> {
    let mut standing = Standing::of(actor.objects.object);
    let mut waited = recalled
        .put_off
        .as_ref()
        .map(|put_off| put_off.since.elapsed());
    let mut round = 0;
    loop {
        let plan = plan(observation);
        let refusal = recalled.refusal.as_ref();
        let waits = waited.take().unwrap_or_default();
        context.caches.endings.tries(key, &plan);
        let reported = report(actor, &plan, &standing, (refusal, waits), told).await?;
        if !matches!(reported, Reported::PutOff(_)) {
            context.caches.endings.are_counted(key, &plan.counted);
            context.metrics.ended(key, &plan.counted);
        }
        if matches!(reported, Reported::Written(..)) {
            let object = actor.objects.object.meta();
            context.traces.tell(object, observation, &plan);
        }
        context.memory.of(key, |notes| {
            notes.reported(&reported, &plan, recalled.ahead_now);
        });
        let again = match reported {
            Reported::Nothing => None,
            Reported::PutOff(again) => Some(again),
            // A collision that was counted makes another name the wanted one: for that this
            // observation is of no use any more.
            Reported::Written(_, now)
                if round < ROUNDS
                    && now.status.collision_count == observation.previous.collision_count =>
            {
                observation.previous.clone_from(&now.status);
                observation.ends.clear();
                standing = *now;
                round += 1;
                continue;
            }
            Reported::Written(..) => Some(SHORTEST),
        };
        return Ok((plan, again));
    }
}

/// An object that this operator cannot read stops no other, and nothing of it is touched.
async fn reconcile_unreadable(
    object: &Guarded,
    error: &str,
    key: &ObjectRef<Guarded>,
    context: &Context,
) -> Result<Requeue, Error> {
    let is_known = |notes: &mut Notes| notes.unreadable.as_deref() == Some(error);
    if !context.memory.of(key, is_known) {
        match report_unreadable(&context.calls(), object, error).await {
            // What no client can read, the API server may not take a status for; the Event says it.
            Err(error) if error.is_invalid() => debug!("the status cannot be written either"),
            other => other?,
        }
        let remember = |notes: &mut Notes| notes.unreadable = Some(error.to_owned());
        context.memory.of(key, remember);
    }
    Ok(Requeue::await_change())
}

/// What follows from an error: conflicts are a reason to look again, everything else is tried again
/// after a wait that grows.
pub(super) fn after_error(object: &Guarded, error: &Error, context: &Context) -> Requeue {
    let words = in_words(error);
    match error.class() {
        Class::LookAgain => {
            debug!(error = words, "the world moved on; looking again");
            Requeue::requeue(SOON)
        }
        Class::Retry(least) => {
            context.metrics.failed(error.variant());
            let key = ObjectRef::from_obj(object);
            let wait = context.memory.of(&key, |notes| {
                // A change of anything would have us look sooner.
                notes.rest = least.map(|least| Instant::now() + least);
                notes.next_wait(context.host.random())
            });
            let wait = wait.max(least.unwrap_or_default());
            warn!(
                error = words,
                wait = wait.as_secs_f32(),
                "reconciling failed"
            );
            Requeue::requeue(wait)
        }
    }
}

impl Context {
    /// Of a process that begins and remembers nothing.
    pub(super) fn begin(
        client: Client,
        caches: Caches,
        host: Arc<dyn Host>,
        metrics: Arc<Metrics>,
        agent: Agent,
    ) -> Self {
        Self {
            client,
            caches,
            memory: Memory::default(),
            clock: Clock::start(host.clone()),
            leadership: Leadership::always(),
            host,
            metrics,
            agent,
            traces: Traces::default(),
        }
    }

    /// Of a process that writes only while it leads.
    pub(super) fn led_by(self, leadership: Leadership) -> Self {
        Self { leadership, ..self }
    }

    /// Of a process that tells of what has ended.
    pub(super) fn traced_by(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    pub(super) fn calls(&self) -> Calls<'_> {
        Calls {
            client: &self.client,
            leadership: &self.leadership,
            metrics: &self.metrics,
            clock: &self.clock,
        }
    }

    /// Adds the pods that are gone and that the status does not count.
    fn count_ends(
        &self,
        objects: &Objects<'_>,
        observation: &mut Observation,
        key: &ObjectRef<Guarded>,
    ) {
        let endings = &self.caches.endings;
        let arrived = endings.recall(key, objects, observation);
        self.metrics.sees(key);
        self.metrics.ended(key, &arrived);
    }

    /// What a pod of the object's template would be, or why there can be none.
    fn want(&self, object: &GracefulDeployment) -> Result<(Wanted, Injected), Invalid> {
        let spec = &object.spec;
        let injection = Injection {
            drain: &spec.drain,
            shutdown: &spec.shutdown,
            probes: &spec.probes,
            agent_image: &self.agent.image,
            agent_pull_policy: self.agent.pull_policy,
        };
        let injected = inject(&spec.template, &injection)
            .map_err(|refusal| Invalid(vec![refusal.to_string()]))?;
        let collisions = object
            .status
            .as_ref()
            .and_then(|status| status.collision_count);
        let wanted = Wanted {
            hash: template_hash(&spec.template, collisions),
            injected: injected.summary.clone(),
            remarks: injected.remarks.clone(),
        };
        Ok((wanted, injected))
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a word".into())
}
