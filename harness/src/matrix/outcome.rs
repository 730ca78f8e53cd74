//! What one run says about one row of the matrix.

use checkers::verdict::Verdict;
use serde::{Deserialize, Serialize};

use crate::run::summary::Liveness;

/// What one run says about one row: the judgement of the row's own topic by its own contract.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowOutcome {
    /// The row's name.
    pub row: String,
    /// The topic that was the row's.
    pub topic: String,
    /// What the checkers say of that topic alone.
    pub verdict: Verdict,
    /// Whether that topic served again after healing.
    pub liveness: Liveness,
    /// Sends that were refused for certain, such as by NOT_ENOUGH_REPLICAS.
    pub refused: u64,
    /// The faults that struck the topic by their own proofs, by name; one entry for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub struck: Vec<String>,
    /// The longest time in which every send to some partition of it waited, in milliseconds.
    pub unavailable_ms: u64,
}
