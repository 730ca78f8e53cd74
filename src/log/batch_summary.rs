//! What the log needs to know about a record batch, without its bytes.
//!
//! In: the header fields of a v2 batch, read by `record`. Out: offsets and producer fields.
//! Invariant: `base_offset <= last_offset`.

use crate::offset::{LeaderEpoch, NO_PRODUCER_ID, Offset, ProducerEpoch, ProducerId};

/// The header of one record batch, as far as offsets, epochs and producers are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSummary {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset of the last record (inclusive).
    pub last_offset: Offset,
    /// The epoch of the leader that assigned the offsets.
    pub leader_epoch: LeaderEpoch,
    /// The producer, or `NO_PRODUCER_ID` if it is not idempotent.
    pub producer_id: ProducerId,
    /// The epoch of the producer.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the first record, or -1.
    pub base_sequence: i32,
    /// The sequence of the last record, or -1; wraps to 0 after `i32::MAX`.
    pub last_sequence: i32,
    /// The largest timestamp in the batch, in milliseconds since the Unix epoch.
    pub max_timestamp: i64,
    /// A batch of markers rather than of data.
    pub is_control: bool,
    /// Part of a transaction.
    pub is_transactional: bool,
}

impl BatchSummary {
    /// The offset that follows the batch.
    pub fn next_offset(&self) -> Offset {
        self.last_offset + 1
    }

    /// The number of offsets that the batch takes.
    pub fn offset_count(&self) -> i64 {
        self.last_offset - self.base_offset + 1
    }

    /// Whether the batch comes from an idempotent producer.
    pub fn has_producer(&self) -> bool {
        self.producer_id != NO_PRODUCER_ID
    }

    /// The same batch at `base_offset` in `leader_epoch`, as a leader stamps it.
    pub fn stamped(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        self.last_offset = base_offset + (self.last_offset - self.base_offset);
        self.base_offset = base_offset;
        self.leader_epoch = leader_epoch;
        self
    }
}
