//! Static members that come back under their instance id: no rebalance, if they read the same.
//!
//! The new name is stored before it is told, so that a coordinator that takes over fences the
//! earlier life too (KAFKA-10284); if it cannot be stored, the earlier name comes back
//! (KAFKA-18263). Source: KIP-345, KIP-814.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::join::{joined, refusal};
use super::member::Member;
use super::request::{GroupCaller, JoinRequest, RequestId};
use super::response::{GroupResponse, JoinResponse};
use super::state::{Group, State};
use super::write::Purpose;
use super::{Coordinator, GroupEffect, subscription, sync};
use crate::config::sabotage::{Sabotage, planted};
use crate::error::ErrorCode;
use crate::time::Now;

/// A replacement that is being stored.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) request: RequestId,
    pub(super) response: JoinResponse,
    pub(super) earlier: Member,
    pub(super) member_id: String,
    pub(super) led: bool,
    pub(super) generation_id: i32,
}

impl Group {
    /// Whether `protocols` want of the group what `member` wants: the same topics, if it reads.
    /// What a consumer says beyond them changes with every life of it. Source: kafka.md §3.1.
    fn reads_the_same(&self, member: &Member, protocols: &[(String, Bytes)]) -> bool {
        let Some(protocol) = self.protocol.as_deref().filter(|_| self.is_of_consumers()) else {
            return true;
        };
        let wanted =
            |metadata: Bytes| subscription::topics(metadata).map(BTreeSet::<String>::from_iter);
        let named = protocols.iter().find(|(name, _)| name == protocol);
        let metadata = named.map(|(_, metadata)| metadata.clone());
        wanted(metadata.unwrap_or_default()) == wanted(member.metadata(protocol))
    }
}

impl Coordinator {
    /// A static member without a name: new, or back.
    pub(super) fn join_static(
        &mut self,
        now: Now,
        id: RequestId,
        caller: GroupCaller,
        request: JoinRequest,
    ) {
        let instance = request.instance_id.clone().unwrap_or_default();
        let member_id = self.new_member_id(&instance);
        let Some(group) = self.groups.get(&request.group_id) else {
            return;
        };
        match group.static_members.get(&instance).cloned() {
            None => self.add_member(now, id, member_id, caller, &request),
            Some(earlier) => self.replace_member(now, id, &earlier, member_id, caller, request),
        }
    }

    fn replace_member(
        &mut self,
        now: Now,
        id: RequestId,
        earlier: &str,
        member_id: String,
        caller: GroupCaller,
        request: JoinRequest,
    ) {
        let group_id = request.group_id.clone();
        let Some(group) = self.groups.get_mut(&group_id) else {
            return;
        };
        let led = group.is_leader(earlier);
        let Some(old) = group.remove(earlier) else {
            return;
        };
        let reads_the_same = group.reads_the_same(&old, &request.protocols);
        let mut member = old.clone();
        member.member_id.clone_from(&member_id);
        member.caller = caller;
        member.protocols = request.protocols;
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        (member.joining, member.syncing) = (None, None);
        group.add(member, now.time);
        if led {
            group.leader = Some(member_id.clone());
        }
        let keeps = group.state == State::Stable
            && group.elect_protocol() == group.protocol
            && reads_the_same;
        self.fence(&old);
        if keeps {
            let skips = request.can_skip_assignment;
            return self.store_replacement(id, &group_id, old, member_id, led, skips);
        }
        if let Some(group) = self.groups.get_mut(&group_id)
            && let Some(member) = group.members.get_mut(&member_id)
        {
            member.joining = Some(id);
        }
        self.prepare_rebalance(now, &group_id);
    }

    fn fence(&mut self, old: &Member) {
        if let Some(request) = old.joining {
            let response = refusal(ErrorCode::FencedInstanceId, &old.member_id);
            self.effects
                .push(GroupEffect::Respond { request, response });
        }
        if let Some(request) = old.syncing {
            let response = sync::refusal(ErrorCode::FencedInstanceId);
            self.effects
                .push(GroupEffect::Respond { request, response });
        }
    }

    fn store_replacement(
        &mut self,
        request: RequestId,
        group_id: &str,
        mut earlier: Member,
        member_id: String,
        led: bool,
        can_skip_assignment: bool,
    ) {
        (earlier.joining, earlier.syncing) = (None, None);
        let Some(group) = self.groups.get(group_id) else {
            return;
        };
        let mut response = joined(group, &member_id);
        if can_skip_assignment {
            response.skip_assignment = led;
        } else if led {
            // A client that knows no `skip_assignment` must not take itself for the leader.
            response.leader.clone_from(&earlier.member_id);
            response.members.clear();
        }
        if planted(Sabotage::StaticMemberIdNotPersisted) {
            return self.respond(request, GroupResponse::Join(response));
        }
        let record = group.to_metadata(None);
        let replacement = Replacement {
            request,
            response,
            earlier,
            member_id,
            led,
            generation_id: group.generation_id,
        };
        let purpose = Purpose::Replace(Box::new(replacement));
        self.write_group(group_id, &record, purpose);
    }

    /// The new name is stored, or it is known that it is not.
    pub(super) fn replaced(
        &mut self,
        now: Now,
        group_id: &str,
        replacement: Replacement,
        result: Result<(), ErrorCode>,
    ) {
        let Replacement {
            request,
            response,
            earlier,
            member_id,
            led,
            generation_id,
        } = replacement;
        let Err(error) = result else {
            // The group may have gone on meanwhile; then the member learns that by its next step.
            return self.respond(request, GroupResponse::Join(response));
        };
        if let Some(group) = self.groups.get_mut(group_id)
            && group.generation_id == generation_id
            && group.remove(&member_id).is_some()
        {
            let earlier_id = earlier.member_id.clone();
            group.add(earlier, now.time);
            if led {
                group.leader = Some(earlier_id);
            }
        }
        self.respond(request, refusal(error, &member_id));
    }
}
