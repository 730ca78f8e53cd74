//! DescribeGroups (15): state, members and assignments of groups.

use kafka_protocol::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    describe_groups_response::{DescribedGroup as WireGroup, DescribedGroupMember},
};

use super::text;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::error::ErrorCode;
use crate::group::{DescribedGroup, DescribedMember};
use crate::time::Now;

impl Broker {
    pub(super) fn handle_describe_groups(
        &mut self,
        now: Now,
        request: RequestId,
        version: i16,
        body: DescribeGroupsRequest,
    ) {
        let groups = body.groups.into_iter().map(|group_id| {
            let partition = self.served_partition(now, &group_id);
            let described = self.groups.coordinator.describe(partition, &group_id);
            wire_group(group_id, described, version)
        });
        let groups = groups.collect();
        let response = DescribeGroupsResponse::default().with_groups(groups);
        self.respond(request, response);
    }
}

fn wire_group(
    group_id: GroupId,
    described: Result<DescribedGroup, ErrorCode>,
    version: i16,
) -> WireGroup {
    let answer = WireGroup::default().with_group_id(group_id);
    let group = match described {
        Err(error) => return answer.with_error_code(error.code()),
        // From version 6 on, what does not exist is an error (KIP-1043).
        Ok(group) if group.state == "Dead" && version >= 6 => {
            let error = ErrorCode::GroupIdNotFound;
            let message = Some(text("there is no such group"));
            let answer = answer.with_error_code(error.code());
            return answer
                .with_error_message(message)
                .with_group_state(text(group.state));
        }
        Ok(group) => group,
    };
    let member = |member: DescribedMember| {
        let wire = DescribedGroupMember::default()
            .with_member_id(text(&member.member_id))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment);
        let instance = member.instance_id.filter(|_| version >= 4);
        wire.with_group_instance_id(instance.as_deref().map(text))
    };
    answer
        .with_group_state(text(group.state))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(text(&group.protocol))
        .with_members(group.members.into_iter().map(member).collect())
}
