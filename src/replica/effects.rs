//! What a replica asks of its surroundings, and the data it exchanges with them.
//!
//! Every effect names who performs it and which event answers it. A replica never assumes that an
//! effect happened: offsets move when the answer arrives.

use std::collections::BTreeMap;

use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::log::{EpochEnd, LogBatch};
use crate::offset::{BrokerEpoch, LeaderEpoch, Offset, PartitionEpoch};
use crate::replica::LeaderRecoveryState;
use crate::time::Time;

/// Identifies a produce request between the broker and the replica; chosen by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProduceToken(pub u64);

/// Identifies one proposed change of the ISR, so that an answer to an older one is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlterPartitionToken(pub u64);

/// The brokers that may be in an ISR (registered, unfenced, not shutting down) and their epochs.
pub type EligibleBrokers = BTreeMap<BrokerId, BrokerEpoch>;

/// What a replica asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Disk: write these stamped batches at the end of the log.
    /// Answer: `handle_append_completed`, or `handle_storage_failed`.
    Append {
        /// The batches, in offset order.
        batches: Vec<LogBatch>,
    },
    /// Disk: make everything appended so far durable.
    /// Answer: `handle_flushed`, or `handle_storage_failed`.
    Flush,
    /// Disk: remove every record at or after `to`.
    /// Answer: `handle_truncated`, or `handle_storage_failed`.
    Truncate {
        /// The new end of the log.
        to: Offset,
    },
    /// Disk: remove every record and start the log at `offset`.
    /// Answer: `handle_truncated`, or `handle_storage_failed`.
    RestartAt {
        /// The new start and end of the log.
        offset: Offset,
    },
    /// Disk: segments wholly below `log_start_offset` may go. No answer.
    LogStartAdvanced {
        /// The new start of the log.
        log_start_offset: Offset,
    },
    /// Network: send to the controller. Answer: `handle_alter_partition_response`, also for a
    /// request that was lost.
    AlterPartition(AlterPartitionRequest),
    /// Network: ask `leader` for its first and its next offset (ListOffsets, earliest local and
    /// latest, as a replica). Answer: `handle_leader_offsets`, also for a request that was lost.
    ListLeaderOffsets {
        /// The broker to ask.
        leader: BrokerId,
        /// The epoch that the question carries, and its answer is matched by.
        leader_epoch: LeaderEpoch,
    },
    /// Broker: answer the produce request. No answer.
    CompleteProduce {
        /// The request.
        token: ProduceToken,
        /// Its outcome.
        outcome: ProduceOutcome,
    },
    /// Broker: the leader has more to read for followers; wake their waiting fetches. No answer.
    Appended {
        /// The end of what can be read.
        appended_offset: Offset,
    },
    /// Broker: the leader has more to read for consumers; wake all waiting fetches. No answer.
    HighWatermarkAdvanced {
        /// The new high watermark.
        high_watermark: Offset,
    },
    /// Broker: role or leader epoch changed; wake all waiting fetches, reconsider the fetcher.
    /// No answer.
    RoleChanged,
}

/// A change of the ISR that a leader proposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartitionRequest {
    /// Which proposal this is; the answer repeats it.
    pub token: AlterPartitionToken,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The registration that the change builds upon.
    pub partition_epoch: PartitionEpoch,
    /// The proposed ISR with the epoch of each member, `NO_BROKER_EPOCH` where it is not known.
    pub new_isr: Vec<(BrokerId, BrokerEpoch)>,
    /// The proposed recovery state.
    pub leader_recovery_state: LeaderRecoveryState,
}

/// The controller's answer to a change that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartitionAnswer {
    /// The leader's epoch after the change.
    pub leader_epoch: LeaderEpoch,
    /// The version of the registration after the change.
    pub partition_epoch: PartitionEpoch,
    /// The committed ISR.
    pub isr: Vec<BrokerId>,
    /// The committed recovery state.
    pub leader_recovery_state: LeaderRecoveryState,
}

/// How many replicas must have a batch before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// None, and there is no answer at all (`acks=0`).
    Zero,
    /// The leader (`acks=1`).
    One,
    /// Every in-sync replica (`acks=all`, -1 on the wire).
    All,
}

impl TryFrom<i16> for Acks {
    type Error = ErrorCode;

