//! docs/connections.md: what the agent makes of each kind of connection, written from the rows that the
//! tests of tests/offline/agent/matrix hold against the kernel. It says nothing that no test holds, but
//! for the sentences in between.

use std::fmt::Write as _;

#[path = "../../tests/offline/agent/matrix/rows.rs"]
mod rows;

use rows::{Called, FAMILIES, Row};

/// Where the page is, from the root.
pub(crate) const PAGE: &str = "docs/connections.md";

const HEAD: &str = "\
<!-- Written by `cargo xtask generate` from tests/offline/agent/matrix/rows.rs. -->
# What the agent sees of a connection

The agent reads the kernel's table of TCP sockets: when bytes came and went, how many, and what is still in a
queue. It reads no content, so every protocol is alike to it, under TLS too. By that a connection is

- **busy**: a request is unanswered, a stream or a transfer is under way, or bytes wait in a queue;
- **idle**: the last thing that happened was an answer, or nothing ever did, and then nothing for `quietSeconds`;
- **cycling**: short requests keep being answered, and for `quietSeconds` each took less than half of them;
- **unresponsive**: a request is unanswered, and no byte came or went for `unresponsiveSeconds`.

A drain waits for busy connections (*yes* below). Idle and cycling ones are left to the app's own shutdown, which
finishes what is that short; `connections: {keepAlive: Wait}` waits until they are closed. Each row is a test
against a real kernel, of its own client and server; the *quiet time* is `quietSeconds`, 3 by default.

What a row wants, wherever a plain exit is not enough: `drain.notify` tells the app that a drain begins, so that it
closes its connections in its protocol's own way ([examples](../examples)); `httpGet` and `metric` ask the app
whether it is done; `keepAlive: Wait` suits clients that leave by themselves. *Nothing* is an app that finishes
its requests on SIGTERM.
";

const FOOT: &str = "
## What to take from it

- **Silence looks like rest.** A stream that sends nothing for longer than the quiet time is not told from a kept
  connection. Raise `quietSeconds` above the longest gap or let the app send something more often, and it is busy;
  but then it holds the drain until it ends, so the app has to end it on `notify`.
- **Messages both ways look like requests.** A chatty WebSocket is cycling: the app says goodbye on `notify`, or
  counts them for `metric`.
- **One slow call hides among short ones** on the same HTTP/2 connection. On `notify` the app sends GOAWAY, the
  client takes its short calls elsewhere, and the slow one shows.
- **What never ends lasts until the deadline**, `drain.timeoutSeconds`, and is reported as cut.
- **A large answer whose `WINDOW_UPDATE` comes late**, as the last frame of a connection on which the drain then
  begins, looks like a request: the pod is let go after `unresponsiveSeconds`.
";

/// The page as it is to be.
pub(crate) fn page() -> String {
    let mut page = HEAD.to_owned();
    for family in FAMILIES {
        let _ = write!(
            page,
            "\n## {}\n\n| on the wire | the agent calls it | holds a drain | wants | test |\n|---|---|---|---|---|\n",
            family.name
        );
        for row in family.rows {
            let _ = writeln!(page, "{}", line(row));
        }
    }
    page.push_str(FOOT);
    page
}

fn line(row: &Row) -> String {
    let called: Vec<_> = row.called.iter().map(|word| word.word()).collect();
    let holds = match (row.holds, row.called) {
        (true, _) if row.waits => "yes, whatever it is",
        (true, _) => "yes",
        (false, [Called::Unresponsive]) => "no longer",
        (false, _) => "no",
    };
    format!(
        "| {} | {} | {holds} | {} | `{}` |",
        row.wire,
        called.join(", "),
        row.wants,
        row.test
    )
}
