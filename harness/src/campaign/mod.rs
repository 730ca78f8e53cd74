//! Campaigns: many runs under a budget, each an independent unit with a deterministic id, their
//! results in one file that only grows.
//!
//! In: what to cover, a budget, a shard. Out: a campaign directory that any number of shards can
//! be merged into, and that a killed campaign resumes from.
//! Invariant: the line of a run that was judged is in `runs.jsonl` once; one that was not is run
//! again.

pub mod adopt;
pub mod canary;
pub mod cell;
pub mod command;
pub mod conclude;
pub mod directory;
pub mod drive;
pub mod events;
pub mod execute;
pub mod finish;
#[cfg(test)]
pub(crate) mod fixture;
pub mod found;
pub mod jobs;
pub mod junit;
pub mod matrix_text;
pub mod merge;
pub mod outcome;
pub mod progress;
pub mod record;
pub mod replays;
pub mod retention;
pub mod selection;
pub mod sequence;
pub mod shard;
pub mod share;
pub mod signature;
pub mod statistics;
pub mod summary_md;
pub mod swarm;
pub mod tally;
pub mod unit;

pub use record::{CellResult, CellState, RunRecord, UnitKind};
