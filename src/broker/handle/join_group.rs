//! JoinGroup (11): a member joins its group.
//!
//! In: a request. Out: the coordinator's answer, once the generation begins. The coordinator sees
//! no versions: what they change is said in the request's fields.

use std::time::Duration;

use kafka_protocol::messages::{
    JoinGroupRequest, JoinGroupResponse, join_group_response::JoinGroupResponseMember,
};
use kafka_protocol::protocol::StrBytes;

use super::text;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::broker::groups::{Job, caller};
use crate::group::{GroupRequest, JoinRequest, JoinResponse, JoinedMember};
use crate::protocol::RequestHeader;
use crate::time::Now;

impl Broker {
    pub(super) fn handle_join_group(
        &mut self,
        now: Now,
        request: RequestId,
        header: &RequestHeader,
        body: JoinGroupRequest,
    ) {
        let version = header.version;
        let session_timeout = millis(body.session_timeout_ms);
        let protocols = body.protocols.into_iter();
        let join = JoinRequest {
            group_id: body.group_id.to_string(),
            member_id: body.member_id.to_string(),
            instance_id: body.group_instance_id.as_ref().map(StrBytes::to_string),
            session_timeout,
            // Version 0 had one timeout for both.
            rebalance_timeout: match body.rebalance_timeout_ms {
                ..0 => session_timeout,
                timeout => millis(timeout),
            },
            protocol_type: body.protocol_type.to_string(),
            protocols: protocols
                .map(|p| (p.name.to_string(), p.metadata))
                .collect(),
            can_be_told_member_id: version >= 4,
            can_skip_assignment: version >= 9,
        };
        let job = Job::Plain { request, version };
        self.ask_coordinator(now, caller(header), GroupRequest::Join(join), job);
    }
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// The answer on the wire.
pub(in crate::broker) fn join_response(answer: JoinResponse, version: i16) -> JoinGroupResponse {
    let member = |member: JoinedMember| {
        let wire = JoinGroupResponseMember::default()
            .with_member_id(text(&member.member_id))
            .with_metadata(member.metadata);
        let instance = member.instance_id.filter(|_| version >= 5);
        wire.with_group_instance_id(instance.as_deref().map(text))
    };
    // Only from version 7 on may a refusal leave the protocol out.
    let protocol = match answer.protocol_name.as_deref() {
        None if version < 7 => Some(text("")),
        name => name.map(text),
    };
    let response = JoinGroupResponse::default()
        .with_error_code(answer.error.map_or(0, |error| error.code()))
        .with_generation_id(answer.generation_id)
        .with_protocol_name(protocol)
        .with_leader(text(&answer.leader))
        .with_member_id(text(&answer.member_id))
        .with_members(answer.members.into_iter().map(member).collect())
        .with_skip_assignment(answer.skip_assignment && version >= 9);
    let protocol_type = answer.protocol_type.filter(|_| version >= 7);
    response.with_protocol_type(protocol_type.as_deref().map(text))
}
