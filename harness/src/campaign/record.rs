//! One line of `runs.jsonl`: what a campaign keeps of a run for ever.

use serde::{Deserialize, Serialize};

use crate::campaign::signature::Signature;

/// What a campaign keeps of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The id of the work unit, 16 hex digits: the same unit has the same id everywhere.
    pub unit: String,
    /// What sort of unit.
    pub kind: UnitKind,
    /// The column, profile, script or planted bug.
    pub name: String,
    /// The row pack, for units of the matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    /// The seed of the plan.
    pub seed: u64,
    /// When it began: RFC 3339.
    pub started: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The exit code of the run, as `verdict run` defines it.
    pub exit_code: u8,
    /// The verdict in a sentence.
    pub sentence: String,
    /// Faults that were planned, and those of them that proved their effect.
    pub faults: Vec<FaultSeen>,
    /// One entry for each cell of the matrix that it covered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<CellResult>,
    /// States of the ledger that it reached (`evidence::reached`), by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reached: Vec<String>,
    /// What it found broken, by signature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Signature>,
    /// For canaries: whether the planted bug was found by the anomaly that should find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught: Option<bool>,
    /// The unit whose plan was run again, for replays that broke something else: what they say
    /// counts as a finding, and in no rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// Its result directory below the campaign's, if it was kept whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// The first 16 hex digits of the SHA-256 of the binary.
    pub binary: String,
}

/// One planned fault of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSeen {
    /// Its name.
    pub name: String,
    /// Whether it proved its effect.
    pub seen: bool,
}

/// What sort of work unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitKind {
    /// A pack of rows under a column.
    Matrix,
    /// All knobs drawn anew.
    Swarm,
    /// An incident by name.
    Script,
    /// A planted bug that must be found.
    Canary,
}

/// What one run says of one cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellResult {
    /// The row's name.
    pub row: String,
    /// The column's name.
    pub column: String,
    /// What became of the promise.
    pub state: CellState,
    /// Why, in a sentence.
    pub because: String,
    /// Acknowledged records that were lost.
    pub lost: u64,
    /// Records that are twice in the log, or that the group processed twice.
    pub duplicated: u64,
    /// Records out of order.
    pub reordered: u64,
    /// Sends that were refused for certain.
    pub refused: u64,
    /// The longest silence of a partition, in milliseconds.
    pub unavailable_ms: u64,
}

/// What became of the promise of a cell in one run, from the best to the worst for a reader.
/// A cell of several runs has the state of `CellState::of_many`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellState {
    /// Everything promised held while the faults had their effect.
    Kept,
    /// What the contract allows to be lost was lost: the harness can see it.
    AllowedSeen,
    /// What the contract allows to be lost was not lost: a control that proved nothing.
    AllowedNotSeen,
    /// Sends were refused, as they must be.
    Refused,
    /// It did not serve again after healing, or was silent for longer than promised.
    Unavailable,
    /// The checkers could not decide.
    Inconclusive,
    /// No fault proved its effect, or nothing was run.
    NotExercised,
    /// The harness or the machine failed.
    InfrastructureError,
    /// A promise was broken.
    Broken,
}

impl CellState {
    /// Every state, in the order of the legend.
    pub const ALL: [Self; 9] = [
        Self::Kept,
        Self::AllowedSeen,
        Self::AllowedNotSeen,
        Self::Refused,
        Self::Unavailable,
        Self::Inconclusive,
        Self::NotExercised,
        Self::InfrastructureError,
        Self::Broken,
    ];

    /// The words of the legend, as in the design.
    pub fn words(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::AllowedSeen => "allowed, seen",
            Self::AllowedNotSeen => "allowed, not seen",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Inconclusive => "inconclusive",
            Self::NotExercised => "not exercised",
            Self::InfrastructureError => "infrastructure error",
            Self::Broken => "broken",
        }
    }

    /// The letter that stands beside the colour.
    pub fn letter(self) -> char {
        match self {
            Self::Kept => 'K',
            Self::AllowedSeen => 'S',
            Self::AllowedNotSeen => 'a',
            Self::Refused => 'R',
            Self::Unavailable => 'U',
            Self::Inconclusive => '?',
            Self::NotExercised => '-',
            Self::InfrastructureError => '!',
            Self::Broken => 'B',
        }
    }
}
