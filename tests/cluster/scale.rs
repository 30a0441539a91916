//! One operator with a thousand objects and five thousand pods: how soon it has seen all of them, what it costs at
//! rest, how much it keeps of each pod, and how long a hundred rollouts at once take beside a hundred Deployments'.
//! Only `cargo xtask test scale` runs it, alone: no trail and no watcher of promises beside it, which keep every
//! change in memory and would be what is measured.

mod books;
#[path = "../e2e/figure.rs"]
#[expect(dead_code, reason = "what only the tests of e2e use")]
mod figure;
mod fleet;
mod soak;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use graceful::api::FIELD_MANAGER;
use kube::Client;

use self::books::{Mark, mebibytes, processor_time, reconciled, series};
use self::figure::{median, show};
use self::fleet::{Fleet, PODS};
use crate::standin::orders::{Manner, Start};
use crate::standin::stand_in;
use crate::world::{Deployment, Graceful, Operator};

/// Objects at which memory is looked at.
const SIZES: [usize; 3] = [250, 500, 1000];

/// Rollouts at the same time.
const AT_ONCE: usize = 100;

/// A steady fleet is left alone for so long.
const STEADY: Duration = Duration::from_secs(60);

/// What is put off is written by then.
const SETTLED: Duration = Duration::from_secs(15);

/// Series that are there so long after their object are taken to stay.
const FORGOTTEN: Duration = Duration::from_mins(3);

/// All of it in one test: each step needs what the one before it made.
#[test]
fn operator_of_a_thousand_objects_is_quick_small_and_quiet() {
    alone(measure());
}

/// On a cluster that nothing else is done on.
fn alone(work: impl Future<Output = ()>) {
    crate::crd::install();
    stand_in();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work);
}

async fn measure() {
    let client = Client::try_default().await.expect("a cluster");
    let fleet = Fleet::<Graceful>::new(&client).await;
    let mut life = Life::start("grows").await;
    let base = warm(&fleet, &life).await;
    let mut memory = Vec::new();
    let mut made = 0;
    for size in SIZES {
        let began = Instant::now();
        fleet.grow(made..size).await;
        made = size;
        say(&format!("{size} objects are complete"), began);
        tokio::time::sleep(SETTLED).await;
        life = Life::restarted(life, size).await;
        memory.push((size * PODS, life.memory()));
    }
    show_memory(&memory);
    life.rests().await;
    life.is_scraped().await;
    rollouts(&client, &fleet).await;
    show("memory after rollouts", life.memory(), None, "MiB");
    let began = Instant::now();
    fleet.shrink().await;
    say("all are deleted", began);
    life.forgets(base).await;
    assert_kept();
}

/// The limits that were not kept: told at the end, so that one does not hide what comes after it.
static BROKEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn assert_kept() {
    let broken = BROKEN.lock().unwrap().join("\n");
    assert!(broken.is_empty(), "{broken}");
}

fn at_most(figure: &str, value: f64, limit: f64, unit: &str) {
    show(figure, value, Some(limit), unit);
    // NaN is at most nothing.
    let is_kept = value <= limit;
    if !is_kept {
        let broken = format!("{figure}: {value:.2} {unit}, at most {limit:.2} wanted");
        BROKEN.lock().unwrap().push(broken);
    }
}

/// What took how long, for who watches.
fn say(what: &str, began: Instant) {
    println!("{what} after {:.1} s", began.elapsed().as_secs_f64());
}

/// One object that comes, rolls and goes, so that all series that are not an object's are there. Returns how many
/// there are.
async fn warm(fleet: &Fleet<Graceful>, life: &Life) -> usize {
    fleet.grow(0..1).await;
    fleet.roll(1, "web:2").await;
    fleet.shrink().await;
    life.until_forgotten().await;
    series(&life.page().await)
}

/// One process of the operator.
struct Life {
    name: String,
    operator: Operator,
    began: Instant,
    mark: Mark,
}

impl Life {
    async fn start(name: &str) -> Self {
        let name = format!("scale-{name}-{}", std::process::id());
        let (mark, began) = (Mark::now(), Instant::now());
        let life = Self {
            operator: Operator::start_everywhere(&name),
            name,
            began,
            mark,
        };
        while !Operator::log(&life.name).contains("caches are complete") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        life
    }

