//! What administrators see and delete: groups, and their offsets.
//!
//! Source: kafka.md §3.2; KIP-496 (OffsetDelete), KIP-518 and 848 (filters of ListGroups).

use std::collections::BTreeSet;

use super::Coordinator;
use super::records::{group_metadata_key, offset_commit_key};
use super::request::{DeleteOffsetsRequest, RequestId};
use super::response::{DescribedGroup, GroupResponse, ListedGroup};
use super::state::{Group, State};
use super::subscription;
use super::write::Purpose;
use crate::error::ErrorCode;
use crate::id::TopicPartition;

impl Group {
    /// The topics that members subscribe to; `None` if that cannot be known.
    pub(super) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self
            .protocol
            .as_deref()
            .filter(|_| self.is_of_consumers())?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription::topics(member.metadata(protocol))?);
        }
        Some(topics)
    }

    pub(super) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some("consumer")
    }
}

impl Coordinator {
    /// The group as it is, `Dead` if there is none.
    ///
    /// # Errors
    /// Those of `check_served`.
    pub fn describe(&self, partition: i32, group_id: &str) -> Result<DescribedGroup, ErrorCode> {
        self.check_served(partition, group_id)?;
        let dead = || DescribedGroup {
            state: "Dead",
            ..DescribedGroup::default()
        };
        Ok(self.groups.get(group_id).map_or_else(dead, Group::describe))
    }

    /// All groups of loaded partitions.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS while any partition is loading.
    pub fn list(&self) -> Result<Vec<ListedGroup>, ErrorCode> {
        if self.shards.values().any(|shard| shard.loading.is_some()) {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        let list = |group: &Group| ListedGroup {
            group_id: group.id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state.name(),
        };
        Ok(self.groups.values().map(list).collect())
    }

    pub(super) fn delete_offsets(&mut self, id: RequestId, request: DeleteOffsetsRequest) {
        let refuse = |error| GroupResponse::DeleteOffsets(Err(error));
        let Some(group) = self.groups.get(&request.group_id) else {
            return self.respond(id, refuse(ErrorCode::GroupIdNotFound));
        };
        let subscribed = if group.state == State::Empty || group.is_of_consumers() {
            group.subscribed_topics()
        } else {
            return self.respond(id, refuse(ErrorCode::NonEmptyGroup));
        };
        let is_used = |name: &TopicPartition| match &subscribed {
            Some(topics) => topics.contains(&*name.topic),
            None => true,
        };
        let (mut records, mut gone, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for name in request.partitions {
            if is_used(&name) {
                answers.push((name, Some(ErrorCode::GroupSubscribedToTopic)));
                continue;
            }
            if group.offsets.contains_key(&name) {
                records.push((offset_commit_key(&group.id, &name), None));
                gone.push(name.clone());
            }
            answers.push((name, None));
        }
        if records.is_empty() {
            return self.respond(id, GroupResponse::DeleteOffsets(Ok(answers)));
        }
        let purpose = Purpose::DeleteOffsets {
            request: id,
            partitions: gone,
            answers,
        };
        self.write(&request.group_id, records, purpose);
    }

    pub(super) fn delete_group(&mut self, id: RequestId, group_id: &str) {
        let refuse = |error| GroupResponse::DeleteGroup(Some(error));
        let Some(group) = self.groups.get(group_id) else {
            return self.respond(id, refuse(ErrorCode::GroupIdNotFound));
        };
        if group.state != State::Empty || self.is_being_joined(group_id) {
            return self.respond(id, refuse(ErrorCode::NonEmptyGroup));
        }
        self.write_group_deletion(group_id, Some(id));
    }

    fn is_being_joined(&self, group_id: &str) -> bool {
        let group = self.groups.get(group_id);
        group.is_some_and(|group| !group.pending_members.is_empty())
    }

    /// Tombstones for the group and all its offsets.
    pub(super) fn write_group_deletion(&mut self, group_id: &str, request: Option<RequestId>) {
        let partitions = self.partitions_in_log(group_id);
        let keys = partitions
            .iter()
            .map(|name| offset_commit_key(group_id, name));
        let mut records: Vec<_> = keys.map(|key| (key, None)).collect();
        records.push((group_metadata_key(group_id), None));
        self.write(group_id, records, Purpose::DeleteGroup { request });
    }
}
