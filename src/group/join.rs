//! JoinGroup: becoming a member, and joining the next generation.
//!
//! Source: kafka.md §3.1, Kafka's `GroupMetadataManager.classicGroupJoinToClassicGroup`, KIP-394.

use std::time::Duration;

use super::member::Member;
use super::request::{GroupCaller, JoinRequest, RequestId};
use super::response::{GroupResponse, JoinResponse, JoinedMember};
use super::state::{Group, State};
use super::{Coordinator, GroupEffect};
use crate::error::ErrorCode;
use crate::time::Now;

/// How long a new member may wait in its first JoinGroup.
/// Source: `CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_mins(5);

/// The answer to a join that was refused.
pub(super) fn refusal(error: ErrorCode, member_id: &str) -> GroupResponse {
    GroupResponse::Join(JoinResponse {
        error: Some(error),
        generation_id: -1,
        member_id: member_id.to_owned(),
        ..JoinResponse::default()
    })
}

/// The answer to a member that has joined the present generation.
pub(super) fn joined(group: &Group, member_id: &str) -> JoinResponse {
    let protocol = group.protocol.clone().unwrap_or_default();
    let mut members: Vec<_> = group.members.values().collect();
    members.retain(|_| group.is_leader(member_id));
    members.sort_by_key(|member| member.arrival);
    let describe = |member: &&Member| JoinedMember {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        metadata: member.metadata(&protocol),
    };
    JoinResponse {
        error: None,
        generation_id: group.generation_id,
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol.clone(),
        leader: group.leader.clone().unwrap_or_default(),
        member_id: member_id.to_owned(),
        members: members.iter().map(describe).collect(),
        skip_assignment: false,
    }
}

impl Coordinator {
    pub(super) fn join(
        &mut self,
        now: Now,
        partition: i32,
        id: RequestId,
        caller: GroupCaller,
        request: JoinRequest,
    ) {
        if let Err(error) = self.check_join(&request) {
            if error == ErrorCode::GroupMaxSizeReached {
                // The others need not wait for a member that is told to go.
                self.remove_member(now, &request.group_id, &request.member_id);
            }
            return self.respond(id, refusal(error, &request.member_id));
        }
        self.groups
            .entry(request.group_id.clone())
            .or_insert_with(|| Group::new(&request.group_id, partition, now));
        match (&request.instance_id, request.member_id.is_empty()) {
            (Some(_), true) => self.join_static(now, id, caller, request),
            (None, true) => self.join_unnamed(now, id, caller, request),
            (_, false) => self.join_named(now, id, caller, request),
        }
    }

