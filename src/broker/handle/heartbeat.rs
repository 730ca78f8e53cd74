//! Heartbeat (12): a member of a group is alive.

use kafka_protocol::messages::HeartbeatRequest;
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::broker::groups::{Job, caller};
use crate::group::{GroupRequest, MemberRequest};
use crate::protocol::RequestHeader;
use crate::time::Now;

impl Broker {
    pub(super) fn handle_group_heartbeat(
        &mut self,
        now: Now,
        request: RequestId,
        header: &RequestHeader,
        body: &HeartbeatRequest,
    ) {
        let member = MemberRequest {
            group_id: body.group_id.to_string(),
            member_id: body.member_id.to_string(),
            instance_id: body.group_instance_id.as_ref().map(StrBytes::to_string),
            generation_id: body.generation_id,
        };
        let job = Job::Plain {
            request,
            version: header.version,
        };
        self.ask_coordinator(now, caller(header), GroupRequest::Heartbeat(member), job);
    }
}
