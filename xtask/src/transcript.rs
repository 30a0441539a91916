//! What a stage's programs print: passed on as it comes, and kept, so that the end of a long log can say
//! in a few lines why a stage failed. It knows the words of Rust's test harness and of cargo, and judges
//! nothing.

mod harness;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Backtraces through async frames are pages in which the reason drowns; whoever wants one runs the
/// one test by hand.
pub(crate) const NO_BACKTRACE: (&str, &str) = ("RUST_BACKTRACE", "0");

/// How long the pipes of a program that has ended are still read: what it started may hold them open.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often a silent program is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// What a person reads of one stage at the end of a failed run.
const LINES: usize = 30;

/// Of one line: a failed property prints its whole input on one.
const WIDTH: usize = 240;

/// One of a program's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// The lines that were printed so far.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    out: Vec<String>,
    err: Vec<String>,
}

/// Runs a command to its end and shows what it prints. The error says why it failed.
pub(crate) fn run(command: &mut Command, name: &str) -> Result<()> {
    let mut child = command
        .env(NO_BACKTRACE.0, NO_BACKTRACE.1)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let (sender, lines) = channel();
    follow(child.stdout.take(), Stream::Out, sender.clone());
    follow(child.stderr.take(), Stream::Err, sender);
    let mut transcript = Transcript::default();
    let mut ended = None;
    let status = loop {
        match lines.recv_timeout(GLANCE) {
            Ok((stream, line)) => transcript.take(stream, line),
            Err(RecvTimeoutError::Disconnected) => break child.wait(),
            Err(RecvTimeoutError::Timeout) => {
                if child.try_wait().context("wait for a program")?.is_some()
                    && ended.get_or_insert_with(Instant::now).elapsed() > LAST_WORDS
                {
                    break child.wait();
                }
            }
        }
    };
    let status = status.with_context(|| format!("wait for {name}"))?;
    if status.success() {
        return Ok(());
    }
    bail!("`{name}` ended with {status}\n{}", transcript.why());
}

/// Sends each line of a stream, read by a thread of its own: a full pipe would stop the program.
fn follow(
    stream: Option<impl Read + Send + 'static>,
    which: Stream,
    sender: Sender<(Stream, String)>,
) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send((which, text)).is_err() {
                return;
            }
            line.clear();
        }
    });
}

impl Transcript {
    /// Shows a line and keeps it.
    #[expect(
        clippy::print_stderr,
        reason = "what came on the one stream goes out on the same"
    )]
    pub(crate) fn take(&mut self, stream: Stream, line: String) {
        match stream {
            Stream::Out => {
                println!("{line}");
                self.out.push(line);
            }
            Stream::Err => {
                eprintln!("{line}");
                self.err.push(line);
            }
        }
    }

    /// Why it failed: each failed test with its message; without one, what the compiler or another
    /// tool called an error; without that, the last lines.
    pub(crate) fn why(&self) -> String {
        let mut lines = harness::failures(&self.out, &self.err);
        if lines.is_empty() {
            lines = errors(&self.err);
        }
        if lines.is_empty() {
            let said = if self.err.iter().all(|line| line.trim().is_empty()) {
                &self.out
            } else {
                &self.err
            };
            let skipped = said.len().saturating_sub(LINES / 2);
            lines = said.iter().skip(skipped).cloned().collect();
        }
        let left_out = lines.len().saturating_sub(LINES);
        lines.truncate(LINES);
        if left_out > 0 {
            lines.push(format!("… and {left_out} lines more"));
        }
        let lines: Vec<_> = lines.iter().map(|line| cut(line)).collect();
        lines.join("\n")
    }
}

/// What cargo, rustc and clippy call errors, each with where it is.
fn errors(lines: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut follows = false;
    for line in lines {
        let is_error = line.starts_with("error");
        if is_error || (follows && line.trim_start().starts_with("-->")) {
            found.push(line.clone());
        }
        follows = is_error;
    }
    found
}

/// A line as far as a person reads it.
fn cut(line: &str) -> String {
    if line.len() <= WIDTH {
        return line.to_owned();
    }
    let end = line.floor_char_boundary(WIDTH);
    format!("{}…", line.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_command_says_why_on_either_stream() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo broken >&2; exit 3"]);
        let error = run(&mut command, "a tool").unwrap_err().to_string();
        assert_eq!(error, "`a tool` ended with exit status: 3\nbroken");
        let mut command = Command::new("sh");
        command.args(["-c", "echo not formatted; exit 1"]);
        let error = run(&mut command, "fmt").unwrap_err().to_string();
        assert!(error.ends_with("not formatted"), "{error}");
    }

    #[test]
    fn command_that_leaves_a_child_with_its_pipes_is_not_waited_for_in_vain() {
        let began = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & exit 0"]);
        run(&mut command, "a tool").unwrap();
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn backtraces_are_off() {
        let mut command = Command::new("sh");
        command.args(["-c", r#"test "$RUST_BACKTRACE" = 0"#]);
        run(&mut command, "sh").unwrap();
    }

    #[test]
    fn compile_error_is_told_with_its_place() {
        let mut transcript = Transcript::default();
        for line in [
            "warning: unused",
            "  --> src/a.rs:1:1",
            "error[E0308]: mismatched types",
            "  --> src/b.rs:2:5",
            "   |",
            "error: could not compile `graceful-deployment`",
        ] {
            transcript.take(Stream::Err, line.to_owned());
        }
        assert_eq!(
            transcript.why(),
            "error[E0308]: mismatched types\n  --> src/b.rs:2:5\n\
             error: could not compile `graceful-deployment`"
        );
    }

    #[test]
    fn long_line_is_cut_between_two_letters() {
        let line = "é".repeat(WIDTH);
        assert_eq!(cut(&line).chars().count(), WIDTH / 2 + 1);
    }
}
