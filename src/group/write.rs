//! Writes to `__consumer_offsets` that are on their way, and what follows from their outcome.
//!
//! Invariant: state that a record stands for changes when the record is committed, not before;
//! a request that caused it is answered then, once. A failed write that may still be in the log is
//! answered by an error after which the client asks again.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Coordinator;
use super::records::{GroupMetadata, group_metadata_key};
use super::request::RequestId;
use super::response::{CommittedOffset, GroupEffect, GroupResponse, RecordBytes};
use super::state::{Group, State};
use super::static_member::Replacement;
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::time::Now;

/// A write on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) partition: i32,
    pub(super) group_id: String,
    pub(super) purpose: Purpose,
}

/// What a write is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The leader's assignment of a generation.
    Assign {
        generation_id: i32,
        assignments: BTreeMap<String, Bytes>,
    },
    /// The new name of a static member.
    Replace(Box<Replacement>),
    /// Nobody is left in the group; nobody waits for it.
    Empty,
    Commit {
        request: RequestId,
        offsets: Vec<(TopicPartition, CommittedOffset)>,
        answers: Vec<(TopicPartition, Option<ErrorCode>)>,
    },
    DeleteOffsets {
        request: RequestId,
        partitions: Vec<TopicPartition>,
        answers: Vec<(TopicPartition, Option<ErrorCode>)>,
    },
    /// The group and all its offsets.
    DeleteGroup { request: Option<RequestId> },
    /// Offsets that expired, or whose topic is gone.
    Expire(Vec<TopicPartition>),
}

/// What a member is told of a failed write. Source: `CoordinatorOperationExceptionHelper`.
fn told(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge
        | ErrorCode::RecordListTooLarge
        | ErrorCode::InvalidFetchSize => ErrorCode::UnknownServerError,
        other => other,
    }
}

impl Coordinator {
    /// The outcome of a write is known: committed, or an error.
    pub fn handle_written(&mut self, now: Now, token: u64, result: Result<(), ErrorCode>) {
        // Whatever was on its way when the partition was unloaded has been answered.
        let Some(pending) = self.writes.remove(&token) else {
            return;
        };
        let group_id = pending.group_id.clone();
        self.settle(now, pending, result.map_err(told));
        self.note_alarm(&group_id);
    }

    pub(super) fn write(&mut self, group_id: &str, records: Vec<RecordBytes>, purpose: Purpose) {
        let partition = self.groups.get(group_id).map(|group| group.partition);
        let shard = partition.and_then(|index| Some((index, self.shards.get(&index)?)));
        let Some((partition, shard)) = shard else {
            return;
        };
        self.last_token += 1;
        let (token, leader_epoch) = (self.last_token, shard.leader_epoch);
        let group_id = group_id.to_owned();
        let pending = Pending {
            partition,
            group_id,
            purpose,
        };
        self.writes.insert(token, pending);
        self.effects.push(GroupEffect::Write {
            partition,
            leader_epoch,
            token,
            records,
        });
    }

    pub(super) fn write_group(&mut self, group_id: &str, record: &GroupMetadata, purpose: Purpose) {
        let record = (group_metadata_key(group_id), Some(record.encode()));
        self.write(group_id, vec![record], purpose);
    }

    /// Stores that nobody is left, so that the time of it is known for the offsets' expiry.
    pub(super) fn write_empty_group(&mut self, _now: Now, group_id: &str) {
        if let Some(record) = self
            .groups
            .get(group_id)
            .map(|group| group.to_metadata(None))
        {
            self.write_group(group_id, &record, Purpose::Empty);
        }
    }

