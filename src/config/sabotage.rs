//! Planted bugs: switched on by name at start, compiled out without the `sabotage` feature.
//!
//! A core asks `planted` at the one place where the bug sits. Invariant: without the feature every
//! question is answered `false` at compile time.

/// A bug planted on purpose, so that the harness can prove that it finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The leader answers acks=all as soon as its own log has the batch.
    AckBeforeReplication,
    /// acks=all is refused as soon as any replica is out of sync.
    RefuseBelowFullIsr,
    /// A restarted replica truncates its log to its checkpointed high watermark.
    TruncateToHighWatermarkOnRestart,
    /// The leader ignores the epochs in a fetch and never reports divergence.
    IgnoreLeaderEpochInFetch,
    /// A new leader forgets the producers' windows, so that retries are appended twice.
    NoDuplicateWindowAfterFailover,
    /// An offset commit is answered after the coordinator's own append.
    CommitAnsweredBeforeReplication,
    /// A coordinator that leads again keeps the offsets it knew before.
    StaleCacheKeptOnLoad,
    /// A commit of a member of an earlier generation is accepted.
    GenerationNotCheckedOnCommit,
    /// The new id of a static member is told but not stored.
    StaticMemberIdNotPersisted,
    /// A rebalance leaves out a member, whose heartbeats go on being accepted.
    TwoOwnersAfterMissedRebalance,
    /// A generation begins before its members have given up the last one.
    RebalanceCompletesWithoutWaiting,
    /// A loading coordinator skips records that delete.
    TombstoneIgnoredOnLoad,
    /// A loading coordinator stops at the high watermark instead of the end of the log.
    LoadStopsAtHighWatermark,
    /// The client commits one offset too far.
    OffByOneCommittedOffset,
    /// Auto commit covers the records that this poll is about to return.
    AutoCommitOfCurrentPoll,
    /// The timer of auto commit is never over.
    AutoCommitNeverDue,
    /// A consumer keeps what it fetched of partitions that it gave up or lost.
    BufferKeptAfterRevocation,
    /// A cooperative member that gave something up does not join again, so nobody gets it.
    NoRejoinAfterRevocation,
    /// The sticky assignors let members keep all that they had.
    StickyAssignorIgnoresQuota,
    /// A member that gets no answer about its committed offsets takes it for none.
    UnansweredOffsetFetchMeansNone,
    /// With flush.messages=1, what is written counts as replicated, flushed or not.
    AckBeforeFsync,
    /// A failed fsync of a segment is taken for a success.
    FsyncErrorIgnored,
    /// Recovery takes batches by their headers; nobody behind it checks them either.
    RecoverySkipsCrc,
    /// The stored recovery points are the ends of the logs, flushed or not (KAFKA-10101).
    RecoveryPointAheadOfFsync,
    /// The epoch checkpoint is not synced, and an empty one is believed (KAFKA-16541).
    EpochCheckpointNotFsynced,
    /// Producer snapshots are not synced, and empty ones are believed (KAFKA-9892).
    ProducerSnapshotNotFsynced,
    /// A crash while the logs are recovered passes as a clean shutdown (KAFKA-10471).
    CrashDuringRecoveryCountedAsClean,
    /// A failed write goes unnoticed, and appends go on behind it (KAFKA-10778).
    AppendsGoOnAfterFailedWrite,
    /// A vote is answered for before it is durable, and an empty file is no vote.
    VoteNotFsynced,
    /// The name of a new segment is never synced.
    DirectoryEntryNotFsyncedAfterRoll,
}

impl Sabotage {
    /// Every planted bug.
    pub const ALL: [Self; 30] = [
        Self::AckBeforeReplication,
        Self::RefuseBelowFullIsr,
        Self::TruncateToHighWatermarkOnRestart,
        Self::IgnoreLeaderEpochInFetch,
        Self::NoDuplicateWindowAfterFailover,
        Self::CommitAnsweredBeforeReplication,
        Self::StaleCacheKeptOnLoad,
        Self::GenerationNotCheckedOnCommit,
        Self::StaticMemberIdNotPersisted,
        Self::TwoOwnersAfterMissedRebalance,
        Self::RebalanceCompletesWithoutWaiting,
        Self::TombstoneIgnoredOnLoad,
        Self::LoadStopsAtHighWatermark,
        Self::OffByOneCommittedOffset,
        Self::AutoCommitOfCurrentPoll,
        Self::AutoCommitNeverDue,
        Self::BufferKeptAfterRevocation,
        Self::NoRejoinAfterRevocation,
        Self::StickyAssignorIgnoresQuota,
        Self::UnansweredOffsetFetchMeansNone,
        Self::AckBeforeFsync,
        Self::FsyncErrorIgnored,
        Self::RecoverySkipsCrc,
        Self::RecoveryPointAheadOfFsync,
        Self::EpochCheckpointNotFsynced,
        Self::ProducerSnapshotNotFsynced,
        Self::CrashDuringRecoveryCountedAsClean,
        Self::AppendsGoOnAfterFailedWrite,
        Self::VoteNotFsynced,
        Self::DirectoryEntryNotFsyncedAfterRoll,
    ];

