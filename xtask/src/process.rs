//! Runs other programs and says plainly what failed: the command, its status, and the end of what it
//! wrote. Nothing here knows what the programs are for.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Runs the command to its end, with its output taken; an error carries what it wrote last.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    output_with(command, Stdio::null())
}

/// The same, with a standard input.
pub(crate) fn output_with(command: &mut Command, input: impl Into<Stdio>) -> Result<Output> {
    let output = command
        .stdin(input)
        .output()
        .with_context(|| format!("start {}", line(command)))?;
    if !output.status.success() {
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.trim().is_empty() {
            said = String::from_utf8_lossy(&output.stdout).into_owned();
        }
        bail!(
            "{}: {}\n{}",
            line(command),
            output.status,
            last_lines(&said, 20)
        );
    }
    Ok(output)
}

/// Runs the command to its end, with its output passed through.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {}", line(command)))?;
    if !status.success() {
        bail!("{}: {status}", line(command));
    }
    Ok(())
}

/// A command from one line of words, for commands whose words hold no spaces.
pub(crate) fn words(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

/// Where `PATH`, or the folders that root's own `PATH` has, hold the program.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The command as a person would type it, cut where it gets long.
fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    if line.len() > 300 {
        let end = line.floor_char_boundary(300);
        line.truncate(end);
        line.push('…');
    }
    line
}

/// The last lines of a text, for an error message.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(count))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

/// The last lines of a file, or nothing where there is none.
pub(crate) fn last_lines_of(file: &Path, count: usize) -> String {
    let text = std::fs::read(file).unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&text), count)
}

/// Progress on standard error, with the time since the work began.
#[derive(Clone, Copy)]
pub(crate) struct Progress {
    started: Instant,
}

impl Progress {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    #[expect(
        clippy::print_stderr,
        reason = "progress is for the person at the terminal"
    )]
    pub(crate) fn say(self, what: impl AsRef<str>) {
        let time = format!("[{:6.1}s]", self.elapsed().as_secs_f64());
        let time = if io::stderr().is_terminal() {
            format!("\x1b[2m{time}\x1b[0m")
        } else {
            time
        };
        eprintln!("{time} {}", what.as_ref());
    }
}

/// Waits until `done` gives a value. The error says what was waited for, and for how long.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut done: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = done()? {
            return Ok(value);
        }
        if started.elapsed() > limit {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_the_command_and_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("sh -c"), "{text}");
        assert!(text.contains("broken") && text.contains('3'), "{text}");
    }

    #[test]
    fn last_lines_are_the_last() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 5), "a");
    }
}
