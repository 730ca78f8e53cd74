//! Checkers for the histories of Kafka-like logs: pure functions of (history, contract).
//!
//! In: a `History` (operations recorded by a harness) and a `Contract` (what the configuration
//! promised under the faults that happened). Out: a `Verdict` with minimal witnesses.
//! Nothing here reads a clock, a file, a socket or the state of a broker, so that a stored history
//! can be judged again at any time, by a better checker.

pub mod anomaly;
pub mod availability;
pub mod contract;
pub mod history;
pub mod verdict;

mod below_min_isr;
mod check;
mod counts;
mod group;
mod linear;
mod log;
mod topics;
mod unavailable;

pub use check::{EXAMPLES_MAX, Prepared, check, check_prepared};
pub use topics::{TopicVerdict, check_topics, worst_of};
