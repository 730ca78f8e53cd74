//! The partitions of this broker: a replica, its place, and the performance of its effects.
//!
//! In: events of one replica. Out: what the replica asked for, done or passed on. Invariant: after
//! every event of a replica its effects are performed before anything else happens to it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{self as wire, ResponseKind, alter_partition_request};
use tracing::info;

use super::controller_wire::{recovery_state, wire_recovery_state};
use super::disk_events::DiskPurpose;
use super::effects::{Channel, DirectoryIndex, PeerError};
use super::peer_events::PeerPurpose;
use super::state_log::RoleBefore;
use super::{Broker, is_due};
use crate::config::TopicConfig;
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::log::LogBatch;
use crate::replica::{
    AlterPartitionAnswer, AlterPartitionRequest, AlterPartitionToken, Effect, Replica,
    ReplicaSettings,
};
use crate::storage::{DiskRequest, LogDamage};
use crate::time::{Now, Time};

/// A partition that this broker has a replica of.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) replica: Replica,
    pub(super) directory: DirectoryIndex,
    pub(super) topic_id: TopicId,
    pub(super) config: TopicConfig,
    /// Tells completions for this replica from those for one before it.
    pub(super) generation: u64,
    /// Its log is damaged, or is gone; the replica is offline.
    pub(super) lost: Option<LogDamage>,
    timer: Option<Time>,
}

/// A replica in one of its lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartitionKey {
    pub(super) name: TopicPartition,
    pub(super) generation: u64,
}

impl Partition {
    pub(super) fn new(
        replica: Replica,
        directory: DirectoryIndex,
        topic_id: TopicId,
        config: TopicConfig,
        generation: u64,
    ) -> Self {
        Self {
            replica,
            directory,
            topic_id,
            config,
            generation,
            lost: None,
            timer: None,
        }
    }

    /// Names this life of the partition.
    pub(super) fn key(&self, name: &TopicPartition) -> PartitionKey {
        PartitionKey {
            name: name.clone(),
            generation: self.generation,
        }
    }
}

impl Broker {
    pub(super) fn replica_settings(&self, config: &TopicConfig) -> ReplicaSettings {
        ReplicaSettings {
            broker_id: self.id,
            min_insync_replicas: config.min_insync_replicas.max(1) as usize,
            replica_lag_time_max: self.settings.millis("replica.lag.time.max.ms"),
            replica_fetch_backoff: self.settings.millis("replica.fetch.backoff.ms"),
            alter_partition_backoff: Duration::from_millis(50),
            flush_messages: i64::try_from(config.flush_messages).unwrap_or(i64::MAX),
        }
    }

    /// Lets `act` happen to a replica, then performs what it asks for.
    pub(super) fn with_replica(
        &mut self,
        now: Now,
        name: &TopicPartition,
        act: impl FnOnce(&mut Replica),
    ) {
        if let Some(partition) = self.partitions.get_mut(name) {
            act(&mut partition.replica);
            self.drain_replica(now, name);
        }
    }

    /// The same for a replica that must still be in the life that `key` names.
    pub(super) fn with_keyed_replica(
        &mut self,
        now: Now,
        key: &PartitionKey,
        act: impl FnOnce(&mut Replica),
    ) {
        let generation = self
            .partitions
            .get(&key.name)
            .map(|partition| partition.generation);
        if generation == Some(key.generation) {
            self.with_replica(now, &key.name, act);
        }
    }

