//! The log as a replica drives it: what is decided, what is written, what is durable.
//!
//! In: batches to append and the completions of the disk. Out: the pointers.
//! Invariant, checked after every change:
//! `log_start_offset <= flushed_offset <= appended_offset <= log_end_offset`.
//! `docs/offsets.md` has the picture.

use std::time::Duration;

use crate::log::{BatchSummary, EpochCache, LogState, ProducerState};
use crate::offset::{LeaderEpoch, Offset};

/// A log whose writes are requests: assigned first, appended later, flushed last.
#[derive(Clone, Debug)]
pub struct PartitionLog {
    state: LogState,
    appended_offset: Offset,
    flushed_offset: Offset,
}

impl PartitionLog {
    /// The log that recovery found: all of it is on disk, and recovery flushed it.
    pub fn recovered(state: LogState) -> Self {
        let end = state.log_end_offset;
        let log = Self {
            state,
            appended_offset: end,
            flushed_offset: end,
        };
        log.assert_ordered();
        log
    }

    /// What was decided of the log, written or not.
    pub fn state(&self) -> &LogState {
        &self.state
    }

    /// The first offset that can be read.
    pub fn log_start_offset(&self) -> Offset {
        self.state.log_start_offset
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> Offset {
        self.state.log_end_offset
    }

    /// The end of what the disk took into its page cache; what may be read.
    pub fn appended_offset(&self) -> Offset {
        self.appended_offset
    }

    /// The end of what survives a loss of power.
    pub fn flushed_offset(&self) -> Offset {
        self.flushed_offset
    }

    /// The leader epochs up to the log end offset.
    pub fn epochs(&self) -> &EpochCache {
        &self.state.epochs
    }

    /// The producers up to the log end offset.
    pub fn producers(&self) -> &ProducerState {
        &self.state.producers
    }

    /// Forgets the producers that were idle for `expiration` at `wall_millis`.
    pub fn expire_producers(&mut self, wall_millis: i64, expiration: Duration) {
        self.state.producers.expire(wall_millis, expiration);
    }

    /// Forgets all producers; only a planted bug does.
    pub fn forget_producers(&mut self) {
        self.state.producers.clear();
    }

    /// Whether an append has been asked for and not completed.
    pub fn is_append_in_flight(&self) -> bool {
        self.appended_offset < self.state.log_end_offset
    }

    /// Takes a batch whose offsets are decided; the disk is asked to write it.
    pub fn assign(&mut self, batch: &BatchSummary) {
        self.state.append(batch);
        self.assert_ordered();
    }

    /// Records that `epoch` begins at the end of the log, before any record of it (KAFKA-7415).
    pub fn start_epoch(&mut self, epoch: LeaderEpoch) {
        self.state.epochs.assign(epoch, self.state.log_end_offset);
    }

    /// The disk has written everything below `upto`.
    pub fn complete_append(&mut self, upto: Offset) {
        self.appended_offset = self
            .appended_offset
            .max(upto.min(self.state.log_end_offset));
        self.assert_ordered();
    }

    /// The disk has made everything below `upto` durable.
    pub fn complete_flush(&mut self, upto: Offset) {
        self.flushed_offset = self.flushed_offset.max(upto.min(self.appended_offset));
        self.assert_ordered();
    }

    /// Moves the start of the log up, at most to `appended_offset`.
    pub fn advance_log_start(&mut self, offset: Offset) {
        self.state
            .advance_log_start(offset.min(self.appended_offset));
        self.flushed_offset = self.flushed_offset.max(self.state.log_start_offset);
        self.assert_ordered();
    }

    /// Cuts the log at `to` in advance of the disk; the producers follow with its answer.
    pub fn begin_truncation(&mut self, to: Offset) {
        let producers = std::mem::take(&mut self.state.producers);
        self.state.truncate(to, producers);
        self.clamp_to_end();
    }

    /// Empties the log and starts it at `offset`, in advance of the disk.
    pub fn begin_restart(&mut self, offset: Offset) {
        *self = Self::recovered(LogState::empty_at(offset));
    }

    /// The disk has truncated or restarted the log, and this is what is left.
    ///
    /// Epochs that began since the request (an election won meanwhile) hold no record yet and are
    /// kept.
    pub fn complete_truncation(&mut self, found: LogState) {
        let mut state = found;
        for entry in self.state.epochs.entries() {
            if state
                .epochs
                .latest_epoch()
                .is_none_or(|latest| entry.epoch > latest)
            {
                state.epochs.assign(entry.epoch, state.log_end_offset);
            }
        }
        self.appended_offset = state.log_end_offset;
        self.flushed_offset = self.flushed_offset.min(state.log_end_offset);
        self.flushed_offset = self.flushed_offset.max(state.log_start_offset);
        self.state = state;
        self.assert_ordered();
    }

    fn clamp_to_end(&mut self) {
        self.appended_offset = self.appended_offset.min(self.state.log_end_offset);
        self.flushed_offset = self.flushed_offset.min(self.state.log_end_offset);
        self.assert_ordered();
    }

    fn assert_ordered(&self) {
        let LogState {
            log_start_offset,
            log_end_offset,
            ..
        } = self.state;
        assert!(
            log_start_offset <= self.flushed_offset
                && self.flushed_offset <= self.appended_offset
                && self.appended_offset <= log_end_offset,
            "invariant: log start {log_start_offset} <= flushed {} <= appended {} <= log end \
             {log_end_offset}",
            self.flushed_offset,
            self.appended_offset,
        );
    }
}
