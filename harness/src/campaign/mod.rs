//! Campaigns: many runs under a budget, each an independent unit with a deterministic id, their
//! results in one file that only grows.
//!
//! In: what to cover, a budget, a shard. Out: a campaign directory that any number of shards can
//! be merged into, and that a killed campaign resumes from.
//! Invariant: a run's line is in `runs.jsonl` once, or the run is run again.

pub mod canary;
pub mod record;
pub mod signature;
pub mod statistics;

pub use record::{CellResult, CellState, RunRecord, UnitKind};
