//! The state of a log: its bounds, its epochs, its producers.
//!
//! In: batches in offset order, truncations. Out: the state that recovery returns and that a
//! replica decides from. Invariant: `log_start_offset <= log_end_offset`, no epoch starts at or
//! after a truncation point, and the producers are the fold of the batches.

use crate::log::{BatchSummary, EpochCache, ProducerState};
use crate::offset::Offset;

/// What is known of a log without reading its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// The offset of the next record.
    pub log_end_offset: Offset,
    /// The leader epochs of the log.
    pub epochs: EpochCache,
    /// The idempotent producers of the log.
    pub producers: ProducerState,
}

impl LogState {
    /// The empty log that starts at `offset`.
    pub fn empty_at(offset: Offset) -> Self {
        Self {
            log_start_offset: offset,
            log_end_offset: offset,
            ..Self::default()
        }
    }

    /// Folds one more batch into the state.
    ///
    /// # Panics
    /// If the batch does not lie at or after the end of the log: offsets never overlap.
    pub fn append(&mut self, batch: &BatchSummary) {
        assert!(
            batch.base_offset >= self.log_end_offset && batch.last_offset >= batch.base_offset,
            "invariant: batch {}..={} must follow the log end offset {}",
            batch.base_offset,
            batch.last_offset,
            self.log_end_offset,
        );
        self.epochs.assign(batch.leader_epoch, batch.base_offset);
        self.producers.update(batch);
        self.log_end_offset = batch.next_offset();
    }

    /// Moves the start of the log up to `offset`; never beyond its end, never back.
    ///
    /// Producers outlive the records that made them known (KIP-360).
    pub fn advance_log_start(&mut self, offset: Offset) {
        let offset = offset.min(self.log_end_offset);
        if offset > self.log_start_offset {
            self.log_start_offset = offset;
            self.epochs.truncate_from_start(offset);
        }
    }

    /// Cuts the log at `to`, with producers that the caller rebuilt from what remains.
    pub fn truncate(&mut self, to: Offset, producers: ProducerState) {
        self.log_end_offset = self.log_end_offset.min(to);
        self.log_start_offset = self.log_start_offset.min(to);
        self.epochs.truncate_from_end(to);
        self.producers = producers;
    }
}
