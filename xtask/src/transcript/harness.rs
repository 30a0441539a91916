//! What Rust's test harness says about the tests that failed: their names and their messages, from what
//! it printed. A run that was cut short has printed no messages yet; then it names what failed and what
//! still ran.

use std::collections::BTreeSet;

/// Of one test: its assertion, and both sides of it.
const LINES_OF_A_TEST: usize = 8;

/// Each failed test, its message indented below its name.
pub(super) fn failures(out: &[String], err: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let names = failed(out);
    for name in &names {
        lines.push((*name).to_owned());
        let message = message(block(out, name)).or_else(|| message(panic_of(err, name)));
        lines.extend(message.into_iter().flatten());
    }
    let running = running(out);
    lines.extend(running.iter().map(|name| format!("{name} still ran")));
    lines
}

/// The names of the failed tests, as they failed, or, where they were shown while they ran, from the
/// list that each binary ends with.
fn failed(out: &[String]) -> Vec<&str> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut in_list = false;
    for line in out {
        let entry = listed(line).filter(|_| in_list);
        in_list = line == "failures:" || entry.is_some();
        let name = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
            .or(entry);
        found.extend(name.filter(|name| seen.insert(*name)));
    }
    found
}

/// A line of the list at the end: four blanks and a path.
fn listed(line: &str) -> Option<&str> {
    let name = line.strip_prefix("    ")?;
    let is_path = |c: char| c.is_alphanumeric() || "_:".contains(c);
    (!name.is_empty() && name.chars().all(is_path)).then_some(name)
}

fn header(name: &str) -> String {
    format!("---- {name} stdout ----")
}

/// What a failed test printed, as the harness shows it at the end.
fn block<'a>(out: &'a [String], name: &str) -> &'a [String] {
    let header = header(name);
    let Some(begin) = out.iter().position(|line| *line == header) else {
        return &[];
    };
    let rest = out.get(begin + 1..).unwrap_or_default();
    let ends = |line: &String| line == "failures:" || is_header(line);
    let end = rest.iter().position(ends).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

fn is_header(line: &str) -> bool {
    line.starts_with("---- ") && line.ends_with(" stdout ----")
}

/// What stands below a panic of the thread of that name: tests that are shown while they run panic
/// on standard error.
fn panic_of<'a>(err: &'a [String], name: &str) -> &'a [String] {
    let thread = format!("thread '{name}' ");
    let begin = err.iter().rposition(|line| line.starts_with(&thread));
    begin.and_then(|at| err.get(at..)).unwrap_or_default()
}

/// The last panic in it, or its last lines where nothing panicked.
fn message(said: &[String]) -> Option<Vec<String>> {
    let panicked = |line: &String| line.starts_with("thread '") && line.contains(" panicked at ");
    let lines = match said.iter().rposition(panicked) {
        Some(begin) => {
            let rest = said.get(begin..).unwrap_or_default();
            let end = rest.iter().position(|line| is_over(line));
            rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
        }
        None => said
            .get(said.len().saturating_sub(LINES_OF_A_TEST)..)
            .unwrap_or_default(),
    };
    let told: Vec<_> = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .take(LINES_OF_A_TEST)
        .map(|line| format!("    {line}"))
        .collect();
    (!told.is_empty()).then_some(told)
}

/// What the harness adds below a message.
fn is_over(line: &str) -> bool {
    line.starts_with("note: run with `RUST_BACKTRACE") || line.starts_with("stack backtrace:")
}

/// Tests that were slow and never ended.
fn running(out: &[String]) -> Vec<&str> {
    let slow = out.iter().filter_map(|line| {
        let rest = line.strip_prefix("test ")?;
        Some(rest.split_once(" has been running for over ")?.0)
    });
    let has_ended = |name: &str| {
        let begins = format!("test {name} ... ");
        out.iter().any(|line| line.starts_with(&begins))
    };
    slow.filter(|name| !has_ended(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    const CAPTURED: &str = "\
running 3 tests
test rollout::slow has been running for over 60 seconds
test rollout::good ... ok
test rollout::bad ... FAILED
test rollout::slow ... ok
test rollout::worse ... FAILED

failures:

---- rollout::bad stdout ----
figures of the test
    not_a_test

thread 'worker' (77) panicked at tests/a.rs:1:1:
first
thread 'rollout::bad' (78) panicked at tests/a.rs:9:5:
assertion `left == right` failed
  left: 1
 right: 2
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

---- rollout::worse stdout ----
Error: \"no such pod\"


failures:
    rollout::bad
    rollout::worse

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

    #[test]
    fn failed_test_is_told_with_the_last_panic() {
        let expected = "\
rollout::bad
    thread 'rollout::bad' (78) panicked at tests/a.rs:9:5:
    assertion `left == right` failed
      left: 1
     right: 2
rollout::worse
    Error: \"no such pod\"";
        assert_eq!(failures(&lines(CAPTURED), &[]).join("\n"), expected);
    }

    #[test]
    fn test_that_is_shown_while_it_runs_is_found_on_standard_error() {
        let out = "\
test bench::fast ... {\"figure\":\"a\"}
FAILED

failures:

failures:
    bench::fast

test result: FAILED.";
        let err = "\
thread 'bench::fast' (9) panicked at tests/b.rs:3:1:
a: 2.00 s, at most 1.00 wanted
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        assert_eq!(
            failures(&lines(out), &lines(err)).join("\n"),
            "bench::fast\n    thread 'bench::fast' (9) panicked at tests/b.rs:3:1:\n    \
             a: 2.00 s, at most 1.00 wanted"
        );
    }

    #[test]
    fn run_that_was_cut_short_names_what_failed_and_what_still_ran() {
        let out = "\
test a::bad ... FAILED
test a::hangs has been running for over 60 seconds";
        let told = failures(&lines(out), &[]);
        assert_eq!(told, ["a::bad", "a::hangs still ran"]);
    }

    #[test]
    fn passed_tests_tell_nothing() {
        assert!(failures(&lines("test a::good ... ok\n    a::good"), &[]).is_empty());
    }
}
