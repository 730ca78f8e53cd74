//! One replica of one partition, sans-IO: leader, follower, or offline.
//!
//! In: registrations from the metadata log, requests of producers and readers, answers of the disk,
//! the leader and the controller, time. Out: [`Effect`]s.
//! Invariants: a replica obeys only the newest registration it has seen; an offset counts as
//! replicated only when the disk has answered; the high watermark never passes a replica that may
//! be elected. Source: KRaft Kafka's `Partition` and `AbstractFetcherThread`; `docs/offsets.md`.

mod core;
mod effects;
mod follower;
mod high_watermark;
mod isr;
mod leader;
mod produce;
mod registration;
mod remote;
mod serve;
mod settings;
mod truncation;
mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use self::core::Core;
use self::follower::FollowerState;
use self::leader::LeaderState;
use crate::config::sabotage::{self, Sabotage};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::log::{EpochEnd, LogState, PartitionLog};
use crate::offset::{LeaderEpoch, NO_LEADER_EPOCH, Offset, PartitionEpoch};
use crate::time::{Now, Time};

pub use effects::{
    Acks, AlterPartitionAnswer, AlterPartitionRequest, AlterPartitionToken, Bounds, Effect,
    EligibleBrokers, FetchAnswer, FetchPosition, FetchedPartition, FollowerFetch, Isolation,
    LeaderOffsets, NextFetch, OffsetAnswer, OffsetAsker, OffsetQuery, ProduceOutcome,
    ProduceRequest, ProduceToken, Produced,
};
pub use registration::{LeaderRecoveryState, PartitionRegistration};
pub use settings::ReplicaSettings;

/// One replica of one partition.
#[derive(Debug)]
pub struct Replica {
    core: Core,
    role: Role,
}

#[derive(Debug)]
enum Role {
    /// No registration names this replica yet, or any more.
    Unassigned,
    Leader(Box<LeaderState>),
    Follower(FollowerState),
    /// The disk failed. Final: a new replica is made if the log can be used again.
    Offline,
}

/// What a replica is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleName {
    /// Not assigned to this broker.
    Unassigned,
    /// It decides what the log contains.
    Leader,
    /// It copies the log of a leader, or waits for one.
    Follower,
    /// Its disk failed.
    Offline,
}

impl Replica {
    /// Starts from what recovery found on the disk. Recovery has flushed it.
    pub fn recovered(
        settings: ReplicaSettings,
        state: LogState,
        high_watermark_checkpoint: Offset,
    ) -> Self {
        let mut core = Core::new(settings, state, high_watermark_checkpoint);
        if sabotage::planted(Sabotage::TruncateToHighWatermarkOnRestart) {
            core.truncate(core.high_watermark());
        }
        Self {
            core,
            role: Role::Unassigned,
        }
    }

    /// Starts from a log that is whole only below `damage`: it is cut there first.
    pub fn damaged(
        settings: ReplicaSettings,
        state: LogState,
        high_watermark: Offset,
        damage: Offset,
    ) -> Self {
        let mut core = Core::new(settings, state, high_watermark);
        core.truncate(damage);
        Self {
            core,
            role: Role::Unassigned,
        }
    }

    /// Obeys `registration`, unless it is older than what the replica already knows.
    pub fn handle_registration(
        &mut self,
        now: Now,
        registration: &PartitionRegistration,
        eligible: &Arc<EligibleBrokers>,
    ) {
        let known = (self.leader_epoch(), self.partition_epoch());
        let is_older =
            registration.leader_epoch < known.0 || registration.partition_epoch < known.1;
        if is_older || matches!(self.role, Role::Offline) {
            return;
        }
        let own = self.core.settings.broker_id;
        let role_before = (self.role(), self.leader_epoch());
        let leads = registration.leader == Some(own);
        if !registration.replicas.contains(&own) {
            self.leave_role(ErrorCode::NotLeaderOrFollower);
        } else if leads {
            self.lead(now.time, registration, eligible);
        } else {
            self.follow(registration);
        }
        if role_before != (self.role(), self.leader_epoch()) {
            self.core.push(Effect::RoleChanged);
        }
    }

