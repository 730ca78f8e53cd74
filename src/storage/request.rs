//! What is asked of a log directory, and what it answers, as data.
//!
//! The broker (its replicas and its quorum) sends [`DiskRequest`]s; the directory's thread hands
//! them to `LogDirectory::execute` in order and answers each with exactly one
//! `Result<DiskReply, DiskError>`. Each request names the reply that answers it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::config::TopicConfig;
use crate::id::{TopicId, TopicPartition};
use crate::log::LogState;
use crate::offset::{BrokerEpoch, LeaderEpoch, Offset};

use super::quorum_state::{QuorumElection, SnapshotId};

/// An operation of a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskRequest {
    /// Create the log, or find it with the same topic id. Answered by `Created`; the log becomes
    /// durable with its first flush. Fails with `OtherTopicId` if an older incarnation is there:
    /// delete that one first.
    CreateLog {
        /// The log.
        log: TopicPartition,
        /// The incarnation of its topic.
        topic_id: TopicId,
        /// How to lay out its files.
        options: LogOptions,
    },
    /// Change the layout of files to come. Answered by `Done`.
    Configure {
        /// The log.
        log: TopicPartition,
        /// The new options.
        options: LogOptions,
    },
    /// Write batches whose offsets and epochs are stamped, the first at the log end offset.
    /// Answered by `Appended` when the page cache has them. Without space nothing of them is in the
    /// log, and what continues them is refused likewise, both with `NoSpace`. Overlaps are a broken
    /// invariant of the sender: they panic.
    Append {
        /// The log.
        log: TopicPartition,
        /// Whole batches.
        batches: Bytes,
    },
    /// Read whole batches, the first being the one that holds `start`. Answered by `Read`; fails
    /// with `OffsetOutOfRange`.
    Read {
        /// The log.
        log: TopicPartition,
        /// The offset to begin at.
        start: Offset,
        /// No record at or after this offset is returned.
        end: Offset,
        /// No more bytes than this are returned.
        max_bytes: usize,
        /// Return the first batch even if it is larger than `max_bytes`.
        minimum_one_batch: bool,
    },
    /// Make everything appended so far durable. Answered by `Flushed`.
    Flush {
        /// The log.
        log: TopicPartition,
    },
    /// Remove the records at and after `to`, durably. A batch that `to` cuts goes whole, so the
    /// end may lie lower. Answered by `Truncated`.
    Truncate {
        /// The log.
        log: TopicPartition,
        /// The new end.
        to: Offset,
    },
    /// Remove all records; the log starts and ends at `offset`. Answered by `Truncated`.
    RestartAt {
        /// The log.
        log: TopicPartition,
        /// The offset of the next record.
        offset: Offset,
    },
    /// Forget the records below `to`; whole segments go from the disk. Answered by `Retained`.
    AdvanceLogStart {
        /// The log.
        log: TopicPartition,
        /// The first offset that must stay readable.
        to: Offset,
    },
    /// Remove old segments, only ones that end at or below the high watermark. Answered by
    /// `Retained`.
    Retain {
        /// The log.
        log: TopicPartition,
        /// What is old.
        retention: Retention,
        /// The high watermark.
        high_watermark: Offset,
        /// The wall clock, in milliseconds since the Unix epoch.
        wall_millis: i64,
    },
    /// Remove records that later ones with the same key replaced, in at most one segment. Answered
    /// by `Compacted`.
    Compact {
        /// The log.
        log: TopicPartition,
        /// `delete.retention.ms`: how long a tombstone stays after the newest record of its
        /// segment.
        delete_retention: Duration,
        /// The high watermark.
        high_watermark: Offset,
        /// The wall clock, in milliseconds since the Unix epoch.
        wall_millis: i64,
    },
    /// Find the first record below `end` whose timestamp is at least `timestamp`. Answered by
    /// `Timestamp`.
    LookupTimestamp {
        /// The log.
        log: TopicPartition,
        /// Milliseconds since the Unix epoch.
        timestamp: i64,
        /// The exclusive bound of the search.
        end: Offset,
    },
    /// Remove the log. Answered by `Done`, also if there is none.
    DeleteLog {
        /// The log.
        log: TopicPartition,
    },
    /// Store the high watermarks of the directory's logs, and the offsets up to which recovery
    /// need not read. Logs without a new value keep their old one. Answered by `Done`.
    CheckpointHighWatermarks {
        /// The high watermark of each log.
        high_watermarks: BTreeMap<TopicPartition, Offset>,
    },
    /// Note how far the logs were flushed, for a next start after a crash; it syncs nothing.
    /// Answered by `Done`.
    NoteFlushed,
    /// Replace the quorum's election state, durably. Answered by `Done`.
    WriteElection {
        /// The new state.
        election: QuorumElection,
    },
    /// Write a metadata snapshot, durably; all but the two newest go. Answered by `Done`.
    WriteSnapshot {
        /// Its name.
        id: SnapshotId,
        /// Its content.
        bytes: Bytes,
    },
    /// Read a metadata snapshot. Answered by `Snapshot`; fails with `UnknownSnapshot`.
    ReadSnapshot {
        /// Its name.
        id: SnapshotId,
    },
    /// Flush and close everything and leave the marker of a clean shutdown. Answered by `Done`;
    /// later requests fail with `Offline`.
    Close {
        /// The epoch of this life of the broker, if it was ever registered.
        broker_epoch: Option<BrokerEpoch>,
    },
}

