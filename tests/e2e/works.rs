//! Kinds of work that take longer than CI has: work that never ends, a job of minutes, and many clients that come back;
//! and all that a person is to be told of. `cargo xtask test works` runs them, one at a time.

mod alerts;
mod job;
mod kept;
mod pacing;

use serde_json::json;

use crate::app::App;

/// An app whose drains reach their deadline after three seconds.
fn hasty(name: &str) -> App {
    App::graceful(name)
        .spec("/drain/minSeconds", json!(0))
        .spec("/drain/quietSeconds", json!(1))
        .spec("/drain/timeoutSeconds", json!(3))
        .spec("/drain/deletionTimeoutSeconds", json!(1))
}