    fn settle(&mut self, now: Now, pending: Pending, result: Result<(), ErrorCode>) {
        let Pending {
            partition,
            group_id,
            purpose,
        } = pending;
        let place = (partition, group_id.as_str());
        match purpose {
            Purpose::Assign {
                generation_id,
                assignments,
            } => {
                self.assignments_stored(now, &group_id, generation_id, assignments, result);
            }
            Purpose::Replace(replacement) => self.replaced(now, &group_id, *replacement, result),
            Purpose::Empty => {}
            Purpose::Commit {
                request,
                offsets,
                answers,
            } => {
                let offsets = offsets
                    .into_iter()
                    .map(|(name, offset)| (name, Some(offset)));
                self.apply_offsets(now, place, offsets.collect(), result);
                let answers = failed_where_none(answers, result);
                self.respond(request, GroupResponse::Commit(answers));
            }
            Purpose::DeleteOffsets {
                request,
                partitions,
                answers,
            } => {
                let gone = partitions.into_iter().map(|name| (name, None)).collect();
                self.apply_offsets(now, place, gone, result);
                let answers = failed_where_none(answers, result);
                self.respond(request, GroupResponse::DeleteOffsets(Ok(answers)));
            }
            Purpose::DeleteGroup { request } => {
                if result.is_ok() {
                    self.group_deleted(&group_id);
                }
                if let Some(request) = request {
                    self.respond(request, GroupResponse::DeleteGroup(result.err()));
                }
            }
            Purpose::Expire(partitions) => {
                let gone = partitions.into_iter().map(|name| (name, None)).collect();
                self.apply_offsets(now, place, gone, result);
            }
        }
    }

    fn apply_offsets(
        &mut self,
        now: Now,
        (partition, group_id): (i32, &str),
        offsets: Vec<(TopicPartition, Option<CommittedOffset>)>,
        result: Result<(), ErrorCode>,
    ) {
        if result.is_err() {
            return self.forget_if_unused(group_id);
        }
        // A commit that followed the group's deletion makes it anew.
        if offsets.iter().any(|(_, offset)| offset.is_some()) {
            let fresh = || Group::new(group_id, partition, now);
            let group = self.groups.entry(group_id.to_owned());
            group.or_insert_with(fresh);
        }
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        for (name, offset) in offsets {
            match offset {
                Some(offset) => group.offsets.insert(name, offset),
                None => group.offsets.remove(&name),
            };
        }
    }

    /// The group's tombstones are stored; whoever came meanwhile stays, without its past.
    fn group_deleted(&mut self, group_id: &str) {
        if let Some(group) = self.groups.get_mut(group_id) {
            group.offsets.clear();
        }
        let is_idle =
            |group: &Group| group.state == State::Empty && group.pending_members.is_empty();
        if self.groups.get(group_id).is_some_and(is_idle) {
            self.forget_group(group_id);
        }
    }

    /// A group that was made for a commit which failed was never there.
    fn forget_if_unused(&mut self, group_id: &str) {
        let is_unused = |group: &Group| {
            group.protocol_type.is_none()
                && group.offsets.is_empty()
                && group.pending_members.is_empty()
        };
        if self.groups.get(group_id).is_some_and(is_unused) && !self.is_written(group_id) {
            self.forget_group(group_id);
        }
    }

    fn forget_group(&mut self, group_id: &str) {
        if let Some(group) = self.groups.remove(group_id)
            && let Some(alarm) = group.alarm
        {
            self.alarms.remove(&(alarm, group.id));
        }
    }

    /// Answers a write that will not be waited for any more: its outcome is unknown.
    pub(super) fn abandon(&mut self, pending: Pending, error: ErrorCode) {
        let failed = |answers| failed_where_none(answers, Err(error));
        match pending.purpose {
            // Those who wait for an assignment are answered with their group.
            Purpose::Assign { .. }
            | Purpose::Empty
            | Purpose::Expire(_)
            | Purpose::DeleteGroup { request: None } => {}
            Purpose::Replace(replacement) => {
                let refusal = super::join::refusal(error, &replacement.member_id);
                self.respond(replacement.request, refusal);
            }
            Purpose::Commit {
                request, answers, ..
            } => {
                self.respond(request, GroupResponse::Commit(failed(answers)));
            }
            Purpose::DeleteOffsets {
                request, answers, ..
            } => {
                self.respond(request, GroupResponse::DeleteOffsets(Ok(failed(answers))));
            }
            Purpose::DeleteGroup {
                request: Some(request),
            } => {
                self.respond(request, GroupResponse::DeleteGroup(Some(error)));
            }
        }
    }
}

/// The answers, with the error of the write wherever nothing was said before it.
fn failed_where_none(
    answers: Vec<(TopicPartition, Option<ErrorCode>)>,
    result: Result<(), ErrorCode>,
) -> Vec<(TopicPartition, Option<ErrorCode>)> {
    let answers = answers.into_iter();
    answers
        .map(|(name, error)| (name, error.or(result.err())))
        .collect()
}
