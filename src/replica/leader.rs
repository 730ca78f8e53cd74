//! The leader of a partition: whom it leads, which ISR it proposes, what it calls committed.
//!
//! In: registrations, completions of the disk, answers of the controller, time. Out: proposals of
//! ISR changes, a high watermark that only rises. Invariant: the epoch starts at the log end offset
//! before any record of it (KAFKA-7415), and only fetches of this epoch move a follower's position.
//! Requests of producers are in `produce`, those of readers in `serve`.
//! Source: Kafka's `Partition`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::sabotage::{self, Sabotage};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::offset::{BrokerEpoch, LeaderEpoch, NO_BROKER_EPOCH, Offset, PartitionEpoch};
use crate::replica::core::Core;
use crate::replica::high_watermark::Electorate;
use crate::replica::isr::{
    AfterError, CommittedIsr, Delivery, PartitionState, PendingChange, Proposal, after_error,
};
use crate::replica::remote::RemoteReplica;
use crate::replica::waiting::WaitingProduces;
use crate::replica::{
    AlterPartitionAnswer, AlterPartitionRequest, AlterPartitionToken, Effect, EligibleBrokers,
    LeaderRecoveryState, PartitionRegistration,
};
use crate::time::Time;

/// The state of a leadership.
#[derive(Debug)]
pub(super) struct LeaderState {
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) partition_epoch: PartitionEpoch,
    pub(super) epoch_start_offset: Offset,
    pub(super) replicas: Vec<BrokerId>,
    pub(super) remotes: BTreeMap<BrokerId, RemoteReplica>,
    pub(super) eligible: Arc<EligibleBrokers>,
    pub(super) partition: PartitionState,
    /// Requests with acks=1, until the leader has their batch.
    pub(super) waiting_for_append: WaitingProduces,
    /// Requests with acks=all, until the high watermark covers their batch.
    pub(super) waiting_for_commit: WaitingProduces,
    next_shrink_check: Time,
    propose_not_before: Time,
}

impl LeaderState {
    /// Takes the leadership that `registration` grants.
    pub(super) fn elected(
        core: &mut Core,
        now: Time,
        registration: &PartitionRegistration,
        eligible: Arc<EligibleBrokers>,
    ) -> Self {
        let mut leader = Self {
            leader_epoch: registration.leader_epoch,
            partition_epoch: registration.partition_epoch,
            epoch_start_offset: core.log.log_end_offset(),
            replicas: Vec::new(),
            remotes: BTreeMap::new(),
            eligible,
            partition: PartitionState::Committed(committed_by(registration)),
            waiting_for_append: WaitingProduces::default(),
            waiting_for_commit: WaitingProduces::default(),
            next_shrink_check: now + core.settings.replica_lag_time_max / 2,
            propose_not_before: now,
        };
        core.log.start_epoch(registration.leader_epoch);
        if sabotage::planted(Sabotage::NoDuplicateWindowAfterFailover) {
            core.log.forget_producers();
        }
        leader.assign_replicas(core, now, registration);
        leader.settle(core, now);
        leader
    }

    /// Takes a newer registration of the partition that it already leads.
    pub(super) fn confirmed(
        &mut self,
        core: &mut Core,
        now: Time,
        registration: &PartitionRegistration,
        eligible: Arc<EligibleBrokers>,
    ) {
        self.eligible = eligible;
        let is_new_epoch = registration.leader_epoch > self.leader_epoch;
        // The leader may know this version already, from the answer to its own proposal, and may
        // have proposed the next change since: that one is still under way (S9).
        let is_new_version = registration.partition_epoch > self.partition_epoch;
        if is_new_epoch {
            self.leader_epoch = registration.leader_epoch;
            self.epoch_start_offset = core.log.log_end_offset();
            core.log.start_epoch(registration.leader_epoch);
            for (replica, remote) in &mut self.remotes {
                let in_isr = registration.isr.contains(replica);
                *remote = RemoteReplica::at_epoch_start(now, in_isr);
            }
        }
        self.assign_replicas(core, now, registration);
        if is_new_epoch || is_new_version {
            self.partition_epoch = registration.partition_epoch;
            self.partition = PartitionState::Committed(committed_by(registration));
        }
        self.settle(core, now);
    }

