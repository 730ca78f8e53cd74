//! The group coordinator inside the broker: its partitions, its writes, its answers.
//!
//! In: changes of replicas of `__consumer_offsets`, requests of the handlers, outcomes of writes.
//! Out: answers on the wire. Invariants: a write goes to the log only in the epoch in which its
//! partition was loaded; its outcome is that of a produce with acks=all; without a lease on its
//! leaderships a broker coordinates nothing. Deletions that do not fit into one batch take several,
//! and are done when all are (Kafka's `CoordinatorResult` that is not atomic).

mod answers;
mod load;
mod offsets_topic;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Broker;
use super::effects::RequestId;
use crate::config::Settings;
use crate::config::sabotage::{Sabotage, planted};
use crate::error::ErrorCode;
use crate::group::{
    Coordinator, GroupCaller, GroupEffect, GroupRequest, GroupSettings, RecordBytes, partition_for,
};
use crate::id::TopicPartition;
use crate::log::LogBatch;
use crate::protocol::RequestHeader;
use crate::record::{BatchBuilder, Compression, RecordBatch};
use crate::replica::{Acks, ProduceOutcome, ProduceRequest, ProduceToken, RoleName};
use crate::time::{Now, Time};

pub(super) use answers::{Gather, Job};
pub(super) use load::LoadRead;
pub use offsets_topic::OFFSETS_TOPIC;

/// A partition that no broker leads.
const NO_PARTITION: i32 = -1;

/// The coordinator and what connects it with the rest of the broker.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) coordinator: Coordinator,
    /// How to answer each request that the coordinator holds.
    jobs: BTreeMap<u64, Job>,
    /// Deletions of several groups, each answered when all are done.
    gathers: BTreeMap<RequestId, Gather>,
    /// The coordinator's name for each produce that is under way for it; those of one write follow
    /// one another.
    writes: BTreeMap<ProduceToken, u64>,
    /// Writes of which a batch has failed, and others are under way.
    failed: BTreeMap<u64, ErrorCode>,
    outcomes: VecDeque<(u64, Result<(), ErrorCode>)>,
    /// Partitions that were read to their end, until that is committed.
    read_to_end: BTreeMap<i32, LoadRead>,
    /// Reads for which the disk had no descriptor, by when they are repeated.
    loads_to_retry: BTreeMap<Time, Vec<LoadRead>>,
    is_creating_topic: bool,
}

impl Groups {
    pub(super) fn new(settings: &Settings, seed: u64) -> Self {
        Self {
            coordinator: Coordinator::new(group_settings(settings), seed),
            jobs: BTreeMap::new(),
            gathers: BTreeMap::new(),
            writes: BTreeMap::new(),
            failed: BTreeMap::new(),
            outcomes: VecDeque::new(),
            read_to_end: BTreeMap::new(),
            loads_to_retry: BTreeMap::new(),
            is_creating_topic: false,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        let retry_at = self.loads_to_retry.keys().next().copied();
        self.coordinator
            .next_timeout()
            .into_iter()
            .chain(retry_at)
            .min()
    }
}

fn group_settings(settings: &Settings) -> GroupSettings {
    let minutes = settings.long("offsets.retention.minutes") as u64;
    GroupSettings {
        session_timeout_min: settings.millis("group.min.session.timeout.ms"),
        session_timeout_max: settings.millis("group.max.session.timeout.ms"),
        initial_rebalance_delay: settings.millis("group.initial.rebalance.delay.ms"),
        members_max: settings.long("group.max.size") as usize,
        metadata_bytes_max: settings.long("offset.metadata.max.bytes") as usize,
        retention: Duration::from_secs(minutes.saturating_mul(60)),
        retention_check_interval: settings.millis("offsets.retention.check.interval.ms"),
    }
}

impl Broker {
    /// Hands a request to the coordinator; `job` says how its answer is written.
    pub(super) fn ask_coordinator(
        &mut self,
        now: Now,
        caller: GroupCaller,
        request: GroupRequest,
        job: Job,
    ) {
        let id = self.fresh_id();
        self.groups.jobs.insert(id, job);
        let partition = self.served_partition(now, request.group_id());
        let coordinator = &mut self.groups.coordinator;
        coordinator.handle_request(now, partition, id, caller, request);
    }

    /// The partition of `__consumer_offsets` that a group lives in.
    pub(super) fn offsets_partition(&self, group_id: &str) -> i32 {
        let topic = self.image.topics().named(OFFSETS_TOPIC);
        let partitions = topic.map_or(0, |topic| topic.partitions().count());
        partition_for(group_id, partitions as i32)
    }

    /// The same; one that nobody leads, if another broker may coordinate the group already: this
    /// one would tell old offsets, and keep members alive that were given up elsewhere.
    pub(super) fn served_partition(&self, now: Now, group_id: &str) -> i32 {
        if self.lifecycle.has_lease(now) {
            self.offsets_partition(group_id)
        } else {
            NO_PARTITION
        }
    }

