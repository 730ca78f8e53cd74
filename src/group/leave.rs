//! LeaveGroup: members that say goodbye, or that an administrator removes.
//!
//! Source: kafka.md §3.1, KIP-345 (removal by instance id).

use super::Coordinator;
use super::join::check_member;
use super::request::{LeaveRequest, RequestId};
use super::response::GroupResponse;
use crate::error::ErrorCode;
use crate::time::Now;

impl Coordinator {
    pub(super) fn leave(&mut self, now: Now, id: RequestId, request: &LeaveRequest) {
        if request.group_id.is_empty() {
            return self.respond(id, GroupResponse::Leave(Err(ErrorCode::InvalidGroupId)));
        }
        let mut answers = Vec::new();
        for (member_id, instance_id) in &request.members {
            let group_id = &request.group_id;
            answers.push(
                self.leave_one(now, group_id, member_id, instance_id.as_deref())
                    .err(),
            );
        }
        self.respond(id, GroupResponse::Leave(Ok(answers)));
    }

    fn leave_one(
        &mut self,
        now: Now,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        let group = self
            .groups
            .get_mut(group_id)
            .ok_or(ErrorCode::UnknownMemberId)?;
        if instance_id.is_none() && group.pending_members.remove(member_id).is_some() {
            self.try_complete_join(now, group_id);
            return Ok(());
        }
        let by_instance = instance_id
            .and_then(|id| group.static_members.get(id))
            .cloned();
        let member_id = match by_instance {
            Some(known) if member_id.is_empty() => known,
            _ => member_id.to_owned(),
        };
        check_member(group, &member_id, instance_id)?;
        self.remove_member(now, group_id, &member_id);
        Ok(())
    }
}