impl DiskRequest {
    /// The log that the request is about, if it is about one.
    pub const fn log(&self) -> Option<&TopicPartition> {
        match self {
            Self::CreateLog { log, .. }
            | Self::Configure { log, .. }
            | Self::Append { log, .. }
            | Self::Read { log, .. }
            | Self::Flush { log }
            | Self::Truncate { log, .. }
            | Self::RestartAt { log, .. }
            | Self::AdvanceLogStart { log, .. }
            | Self::Retain { log, .. }
            | Self::Compact { log, .. }
            | Self::LookupTimestamp { log, .. }
            | Self::DeleteLog { log } => Some(log),
            Self::CheckpointHighWatermarks { .. }
            | Self::NoteFlushed
            | Self::WriteElection { .. }
            | Self::WriteSnapshot { .. }
            | Self::ReadSnapshot { .. }
            | Self::Close { .. } => None,
        }
    }
}

/// The answer to a request that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskReply {
    /// The log is there, with this state.
    Created {
        /// What it holds; empty unless the log was there before.
        state: LogState,
    },
    /// The batches are in the page cache.
    Appended {
        /// The end of the log after them.
        log_end_offset: Offset,
    },
    /// Batches were read.
    Read {
        /// Whole batches, or nothing if `start` is the end of what may be read.
        batches: Bytes,
    },
    /// The log is durable.
    Flushed {
        /// Up to here, exclusive.
        upto: Offset,
    },
    /// The log was cut; the cut is durable.
    Truncated {
        /// What remains, with producers and epochs of just that.
        state: LogState,
    },
    /// Old records are gone.
    Retained {
        /// The first offset that can be read.
        log_start_offset: Offset,
    },
    /// A log was compacted a little.
    Compacted {
        /// Whether there is more to do.
        more: bool,
    },
    /// The result of a search by timestamp.
    Timestamp {
        /// The record found.
        found: Option<TimestampOffset>,
    },
    /// A snapshot was read.
    Snapshot {
        /// Its content.
        bytes: Bytes,
    },
    /// The request is done.
    Done,
}

/// How the files of a log are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// `segment.bytes`: no segment grows beyond it.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment whose first record is older than the next by more is closed.
    pub segment_age: Duration,
    /// `index.interval.bytes`: bytes of log for one index entry.
    pub index_interval_bytes: u64,
    /// `segment.index.bytes`: an index of this size closes its segment.
    pub index_bytes: u64,
}

impl Default for LogOptions {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_age: Duration::from_hours(168),
            index_interval_bytes: 4096,
            index_bytes: 10 << 20,
        }
    }
}

impl From<&TopicConfig> for LogOptions {
    fn from(config: &TopicConfig) -> Self {
        Self {
            segment_bytes: u64::from(config.segment_bytes),
            segment_age: config.segment_age,
            index_interval_bytes: u64::from(config.index_interval_bytes),
            index_bytes: u64::from(config.segment_index_bytes),
        }
    }
}

/// What makes segments old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `retention.ms`: the age of a segment's newest record; `None` keeps it.
    pub age: Option<Duration>,
    /// `retention.bytes`: the size that the log may keep; `None` is no limit.
    pub bytes: Option<u64>,
    /// `producer.id.expiration.ms`: the age at which idle producers are forgotten.
    pub producer_expiration: Duration,
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Its timestamp, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Its offset.
    pub offset: Offset,
    /// The epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}
