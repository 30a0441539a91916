//! Kinds of work that take longer than CI has: something outside that must stop sending first, work that never ends,
//! and many clients that come back. `cargo xtask test works` runs them, one at a time.

mod kept;
mod outside;
mod pacing;