    /// Ends one as the kernel would, and starts the next, which looks at every object and writes nothing.
    async fn restarted(mut before: Self, size: usize) -> Self {
        before.operator.kill();
        let life = Self::start(&format!("sees-{size}")).await;
        let listed = life.began.elapsed().as_secs_f64();
        while reconciled(&life.page().await) < size {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let seen = life.began.elapsed().as_secs_f64();
        let used = processor_time(life.operator.id()).as_secs_f64();
        show(
            &format!("{size} objects: listed after a restart"),
            listed,
            None,
            "s",
        );
        let limit = 5.0 * figure::slack();
        show(
            &format!("{size} objects: processor time until seen"),
            used,
            None,
            "s",
        );
        at_most(
            &format!("{size} objects: all seen after a restart"),
            seen,
            limit,
            "s",
        );
        tokio::time::sleep(SETTLED).await;
        let writes = life.mark.writes();
        assert!(writes.is_empty(), "written after a restart: {writes:?}");
        life
    }

    async fn page(&self) -> String {
        Operator::metrics(&self.name).await
    }

    fn memory(&self) -> f64 {
        mebibytes(self.operator.id(), "VmRSS:")
    }

    /// What it costs while nothing happens, and that it writes nothing then.
    async fn rests(&self) {
        let mark = Mark::now();
        let before = processor_time(self.operator.id());
        let began = Instant::now();
        tokio::time::sleep(STEADY).await;
        let used = processor_time(self.operator.id()).saturating_sub(before);
        let share = 100.0 * used.as_secs_f64() / began.elapsed().as_secs_f64();
        let calls = mark.calls(FIELD_MANAGER);
        println!("calls at rest: {calls:?}");
        let writes = mark.writes();
        assert!(writes.is_empty(), "written at rest: {writes:?}");
        at_most("1000 objects at rest", share, 2.0, "% of a core");
    }

    /// What one scrape costs.
    async fn is_scraped(&self) {
        let mut costs = Vec::new();
        for _ in 0..5 {
            let before = processor_time(self.operator.id());
            let page = self.page().await;
            let used = processor_time(self.operator.id()).saturating_sub(before);
            costs.push(used.as_secs_f64() * 1000.0);
            println!("a page of {} series, {} bytes", series(&page), page.len());
        }
        show(
            "1000 objects: processor time of a scrape",
            median(&costs),
            None,
            "ms",
        );
        show("memory after scrapes", self.memory(), None, "MiB");
    }

    async fn until_forgotten(&self) {
        let began = Instant::now();
        loop {
            let page = self.page().await;
            let left = page.lines().filter(|line| line.contains("name=\""));
            let mut left = left.peekable();
            let Some(first) = left.peek().map(|line| (*line).to_owned()) else {
                return;
            };
            let count = left.count();
            assert!(
                began.elapsed() < FORGOTTEN,
                "{count} series of objects that are gone, as {first}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// No series is left of objects that are gone.
    async fn forgets(&self, base: usize) {
        self.until_forgotten().await;
        let left = series(&self.page().await);
        #[expect(clippy::cast_precision_loss, reason = "hundreds")]
        at_most(
            "series after 1000 objects, of one",
            left as f64,
            base as f64,
            "series",
        );
        show("memory when all are gone", self.memory(), None, "MiB");
    }
}

/// Memory at each size, of a process that began with it, and what a pod adds with its share of its object.
#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn show_memory(memory: &[(usize, f64)]) {
    for (pods, resident) in memory {
        show(&format!("memory with {pods} pods"), *resident, None, "MiB");
    }
    let (first, last) = (memory[0], memory[memory.len() - 1]);
    let slope = (last.1 - first.1) * 1024.0 / (last.0 - first.0) as f64;
    show(
        "memory of a pod and a fifth of its object",
        slope,
        None,
        "KiB",
    );
    at_most("memory with 1000 objects", last.1, 64.0, "MiB");
}

/// Until a pod is ready that takes no longer than most. Those that are ready at once leave nothing to a rollout but its
/// calls, which one machine that plays all parts of a cluster has no room for: of them the figure is shown, and
/// the limit is for the others.
const STARTUP: Duration = Duration::from_secs(10);

/// As many rollouts at once as Deployments', of both kinds of pods.
async fn rollouts(client: &Client, fleet: &Fleet<Graceful>) {
    let deployments = Fleet::<Deployment>::new(client).await;
    deployments.grow(0..AT_ONCE).await;
    tokio::time::sleep(SETTLED).await;
    let at_once = compare(&deployments, fleet, "pods ready at once", Duration::ZERO).await;
    let name = "100 rollouts at once of pods ready at once, of Deployments' time";
    show(name, at_once, None, "times");
    let slow = compare(&deployments, fleet, "pods ready after 10 s", STARTUP).await;
    let limit = 1.2 * figure::slack();
    let name = "100 rollouts at once of pods ready after 10 s, of Deployments' time";
    at_most(name, slow, limit, "times");
}

/// Three times theirs and ours, in turn: the machine is not the same from minute to minute. Returns the ratio of the
/// medians.
async fn compare(
    deployments: &Fleet<Deployment>,
    fleet: &Fleet<Graceful>,
    pods: &str,
    startup: Duration,
) -> f64 {
    let (mut theirs, mut ours) = (vec![], vec![]);
    for round in 0..3 {
        let image = format!("web:{}-{round}", startup.as_secs());
        for namespace in [&deployments.namespace, &fleet.namespace] {
            stand_in().order(namespace, &image, Manner::starting(Start::Ready(startup)));
        }
        let mark = Mark::now();
        theirs.push(deployments.roll(AT_ONCE, &image).await);
        let calls = mark.calls("deployment-controller");
        println!("Deployments: {:.1} s, {calls:?}", theirs[theirs.len() - 1]);
        tokio::time::sleep(SETTLED).await;
        let mark = Mark::now();
        ours.push(fleet.roll(AT_ONCE, &image).await);
        let writes = mark.writes();
        println!("ours: {:.1} s, {writes:?}", ours[ours.len() - 1]);
        tokio::time::sleep(SETTLED).await;
        let writes: u64 = mark.writes().values().sum();
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let each = writes as f64 / AT_ONCE as f64;
        show(
            &format!("{pods}: writes of a rollout of {PODS} pods, Events too"),
            each,
            None,
            "writes",
        );
    }
    let (theirs, ours) = (median(&theirs), median(&ours));
    show(
        &format!("{pods}: 100 Deployments' rollouts at once"),
        theirs,
        None,
        "s",
    );
    show(&format!("{pods}: 100 rollouts at once"), ours, None, "s");
    ours / theirs
}
