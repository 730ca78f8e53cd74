//! DeleteGroups (42): groups without members, and all they have committed.

use kafka_protocol::messages::DeleteGroupsRequest;

use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::broker::groups::{Gather, Job, caller};
use crate::group::GroupRequest;
use crate::protocol::RequestHeader;
use crate::time::Now;

impl Broker {
    pub(super) fn handle_delete_groups(
        &mut self,
        now: Now,
        request: RequestId,
        header: &RequestHeader,
        body: DeleteGroupsRequest,
    ) {
        let names: Vec<_> = body
            .groups_names
            .iter()
            .map(|name| name.to_string())
            .collect();
        let gather = Gather {
            groups: body
                .groups_names
                .into_iter()
                .map(|name| (name, None))
                .collect(),
            pending: names.len(),
        };
        self.begin_gather(request, gather);
        for (index, group_id) in names.into_iter().enumerate() {
            let job = Job::DeleteGroup { request, index };
            let delete = GroupRequest::DeleteGroup { group_id };
            self.ask_coordinator(now, caller(header), delete, job);
        }
    }
}
