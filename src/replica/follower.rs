//! A follower of a partition: where it reads next, and what it makes of the answer.
//!
//! In: registrations, the leader's answers, completions of the disk, time. Out: the next fetch,
//! appends, truncations. Invariant: an answer counts only if it belongs to the present epoch and to
//! the present end of the log (KAFKA-18991); a diverging log is cut before anything else is taken
//! from its leader (KAFKA-14704). Source: KIP-320, KIP-595; Kafka's `AbstractFetcherThread`.

use crate::config::sabotage::{self, Sabotage};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::log::{EpochEnd, LogBatch};
use crate::offset::{LeaderEpoch, NO_LEADER_EPOCH, Offset, PartitionEpoch};
use crate::replica::core::Core;
use crate::replica::truncation::truncation_target;
use crate::replica::{
    Effect, FetchPosition, FetchedPartition, LeaderOffsets, NextFetch, PartitionRegistration,
};
use crate::time::Time;

/// The state of a follower.
#[derive(Debug)]
pub(super) struct FollowerState {
    pub(super) leader: Option<BrokerId>,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) partition_epoch: PartitionEpoch,
    progress: Progress,
    /// Whether a leader may be elected from this copy: a member of the ISR or the ELR (KIP-966).
    is_eligible: bool,
    /// The highest epoch that this log can have, if the leader's log says that it has a higher one.
    contradicted_above: Option<LeaderEpoch>,
}

/// What a follower does at the moment, apart from waiting for its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It fetches.
    Fetching,
    /// It waits after an error of its leader.
    BackingOff { until: Time },
    /// It has asked the leader for the bounds of its log.
    AskingOffsets,
    /// The leader knows a newer epoch: nothing helps but the registration that says so.
    AwaitingMetadata,
}

impl FollowerState {
    /// Follows the leader that `registration` names, if any.
    pub(super) fn following(core: &mut Core, registration: &PartitionRegistration) -> Self {
        // A log without epochs cannot be compared: only what is known to be committed stays.
        let end = core.log.log_end_offset();
        if core.log.epochs().latest_epoch().is_none() && core.high_watermark() < end {
            core.truncate(core.high_watermark());
        }
        Self {
            leader: registration.leader,
            leader_epoch: registration.leader_epoch,
            partition_epoch: registration.partition_epoch,
            progress: Progress::Fetching,
            is_eligible: is_eligible(core, registration),
            contradicted_above: None,
        }
    }

    /// Takes a newer registration. Every new epoch starts fetching anew, even if the leader is the
    /// same: the follower may have missed an epoch in between (KIP-320, KAFKA-7164).
    pub(super) fn confirmed(&mut self, core: &mut Core, registration: &PartitionRegistration) {
        if registration.leader_epoch > self.leader_epoch {
            *self = Self::following(core, registration);
        }
        self.partition_epoch = registration.partition_epoch;
        self.is_eligible = is_eligible(core, registration);
    }

    /// The next fetch; `None` while the leader is unknown, the disk works on this log, or the
    /// follower waits.
    pub(super) fn next_fetch(&self, core: &Core) -> Option<NextFetch> {
        let is_settled = core.replicated_offset() == core.log.log_end_offset();
        if self.progress != Progress::Fetching || core.is_truncating() || !is_settled {
            return None;
        }
        let mut position = core.fetch_position(self.leader_epoch);
        if sabotage::planted(Sabotage::IgnoreLeaderEpochInFetch) {
            position.last_fetched_epoch = NO_LEADER_EPOCH;
        }
        Some(NextFetch {
            leader: self.leader?,
            position,
        })
    }

    /// Takes the leader's answer to the fetch at `position`.
    pub(super) fn fetched(
        &mut self,
        core: &mut Core,
        now: Time,
        position: &FetchPosition,
        answer: FetchedPartition,
    ) {
        if !self.is_awaited(core, position) {
            return;
        }
        match answer {
            FetchedPartition::Error(code) => self.fetch_failed(core, now, code),
            FetchedPartition::Diverging(end) => self.diverged(core, now, end),
            FetchedPartition::Records {
                batches,
                high_watermark,
                log_start_offset,
            } => {
                if !self.append(core, batches) {
                    self.back_off(core, now);
                }
                core.follow_high_watermark(high_watermark);
                core.advance_log_start(log_start_offset);
            }
        }
    }

    /// Epoch and offset alone do not tell: the log may have been cut and grown to the same offset
    /// since, and a late divergence would cut what is committed by now.
    fn is_awaited(&self, core: &Core, position: &FetchPosition) -> bool {
        self.next_fetch(core).is_some_and(|next| {
            next.position.current_leader_epoch == position.current_leader_epoch
                && next.position.fetch_offset == position.fetch_offset
                && next.position.last_fetched_epoch == position.last_fetched_epoch
        })
    }

