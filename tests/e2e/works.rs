//! Kinds of work that take longer than CI has: something outside that must stop sending first, work that never ends,
//! a job of minutes, many clients that come back, and pools of a real PostgreSQL; and all that a person is to be told
//! of. `cargo xtask test works` runs them, one at a time.

mod alerts;
mod job;
mod kept;
mod outside;
mod pacing;
mod pool;
mod postgres;
