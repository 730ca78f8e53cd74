//! LeaveGroup (13): members leave their group; from version 3 on several at once (KIP-345).

use kafka_protocol::messages::{
    LeaveGroupRequest, LeaveGroupResponse, leave_group_response::MemberResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::text;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::broker::groups::{Job, caller};
use crate::error::ErrorCode;
use crate::group::{GroupRequest, LeaveRequest};
use crate::protocol::RequestHeader;
use crate::time::Now;

impl Broker {
    pub(super) fn handle_leave_group(
        &mut self,
        now: Now,
        request: RequestId,
        header: &RequestHeader,
        body: LeaveGroupRequest,
    ) {
        let version = header.version;
        let members: Vec<_> = if version < 3 {
            vec![(body.member_id.to_string(), None)]
        } else {
            let instance = |id: &StrBytes| id.to_string();
            let named = body.members.iter();
            named
                .map(|m| {
                    (
                        m.member_id.to_string(),
                        m.group_instance_id.as_ref().map(instance),
                    )
                })
                .collect()
        };
        let leave = LeaveRequest {
            group_id: body.group_id.to_string(),
            members: members.clone(),
        };
        let job = Job::Leave {
            request,
            version,
            members,
        };
        self.ask_coordinator(now, caller(header), GroupRequest::Leave(leave), job);
    }
}

/// The answer on the wire: before version 3 the one member's error is that of the whole.
pub(in crate::broker) fn leave_response(
    answer: Result<Vec<Option<ErrorCode>>, ErrorCode>,
    members: &[(String, Option<String>)],
    version: i16,
) -> LeaveGroupResponse {
    let code = |error: Option<ErrorCode>| error.map_or(0, |error| error.code());
    let response = LeaveGroupResponse::default();
    let errors = match answer {
        Err(error) => return response.with_error_code(error.code()),
        Ok(errors) if version < 3 => {
            return response.with_error_code(code(errors.first().copied().flatten()));
        }
        Ok(errors) => errors,
    };
    let answers = members.iter().zip(errors);
    let answers = answers.map(|((member_id, instance_id), error)| {
        MemberResponse::default()
            .with_member_id(text(member_id))
            .with_group_instance_id(instance_id.as_deref().map(text))
            .with_error_code(code(error))
    });
    response.with_members(answers.collect())
}