    pub(super) fn groups_timeout(&mut self, now: Now) {
        self.groups.coordinator.handle_timeout(now);
        self.retry_loads(now);
    }

    /// Lets the coordinator and the log act on each other. Whether anything happened.
    pub(super) fn serve_groups(&mut self, now: Now) -> bool {
        let mut acted = false;
        while let Some((token, outcome)) = self.groups.outcomes.pop_front() {
            self.groups.coordinator.handle_written(now, token, outcome);
            acted = true;
        }
        for effect in self.groups.coordinator.take_effects() {
            acted = true;
            match effect {
                GroupEffect::Write {
                    partition,
                    leader_epoch,
                    token,
                    records,
                } => self.write_group_records(now, (partition, leader_epoch), token, &records),
                GroupEffect::Respond { request, response } => {
                    self.answer_group_request(request, response);
                }
            }
        }
        acted
    }

    fn write_group_records(
        &mut self,
        now: Now,
        (partition, leader_epoch): (i32, i32),
        token: u64,
        records: &[RecordBytes],
    ) {
        let name = TopicPartition::new(OFFSETS_TOPIC, partition);
        let batches = self.group_batches(now, &name, leader_epoch, records);
        let batches = match batches {
            Ok(batches) => batches,
            Err(error) => return self.groups.outcomes.push_back((token, Err(error))),
        };
        let early = planted(Sabotage::CommitAnsweredBeforeReplication);
        let mut requests = Vec::new();
        for batch in batches {
            let produce = ProduceToken(self.fresh_id());
            self.groups.writes.insert(produce, token);
            requests.push(ProduceRequest {
                token: produce,
                deadline: now.time + self.settings.millis("offsets.commit.timeout.ms"),
                acks: if early { Acks::One } else { Acks::All },
                batch,
            });
        }
        for request in requests {
            self.with_replica(now, &name, |replica| replica.handle_produce(now, request));
        }
    }

    /// The batches for the leader of `name` in `leader_epoch`, or why they cannot be appended.
    fn group_batches(
        &self,
        now: Now,
        name: &TopicPartition,
        leader_epoch: i32,
        records: &[RecordBytes],
    ) -> Result<Vec<LogBatch>, ErrorCode> {
        let partition = self.partitions.get(name);
        let partition = partition.ok_or(ErrorCode::NotLeaderOrFollower)?;
        let replica = &partition.replica;
        if replica.role() != RoleName::Leader || replica.leader_epoch() != leader_epoch {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        fitting(now, records, partition.config.max_message_bytes as usize)
    }

    /// A replica told the outcome of a batch of the coordinator. Whether it was one.
    pub(super) fn complete_group_write(
        &mut self,
        token: ProduceToken,
        outcome: &ProduceOutcome,
    ) -> bool {
        let Some(write) = self.groups.writes.remove(&token) else {
            return false;
        };
        let groups = &mut self.groups;
        if let Err(error) = outcome {
            groups.failed.entry(write).or_insert(*error);
        }
        let before = groups.writes.range(..token).next_back();
        let after = groups.writes.range(token..).next();
        let mut beside = before.into_iter().chain(after);
        if !beside.any(|(_, other)| *other == write) {
            let outcome = groups.failed.remove(&write).map_or(Ok(()), Err);
            groups.outcomes.push_back((write, outcome));
        }
        true
    }
}

/// One batch of `records`, or several where they only delete and are too many for one.
fn fitting(
    now: Now,
    records: &[RecordBytes],
    limit_bytes: usize,
) -> Result<Vec<LogBatch>, ErrorCode> {
    let mut batch = BatchBuilder::new(Compression::None);
    for (key, value) in records {
        batch.append(now.wall_millis, Some(key), value.as_deref(), &[]);
    }
    if batch.plain_bytes() <= limit_bytes {
        let batch = RecordBatch::first(&batch.build());
        let batch = batch.map_err(|_| ErrorCode::UnknownServerError)?;
        return Ok(vec![LogBatch::from(batch)]);
    }
    let only_delete = records.iter().all(|(_, value)| value.is_none());
    let (first, rest) = records.split_at(records.len() / 2);
    if !only_delete || first.is_empty() {
        return Err(ErrorCode::MessageTooLarge);
    }
    let mut batches = fitting(now, first, limit_bytes)?;
    batches.extend(fitting(now, rest, limit_bytes)?);
    Ok(batches)
}

/// Who sent a request, as a group shows its members.
pub(super) fn caller(header: &RequestHeader) -> GroupCaller {
    let (client_id, client_host) = header.client();
    GroupCaller {
        client_id,
        client_host,
    }
}
