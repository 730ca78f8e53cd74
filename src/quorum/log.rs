//! The metadata log since the snapshot, in memory: batches, their epochs, and what is flushed.
//!
//! In: appends, truncations, and the tokens of their durable writes. Out: reads, and the answers
//! about diverging logs. Invariant: batches are contiguous, epochs never decrease, and
//! `start <= flushed_end <= end`. Source: KIP-595 (truncation on fetch), `KafkaMetadataLog`.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::id::BrokerId;
use crate::offset::{LeaderEpoch, Offset};
use crate::quorum::effects::Token;
use crate::quorum::snapshot::SnapshotId;

/// Records that were proposed together and stand or fall together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// How many offsets it takes, at least one.
    pub record_count: u32,
    /// The epoch of the leader that appended it.
    pub epoch: LeaderEpoch,
    /// What it holds.
    pub body: BatchBody,
}

/// The content of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchBody {
    /// Proposed records, opaque to the quorum.
    Records(Bytes),
    /// The marker that opens an epoch: one offset, a control record on the wire and on disk
    /// (Kafka's `LeaderChangeMessage`).
    LeaderChange {
        /// The leader of the epoch.
        leader: BrokerId,
    },
}

impl Batch {
    /// The offset after its last record.
    pub fn end_offset(&self) -> Offset {
        self.base_offset
            .saturating_add(Offset::from(self.record_count))
    }

    /// About how many bytes it takes in a response.
    pub fn size_bytes(&self) -> usize {
        match &self.body {
            BatchBody::Records(bytes) => bytes.len(),
            BatchBody::LeaderChange { .. } => MARKER_BYTES,
        }
    }
}

/// About the size of an encoded marker: a batch header and one small record.
const MARKER_BYTES: usize = 80;

/// The end of a log, or of an epoch within it. The order is that of elections: the log with the
/// greater end is at least as complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEnd {
    /// The epoch of the last record; 0 for an empty log.
    pub epoch: LeaderEpoch,
    /// The offset after it.
    pub offset: Offset,
}

/// How a follower's log relates to the leader's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// The follower's log is a prefix of the leader's.
    Prefix,
    /// It parts from the leader's at or before this end.
    Diverging(LogEnd),
    /// It ends before the leader's log begins.
    BeforeStart,
}

/// The log since the snapshot.
#[derive(Debug, Default)]
pub(super) struct QuorumLog {
    start: SnapshotId,
    batches: VecDeque<Batch>,
    /// The first offset of every epoch that has batches here.
    epochs: BTreeMap<LeaderEpoch, Offset>,
    unflushed: VecDeque<(Token, Offset)>,
    flushed_end: Offset,
}

impl QuorumLog {
    /// An empty log that continues the snapshot `start`.
    pub(super) fn starting_at(start: SnapshotId) -> Self {
        Self {
            start,
            flushed_end: start.end_offset,
            ..Self::default()
        }
    }

    /// What precedes the log.
    pub(super) fn start(&self) -> SnapshotId {
        self.start
    }

    /// The end of the log.
    pub(super) fn end(&self) -> LogEnd {
        self.batches.back().map_or(
            LogEnd {
                epoch: self.start.epoch,
                offset: self.start.end_offset,
            },
            |last| LogEnd {
                epoch: last.epoch,
                offset: last.end_offset(),
            },
        )
    }

    /// The end of what a crash cannot take.
    pub(super) fn flushed_end(&self) -> Offset {
        self.flushed_end
    }

    /// Whether `batch` may come next.
    pub(super) fn continues(&self, batch: &Batch) -> bool {
        let end = self.end();
        batch.base_offset == end.offset
            && batch.epoch >= end.epoch
            && batch.record_count > 0
            && batch.end_offset() < Offset::MAX
    }

    /// Appends a batch that `continues` the log.
    pub(super) fn append(&mut self, batch: Batch) {
        assert!(
            self.continues(&batch),
            "invariant: batch at {} of epoch {} does not continue a log that ends at {:?}",
            batch.base_offset,
            batch.epoch,
            self.end()
        );
        if batch.epoch > self.end().epoch {
            self.epochs.insert(batch.epoch, batch.base_offset);
        }
        self.batches.push_back(batch);
    }

    /// Takes note that write `token` makes the log durable up to its present end.
    pub(super) fn writing(&mut self, token: Token) {
        self.unflushed.push_back((token, self.end().offset));
    }

