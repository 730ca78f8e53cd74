//! FindCoordinator (10): honestly none, until there are groups.
//!
//! In: a request. Out: COORDINATOR_NOT_AVAILABLE for each key.

use kafka_protocol::messages::{
    self as wire, FindCoordinatorRequest, FindCoordinatorResponse,
    find_coordinator_response::Coordinator,
};

use super::text;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::error::ErrorCode;

const REASON: &str = "this cluster has no groups and no transactions yet";

impl Broker {
    pub(super) fn handle_find_coordinator(
        &mut self,
        request: RequestId,
        version: i16,
        body: FindCoordinatorRequest,
    ) {
        let code = ErrorCode::CoordinatorNotAvailable.code();
        if version >= 4 {
            let coordinators = body.coordinator_keys.into_iter().map(|key| {
                Coordinator::default()
                    .with_key(key)
                    .with_node_id(wire::BrokerId(-1))
                    .with_port(-1)
                    .with_error_code(code)
                    .with_error_message(Some(text(REASON)))
            });
            let coordinators = coordinators.collect();
            let response = FindCoordinatorResponse::default().with_coordinators(coordinators);
            return self.respond(request, response);
        }
        let response = FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_node_id(wire::BrokerId(-1))
            .with_port(-1);
        let response = if version >= 1 {
            response.with_error_message(Some(text(REASON)))
        } else {
            response
        };
        self.respond(request, response);
    }
}