    /// What can be said against a join before looking at who asks.
    fn check_join(&self, request: &JoinRequest) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        // A length that a record's field could not hold cannot be a name.
        let names = request.protocols.iter().map(|(name, _)| name);
        let mut names = names
            .chain([&request.protocol_type])
            .chain(&request.instance_id);
        if names.any(|name| name.len() > i16::MAX as usize) {
            return Err(ErrorCode::InvalidRequest);
        }
        let allowed = self.settings.session_timeout_min..=self.settings.session_timeout_max;
        if !allowed.contains(&request.session_timeout) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        let Some(group) = self.groups.get(&request.group_id) else {
            if !request.member_id.is_empty() {
                return Err(ErrorCode::UnknownMemberId);
            }
            let has_protocols = !request.protocol_type.is_empty() && !request.protocols.is_empty();
            return has_protocols
                .then_some(())
                .ok_or(ErrorCode::InconsistentGroupProtocol);
        };
        if !self.has_room(group, request) {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        // A static member that comes back takes the place of its earlier life.
        let earlier = request
            .instance_id
            .as_ref()
            .and_then(|id| group.static_members.get(id));
        let except = earlier.map_or(request.member_id.as_str(), String::as_str);
        if !group.accepts(&request.protocol_type, &request.protocols, except) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn has_room(&self, group: &Group, request: &JoinRequest) -> bool {
        let limit = self.settings.members_max;
        let by_instance = request.instance_id.as_ref();
        let is_known = group.members.contains_key(&request.member_id)
            || by_instance.is_some_and(|id| group.static_members.contains_key(id));
        match group.state {
            State::Empty => true,
            // Whoever is late when the group is full must go.
            State::PreparingRebalance => {
                let member = group.members.get(&request.member_id);
                let waits = member.is_some_and(|member| member.joining.is_some());
                let waiting = group
                    .members
                    .values()
                    .filter(|member| member.joining.is_some());
                waits || waiting.count() < limit
            }
            State::CompletingRebalance | State::Stable => is_known || group.members.len() < limit,
        }
    }

    /// A dynamic member without a name.
    fn join_unnamed(&mut self, now: Now, id: RequestId, caller: GroupCaller, request: JoinRequest) {
        let member_id = self.new_member_id(&caller.client_id);
        if !request.can_be_told_member_id {
            return self.add_member(now, id, member_id, caller, &request);
        }
        if let Some(group) = self.groups.get_mut(&request.group_id) {
            let forgotten = now.time + request.session_timeout;
            group.pending_members.insert(member_id.clone(), forgotten);
        }
        self.respond(id, refusal(ErrorCode::MemberIdRequired, &member_id));
    }

    /// A member that says which one it is.
    fn join_named(&mut self, now: Now, id: RequestId, caller: GroupCaller, request: JoinRequest) {
        let Some(group) = self.groups.get(&request.group_id) else {
            return self.respond(id, refusal(ErrorCode::UnknownMemberId, &request.member_id));
        };
        let member_id = request.member_id.clone();
        if request.instance_id.is_none() && group.pending_members.contains_key(&member_id) {
            return self.add_member(now, id, member_id, caller, &request);
        }
        if let Err(error) = check_member(group, &member_id, request.instance_id.as_deref()) {
            return self.respond(id, refusal(error, &member_id));
        }
        let is_same = group
            .members
            .get(&member_id)
            .is_some_and(|member| member.protocols == request.protocols);
        let is_retry = match group.state {
            State::Empty => {
                return self.respond(id, refusal(ErrorCode::UnknownMemberId, &member_id));
            }
            State::PreparingRebalance => false,
            State::CompletingRebalance => is_same,
            State::Stable => is_same && !group.is_leader(&member_id),
        };
        if is_retry {
            let response = GroupResponse::Join(joined(group, &member_id));
            self.extend_session(now, &request.group_id, &member_id);
            return self.respond(id, response);
        }
        self.rejoin(now, id, &member_id, request);
    }

    /// A new member enters, and the group rebalances.
    pub(super) fn add_member(
        &mut self,
        now: Now,
        id: RequestId,
        member_id: String,
        caller: GroupCaller,
        request: &JoinRequest,
    ) {
        let Some(group) = self.groups.get_mut(&request.group_id) else {
            return;
        };
        let arrival = group.next_arrival();
        let mut member = Member::new(member_id, caller, request, arrival);
        member.joining = Some(id);
        if group.members.is_empty() {
            group.protocol_type = Some(request.protocol_type.clone());
        }
        let member_id = member.member_id.clone();
        group.add(member, now.time);
        if let Some(member) = group.members.get_mut(&member_id) {
            member.is_new = true;
            member.session_ends = now.time + NEW_MEMBER_JOIN_TIMEOUT;
        }
        group.has_newcomer = true;
        self.prepare_rebalance(now, &request.group_id);
    }

    /// A member joins the next generation.
    fn rejoin(&mut self, now: Now, id: RequestId, member_id: &str, request: JoinRequest) {
        let Some(group) = self.groups.get_mut(&request.group_id) else {
            return;
        };
        let Some(member) = group.members.get_mut(member_id) else {
            return;
        };
        member.protocols = request.protocols;
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        let superseded = member.joining.replace(id);
        if let Some(earlier) = superseded {
            let response = refusal(ErrorCode::RebalanceInProgress, member_id);
            self.effects.push(GroupEffect::Respond {
                request: earlier,
                response,
            });
        }
        self.prepare_rebalance(now, &request.group_id);
    }
}

/// Whether the member is who it says it is.
pub(super) fn check_member(
    group: &Group,
    member_id: &str,
    instance_id: Option<&str>,
) -> Result<(), ErrorCode> {
    if let Some(instance) = instance_id {
        return match group.static_members.get(instance) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(known) if known != member_id => Err(ErrorCode::FencedInstanceId),
            Some(_) => Ok(()),
        };
    }
    let is_member = group.members.contains_key(member_id);
    is_member.then_some(()).ok_or(ErrorCode::UnknownMemberId)
}
