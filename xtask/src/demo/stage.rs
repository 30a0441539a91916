//! Lets events come in while a person watches, until something is reached.

use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::load::Report;

use super::arm::{Arm, Verdict, seconds};
use super::board::{Board, Event};
use super::screen::Screen;

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(250);

/// What requests under way may take to end: a stream, and some patience.
const FINISH: Duration = Duration::from_secs(45);

/// The board, the screen, and where events come from.
pub(super) struct Stage<'a> {
    pub(super) board: Board,
    screen: Screen,
    seen: &'a Receiver<Event>,
    /// When the images were changed.
    change: Option<Instant>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(arms: &[Arm], seen: &'a Receiver<Event>) -> Self {
        Self {
            board: Board::new(arms),
            screen: Screen::new(),
            seen,
            change: None,
        }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, text: &str) {
        self.screen.say(text);
    }

    /// An arm's image was changed just now.
    pub(super) fn changed(&mut self, arm: Arm) {
        let now = Instant::now();
        self.change.get_or_insert(now);
        self.board.changed(arm, now);
    }

    /// Watches until something is so.
    pub(super) fn until(
        &mut self,
        limit: Duration,
        what: &str,
        is_so: impl Fn(&Board) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        while !is_so(&self.board) {
            ensure!(Instant::now() < end, "waited {limit:?} for {what}");
            self.frame(Instant::now() + FRAME)?;
        }
        Ok(())
    }

    /// Watches for some time.
    pub(super) fn pass(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.frame(end.min(Instant::now() + FRAME))?;
        }
        Ok(())
    }

    /// Watches until the load client has ended.
    pub(super) fn drain(&mut self, load: &mut Child) -> Result<()> {
        let end = Instant::now() + FINISH;
        loop {
            if let Some(status) = load.try_wait().context("wait for the load client")? {
                ensure!(status.success(), "the load client: {status}");
                return Ok(());
            }
            ensure!(Instant::now() < end, "the load client does not end");
            let frame = Instant::now() + FRAME;
            while self.event(frame, true)? {}
        }
    }

    /// Shows the end and returns it.
    pub(super) fn conclude(&mut self, reports: &[Report]) -> Vec<Verdict> {
        let verdict = |report: &Report| {
            let (arm, side) = self
                .board
                .sides
                .iter()
                .find(|(arm, _)| arm.name() == report.name)?;
            Some(Verdict {
                name: *arm,
                requests: report.requests,
                lost: report.lost,
                lost_by: report.lost_by.clone(),
                ready_seconds: side.ready.map(seconds),
                gone_seconds: side.gone.map(seconds),
            })
        };
        let verdicts: Vec<_> = reports.iter().filter_map(verdict).collect();
        self.screen.conclude(&verdicts);
        verdicts
    }

    /// Takes in events until the time given, then draws.
    fn frame(&mut self, until: Instant) -> Result<()> {
        while self.event(until, false)? {}
        Ok(())
    }

    /// Takes in one event; false and a fresh table when none came in time.
    fn event(&mut self, until: Instant, load_may_end: bool) -> Result<bool> {
        let wait = until.saturating_duration_since(Instant::now());
        let event = match self.seen.recv_timeout(wait) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => {
                let since = self.change.map(|change| change.elapsed());
                self.screen.show(&self.board, since);
                return Ok(false);
            }
            Err(RecvTimeoutError::Disconnected) => bail!("nothing to see any more"),
        };
        match &event {
            Event::Interrupted => bail!("interrupted"),
            Event::Ended(who, _) if load_may_end && *who == super::watch::LOAD => {}
            Event::Ended(who, reason) => {
                let reason = reason.as_deref().unwrap_or("too early");
                bail!("{who} ended: {reason}")
            }
            Event::Pod(..) | Event::PodGone(..) | Event::Progress(_) => {}
        }
        for news in self.board.see(event, Instant::now()) {
            self.screen.say(&news);
        }
        Ok(true)
    }
}