    /// Adds the new replicas, then removes those that are gone: the map is never empty in between,
    /// which would commit everything (KAFKA-10301).
    fn assign_replicas(&mut self, core: &Core, now: Time, registration: &PartitionRegistration) {
        let own = core.settings.broker_id;
        for &replica in registration
            .replicas
            .iter()
            .filter(|&&replica| replica != own)
        {
            let in_isr = registration.isr.contains(&replica);
            let remote = || RemoteReplica::at_epoch_start(now, in_isr);
            self.remotes.entry(replica).or_insert_with(remote);
        }
        self.remotes
            .retain(|replica, _| registration.replicas.contains(replica));
        self.replicas.clone_from(&registration.replicas);
    }

    /// What follows from a new registration or a new commit.
    fn settle(&mut self, core: &mut Core, now: Time) {
        self.maybe_recover(core);
        self.advance(core, now);
    }

    /// Takes a new set of eligible brokers.
    pub(super) fn eligible_changed(
        &mut self,
        core: &mut Core,
        now: Time,
        eligible: Arc<EligibleBrokers>,
    ) {
        self.eligible = eligible;
        self.advance(core, now);
    }

    /// The disk cut the log to `log_end_offset` after this leadership began.
    pub(super) fn log_was_cut(&mut self, log_end_offset: Offset) {
        self.epoch_start_offset = self.epoch_start_offset.min(log_end_offset);
    }

    /// `min.insync.replicas`, but never more than there are replicas.
    pub(super) fn effective_min_isr(&self, core: &Core) -> usize {
        core.settings.min_insync_replicas.min(self.replicas.len())
    }

    /// Raises the high watermark as far as the ISR allows, and completes what waited for it.
    pub(super) fn advance(&mut self, core: &mut Core, now: Time) {
        let electorate = Electorate {
            committed_isr_len: self.partition.committed().isr.len(),
            min_insync_replicas: self.effective_min_isr(core),
            maximal_isr: &self.partition.maximal_isr(),
            eligible: &self.eligible,
            lag_max: core.settings.replica_lag_time_max,
        };
        let own = core.replicated_offset();
        if let Some(to) = electorate.high_watermark(now, own, &self.remotes) {
            core.raise_high_watermark(to);
        }
        self.complete_waiting(core);
    }

    /// Proposes that `replica` joins the ISR if it has everything that is committed and everything
    /// from before this epoch (KAFKA-7128), and is alive in the life that it fetched in (KIP-841,
    /// KIP-903).
    pub(super) fn maybe_expand(&mut self, core: &mut Core, now: Time, replica: BrokerId) {
        let PartitionState::Committed(committed) = &self.partition else {
            return;
        };
        let needed = core.high_watermark().max(self.epoch_start_offset);
        let is_caught_up = |remote: &RemoteReplica| {
            remote.log_end_offset.is_some_and(|end| end >= needed)
                && self.eligible.get(&replica).is_some_and(|&epoch| {
                    remote
                        .broker_epoch
                        .is_none_or(|fetched_in| fetched_in == epoch)
                })
        };
        if now >= self.propose_not_before
            && committed.recovery == LeaderRecoveryState::Recovered
            && !committed.isr.contains(&replica)
            && self.remotes.get(&replica).is_some_and(is_caught_up)
        {
            self.propose(core, Proposal::Expand { joining: replica });
        }
    }

    /// Proposes to drop the members that have not kept up for the maximal lag.
    fn maybe_shrink(&mut self, core: &mut Core, now: Time) {
        let PartitionState::Committed(committed) = &self.partition else {
            return;
        };
        let lag_max = core.settings.replica_lag_time_max;
        // What a follower could have read, not what the leader's own slow disk still owes it.
        let end = core.log.appended_offset();
        let lags = |replica: &BrokerId| {
            self.remotes.get(replica).is_none_or(|remote| {
                remote.log_end_offset != Some(end) && !remote.caught_up_within(now, lag_max)
            })
        };
        let others = committed
            .isr
            .iter()
            .filter(|&&id| id != core.settings.broker_id);
        let leaving: BTreeSet<_> = others.copied().filter(lags).collect();
        if !leaving.is_empty() {
            self.propose(core, Proposal::Shrink { leaving });
        }
    }

    /// A leader elected uncleanly declares its log the partition's before anyone may join it.
    fn maybe_recover(&mut self, core: &mut Core) {
        if let PartitionState::Committed(committed) = &self.partition
            && committed.recovery == LeaderRecoveryState::Recovering
        {
            self.propose(core, Proposal::Recover);
        }
    }

