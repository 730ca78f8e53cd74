//! SyncGroup: the leader's decision on its way to everybody.
//!
//! The decision is stored before anybody is told. Source: kafka.md §3.1,
//! `GroupMetadataManager.classicGroupSyncToClassicGroup`.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::join::check_member;
use super::request::{RequestId, SyncRequest};
use super::response::{GroupResponse, SyncResponse};
use super::state::{Group, State};
use super::write::Purpose;
use super::{Coordinator, GroupEffect};
use crate::error::ErrorCode;
use crate::time::Now;

/// The answer to a sync that was refused.
pub(super) fn refusal(error: ErrorCode) -> GroupResponse {
    GroupResponse::Sync(SyncResponse {
        error: Some(error),
        ..SyncResponse::default()
    })
}

fn assigned(group: &Group, member_id: &str) -> GroupResponse {
    let member = group.members.get(member_id);
    GroupResponse::Sync(SyncResponse {
        error: None,
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol.clone(),
        assignment: member
            .map(|member| member.assignment.clone())
            .unwrap_or_default(),
    })
}

fn check(group: &Group, request: &SyncRequest) -> Result<(), ErrorCode> {
    let member = &request.member;
    check_member(group, &member.member_id, member.instance_id.as_deref())?;
    if member.generation_id != group.generation_id {
        return Err(ErrorCode::IllegalGeneration);
    }
    let differs = |said: &Option<String>, is: &Option<String>| said.is_some() && said != is;
    if differs(&request.protocol_type, &group.protocol_type)
        || differs(&request.protocol_name, &group.protocol)
    {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    match group.state {
        State::Empty => Err(ErrorCode::UnknownMemberId),
        State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
        State::CompletingRebalance | State::Stable => Ok(()),
    }
}

impl Coordinator {
    pub(super) fn sync(&mut self, now: Now, id: RequestId, request: SyncRequest) {
        let (group_id, member_id) = (&request.member.group_id, &request.member.member_id);
        if group_id.is_empty() {
            return self.respond(id, refusal(ErrorCode::InvalidGroupId));
        }
        let Some(group) = self.groups.get_mut(group_id) else {
            return self.respond(id, refusal(ErrorCode::UnknownMemberId));
        };
        if let Err(error) = check(group, &request) {
            return self.respond(id, refusal(error));
        }
        let Some(member) = group.members.get_mut(member_id) else {
            return;
        };
        member.owes_sync = false;
        member.session_ends = now.time + member.session_timeout;
        if group.state == State::Stable {
            let response = assigned(group, member_id);
            return self.respond(id, response);
        }
        if let Some(request) = member.syncing.replace(id) {
            let response = refusal(ErrorCode::RebalanceInProgress);
            self.effects
                .push(GroupEffect::Respond { request, response });
        }
        if group.is_leader(member_id) && group.assigning.is_none() {
            self.store_assignments(&request);
        }
    }

    fn store_assignments(&mut self, request: &SyncRequest) {
        let group_id = &request.member.group_id;
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        // Members that the leader left out get nothing; names that are no members are ignored.
        let given: BTreeMap<_, _> = request.assignments.iter().cloned().collect();
        let assignments: BTreeMap<String, Bytes> = group
            .members
            .keys()
            .map(|id| (id.clone(), given.get(id).cloned().unwrap_or_default()))
            .collect();
        let generation_id = group.generation_id;
        group.assigning = Some(generation_id);
        let record = group.to_metadata(Some(&assignments));
        let purpose = Purpose::Assign {
            generation_id,
            assignments,
        };
        self.write_group(group_id, &record, purpose);
    }

    /// The assignment of a generation is stored, or it is known that it is not.
    pub(super) fn assignments_stored(
        &mut self,
        now: Now,
        group_id: &str,
        generation_id: i32,
        mut assignments: BTreeMap<String, Bytes>,
        result: Result<(), ErrorCode>,
    ) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        let is_current = group.state == State::CompletingRebalance
            && group.generation_id == generation_id
            && group.assigning == Some(generation_id);
        if !is_current {
            return;
        }
        group.assigning = None;
        if let Err(error) = result {
            self.drop_syncs(group_id, error);
            return self.prepare_rebalance(now, group_id);
        }
        let mut waiting = Vec::new();
        for (member_id, member) in &mut group.members {
            member.assignment = assignments.remove(member_id).unwrap_or_default();
            if let Some(request) = member.syncing.take() {
                member.session_ends = now.time + member.session_timeout;
                waiting.push((request, member_id.clone()));
            }
        }
        group.enter(State::Stable, now);
        let answers: Vec<_> = waiting
            .into_iter()
            .map(|(request, member_id)| (request, assigned(group, &member_id)))
            .collect();
        for (request, response) in answers {
            self.respond(request, response);
        }
    }
}