    /// Appends what the leader sent; `false` if some of it cannot belong here.
    ///
    /// Batches of a later epoch than the fetch's are dropped: they come from a leader that this
    /// follower does not know yet (KAFKA-18723).
    fn append(&mut self, core: &mut Core, batches: Vec<LogBatch>) -> bool {
        let mut end = core.log.log_end_offset();
        let mut epoch = core.log.epochs().latest_epoch().unwrap_or(0);
        let mut accepted = Vec::with_capacity(batches.len());
        let offered = batches.len();
        for batch in batches {
            let summary = &batch.summary;
            let continues = summary.base_offset == end && summary.offset_count() > 0;
            let in_order = summary.leader_epoch >= epoch || ignores_epochs();
            if summary.leader_epoch > self.leader_epoch && !ignores_epochs() {
                break;
            }
            if continues && !in_order && accepted.is_empty() {
                self.contradicted_above = Some(summary.leader_epoch);
            }
            if !(continues && in_order) {
                break;
            }
            (end, epoch) = (summary.next_offset(), summary.leader_epoch);
            accepted.push(batch);
        }
        let took_all = accepted.len() == offered;
        if !accepted.is_empty() {
            core.append(accepted);
        }
        took_all
    }

    /// Truncates, and only that: bounds in a diverging answer describe another log (KAFKA-14704).
    fn diverged(&mut self, core: &mut Core, now: Time, end: EpochEnd) {
        let (before, epoch_before) = (core.log.log_end_offset(), core.log.epochs().latest_epoch());
        let target = truncation_target(core.log.epochs(), before, end);
        core.truncate(target.max(core.log.log_start_offset()));
        let is_stuck =
            core.log.log_end_offset() == before && core.log.epochs().latest_epoch() == epoch_before;
        if is_stuck {
            self.back_off(core, now);
        }
    }

    fn fetch_failed(&mut self, core: &mut Core, now: Time, code: ErrorCode) {
        match (code, self.leader) {
            (ErrorCode::OffsetOutOfRange, Some(leader)) => {
                self.progress = Progress::AskingOffsets;
                let leader_epoch = self.leader_epoch;
                core.push(Effect::ListLeaderOffsets {
                    leader,
                    leader_epoch,
                });
            }
            (ErrorCode::FencedLeaderEpoch, _) => self.progress = Progress::AwaitingMetadata,
            _ => self.back_off(core, now),
        }
    }

    /// Takes the bounds of the leader's log, after it said that the fetch offset is outside.
    pub(super) fn leader_offsets(
        &mut self,
        core: &mut Core,
        now: Time,
        leader_epoch: LeaderEpoch,
        answer: Result<LeaderOffsets, ErrorCode>,
    ) {
        if leader_epoch != self.leader_epoch || self.progress != Progress::AskingOffsets {
            return;
        }
        self.progress = Progress::Fetching;
        let end = core.log.log_end_offset();
        match answer {
            Ok(leader) if leader.log_end_offset < end => {
                // Only an unclean election brings a leader that ends earlier and does not diverge.
                let floor: Offset = core.log.log_start_offset();
                if leader.log_end_offset < floor {
                    core.restart_at(leader.log_end_offset);
                } else {
                    core.truncate(leader.log_end_offset);
                }
            }
            Ok(leader) if leader.log_start_offset > end => core.restart_at(leader.log_start_offset),
            Ok(_) => {
                let latest = core.log.epochs().latest_epoch();
                if latest.is_some_and(|latest| latest > self.leader_epoch) {
                    self.contradicted_above = Some(self.leader_epoch);
                }
                self.back_off(core, now);
            }
            Err(code) => self.fetch_failed_again(core, now, code),
        }
    }

    /// Cuts off the records whose epochs the leader's log contradicts; says where, if there are
    /// any.
    ///
    /// No checksum covers the epoch of a batch: one that was damaged on the disk passes for the
    /// work of a later leader, and the log could never be continued. A member of the ISR or the ELR
    /// is left alone: its copies count, and the leader's may be the damaged ones.
    pub(super) fn cut_contradicted(&mut self, core: &mut Core) -> Option<Offset> {
        let highest = self.contradicted_above.take()?;
        if self.is_eligible {
            return None;
        }
        let entries = core.log.epochs().entries();
        let impossible = entries.iter().find(|entry| entry.epoch > highest)?;
        let end = impossible.start_offset.max(core.log.log_start_offset());
        core.truncate(end);
        Some(end)
    }

    fn fetch_failed_again(&mut self, core: &Core, now: Time, code: ErrorCode) {
        if code == ErrorCode::FencedLeaderEpoch {
            self.progress = Progress::AwaitingMetadata;
        } else {
            self.back_off(core, now);
        }
    }

    /// Waits before the next fetch.
    pub(super) fn back_off(&mut self, core: &Core, now: Time) {
        let until = now + core.settings.replica_fetch_backoff;
        self.progress = Progress::BackingOff { until };
    }

    /// When the follower next has something to do by itself.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        match self.progress {
            Progress::BackingOff { until } => Some(until),
            _ => None,
        }
    }

    /// Does what is due at `now`.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        if self.next_timeout().is_some_and(|until| until <= now) {
            self.progress = Progress::Fetching;
        }
    }
}

fn is_eligible(core: &Core, registration: &PartitionRegistration) -> bool {
    let own = core.settings.broker_id;
    registration.isr.contains(&own) || registration.elr.contains(&own)
}

fn ignores_epochs() -> bool {
    sabotage::planted(Sabotage::IgnoreLeaderEpochInFetch)
}