    fn propose(&mut self, core: &mut Core, proposal: Proposal) {
        let committed = self.partition.committed().clone();
        let mut isr = committed.isr.clone();
        match &proposal {
            Proposal::Expand { joining } => isr.extend([*joining]),
            Proposal::Shrink { leaving } => isr.retain(|replica| !leaving.contains(replica)),
            Proposal::Recover => {}
        }
        let own = core.settings.broker_id;
        let new_isr = isr
            .into_iter()
            .map(|id| (id, self.known_broker_epoch(own, id)))
            .collect();
        let request = AlterPartitionRequest {
            token: core.next_alter_partition_token(),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            new_isr,
            leader_recovery_state: LeaderRecoveryState::Recovered,
        };
        core.push(Effect::AlterPartition(request.clone()));
        let delivery = Delivery::InFlight;
        let change = PendingChange {
            committed,
            proposal,
            request,
            delivery,
        };
        self.partition = PartitionState::Pending(change);
    }

    /// The life of `id` that this leader vouches for: its own, or the one that fetched from it.
    fn known_broker_epoch(&self, own: BrokerId, id: BrokerId) -> BrokerEpoch {
        let known = if id == own {
            self.eligible.get(&id).copied()
        } else {
            self.remotes.get(&id).and_then(|remote| remote.broker_epoch)
        };
        known.unwrap_or(NO_BROKER_EPOCH)
    }

    /// Takes the controller's answer to the proposal that `token` names.
    pub(super) fn alter_partition_answered(
        &mut self,
        core: &mut Core,
        now: Time,
        token: AlterPartitionToken,
        answer: Result<AlterPartitionAnswer, ErrorCode>,
    ) {
        let (leader_epoch, partition_epoch) = (self.leader_epoch, self.partition_epoch);
        let Some(pending) = self.partition.pending(token) else {
            return;
        };
        match answer {
            Ok(answer) => {
                if answer.leader_epoch != leader_epoch || answer.partition_epoch < partition_epoch {
                    pending.delivery = Delivery::AwaitsMetadata;
                    return;
                }
                self.partition_epoch = answer.partition_epoch;
                self.partition = PartitionState::Committed(CommittedIsr {
                    isr: answer.isr.into_iter().collect(),
                    recovery: answer.leader_recovery_state,
                });
                // A smaller ISR may commit what the larger one held back (KAFKA-13091).
                self.advance(core, now);
            }
            Err(code) => match after_error(code) {
                AfterError::AwaitMetadata => pending.delivery = Delivery::AwaitsMetadata,
                AfterError::Repeat => {
                    let repeat_at = now + core.settings.alter_partition_backoff;
                    pending.delivery = Delivery::RepeatAt(repeat_at);
                }
                AfterError::Revert => {
                    self.propose_not_before = now + core.settings.alter_partition_backoff;
                    self.partition = PartitionState::Committed(pending.committed.clone());
                    self.advance(core, now);
                }
            },
        }
    }

    /// When the leader next has something to do by itself.
    pub(super) fn next_timeout(&self) -> Time {
        let times = [
            self.partition.repeat_at(),
            self.waiting_for_append.next_deadline(),
            self.waiting_for_commit.next_deadline(),
        ];
        times
            .into_iter()
            .flatten()
            .fold(self.next_shrink_check, Time::min)
    }

    /// Does what is due at `now`.
    pub(super) fn handle_timeout(&mut self, core: &mut Core, now: Time) {
        if self.partition.repeat_at().is_some_and(|due| due <= now)
            && let PartitionState::Pending(pending) = &mut self.partition
        {
            pending.delivery = Delivery::InFlight;
            core.push(Effect::AlterPartition(pending.request.clone()));
        }
        if self.next_shrink_check <= now {
            self.next_shrink_check = now + core.settings.replica_lag_time_max / 2;
            self.maybe_recover(core);
            self.maybe_shrink(core, now);
            self.advance(core, now);
        }
        self.expire_waiting(core, now);
    }
}

fn committed_by(registration: &PartitionRegistration) -> CommittedIsr {
    CommittedIsr {
        isr: registration.isr.iter().copied().collect(),
        recovery: registration.leader_recovery_state,
    }
}