    /// Reads the wire's value; anything but -1, 0 and 1 is `InvalidRequiredAcks`.
    fn try_from(wire: i16) -> Result<Self, ErrorCode> {
        match wire {
            -1 => Ok(Self::All),
            0 => Ok(Self::Zero),
            1 => Ok(Self::One),
            _ => Err(ErrorCode::InvalidRequiredAcks),
        }
    }
}

/// One validated batch to append for a producer.
#[derive(Clone, Debug)]
pub struct ProduceRequest {
    /// Comes back in `CompleteProduce`.
    pub token: ProduceToken,
    /// When the request times out.
    pub deadline: Time,
    /// What the producer waits for.
    pub acks: Acks,
    /// The batch; the leader stamps offsets and epoch.
    pub batch: LogBatch,
}

/// Where a produced batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The timestamp of the batch in the log, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
}

/// The outcome of a produce request.
///
/// `NotEnoughReplicas`, `OutOfOrderSequenceNumber` and `InvalidProducerEpoch` mean "not in the
/// log"; every other error of a batch that was appended means "unknown".
pub type ProduceOutcome = Result<Produced, ErrorCode>;

/// A follower's fetch, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFetch {
    /// The fetching broker.
    pub replica: BrokerId,
    /// Its broker epoch, `NO_BROKER_EPOCH` if it did not say (KIP-903).
    pub broker_epoch: BrokerEpoch,
    /// Where it wants to read.
    pub position: FetchPosition,
}

/// Where a follower or a consumer wants to read, and what it believes about the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    /// The epoch of the leader it means to ask; -1 not to check.
    pub current_leader_epoch: LeaderEpoch,
    /// The first offset it lacks.
    pub fetch_offset: Offset,
    /// The epoch of its last record; -1 not to check for divergence.
    pub last_fetched_epoch: LeaderEpoch,
    /// The first offset of its log; a consumer has none (-1).
    pub log_start_offset: Offset,
}

/// What a replica knows of its bounds at the moment of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The high watermark.
    pub high_watermark: Offset,
    /// The last stable offset.
    pub last_stable_offset: Offset,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
}

/// The answer to a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchAnswer {
    /// No records, this code.
    Error(ErrorCode),
    /// The fetcher's log diverges: it must truncate to this before it reads on (KIP-595).
    Diverging {
        /// The last epoch in common at most, and its end at the leader.
        end: EpochEnd,
        /// The leader's bounds.
        bounds: Bounds,
    },
    /// Read `start..upper` from the disk; nothing to read if they are equal.
    Read {
        /// The first offset to read.
        start: Offset,
        /// The exclusive bound of what may be returned.
        upper: Offset,
        /// The bounds to answer with, whatever happens until the read completes.
        bounds: Bounds,
    },
}

/// How much of the log a client may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset.
    ReadCommitted,
}

/// What a ListOffsets request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The first offset that can be read.
    Earliest,
    /// The end, as far as the asker may see.
    Latest,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// The first record at or after this time, in milliseconds since the Unix epoch.
    AtOrAfter(i64),
}

/// Who asks for offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAsker {
    /// A follower: it sees up to the log end offset.
    Replica,
    /// A client.
    Client(Isolation),
}

/// The answer to a ListOffsets request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAnswer {
    /// No offset, this code.
    Error(ErrorCode),
    /// This offset.
    Found {
        /// The offset.
        offset: Offset,
        /// The epoch in force there, -1 if unknown.
        leader_epoch: LeaderEpoch,
    },
    /// Search the index of the disk; a result at or after `upper` must be hidden.
    LookUp {
        /// The exclusive bound of what the asker may see.
        upper: Offset,
    },
}

/// The leader's answer to a follower's fetch of one partition, decoded, checksums verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchedPartition {
    /// The leader refused, or the answer was unusable.
    Error(ErrorCode),
    /// Truncate first.
    Diverging(EpochEnd),
    /// Records, perhaps none.
    Records {
        /// The complete batches.
        batches: Vec<LogBatch>,
        /// The leader's high watermark.
        high_watermark: Offset,
        /// The leader's first offset.
        log_start_offset: Offset,
    },
}

/// The bounds of a leader's log, the answer to `ListLeaderOffsets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderOffsets {
    /// The leader's first offset.
    pub log_start_offset: Offset,
    /// The leader's next offset.
    pub log_end_offset: Offset,
}

/// A follower's next fetch. The answer comes back with `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextFetch {
    /// The broker to fetch from.
    pub leader: BrokerId,
    /// What to ask for.
    pub position: FetchPosition,
}
