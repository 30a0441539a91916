//! What a person sees: on a terminal a table that is drawn again in place, under lines that stay;
//! elsewhere a line a second. Lines are at most 79 columns wide, because a wrapped one could not be
//! drawn over.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Stdout, Write};
use std::time::{Duration, Instant};

use crate::load::{Cause, Kind};

use super::arm::{Arm, Verdict};
use super::board::{Board, PodState, Side};

/// Colours, as terminals number them.
const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;
const CYAN: u8 = 36;
const GREY: u8 = 90;
const BOLD: u8 = 1;

/// What the dots stand for.
const LEGEND: [(PodState, &str); 4] = [
    (PodState::Starting, "starting"),
    (PodState::Ready, "ready"),
    (PodState::Draining, "draining"),
    (PodState::Terminating, "terminating"),
];

/// The screen, or what stands for it.
pub(super) struct Screen {
    out: Stdout,
    is_terminal: bool,
    has_colour: bool,
    /// Lines of the table that stand on the terminal now.
    drawn: usize,
    /// Where a line a second is printed: the last second.
    last: Option<u64>,
    start: Instant,
}

impl Screen {
    pub(super) fn new() -> Self {
        let out = std::io::stdout();
        let is_terminal =
            out.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            has_colour: is_terminal && std::env::var_os("NO_COLOR").is_none(),
            is_terminal,
            out,
            drawn: 0,
            last: None,
            start: Instant::now(),
        }
    }

    /// A line that stays, with the time since the start.
    pub(super) fn say(&mut self, text: &str) {
        let at = self.start.elapsed().as_secs_f64();
        let at = self.paint(GREY, &format!("{at:6.1} s"));
        self.print(&[format!("{at}  {text}")], 0);
    }

    /// The state of things. `since` is the time since the change.
    pub(super) fn show(&mut self, board: &Board, since: Option<Duration>) {
        if self.is_terminal {
            let table = self.table(board, since);
            self.print(&table, table.len());
        } else {
            let second = self.start.elapsed().as_secs();
            if self.last != Some(second) {
                self.last = Some(second);
                let line = line(board);
                self.say(&line);
            }
        }
    }

    /// The end: what each arm came to.
    pub(super) fn conclude(&mut self, verdicts: &[Verdict]) {
        let heading = format!(
            "{:22}{:>11}{:>9}{:>18}{:>17}",
            "", "requests", "lost", "new pods ready", "old pods gone"
        );
        let mut lines = vec![String::new(), self.paint(BOLD, &heading)];
        for verdict in verdicts {
            let lost = format!("{:>9}", thousands(verdict.lost));
            let lost = self.paint(if verdict.lost > 0 { RED } else { GREEN }, &lost);
            lines.push(format!(
                "{:<22}{:>11}{lost}{:>18}{:>17}",
                verdict.name.title(),
                thousands(verdict.requests),
                time(verdict.ready_seconds),
                time(verdict.gone_seconds),
            ));
        }
        for verdict in verdicts.iter().filter(|verdict| verdict.lost > 0) {
            lines.push(String::new());
            lines.push(format!("lost by {}:", verdict.name.title()));
            for (kind, causes) in &verdict.lost_by {
                lines.push(format!("  {:<22}{}", client(*kind), causes_of(causes)));
            }
        }
        lines.push(String::new());
        self.print(&lines, 0);
    }

    fn table(&self, board: &Board, since: Option<Duration>) -> Vec<String> {
        let clock = since.map_or_else(
            || "before the change".to_owned(),
            |since| format!("{:.0} s after the change", since.as_secs_f64().floor()),
        );
        let mut lines = vec![
            String::new(),
            self.paint(
                BOLD,
                &format!(
                    "{:22}{:13}{:13}{:>11}{:>11}{:>9}",
                    "", "old pods", "new pods", "connections", "requests", "lost"
                ),
            ),
        ];
        for (arm, side) in &board.sides {
            lines.push(self.row(*arm, side));
        }
        lines.push(String::new());
        let legend = LEGEND.map(|(state, word)| format!("{} {word}", self.dot(state)));
        lines.push(format!(
            "{}    {}",
            legend.join("   "),
            self.paint(GREY, &clock)
        ));
        lines
    }

    fn row(&self, arm: Arm, side: &Side) -> String {
        let (connections, requests, lost) = side.load.as_ref().map_or((0, 0, 0), |load| {
            (load.connections, load.requests, load.lost)
        });
        let lost_text = format!("{:>9}", thousands(lost));
        let colour = if lost > 0 { RED } else { GREEN };
        format!(
            "{:<22}{}{}{connections:>11}{:>11}{}",
            arm.title(),
            self.dots(side, false),
            self.dots(side, true),
            thousands(requests),
            self.paint(colour, &lost_text),
        )
    }

    /// One dot for each pod, padded to its column.
    fn dots(&self, side: &Side, new: bool) -> String {
        let states = side.states(new);
        let mut text: String = states.iter().map(|state| self.dot(*state)).collect();
        text.push_str(&" ".repeat(13_usize.saturating_sub(states.len())));
        text
    }

    fn dot(&self, state: PodState) -> String {
        match state {
            PodState::Starting => self.paint(YELLOW, "◔"),
            PodState::Ready => self.paint(GREEN, "●"),
            PodState::Draining => self.paint(CYAN, "◑"),
            PodState::Terminating => self.paint(GREY, "○"),
        }
    }

    fn paint(&self, colour: u8, text: &str) -> String {
        if self.has_colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Prints over what was drawn last; the last `redraw` lines may be drawn over next time.
    fn print(&mut self, lines: &[String], redraw: usize) {
        let mut text = String::new();
        if self.drawn > 0 {
            text = format!("\x1b[{}F\x1b[J", self.drawn);
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = redraw;
        // Nobody reads along any more: the demo goes on for its JSON.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

/// `2 ready 1 draining`, or `0`.
fn states_of(states: &[PodState]) -> String {
    let words = LEGEND.map(|(state, word)| {
        let count = states.iter().filter(|other| **other == state).count();
        (count > 0).then(|| format!("{count} {word}"))
    });
    let words: Vec<_> = words.into_iter().flatten().collect();
    if words.is_empty() {
        "0".to_owned()
    } else {
        words.join(" ")
    }
}

/// All arms in one line.
fn line(board: &Board) -> String {
    let arms: Vec<_> = board
        .sides
        .iter()
        .map(|(arm, side)| {
            let (connections, requests, lost) = side.load.as_ref().map_or((0, 0, 0), |load| {
                (load.connections, load.requests, load.lost)
            });
            let old = states_of(&side.states(false));
            let new = states_of(&side.states(true));
            format!(
                "{}: old {old}, new {new}, {connections} open, {requests} sent, {lost} lost",
                arm.name(),
            )
        })
        .collect();
    arms.join(" | ")
}

/// `186 refused, 3 reset`, the most frequent first.
fn causes_of(causes: &BTreeMap<Cause, u64>) -> String {
    let mut causes: Vec<_> = causes.iter().collect();
    causes.sort_by_key(|(_, lost)| std::cmp::Reverse(**lost));
    let words: Vec<_> = causes
        .into_iter()
        .map(|(cause, lost)| format!("{} {}", thousands(*lost), who(*cause)))
        .collect();
    words.join(", ")
}

fn who(cause: Cause) -> &'static str {
    match cause {
        Cause::Refused => "refused",
        Cause::Reset => "reset",
        Cause::ClosedBeforeAnswer => "closed before an answer",
        Cause::CutMidBody => "cut in mid-body",
        Cause::Timeout => "timed out",
        Cause::ServerError => "answered with 5xx",
        Cause::Other => "other",
    }
}

fn client(kind: Kind) -> &'static str {
    match kind {
        Kind::New => "new connections",
        Kind::KeepAlive => "keep-alive POSTs",
        Kind::Slow => "slow POSTs (8 s)",
        Kind::Stream => "streams (20 s)",
    }
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.1} s"))
}

/// `21,742`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::board::{Event, Pod};
    use super::*;

    #[test]
    fn table_fits_a_terminal() {
        let mut board = Board::new(&Arm::ALL);
        for n in 0..9 {
            let pod = Pod {
                is_new: n > 4,
                state: PodState::Draining,
            };
            board.see(
                Event::Pod(Arm::Graceful, n.to_string(), pod),
                Instant::now(),
            );
        }
        let mut screen = Screen::new();
        screen.has_colour = false;
        for line in screen.table(&board, Some(Duration::from_secs(59))) {
            assert!(line.chars().count() <= 79, "{line:?}");
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(21_742), "21,742");
        assert_eq!(thousands(1_000_000), "1,000,000");
    }

    #[test]
    fn most_frequent_cause_comes_first() {
        let causes = BTreeMap::from([(Cause::Refused, 3), (Cause::CutMidBody, 1200)]);
        assert_eq!(causes_of(&causes), "1,200 cut in mid-body, 3 refused");
    }
}