    fn lead(
        &mut self,
        now: Time,
        registration: &PartitionRegistration,
        eligible: &Arc<EligibleBrokers>,
    ) {
        let (core, eligible) = (&mut self.core, Arc::clone(eligible));
        if let Role::Leader(leader) = &mut self.role {
            leader.confirmed(core, now, registration, eligible);
        } else {
            let leader = LeaderState::elected(core, now, registration, eligible);
            self.role = Role::Leader(Box::new(leader));
        }
    }

    fn follow(&mut self, registration: &PartitionRegistration) {
        if let Role::Follower(follower) = &mut self.role {
            follower.confirmed(&mut self.core, registration);
        } else {
            self.leave_role(ErrorCode::NotLeaderOrFollower);
            self.role = Role::Follower(FollowerState::following(&mut self.core, registration));
        }
    }

    /// Ends the role; whoever waits for it learns `code`, and the outcome is unknown to him.
    fn leave_role(&mut self, code: ErrorCode) {
        if let Role::Leader(leader) = &mut self.role {
            leader.abandon_waiting(&mut self.core, code);
        }
        self.role = Role::Unassigned;
    }

    /// Takes the brokers that may be in an ISR, whenever they change.
    pub fn handle_eligible_brokers(&mut self, now: Now, eligible: &Arc<EligibleBrokers>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.eligible_changed(&mut self.core, now.time, Arc::clone(eligible));
        }
    }

    /// Takes a new `min.insync.replicas`.
    pub fn handle_min_insync_replicas(&mut self, now: Now, min_insync_replicas: usize) {
        self.core.settings.min_insync_replicas = min_insync_replicas;
        self.advance(now);
    }

    /// Takes a new `flush.messages`.
    pub fn handle_flush_messages(&mut self, now: Now, flush_messages: i64) {
        if flush_messages != self.core.settings.flush_messages {
            self.core.set_flush_messages(flush_messages);
            self.replicated(now);
        }
    }

    /// Takes a batch of a producer. Answer: `Effect::CompleteProduce`, now or later; none for
    /// acks=0.
    pub fn handle_produce(&mut self, _now: Now, request: ProduceRequest) {
        match &mut self.role {
            Role::Leader(leader) => leader.produce(&mut self.core, request),
            _ => produce::reject(&mut self.core, &request, self.role.refusal()),
        }
    }

    /// The disk has written everything below `upto`.
    pub fn handle_append_completed(&mut self, now: Now, upto: Offset) {
        self.core.log.complete_append(upto);
        self.replicated(now);
    }

    /// The disk had no space for an append. Nothing of it is in the log, nor of those that were
    /// asked for after it: the log goes back to what is written, and takes records again once the
    /// disk has said what that is. Not final: the next append may find space.
    pub fn handle_append_refused(&mut self, now: Now) {
        let core = &mut self.core;
        match &mut self.role {
            Role::Offline => return,
            Role::Unassigned => core.take_back_appends(),
            Role::Leader(leader) => {
                core.take_back_appends();
                leader.refuse_unwritten(core);
                leader.log_was_cut(core.log.log_end_offset());
            }
            Role::Follower(follower) => {
                core.take_back_appends();
                follower.back_off(core, now.time);
            }
        }
        self.advance(now);
    }

    /// The disk has flushed everything below `upto`.
    pub fn handle_flushed(&mut self, now: Now, upto: Offset) {
        self.core.log.complete_flush(upto);
        self.replicated(now);
    }

    fn replicated(&mut self, now: Now) {
        if matches!(self.role, Role::Leader(_)) {
            let appended_offset = self.core.log.appended_offset();
            self.core.push(Effect::Appended { appended_offset });
        }
        self.advance(now);
    }

    /// The disk has truncated or restarted the log, and `state` is what is left.
    pub fn handle_truncated(&mut self, now: Now, state: LogState) {
        self.core.complete_truncation(state);
        if let Role::Leader(leader) = &mut self.role {
            leader.log_was_cut(self.core.log.log_end_offset());
        }
        self.advance(now);
    }

    /// The disk failed: nothing is served from this replica any more (KAFKA-10778).
    pub fn handle_storage_failed(&mut self, _now: Now) {
        self.leave_role(ErrorCode::KafkaStorageError);
        self.role = Role::Offline;
        self.core.push(Effect::RoleChanged);
    }

    /// Retention removed the records below `log_start_offset`.
    pub fn handle_log_start_advanced(&mut self, _now: Now, log_start_offset: Offset) {
        self.core.records_removed_below(log_start_offset);
    }

    /// Forgets the producers that were idle for `expiration` (`producer.id.expiration.ms`).
    pub fn handle_producer_expiration(&mut self, now: Now, expiration: Duration) {
        self.core.log.expire_producers(now.wall_millis, expiration);
    }

    fn advance(&mut self, now: Now) {
        if let Role::Leader(leader) = &mut self.role {
            leader.advance(&mut self.core, now.time);
        }
    }

    /// Answers a follower's fetch and takes note of how far the follower is. Call it once for each
    /// fetch, when it arrives.
    pub fn handle_follower_fetch(&mut self, now: Now, fetch: &FollowerFetch) -> FetchAnswer {
        match &mut self.role {
            Role::Leader(leader) => leader.follower_fetch(&mut self.core, now.time, fetch),
            _ => FetchAnswer::Error(self.role.refusal()),
        }
    }

    /// Answers a follower's waiting fetch again, without taking note.
    pub fn review_follower_fetch(&self, fetch: &FollowerFetch) -> FetchAnswer {
        match &self.role {
            Role::Leader(leader) => leader.review_follower_fetch(&self.core, fetch),
            _ => FetchAnswer::Error(self.role.refusal()),
        }
    }

    /// Answers a consumer's fetch.
    pub fn consumer_fetch(&self, position: &FetchPosition, isolation: Isolation) -> FetchAnswer {
        match &self.role {
            Role::Leader(leader) => leader.consumer_fetch(&self.core, position, isolation),
            _ => FetchAnswer::Error(self.role.refusal()),
        }
    }

    /// Answers ListOffsets.
    pub fn list_offset(
        &self,
        current_leader_epoch: LeaderEpoch,
        query: OffsetQuery,
        asker: OffsetAsker,
    ) -> OffsetAnswer {
        match &self.role {
            Role::Leader(leader) => {
                leader.list_offset(&self.core, current_leader_epoch, query, asker)
            }
            _ => OffsetAnswer::Error(self.role.refusal()),
        }
    }

    /// Answers OffsetForLeaderEpoch; epoch -1 and offset -1 if nothing is known of `epoch`.
    pub fn offset_for_leader_epoch(
        &self,
        current_leader_epoch: LeaderEpoch,
        epoch: LeaderEpoch,
    ) -> Result<EpochEnd, ErrorCode> {
        match &self.role {
            Role::Leader(leader) => {
                leader.offset_for_leader_epoch(&self.core, current_leader_epoch, epoch)
            }
            _ => Err(self.role.refusal()),
        }
    }

    /// Takes the controller's answer to an `AlterPartition`. A request that was lost is answered
    /// with the error of the transport, such as `NetworkException`: it will be repeated.
    pub fn handle_alter_partition_response(
        &mut self,
        now: Now,
        token: AlterPartitionToken,
        answer: Result<AlterPartitionAnswer, ErrorCode>,
    ) {
        if let Role::Leader(leader) = &mut self.role {
            leader.alter_partition_answered(&mut self.core, now.time, token, answer);
        }
    }

    /// What a follower fetches next; `None` if it must not fetch now.
    pub fn next_fetch(&self) -> Option<NextFetch> {
        match &self.role {
            Role::Follower(follower) => follower.next_fetch(&self.core),
            _ => None,
        }
    }

    /// Takes the leader's answer to the fetch at `position`; stale answers are ignored.
    pub fn handle_fetch_response(
        &mut self,
        now: Now,
        position: &FetchPosition,
        answer: FetchedPartition,
    ) {
        if let Role::Follower(follower) = &mut self.role {
            follower.fetched(&mut self.core, now.time, position, answer);
        }
    }

    /// Takes the answer to `Effect::ListLeaderOffsets`; stale answers are ignored.
    pub fn handle_leader_offsets(
        &mut self,
        now: Now,
        leader_epoch: LeaderEpoch,
        answer: Result<LeaderOffsets, ErrorCode>,
    ) {
        if let Role::Follower(follower) = &mut self.role {
            follower.leader_offsets(&mut self.core, now.time, leader_epoch, answer);
        }
    }

    /// Cuts off records of a follower outside the ISR and the ELR whose epochs its leader's log
    /// contradicts, and says where. Only for a broker that knows every election before its own
    /// registration: to another, a deposed leader may seem to be the present one.
    pub fn cut_contradicted(&mut self) -> Option<Offset> {
        match &mut self.role {
            Role::Follower(follower) => follower.cut_contradicted(&mut self.core),
            _ => None,
        }
    }

    /// When the replica next has something to do by itself.
    pub fn next_timeout(&self) -> Option<Time> {
        match &self.role {
            Role::Leader(leader) => Some(leader.next_timeout()),
            Role::Follower(follower) => follower.next_timeout(),
            Role::Unassigned | Role::Offline => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        match &mut self.role {
            Role::Leader(leader) => leader.handle_timeout(&mut self.core, now.time),
            Role::Follower(follower) => follower.handle_timeout(now.time),
            Role::Unassigned | Role::Offline => {}
        }
    }

    /// Takes what has been asked for since the last call, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.core.take_effects()
    }

    /// What the replica is.
    pub fn role(&self) -> RoleName {
        match &self.role {
            Role::Unassigned => RoleName::Unassigned,
            Role::Leader(_) => RoleName::Leader,
            Role::Follower(_) => RoleName::Follower,
            Role::Offline => RoleName::Offline,
        }
    }

    /// The leader epoch it acts in, -1 before the first.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        match &self.role {
            Role::Leader(leader) => leader.leader_epoch,
            Role::Follower(follower) => follower.leader_epoch,
            Role::Unassigned | Role::Offline => NO_LEADER_EPOCH,
        }
    }

    /// The version of the registration it acts on, -1 before the first.
    pub fn partition_epoch(&self) -> PartitionEpoch {
        match &self.role {
            Role::Leader(leader) => leader.partition_epoch,
            Role::Follower(follower) => follower.partition_epoch,
            Role::Unassigned | Role::Offline => -1,
        }
    }

    /// Below it every record is committed, as far as this replica knows.
    pub fn high_watermark(&self) -> Offset {
        self.core.high_watermark()
    }

    /// Below it a read-committed consumer may read.
    pub fn last_stable_offset(&self) -> Offset {
        self.core.bounds().last_stable_offset
    }

    /// The pointers and epochs of its log.
    pub fn log(&self) -> &PartitionLog {
        &self.core.log
    }

    /// The committed ISR as the leader knows it; `None` if it does not lead.
    pub fn isr(&self) -> Option<&BTreeSet<BrokerId>> {
        self.leading()
            .map(|leader| &leader.partition.committed().isr)
    }

    /// The ISR that the high watermark waits for; `None` if it does not lead.
    pub fn maximal_isr(&self) -> Option<BTreeSet<BrokerId>> {
        self.leading().map(|leader| leader.partition.maximal_isr())
    }

    fn leading(&self) -> Option<&LeaderState> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            _ => None,
        }
    }
}

impl Role {
    /// Why a replica that does not lead refuses what only a leader does.
    fn refusal(&self) -> ErrorCode {
        match self {
            Self::Offline => ErrorCode::KafkaStorageError,
            _ => ErrorCode::NotLeaderOrFollower,
        }
    }
}

#[cfg(test)]
mod tests;
