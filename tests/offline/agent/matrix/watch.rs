//! One reader of the socket table for all rows, as the agent is for all connections of a pod: each row has
//! a census of its own port, and is judged once every sample of a while agrees with it.

use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Script;
use super::rows::{Called, Row};
use super::wire::{Phase, Wire};
use graceful::agent::activity::census::{Census, Counts, Scope};
use graceful::agent::activity::{Millis, Rules};
use graceful::agent::sockets::Table;
use graceful::api::v1alpha1::KeepAlive;

/// Why a row is not as it says.
pub(super) type Outcome = Result<(), String>;

/// Short, for the tests' sake; a pause is compared with it, never with a fixed time.
pub(super) const QUIET: u64 = 2000;
/// The default, and what a row has that is to become so within a test.
const UNRESPONSIVE: [u64; 2] = [60_000, 4000];

/// Between two samples: the agent's shortest pause.
const PAUSE: Duration = Duration::from_millis(100);

/// For so long every sample has to agree: a row that rests after a while is not taken for one that lasts.
const SPAN: Millis = 3000;
const FEWEST_SAMPLES: u32 = 8;

/// Then a row has not become what it is said to be.
const PATIENCE: Duration = Duration::from_secs(15);

/// A row under way.
struct Eye {
    row: &'static Row,
    wire: Wire,
    rules: Rules,
    scope: Scope,
    census: Census,
    agrees: Option<Agreement>,
    seen: Vec<Counts>,
    gives_up: Instant,
    tell: Sender<Outcome>,
}

/// A while in which every sample agrees with its row.
struct Agreement {
    since: Millis,
    samples: u32,
    called: Vec<Called>,
}

/// The way to the reader.
#[derive(Clone)]
pub(super) struct Watch(Sender<Eye>);

impl Watch {
    pub(super) fn begin() -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || read(&receiver));
        Self(sender)
    }

    /// Runs the script until its row is judged.
    pub(super) fn judge(&self, row: &'static Row, script: Script) -> Outcome {
        let wire = Wire::new();
        let (tell, told) = channel();
        let eye = Eye::new(row, wire.clone(), tell);
        self.0.send(eye).unwrap();
        let played = {
            let wire = wire.clone();
            thread::spawn(move || script(&wire))
        };
        let outcome = told.recv().unwrap();
        wire.advance(Phase::Over);
        if outcome.is_ok() {
            played.join().map_err(|_| "its script panicked")?;
        }
        outcome
    }
}

fn read(new: &Receiver<Eye>) {
    let mut table = Table::open();
    let mut eyes: Vec<Eye> = Vec::new();
    let began = Instant::now();
    loop {
        eyes.extend(new.try_iter());
        let now = Millis::try_from(began.elapsed().as_millis()).unwrap();
        for eye in &mut eyes {
            eye.census.begin();
        }
        let sample = table.read(&mut |reading| {
            for eye in &mut eyes {
                eye.census.see(&reading, &eye.scope, now, &eye.rules);
            }
        });
        if sample.is_ok() {
            eyes.retain_mut(|eye| {
                let counts = eye.census.end(0, None, now).counts;
                eye.is_open(counts, now)
            });
        }
        thread::sleep(PAUSE);
    }
}

impl Eye {
    fn new(row: &'static Row, wire: Wire, tell: Sender<Outcome>) -> Self {
        let thresh = fs::read_to_string("/proc/sys/net/ipv4/tcp_pingpong_thresh");
        let millis = |time: u64| Millis::try_from(time).unwrap();
        Self {
            row,
            rules: Rules {
                quiet: millis(QUIET),
                unresponsive: millis(
                    UNRESPONSIVE[usize::from(row.called.contains(&Called::Unresponsive))],
                ),
                keep_alive: if row.waits {
                    KeepAlive::Wait
                } else {
                    KeepAlive::Finish
                },
                // As the agent itself has it.
                quick_acks: thresh.map_or(3, |text| text.trim().parse().unwrap()),
            },
            scope: Scope {
                ports: vec![wire.port()],
                loopback: true,
                ..Scope::default()
            },
            wire,
            census: Census::default(),
            agrees: None,
            seen: Vec::new(),
            gives_up: Instant::now() + PATIENCE,
            tell,
        }
    }

    /// Takes in a sample; `false` once it is decided.
    fn is_open(&mut self, counts: Counts, now: Millis) -> bool {
        if !self.wire.is_judged() {
            return Instant::now() < self.gives_up || self.decide(Err("never began".into()));
        }
        if self.seen.last() != Some(&counts) {
            self.seen.push(counts);
        }
        match self.row.called.iter().find(|word| is(**word, counts)) {
            Some(word) if counts.holding == u32::from(self.row.holds) => {
                let agrees = self.agrees.get_or_insert(Agreement {
                    since: now,
                    samples: 0,
                    called: Vec::new(),
                });
                agrees.samples += 1;
                if !agrees.called.contains(word) {
                    agrees.called.push(*word);
                }
                if now - agrees.since >= SPAN
                    && agrees.samples >= FEWEST_SAMPLES
                    && agrees.called.len() == self.row.called.len()
                {
                    return self.decide(Ok(()));
                }
            }
            _ => self.agrees = None,
        }
        Instant::now() < self.gives_up || {
            let (called, holds) = (self.row.called, self.row.holds);
            let was: Vec<_> = self.seen.iter().map(|counts| shown(*counts)).collect();
            let told = format!("not {called:?}, holds: {holds}; was {}", was.join(", "));
            self.decide(Err(told))
        }
    }

    fn decide(&self, outcome: Outcome) -> bool {
        // A test that has failed meanwhile does not listen.
        let _ = self.tell.send(outcome);
        false
    }
}

/// Whether the one connection of a row is called so.
fn is(word: Called, counts: Counts) -> bool {
    let (all, called) = match word {
        Called::Busy => (1, counts.busy),
        Called::Idle => (1, counts.idle),
        Called::Cycling => (1, counts.cycling),
        Called::Unresponsive => (1, counts.unresponsive),
        Called::Gone | Called::Unseen => (0, 0),
    };
    (counts.all(), called) == (all, all)
}

/// A sample in a few words.
fn shown(counts: Counts) -> String {
    const ALL: [Called; 5] = [
        Called::Busy,
        Called::Idle,
        Called::Cycling,
        Called::Unresponsive,
        Called::Gone,
    ];
    let word = ALL.iter().find(|word| is(**word, counts));
    let word = word.map_or("several", |word| word.word());
    format!(
        "{word}{}",
        if counts.holding > 0 { " and held" } else { "" }
    )
}
