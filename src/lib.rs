//! Drain-aware rollouts for Kubernetes: an old pod leaves when its work is known to be over.
//!
//! ```text
//!  watch ─▶ objects ─▶ observe ─▶ Observation ─▶ plan ─▶ Plan ─▶ report ─▶ act ─▶ API server ─▶ (watch)
//!  [IO]                 [pure]                    [pure]           [IO]      [IO]
//!                                                   └──▶ status ─────┘ (status patch, Events)
//!                                                        [pure]
//! ```
//!
//! Data enters at `watch`, leaves at `report` and then at `act`, and never walks back. Every decision is
//! a pure function over plain data with the time as one of its inputs.

pub mod agent;
pub mod api;
pub mod inject;
pub mod observe;
pub mod operator;
pub mod rollout;
