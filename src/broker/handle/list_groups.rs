//! ListGroups (16): the groups that this broker coordinates, filtered by state and type.

use kafka_protocol::messages::{
    GroupId, ListGroupsRequest, ListGroupsResponse, list_groups_response::ListedGroup as WireGroup,
};
use kafka_protocol::protocol::StrBytes;

use super::text;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::error::ErrorCode;
use crate::group::ListedGroup;
use crate::time::Now;

/// The type of every group here (KIP-848).
const CLASSIC: &str = "classic";

impl Broker {
    pub(super) fn handle_list_groups(
        &mut self,
        now: Now,
        request: RequestId,
        version: i16,
        body: &ListGroupsRequest,
    ) {
        let named = |filter: &[StrBytes], name: &str| {
            filter.is_empty()
                || filter
                    .iter()
                    .any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let listed = if self.lifecycle.has_lease(now) {
            self.groups.coordinator.list()
        } else {
            Err(ErrorCode::CoordinatorNotAvailable)
        };
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let response = ListGroupsResponse::default().with_error_code(error.code());
                return self.respond(request, response);
            }
        };
        let wanted = listed.into_iter().filter(|group| {
            named(&body.states_filter, group.state) && named(&body.types_filter, CLASSIC)
        });
        let groups = wanted.map(|group| wire_group(&group, version)).collect();
        self.respond(request, ListGroupsResponse::default().with_groups(groups));
    }
}

fn wire_group(group: &ListedGroup, version: i16) -> WireGroup {
    let answer = WireGroup::default()
        .with_group_id(GroupId(text(&group.group_id)))
        .with_protocol_type(text(&group.protocol_type));
    let answer = match version {
        ..4 => answer,
        _ => answer.with_group_state(text(group.state)),
    };
    match version {
        ..5 => answer,
        _ => answer.with_group_type(text(CLASSIC)),
    }
}
