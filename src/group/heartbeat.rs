//! Heartbeat: a member is alive, and learns whether it must join again.
//!
//! Source: kafka.md §3.1, `GroupMetadataManager.classicGroupHeartbeatToClassicGroup`.

use super::Coordinator;
use super::join::check_member;
use super::request::{MemberRequest, RequestId};
use super::response::GroupResponse;
use super::state::State;
use crate::config::sabotage::{Sabotage, planted};
use crate::error::ErrorCode;
use crate::time::Now;

impl Coordinator {
    pub(super) fn heartbeat(&mut self, now: Now, id: RequestId, request: &MemberRequest) {
        let error = self.check_heartbeat(request).err();
        if matches!(error, None | Some(ErrorCode::RebalanceInProgress)) {
            self.extend_session(now, &request.group_id, &request.member_id);
        }
        let error = error.filter(|_| !planted(Sabotage::TwoOwnersAfterMissedRebalance));
        self.respond(id, GroupResponse::Heartbeat(error));
    }

    fn check_heartbeat(&self, request: &MemberRequest) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self
            .groups
            .get(&request.group_id)
            .ok_or(ErrorCode::UnknownMemberId)?;
        check_member(group, &request.member_id, request.instance_id.as_deref())?;
        if request.generation_id != group.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        match group.state {
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// A member has shown that it lives.
    pub(super) fn extend_session(&mut self, now: Now, group_id: &str, member_id: &str) {
        if let Some(group) = self.groups.get_mut(group_id)
            && let Some(member) = group.members.get_mut(member_id)
        {
            member.session_ends = now.time + member.session_timeout;
        }
    }
}
