//! SyncGroup (14): a member asks for its assignment, the leader brings those of all.
//!
//! In: a request. Out: the coordinator's answer, once the leader's decision is stored.

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::text;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::broker::groups::{Job, caller};
use crate::error::ErrorCode;
use crate::group::{GroupRequest, MemberRequest, SyncRequest, SyncResponse};
use crate::protocol::RequestHeader;
use crate::time::Now;

impl Broker {
    pub(super) fn handle_sync_group(
        &mut self,
        now: Now,
        request: RequestId,
        header: &RequestHeader,
        body: SyncGroupRequest,
    ) {
        // From version 5 on both have to be told (KIP-559).
        let is_told = body.protocol_type.is_some() && body.protocol_name.is_some();
        if header.version >= 5 && !is_told {
            let code = ErrorCode::InconsistentGroupProtocol.code();
            let response = SyncGroupResponse::default().with_error_code(code);
            return self.respond(request, response);
        }
        let assignments = body.assignments.into_iter();
        let sync = SyncRequest {
            member: MemberRequest {
                group_id: body.group_id.to_string(),
                member_id: body.member_id.to_string(),
                instance_id: body.group_instance_id.as_ref().map(StrBytes::to_string),
                generation_id: body.generation_id,
            },
            protocol_type: body.protocol_type.as_ref().map(StrBytes::to_string),
            protocol_name: body.protocol_name.as_ref().map(StrBytes::to_string),
            assignments: assignments
                .map(|a| (a.member_id.to_string(), a.assignment))
                .collect(),
        };
        let job = Job::Plain {
            request,
            version: header.version,
        };
        self.ask_coordinator(now, caller(header), GroupRequest::Sync(sync), job);
    }
}

/// The answer on the wire.
pub(in crate::broker) fn sync_response(answer: SyncResponse, version: i16) -> SyncGroupResponse {
    let response = SyncGroupResponse::default()
        .with_error_code(answer.error.map_or(0, |error| error.code()))
        .with_assignment(answer.assignment);
    if version < 5 {
        return response;
    }
    response
        .with_protocol_type(answer.protocol_type.as_deref().map(text))
        .with_protocol_name(answer.protocol_name.as_deref().map(text))
}