    /// Takes note that all writes up to `token` are durable.
    pub(super) fn persisted(&mut self, token: Token) {
        while let Some((_, end)) = self.unflushed.pop_front_if(|(write, _)| *write <= token) {
            self.flushed_end = end;
        }
    }

    /// Takes note that everything in the log is durable: it was read from disk.
    pub(super) fn all_persisted(&mut self) {
        self.unflushed.clear();
        self.flushed_end = self.end().offset;
    }

    /// Removes every batch that reaches beyond `to`; returns the new end.
    pub(super) fn truncate(&mut self, to: Offset) -> Offset {
        while self
            .batches
            .pop_back_if(|last| last.end_offset() > to)
            .is_some()
        {}
        let end = self.end().offset;
        self.epochs.retain(|_, first| *first < end);
        self.flushed_end = self.flushed_end.min(end);
        for (_, unflushed_end) in &mut self.unflushed {
            *unflushed_end = end.min(*unflushed_end);
        }
        end
    }

    /// Replaces the whole log by the snapshot `at`.
    pub(super) fn restart(&mut self, at: SnapshotId) {
        *self = Self::starting_at(at);
    }

    /// Drops the batches before the end of a snapshot of this log.
    pub(super) fn drop_prefix(&mut self, to: SnapshotId) {
        while self
            .batches
            .pop_front_if(|first| first.end_offset() <= to.end_offset)
            .is_some()
        {}
        self.start = to;
        self.epochs.retain(|epoch, _| *epoch > to.epoch);
        self.flushed_end = self.flushed_end.max(to.end_offset);
    }

    /// The snapshot id of the prefix that ends at `end_offset`, if a batch ends there.
    pub(super) fn prefix(&self, end_offset: Offset) -> Option<SnapshotId> {
        if end_offset == self.start.end_offset {
            return Some(self.start);
        }
        let ends_before = self
            .batches
            .partition_point(|batch| batch.end_offset() < end_offset);
        let batch = self.batches.get(ends_before)?;
        (batch.end_offset() == end_offset).then_some(SnapshotId {
            end_offset,
            epoch: batch.epoch,
        })
    }

    /// The largest epoch that is not above `epoch`, and its end; nothing if the snapshot covers
    /// all such epochs.
    pub(super) fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<LogEnd> {
        if epoch < self.start.epoch {
            return None;
        }
        let floor = self.epochs.range(..=epoch).next_back();
        let above = epoch
            .checked_add(1)
            .and_then(|next| self.epochs.range(next..).next());
        Some(LogEnd {
            epoch: floor.map_or(self.start.epoch, |(&floor, _)| floor),
            offset: above.map_or(self.end().offset, |(_, &first)| first),
        })
    }

    /// How a log that ends at `follower` relates to this one.
    pub(super) fn relation(&self, follower: LogEnd) -> Relation {
        let before_start = follower.offset < self.start.end_offset
            || (follower.offset == self.start.end_offset && follower.epoch != self.start.epoch);
        if before_start && self.start.end_offset > 0 {
            return Relation::BeforeStart;
        }
        match self.end_of_epoch(follower.epoch) {
            None => Relation::BeforeStart,
            Some(end) if end.epoch == follower.epoch && end.offset >= follower.offset => {
                Relation::Prefix
            }
            Some(end) => Relation::Diverging(end),
        }
    }

    /// Where this log must be cut if the leader's ends epoch `leader.epoch` at `leader.offset`;
    /// nothing if that lies within the snapshot.
    pub(super) fn truncation_point(&self, leader: LogEnd) -> Option<Offset> {
        let local = self.end_of_epoch(leader.epoch)?;
        let to = if local.epoch == leader.epoch {
            local.offset.min(leader.offset)
        } else {
            local.offset
        };
        (to >= self.start.end_offset).then_some(to)
    }

    /// The batches from `from` on that end at or before `upto`, at least one if there is any,
    /// up to about `max_bytes`.
    pub(super) fn read(&self, from: Offset, upto: Offset, max_bytes: usize) -> Vec<Batch> {
        let first = self
            .batches
            .partition_point(|batch| batch.base_offset < from);
        let mut taken_bytes = 0_usize;
        self.batches
            .range(first..)
            .take_while(|batch| batch.end_offset() <= upto)
            .take_while(|batch| {
                let fits = taken_bytes == 0 || taken_bytes + batch.size_bytes() <= max_bytes;
                taken_bytes += batch.size_bytes().max(1);
                fits
            })
            .cloned()
            .collect()
    }
}