    /// Performs the effects of a replica and takes note of what it waits for.
    pub(super) fn drain_replica(&mut self, now: Now, name: &TopicPartition) {
        while let Some(partition) = self.partitions.get_mut(name) {
            let effects = partition.replica.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.perform_replica_effect(now, name, effect);
            }
        }
        self.note_replica(name);
    }

    fn note_replica(&mut self, name: &TopicPartition) {
        let Some(partition) = self.partitions.get_mut(name) else {
            return;
        };
        let timer = partition.replica.next_timeout();
        let before = std::mem::replace(&mut partition.timer, timer);
        if let Some(next) = partition.replica.next_fetch() {
            self.fetchers.mark(next.leader, name);
        }
        if before != timer {
            if let Some(before) = before {
                self.replica_timers.remove(&(before, name.clone()));
            }
            if let Some(timer) = timer {
                self.replica_timers.insert((timer, name.clone()));
            }
        }
    }

    /// Forgets a replica; its timers go with it.
    pub(super) fn forget_partition(&mut self, name: &TopicPartition) -> Option<Partition> {
        let partition = self.partitions.remove(name)?;
        if let Some(timer) = partition.timer {
            self.replica_timers.remove(&(timer, name.clone()));
        }
        self.purgatory.wake(name);
        self.group_partition_removed(name);
        Some(partition)
    }

    pub(super) fn replicas_timeout(&mut self, now: Now) {
        // Each replica gets its turn once, even if it asks to be called again at once.
        let due: Vec<_> = self
            .replica_timers
            .iter()
            .take_while(|(time, _)| is_due(Some(*time), now))
            .map(|(_, name)| name.clone())
            .collect();
        for name in due {
            self.with_replica(now, &name, |replica| replica.handle_timeout(now));
        }
    }

    fn perform_replica_effect(&mut self, now: Now, name: &TopicPartition, effect: Effect) {
        let Some(partition) = self.partitions.get(name) else {
            return;
        };
        let directory = partition.directory;
        let key = partition.key(name);
        let log = name.clone();
        match effect {
            Effect::Append { batches } => {
                let batches = concatenate(batches);
                let request = DiskRequest::Append { log, batches };
                self.disk(directory, request, DiskPurpose::Append(key));
            }
            Effect::Flush => {
                self.due_flushes.insert(log, (directory, key));
            }
            Effect::Truncate { to } => {
                info!(partition = %name, end = to, "truncates its log");
                let request = DiskRequest::Truncate { log, to };
                self.disk(directory, request, DiskPurpose::Truncate(key));
            }
            Effect::RestartAt { offset } => {
                info!(partition = %name, end = offset, "starts its log anew");
                let request = DiskRequest::RestartAt { log, offset };
                self.disk(directory, request, DiskPurpose::Truncate(key));
            }
            Effect::LogStartAdvanced {
                log_start_offset: to,
            } => {
                let request = DiskRequest::AdvanceLogStart { log, to };
                self.disk(directory, request, DiskPurpose::Unwatched(key));
            }
            Effect::AlterPartition(request) => self.alter_partition(now, name, request),
            Effect::ListLeaderOffsets {
                leader,
                leader_epoch,
            } => {
                self.ask_leader_offsets(now, name, leader, leader_epoch);
            }
            Effect::CompleteProduce { token, outcome } => self.complete_produce(token, outcome),
            Effect::RoleChanged => {
                self.group_role_changed(name);
                self.purgatory.wake(name);
            }
            Effect::HighWatermarkAdvanced { .. } => {
                self.group_high_watermark_advanced(now, name);
                self.purgatory.wake(name);
            }
            Effect::Appended { .. } => self.purgatory.wake(name),
        }
    }

    fn alter_partition(&mut self, now: Now, name: &TopicPartition, request: AlterPartitionRequest) {
        let Some(partition) = self.partitions.get(name) else {
            return;
        };
        let token = request.token;
        let body = wire::AlterPartitionRequest::default()
            .with_broker_id(wire::BrokerId(self.id.0))
            .with_broker_epoch(self.broker_epoch())
            .with_topics(vec![encode_alteration(
                partition.topic_id,
                name.partition,
                request,
            )]);
        let timeout = self.settings.millis("controller.quorum.request.timeout.ms");
        let partition = partition.key(name);
        let purpose = PeerPurpose::AlterPartition { partition, token };
        let sent = self.call_controller(now, Channel::Control, body.into(), timeout, purpose);
        if sent.is_none()
            && let Some(partition) = self.partitions.get_mut(name)
        {
            let error = Err(ErrorCode::NetworkException);
            partition
                .replica
                .handle_alter_partition_response(now, token, error);
        }
    }

    pub(super) fn handle_alter_partition_answer(
        &mut self,
        now: Now,
        key: &PartitionKey,
        token: AlterPartitionToken,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        let answer = match result.map(|body| *body) {
            Ok(ResponseKind::AlterPartition(body)) => decode_alteration(body),
            _ => Err(ErrorCode::NetworkException),
        };
        self.with_keyed_replica(now, key, |replica| {
            let before = RoleBefore::of(replica);
            replica.handle_alter_partition_response(now, token, answer);
            before.note_isr(&key.name, replica);
        });
    }
}

fn concatenate(batches: Vec<LogBatch>) -> Bytes {
    if let [only] = batches.as_slice() {
        return only.bytes.clone();
    }
    let mut bytes = BytesMut::new();
    for batch in &batches {
        bytes.extend_from_slice(&batch.bytes);
    }
    bytes.freeze()
}

fn encode_alteration(
    topic_id: TopicId,
    partition: i32,
    request: AlterPartitionRequest,
) -> alter_partition_request::TopicData {
    let members = request.new_isr.iter().map(|(id, epoch)| {
        alter_partition_request::BrokerState::default()
            .with_broker_id(wire::BrokerId(id.0))
            .with_broker_epoch(*epoch)
    });
    let partition = alter_partition_request::PartitionData::default()
        .with_partition_index(partition)
        .with_leader_epoch(request.leader_epoch)
        .with_partition_epoch(request.partition_epoch)
        .with_leader_recovery_state(wire_recovery_state(request.leader_recovery_state))
        .with_new_isr_with_epochs(members.collect());
    alter_partition_request::TopicData::default()
        .with_topic_id(topic_id.0)
        .with_partitions(vec![partition])
}

fn decode_alteration(
    body: wire::AlterPartitionResponse,
) -> Result<AlterPartitionAnswer, ErrorCode> {
    if let Some(error) = body.error_code.err() {
        return Err(error);
    }
    let partition = body
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions)
        .next()
        .ok_or(ErrorCode::UnknownServerError)?;
    if let Some(error) = partition.error_code.err() {
        return Err(error);
    }
    Ok(AlterPartitionAnswer {
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        isr: partition.isr.iter().map(|id| BrokerId(id.0)).collect(),
        leader_recovery_state: recovery_state(partition.leader_recovery_state),
    })
}