    /// The name that `--sabotage` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckBeforeReplication => "ack-before-replication",
            Self::RefuseBelowFullIsr => "refuse-below-full-isr",
            Self::TruncateToHighWatermarkOnRestart => "truncate-to-high-watermark-on-restart",
            Self::IgnoreLeaderEpochInFetch => "ignore-leader-epoch-in-fetch",
            Self::NoDuplicateWindowAfterFailover => "no-duplicate-window-after-failover",
            Self::CommitAnsweredBeforeReplication => "commit-answered-before-replication",
            Self::StaleCacheKeptOnLoad => "stale-cache-kept-on-load",
            Self::GenerationNotCheckedOnCommit => "generation-not-checked-on-commit",
            Self::StaticMemberIdNotPersisted => "static-member-id-not-persisted",
            Self::TwoOwnersAfterMissedRebalance => "two-owners-after-missed-rebalance",
            Self::RebalanceCompletesWithoutWaiting => "rebalance-completes-without-waiting",
            Self::TombstoneIgnoredOnLoad => "tombstone-ignored-on-load",
            Self::LoadStopsAtHighWatermark => "load-stops-at-high-watermark",
            Self::OffByOneCommittedOffset => "off-by-one-committed-offset",
            Self::AutoCommitOfCurrentPoll => "auto-commit-of-current-poll",
            Self::AutoCommitNeverDue => "auto-commit-never-due",
            Self::BufferKeptAfterRevocation => "buffer-kept-after-revocation",
            Self::NoRejoinAfterRevocation => "no-rejoin-after-revocation",
            Self::StickyAssignorIgnoresQuota => "sticky-assignor-ignores-quota",
            Self::UnansweredOffsetFetchMeansNone => "unanswered-offset-fetch-means-none",
            Self::AckBeforeFsync => "ack-before-fsync",
            Self::FsyncErrorIgnored => "fsync-error-ignored",
            Self::RecoverySkipsCrc => "recovery-skips-crc",
            Self::RecoveryPointAheadOfFsync => "recovery-point-ahead-of-fsync",
            Self::EpochCheckpointNotFsynced => "epoch-checkpoint-not-fsynced",
            Self::ProducerSnapshotNotFsynced => "producer-snapshot-not-fsynced",
            Self::CrashDuringRecoveryCountedAsClean => "crash-during-recovery-counted-as-clean",
            Self::AppendsGoOnAfterFailedWrite => "appends-go-on-after-failed-write",
            Self::VoteNotFsynced => "vote-not-fsynced",
            Self::DirectoryEntryNotFsyncedAfterRoll => "directory-entry-not-fsynced-after-roll",
        }
    }

    /// The bug called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }

    /// One line that says what the bug does.
    pub const fn description(self) -> &'static str {
        match self {
            Self::RefuseBelowFullIsr => "acks=all is refused as soon as any replica is out of sync",
            Self::AckBeforeReplication => "acks=all answers after the leader's own append",
            Self::TruncateToHighWatermarkOnRestart => {
                "a restarted replica cuts its log at the checkpointed high watermark"
            }
            Self::IgnoreLeaderEpochInFetch => "the leader skips epoch and divergence checks",
            Self::NoDuplicateWindowAfterFailover => "a new leader forgets producer sequences",
            Self::CommitAnsweredBeforeReplication => {
                "an offset commit is answered after the coordinator's own append"
            }
            Self::StaleCacheKeptOnLoad => {
                "a coordinator that leads again keeps the offsets it knew before"
            }
            Self::GenerationNotCheckedOnCommit => {
                "a commit of a member of an earlier generation is accepted"
            }
            Self::StaticMemberIdNotPersisted => {
                "the new id of a static member is told but not stored"
            }
            Self::TwoOwnersAfterMissedRebalance => {
                "a rebalance leaves out a member, whose heartbeats go on being accepted"
            }
            Self::RebalanceCompletesWithoutWaiting => {
                "a generation begins before its members have given up the last one"
            }
            Self::TombstoneIgnoredOnLoad => "a loading coordinator skips records that delete",
            Self::LoadStopsAtHighWatermark => {
                "a loading coordinator stops at the high watermark instead of the end of the log"
            }
            Self::OffByOneCommittedOffset => "the client commits one offset too far",
            Self::AutoCommitOfCurrentPoll => {
                "auto commit covers the records that this poll is about to return"
            }
            Self::AutoCommitNeverDue => "the timer of auto commit is never over",
            Self::BufferKeptAfterRevocation => {
                "a consumer gives out what it fetched of partitions that it gave up or lost"
            }
            Self::NoRejoinAfterRevocation => {
                "a cooperative member that gave something up does not join again"
            }
            Self::StickyAssignorIgnoresQuota => {
                "the sticky assignors let members keep all that they had"
            }
            Self::UnansweredOffsetFetchMeansNone => {
                "a member that gets no answer about its committed offsets takes it for none"
            }
            Self::AckBeforeFsync => "flush.messages=1 acknowledges what no disk has flushed yet",
            Self::FsyncErrorIgnored => "a failed fsync of a segment is taken for a success",
            Self::RecoverySkipsCrc => {
                "recovery, reads and the client take batches without a look at their checksums"
            }
            Self::RecoveryPointAheadOfFsync => {
                "recovery points are stored for records that were never flushed"
            }
            Self::EpochCheckpointNotFsynced => {
                "the epoch checkpoint is not fsynced, and believed if it is empty"
            }
            Self::ProducerSnapshotNotFsynced => {
                "producer snapshots are not fsynced, and believed if they are empty"
            }
            Self::CrashDuringRecoveryCountedAsClean => {
                "a crash while logs are recovered passes as a clean shutdown"
            }
            Self::AppendsGoOnAfterFailedWrite => {
                "a failed write goes unnoticed, and appends go on behind it"
            }
            Self::VoteNotFsynced => "a vote is not fsynced, and forgotten at a loss of power",
            Self::DirectoryEntryNotFsyncedAfterRoll => {
                "a flush leaves out the names of new segments"
            }
        }
    }
}

