//! What a finished run left behind, read for the report: the states that it reached, who had a
//! lost record when, and what the nodes said around it.
//!
//! In: the result directory of a run. Out: [`Evidence`], stored as `evidence.json` beside it.
//! Invariant: evidence explains a verdict and never changes it; what cannot be read is named.

mod gather;
#[cfg(test)]
mod gather_test;
mod holders;
pub mod ledger;
mod log_lines;
mod looks;
mod node_log;
mod reached;
mod segments;
mod subject;
mod turns;

pub use gather::gather;

use serde::{Deserialize, Serialize};

/// What a run left behind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// States of the ledger that the run reached, in the order of the ledger.
    pub reached: Vec<Reached>,
    /// One entry for each anomaly that the report shows, in its order.
    pub stories: Vec<Story>,
    /// What could not be read, each in a sentence.
    pub problems: Vec<String>,
}

/// A state of the ledger, reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Its name in the ledger.
    pub name: String,
    /// When it was first seen, in milliseconds since the start of the run.
    pub at_ms: u64,
    /// What shows it.
    pub proof: String,
}

/// What is known around one anomaly beside its witness.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// The partition and the offset or value in question, as text.
    pub about: String,
    /// Who had the record when: one row for each node, in the order of the ids.
    pub holders: Vec<Holder>,
    /// What the nodes printed around the decisive moment, in the order of time.
    pub log_lines: Vec<LogLine>,
}

/// What one node had of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The node's id.
    pub node: i32,
    /// What it had, when: pairs of milliseconds since the start of the run and a word such as
    /// `leads`, `in sync`, `out of sync`, `down`, `has it`, `lacks it`, `lost power`.
    pub moments: Vec<(u64, String)>,
    /// Whether the record is in its log at the end of the run; unknown if its files are gone.
    pub at_end: Option<bool>,
}

/// One line of a node's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The node's id.
    pub node: i32,
    /// When, in milliseconds since the start of the run; nothing if the line does not say.
    pub at_ms: Option<u64>,
    /// The line, shortened to 300 characters.
    pub text: String,
}
