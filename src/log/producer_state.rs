//! The idempotent producers of a log: which sequences were appended, to tell a retry from news.
//!
//! In: batch headers in offset order. Out: append, duplicate of an earlier batch, or an error code.
//! Invariant: the state is the fold of the log's batches (KIP-98), so every replica that holds the
//! same log refuses the same duplicates; at most five batches are remembered for each producer,
//! which is what makes five requests in flight safe.
//! Source: Kafka's `ProducerStateManager`, `ProducerAppendInfo`, `ProducerStateEntry`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::error::ErrorCode;
use crate::log::BatchSummary;
use crate::offset::{Offset, ProducerEpoch, ProducerId};

/// How many batches are remembered for each producer.
pub const DUPLICATE_WINDOW: usize = 5;

/// Where a batch comes from: a client may be refused, a leader has already decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer sends it to the leader.
    Client,
    /// A follower copies it from its leader.
    Replication,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerCheck {
    /// It is new: append it.
    Append,
    /// It was appended before: answer with what it got then.
    Duplicate {
        /// The offset of the first record of the earlier batch.
        base_offset: Offset,
        /// The offset of its last record (inclusive).
        last_offset: Offset,
        /// Its largest timestamp, in milliseconds since the Unix epoch.
        timestamp: i64,
    },
    /// It must not be appended: `OutOfOrderSequenceNumber` or `InvalidProducerEpoch`.
    Reject(ErrorCode),
}

/// A batch that a producer is known to have appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducedBatch {
    /// The sequence of its first record.
    pub base_sequence: i32,
    /// The sequence of its last record.
    pub last_sequence: i32,
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record (inclusive).
    pub last_offset: Offset,
    /// Its largest timestamp, in milliseconds since the Unix epoch.
    pub timestamp: i64,
}

/// What the log knows of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// The producer's newest epoch.
    pub producer_epoch: ProducerEpoch,
    /// The largest timestamp of its latest batch, which decides when it expires.
    pub last_timestamp: i64,
    /// Its latest batches in this epoch, oldest first, at most [`DUPLICATE_WINDOW`].
    pub batches: VecDeque<ProducedBatch>,
}

impl ProducerEntry {
    /// The sequence of the last record, or -1 before the first.
    fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last_sequence)
    }

    fn duplicate_of(&self, batch: &BatchSummary) -> Option<&ProducedBatch> {
        let same_range = |known: &&ProducedBatch| {
            known.base_sequence == batch.base_sequence && known.last_sequence == batch.last_sequence
        };
        self.batches.iter().find(same_range)
    }
}

/// The producers of a log, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerState {
    producers: BTreeMap<ProducerId, ProducerEntry>,
}

impl ProducerState {
    /// Builds the state from stored entries.
    pub fn from_entries(entries: impl IntoIterator<Item = (ProducerId, ProducerEntry)>) -> Self {
        Self {
            producers: entries.into_iter().collect(),
        }
    }

    /// The producers in the order of their ids.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (ProducerId, &ProducerEntry)> {
        self.producers.iter().map(|(&id, entry)| (id, entry))
    }

    /// What is known of producer `id`.
    pub fn get(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.producers.get(&id)
    }

    /// Decides whether `batch` may be appended next.
    ///
    /// The duplicate test comes first: a retry of an old batch is no sequence error. A producer
    /// without state may start at any sequence, because its state may have expired (KIP-360).
    pub fn check(&self, batch: &BatchSummary, origin: AppendOrigin) -> ProducerCheck {
        if origin == AppendOrigin::Replication || !batch.has_producer() || batch.is_control {
            return ProducerCheck::Append;
        }
        let Some(entry) = self.producers.get(&batch.producer_id) else {
            return ProducerCheck::Append;
        };
        if batch.producer_epoch < entry.producer_epoch {
            return ProducerCheck::Reject(ErrorCode::InvalidProducerEpoch);
        }
        if batch.producer_epoch > entry.producer_epoch {
            return in_order_or_reject(batch.base_sequence == 0);
        }
        match entry.duplicate_of(batch) {
            Some(known) => ProducerCheck::Duplicate {
                base_offset: known.base_offset,
                last_offset: known.last_offset,
                timestamp: known.timestamp,
            },
            None => in_order_or_reject(follows(entry.last_sequence(), batch.base_sequence)),
        }
    }

    /// Folds an appended batch into the state, whoever appended it.
    ///
    /// Markers fence older epochs and keep the producer alive (KAFKA-9144) but carry no sequence.
    pub fn update(&mut self, batch: &BatchSummary) {
        if !batch.has_producer() {
            return;
        }
        let entry = self
            .producers
            .entry(batch.producer_id)
            .or_insert_with(|| ProducerEntry {
                producer_epoch: batch.producer_epoch,
                last_timestamp: batch.max_timestamp,
                batches: VecDeque::new(),
            });
        if entry.producer_epoch != batch.producer_epoch {
            entry.producer_epoch = batch.producer_epoch;
            entry.batches.clear();
        }
        entry.last_timestamp = batch.max_timestamp;
        if batch.is_control {
            return;
        }
        if entry.batches.len() == DUPLICATE_WINDOW {
            entry.batches.pop_front();
        }
        entry.batches.push_back(ProducedBatch {
            base_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence,
            base_offset: batch.base_offset,
            last_offset: batch.last_offset,
            timestamp: batch.max_timestamp,
        });
    }

    /// Forgets the producers whose last batch is older than `expiration` at `wall_millis`.
    pub fn expire(&mut self, wall_millis: i64, expiration: Duration) {
        let oldest = wall_millis.saturating_sub(expiration.as_millis() as i64);
        self.producers
            .retain(|_, entry| entry.last_timestamp >= oldest);
    }

    /// Forgets everything, before a rebuild from a snapshot and the batches after it.
    pub fn clear(&mut self) {
        self.producers.clear();
    }
}

fn in_order_or_reject(in_order: bool) -> ProducerCheck {
    if in_order {
        ProducerCheck::Append
    } else {
        ProducerCheck::Reject(ErrorCode::OutOfOrderSequenceNumber)
    }
}

/// Whether `next` is the sequence after `last`; sequences wrap from `i32::MAX` to 0 (KAFKA-7692).
fn follows(last: i32, next: i32) -> bool {
    last.checked_add(1).unwrap_or(0) == next
}

#[cfg(test)]
#[path = "producer_state_test.rs"]
mod tests;
