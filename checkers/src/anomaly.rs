//! The kinds of anomaly: name, description, and whether it breaks safety or liveness.

use serde::{Deserialize, Serialize};

/// Every kind of anomaly that is looked for, in the order of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An acknowledged record is gone.
    LostWrite,
    /// One offset, two values.
    InconsistentOffsets,
    /// One value, two offsets.
    Duplicate,
    /// A record that nobody sent.
    Phantom,
    /// A record whose send failed for certain.
    FailedSendRead,
    /// The log contradicts the order in which things happened.
    Nonlinearizable,
    /// A producer's acknowledged offsets go back.
    NonmonotonicSend,
    /// A consumer jumps over records between polls.
    PollSkip,
    /// A consumer goes back between polls.
    NonmonotonicPoll,
    /// A poll jumps over records.
    IntPollSkip,
    /// A poll goes back.
    IntNonmonotonicPoll,
    /// An acknowledged record that nobody read, not known to be lost.
    Unseen,
}

/// What an anomaly breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Something wrong happened; no later event can mend it.
    Safety,
    /// Something due has not happened yet.
    Liveness,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::LostWrite,
        Self::InconsistentOffsets,
        Self::Duplicate,
        Self::Phantom,
        Self::FailedSendRead,
        Self::Nonlinearizable,
        Self::NonmonotonicSend,
        Self::PollSkip,
        Self::NonmonotonicPoll,
        Self::IntPollSkip,
        Self::IntNonmonotonicPoll,
        Self::Unseen,
    ];

    /// The name, as in reports and `testdata/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LostWrite => "lost-write",
            Self::InconsistentOffsets => "inconsistent-offsets",
            Self::Duplicate => "duplicate",
            Self::Phantom => "phantom",
            Self::FailedSendRead => "failed-send-read",
            Self::Nonlinearizable => "nonlinearizable",
            Self::NonmonotonicSend => "nonmonotonic-send",
            Self::PollSkip => "poll-skip",
            Self::NonmonotonicPoll => "nonmonotonic-poll",
            Self::IntPollSkip => "int-poll-skip",
            Self::IntNonmonotonicPoll => "int-nonmonotonic-poll",
            Self::Unseen => "unseen",
        }
    }

    /// One line that says what it means.
    pub fn description(self) -> &'static str {
        match self {
            Self::LostWrite => {
                "an acknowledged record was never read, although a reader went past its offset \
                 or the log ends before it"
            }
            Self::InconsistentOffsets => "one offset holds two different values",
            Self::Duplicate => "one value, sent once, sits at two offsets",
            Self::Phantom => "a poll returned a value that was never sent to that partition",
            Self::FailedSendRead => "a poll returned a value whose send had failed for certain",
            Self::Nonlinearizable => {
                "no order of the appends agrees with when operations began and ended"
            }
            Self::NonmonotonicSend => {
                "a producer's later record was acknowledged at a lower offset than its earlier one"
            }
            Self::PollSkip => "a consumer's next poll began behind records it should have returned",
            Self::NonmonotonicPoll => "a consumer's next poll began before its position",
            Self::IntPollSkip => "one poll left out records between those it returned",
            Self::IntNonmonotonicPoll => "one poll returned records out of order or twice",
            Self::Unseen => {
                "an acknowledged record was read by nobody, and nothing proves that it is lost"
            }
        }
    }

    /// What it breaks.
    pub fn class(self) -> Class {
        match self {
            Self::Unseen => Class::Liveness,
            _ => Class::Safety,
        }
    }
}

/// Name and description of every anomaly, for `verdict list anomalies`.
pub fn list() -> impl Iterator<Item = (&'static str, &'static str)> {
    Kind::ALL
        .into_iter()
        .map(|kind| (kind.name(), kind.description()))
}
