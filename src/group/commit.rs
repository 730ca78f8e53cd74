//! OffsetCommit, and the offsets that are read back.
//!
//! A commit of the present generation is taken while the group prepares a rebalance, so that
//! members can commit what they give up; not while it completes one. No order of offsets is
//! enforced: the last writer wins. Source: kafka.md §3.2, `OffsetMetadataManager`.

use std::collections::BTreeMap;

use super::Coordinator;
use super::records::{encode_offset, offset_commit_key};
use super::request::{CommitRequest, RequestId};
use super::response::{CommittedOffset, GroupResponse};
use super::state::{Group, State};
use super::write::Purpose;
use crate::config::sabotage::{Sabotage, planted};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::time::Now;

/// The answer to a commit that was refused as a whole.
pub(super) fn refusal(error: ErrorCode, request: &CommitRequest) -> GroupResponse {
    let names = request.offsets.iter().map(|(name, _)| name.clone());
    GroupResponse::Commit(names.map(|name| (name, Some(error))).collect())
}

impl Coordinator {
    pub(super) fn commit(
        &mut self,
        now: Now,
        partition: i32,
        id: RequestId,
        request: CommitRequest,
    ) {
        if let Err(error) = self.check_commit(&request) {
            return self.respond(id, refusal(error, &request));
        }
        let member = &request.member;
        let group_id = member.group_id.clone();
        let state = self.groups.get(&group_id).map(|group| group.state);
        if matches!(state, Some(State::Stable | State::PreparingRebalance)) {
            self.extend_session(now, &group_id, &member.member_id);
        }
        let limit = self.settings.metadata_bytes_max;
        let (mut records, mut offsets, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for (name, commit) in request.offsets {
            if commit.metadata.len() > limit || commit.metadata.len() > i16::MAX as usize {
                answers.push((name, Some(ErrorCode::OffsetMetadataTooLarge)));
                continue;
            }
            let offset = CommittedOffset {
                offset: commit.offset,
                leader_epoch: commit.leader_epoch,
                metadata: commit.metadata,
                commit_millis: now.wall_millis,
                expire_millis: commit.expire_millis,
                topic_id: commit.topic_id,
            };
            records.push((
                offset_commit_key(&group_id, &name),
                Some(encode_offset(&offset)),
            ));
            offsets.push((name.clone(), offset));
            answers.push((name, None));
        }
        if records.is_empty() {
            return self.respond(id, GroupResponse::Commit(answers));
        }
        let fresh = || Group::new(&group_id, partition, now);
        self.groups.entry(group_id.clone()).or_insert_with(fresh);
        let purpose = Purpose::Commit {
            request: id,
            offsets,
            answers,
        };
        self.write(&group_id, records, purpose);
    }

    fn check_commit(&self, request: &CommitRequest) -> Result<(), ErrorCode> {
        let member = &request.member;
        let Some(group) = self.groups.get(&member.group_id) else {
            return match (member.generation_id < 0, request.knows_group_id_not_found) {
                (true, _) => Ok(()),
                (false, true) => Err(ErrorCode::GroupIdNotFound),
                (false, false) => Err(ErrorCode::IllegalGeneration),
            };
        };
        if member.generation_id < 0 && group.state == State::Empty {
            return Ok(());
        }
        if planted(Sabotage::GenerationNotCheckedOnCommit) && member.generation_id >= 0 {
            return Ok(());
        }
        super::join::check_member(group, &member.member_id, member.instance_id.as_deref())?;
        if member.generation_id != group.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        if group.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// What `group_id` has committed, by partition; nothing for an unknown group.
    ///
    /// # Errors
    /// Those of `check_served`.
    pub fn committed(
        &self,
        partition: i32,
        group_id: &str,
    ) -> Result<BTreeMap<&TopicPartition, &CommittedOffset>, ErrorCode> {
        self.check_served(partition, group_id)?;
        let group = self.groups.get(group_id);
        Ok(group
            .map(|group| group.offsets.iter().collect())
            .unwrap_or_default())
    }
}
