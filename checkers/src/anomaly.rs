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
    /// Two readers contradict each other.
    InconsistentReads,
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
    /// acks=all was answered with too few replicas alive.
    AckedBelowMinIsr,
    /// Nobody's send was acknowledged for too long.
    Unavailable,
    /// A record that the group skipped for ever.
    GroupLost,
    /// A record that the group processed twice.
    GroupDuplicate,
    /// A record processed twice although a poll had come that had to commit it.
    UnboundedDuplicate,
    /// Two members own one partition.
    DualOwner,
    /// A stable group, and nobody owns a partition.
    UnownedPartition,
    /// A member owns what it should not.
    SurplusOwner,
    /// A commit of a replaced member was accepted.
    ZombieCommit,
    /// An acknowledged commit is gone.
    CommitLost,
    /// The committed offset went back by itself.
    CommitRegressed,
    /// A commit covers what it must not yet.
    CommitAhead,
    /// A new owner starts at the wrong place.
    ResumeWrong,
    /// The reset policy was not obeyed.
    ResetWrong,
    /// The group makes no progress after healing.
    StuckGroup,
    /// The committed offset is no register.
    NonlinearizableCommit,
    /// A static member is fenced, and nobody took its place.
    WronglyFenced,
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
    pub const ALL: [Self; 30] = [
        Self::LostWrite,
        Self::InconsistentOffsets,
        Self::InconsistentReads,
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
        Self::AckedBelowMinIsr,
        Self::Unavailable,
        Self::GroupLost,
        Self::GroupDuplicate,
        Self::UnboundedDuplicate,
        Self::DualOwner,
        Self::UnownedPartition,
        Self::SurplusOwner,
        Self::ZombieCommit,
        Self::CommitLost,
        Self::CommitRegressed,
        Self::CommitAhead,
        Self::ResumeWrong,
        Self::ResetWrong,
        Self::StuckGroup,
        Self::NonlinearizableCommit,
        Self::WronglyFenced,
    ];

    /// The name, as in reports and `testdata/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LostWrite => "lost-write",
            Self::InconsistentOffsets => "inconsistent-offsets",
            Self::InconsistentReads => "inconsistent-reads",
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
            Self::AckedBelowMinIsr => "acked-below-min-isr",
            Self::Unavailable => "unavailable",
            Self::GroupLost => "group-lost",
            Self::GroupDuplicate => "group-duplicate",
            Self::UnboundedDuplicate => "unbounded-duplicate",
            Self::DualOwner => "dual-owner",
            Self::UnownedPartition => "unowned-partition",
            Self::SurplusOwner => "surplus-owner",
            Self::ZombieCommit => "zombie-commit",
            Self::CommitLost => "commit-lost",
            Self::CommitRegressed => "commit-regressed",
            Self::CommitAhead => "commit-ahead",
            Self::ResumeWrong => "resume-wrong",
            Self::ResetWrong => "reset-wrong",
            Self::StuckGroup => "stuck-group",
            Self::NonlinearizableCommit => "nonlinearizable-commit",
            Self::WronglyFenced => "wrongly-fenced",
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
            Self::InconsistentReads => {
                "what readers saw contradicts what others saw, whatever was acknowledged"
            }
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
            Self::AckedBelowMinIsr => {
                "an acknowledgement came while too few replicas were alive to be in sync"
            }
            Self::Unavailable => {
                "somebody waited longer for an acknowledgement than is promised while a fault acts"
            }
            Self::GroupLost => "the group went past a record for ever, and no member processed it",
            Self::GroupDuplicate => "the group processed a record twice",
            Self::UnboundedDuplicate => {
                "the group processed a record twice, although a poll had come since that was due \
                 to commit it, and sent no commit"
            }
            Self::DualOwner => {
                "two members own a partition in one generation, one took over before the other \
                 could have expired, or one went on after it was told that it owns it no more"
            }
            Self::UnownedPartition => {
                "the group is stable and nobody owns a partition that it reads"
            }
            Self::SurplusOwner => {
                "a member owns a partition outside its subscription, or more than an even share"
            }
            Self::ZombieCommit => {
                "a commit of an older generation, or of a replaced static member, was accepted"
            }
            Self::CommitLost => {
                "a read of the committed offset answered what had been committed before \
                 an acknowledged commit"
            }
            Self::CommitRegressed => {
                "the committed offset went back between two reads, and no commit can \
                 have set it back"
            }
            Self::CommitAhead => "a commit went beyond what its mode allows to be committed",
            Self::ResumeWrong => {
                "a new owner started at an offset that cannot have been the committed one"
            }
            Self::ResetWrong => {
                "an owner reset although an offset was committed, or elsewhere than \
                 auto.offset.reset says"
            }
            Self::StuckGroup => {
                "after everything was healed, the group did not work off what was left"
            }
            Self::NonlinearizableCommit => {
                "no order of the commits explains what was read of the committed offset"
            }
            Self::WronglyFenced => {
                "a static member was fenced although no other life had taken its place"
            }
        }
    }

    /// Whether it is about consumer groups.
    pub fn is_of_groups(self) -> bool {
        self >= Self::GroupLost
    }

    /// Whether it lies at certain offsets of its partition.
    pub fn has_offsets(self) -> bool {
        !matches!(
            self,
            Self::Unavailable
                | Self::DualOwner
                | Self::UnownedPartition
                | Self::SurplusOwner
                | Self::WronglyFenced
        )
    }

    /// What it breaks, unless what was found proves more.
    pub fn class(self) -> Class {
        match self {
            Self::Unseen | Self::Unavailable | Self::UnownedPartition | Self::StuckGroup => {
                Class::Liveness
            }
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
