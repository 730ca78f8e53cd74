//! What a replica has in every role: its log, its high watermark, the effects it has asked for.
//!
//! In: decisions of the roles. Out: effects, and pointers that keep the chain
//! `log_start_offset <= high_watermark <= log_end_offset`, checked after every move.

use crate::config::sabotage::{Sabotage, planted};
use crate::log::{LogBatch, LogState, PartitionLog};
use crate::offset::{NO_LEADER_EPOCH, Offset};
use crate::replica::{
    AlterPartitionToken, Bounds, Effect, FetchPosition, ProduceOutcome, ProduceToken,
    ReplicaSettings,
};

/// The state that survives a change of role.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) settings: ReplicaSettings,
    pub(super) log: PartitionLog,
    high_watermark: Offset,
    truncations_in_flight: u32,
    flush_asked_upto: Offset,
    alter_partition_tokens: u64,
    effects: Vec<Effect>,
}

impl Core {
    /// Starts from what recovery found. A checkpoint may lie beyond a log that lost its tail.
    pub(super) fn new(settings: ReplicaSettings, state: LogState, checkpoint: Offset) -> Self {
        let high_watermark = checkpoint.clamp(state.log_start_offset, state.log_end_offset);
        let flush_asked_upto = state.log_end_offset;
        Self {
            settings,
            log: PartitionLog::recovered(state),
            high_watermark,
            truncations_in_flight: 0,
            flush_asked_upto,
            alter_partition_tokens: 0,
            effects: Vec::new(),
        }
    }

    pub(super) fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The end of what this replica may count as its own: appended, or flushed if the topic says
    /// that an acknowledgement is durable.
    pub(super) fn replicated_offset(&self) -> Offset {
        if self.settings.counts_flushed() && !planted(Sabotage::AckBeforeFsync) {
            self.log.flushed_offset()
        } else {
            self.log.appended_offset()
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            high_watermark: self.high_watermark,
            last_stable_offset: self.high_watermark,
            log_start_offset: self.log.log_start_offset(),
        }
    }

    /// Where a follower with this log continues.
    pub(super) fn fetch_position(&self, current_leader_epoch: i32) -> FetchPosition {
        FetchPosition {
            current_leader_epoch,
            fetch_offset: self.log.log_end_offset(),
            last_fetched_epoch: self.log.epochs().latest_epoch().unwrap_or(NO_LEADER_EPOCH),
            log_start_offset: self.log.log_start_offset(),
        }
    }

    pub(super) fn is_truncating(&self) -> bool {
        self.truncations_in_flight > 0
    }

    /// A token that no earlier proposal of this replica has, in whatever leadership.
    pub(super) fn next_alter_partition_token(&mut self) -> AlterPartitionToken {
        self.alter_partition_tokens += 1;
        AlterPartitionToken(self.alter_partition_tokens)
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn complete_produce(&mut self, token: ProduceToken, outcome: ProduceOutcome) {
        self.push(Effect::CompleteProduce { token, outcome });
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Assigns the offsets of stamped batches and asks the disk to write them, and to flush them if
    /// the topic asks for that. The disk works in order, so the flush covers them.
    pub(super) fn append(&mut self, batches: Vec<LogBatch>) {
        for batch in &batches {
            self.log.assign(&batch.summary);
        }
        self.push(Effect::Append { batches });
        self.flush_if_due();
    }

    /// Takes a new `flush.messages`. If only what is durable counts from now on, nothing may be
    /// left that no flush was asked for.
    pub(super) fn set_flush_messages(&mut self, flush_messages: i64) {
        self.settings.flush_messages = flush_messages;
        self.flush_if_due();
    }

    fn flush_if_due(&mut self) {
        let end = self.log.log_end_offset();
        if end - self.flush_asked_upto >= self.settings.flush_messages.max(1) {
            self.flush_asked_upto = end;
            self.push(Effect::Flush);
        }
    }

    /// Raises the high watermark; a leader never lowers it within its epoch (KAFKA-2334).
    pub(super) fn raise_high_watermark(&mut self, to: Offset) {
        let to = to.min(self.log.log_end_offset());
        if to > self.high_watermark {
            self.high_watermark = to;
            self.push(Effect::HighWatermarkAdvanced { high_watermark: to });
        }
    }

    /// Follows a leader's high watermark, up or down, within this log.
    pub(super) fn follow_high_watermark(&mut self, to: Offset) {
        let log = &self.log;
        self.high_watermark = to.clamp(log.log_start_offset(), log.log_end_offset());
    }

    /// Retention removed what lies below `to`, which was committed when it was asked for, even if
    /// the leader's high watermark is lower now.
    pub(super) fn records_removed_below(&mut self, to: Offset) {
        self.follow_high_watermark(self.high_watermark.max(to));
        self.advance_log_start(to);
    }

    /// Moves the start of the log up, at most to the high watermark.
    pub(super) fn advance_log_start(&mut self, to: Offset) {
        let to = to.min(self.high_watermark);
        if to > self.log.log_start_offset() {
            self.log.advance_log_start(to);
            let log_start_offset = self.log.log_start_offset();
            self.push(Effect::LogStartAdvanced { log_start_offset });
        }
        self.assert_ordered();
    }

    /// Cuts the log at `to` and asks the disk to follow.
    pub(super) fn truncate(&mut self, to: Offset) {
        self.log.begin_truncation(to);
        self.after_cut();
        self.push(Effect::Truncate { to });
    }

    /// Takes back what the disk has not written and will not: a cut that is under way does so, too.
    pub(super) fn take_back_appends(&mut self) {
        if !self.is_truncating() && self.log.is_append_in_flight() {
            self.truncate(self.log.appended_offset());
        }
    }

    /// Empties the log, starts it at `offset`, and asks the disk to follow.
    pub(super) fn restart_at(&mut self, offset: Offset) {
        self.log.begin_restart(offset);
        self.high_watermark = offset;
        self.after_cut();
        self.push(Effect::RestartAt { offset });
    }

    /// The disk has truncated: `state` is what is left (KAFKA-12153: bounds and producers change
    /// together).
    pub(super) fn complete_truncation(&mut self, state: LogState) {
        self.truncations_in_flight = self.truncations_in_flight.saturating_sub(1);
        if self.is_truncating() {
            return;
        }
        self.log.complete_truncation(state);
        // The disk cuts whole batches, perhaps further than it was asked to.
        self.flush_asked_upto = self.flush_asked_upto.min(self.log.log_end_offset());
        self.clamp_high_watermark();
    }

    fn after_cut(&mut self) {
        self.truncations_in_flight += 1;
        self.flush_asked_upto = self.flush_asked_upto.min(self.log.log_end_offset());
        self.clamp_high_watermark();
    }

    fn clamp_high_watermark(&mut self) {
        self.follow_high_watermark(self.high_watermark);
        self.assert_ordered();
    }

    fn assert_ordered(&self) {
        let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        assert!(
            start <= self.high_watermark && self.high_watermark <= end,
            "invariant: log start {start} <= high watermark {} <= log end {end}",
            self.high_watermark,
        );
    }
}