#[cfg(feature = "sabotage")]
static PLANTED: std::sync::OnceLock<Sabotage> = std::sync::OnceLock::new();

/// Whether `which` is planted in this process.
#[cfg(all(feature = "sabotage", not(test)))]
pub fn planted(which: Sabotage) -> bool {
    PLANTED.get() == Some(&which)
}

#[cfg(test)]
thread_local! {
    static PLANTED_IN_THREAD: std::cell::Cell<Option<Sabotage>> =
        const { std::cell::Cell::new(None) };
}

/// Whether `which` is planted in this thread: unit tests plant bugs one test at a time.
#[cfg(test)]
pub fn planted(which: Sabotage) -> bool {
    PLANTED_IN_THREAD.get() == Some(which)
}

/// Plants `which`, or nothing, in this thread.
#[cfg(test)]
pub(crate) fn plant_in_thread(which: Option<Sabotage>) {
    PLANTED_IN_THREAD.set(which);
}

/// Whether `which` is planted in this process: never, in this build.
#[cfg(not(any(feature = "sabotage", test)))]
pub const fn planted(_which: Sabotage) -> bool {
    false
}

/// Plants `which` for the life of the process. Only the shell calls it, before the node starts.
///
/// Errors: a message if this build has no planted bugs, or if another one is already planted.
#[cfg(feature = "sabotage")]
pub fn plant(which: Sabotage) -> Result<(), String> {
    if *PLANTED.get_or_init(|| which) == which {
        Ok(())
    } else {
        Err(format!(
            "cannot plant {}: another bug is planted already",
            which.name()
        ))
    }
}

/// Plants `which`: refused, because this build has no planted bugs.
#[cfg(not(feature = "sabotage"))]
pub fn plant(which: Sabotage) -> Result<(), String> {
    Err(format!(
        "cannot plant {}: build with --features sabotage",
        which.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for bug in Sabotage::ALL {
            assert_eq!(Sabotage::from_name(bug.name()), Some(bug));
        }
        assert_eq!(Sabotage::from_name("none"), None);
    }
}
