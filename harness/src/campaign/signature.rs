//! The signature of a failure: what makes two findings the same.
//!
//! In: what a run found broken. Out: an id that depends on the anomaly, the promise, the shape of
//! the witness by role and the classes of faults, and on no id, offset, node or seed.
//! Source: reference/faults.md §4.3.

use serde::{Deserialize, Serialize};

/// What makes two findings the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// 12 hex digits of a hash over the rest.
    pub id: String,
    /// The anomaly, or `unavailable-after-heal`, or `unexpected-exit`.
    pub anomaly: String,
    /// What was promised, in words.
    pub promise: String,
    /// The witness by role: `send ok → poll past it → final read without it`.
    pub shape: String,
    /// The classes of the faults that happened, sorted.
    pub faults: Vec<String>,
}
