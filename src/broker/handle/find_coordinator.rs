//! FindCoordinator (10): the broker that coordinates a group.
//!
//! In: keys. Out: the leader of each group's partition of `__consumer_offsets`, as metadata knows
//! it; COORDINATOR_NOT_AVAILABLE while there is none, and the topic is created on the way.

use kafka_protocol::messages::{
    self as wire, FindCoordinatorRequest, FindCoordinatorResponse,
    find_coordinator_response::Coordinator,
};
use kafka_protocol::protocol::StrBytes;

use super::text;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::error::ErrorCode;
use crate::time::Now;

/// The kind of a key that is a group's id.
const GROUP: i8 = 0;

/// What a client is told: an error and its reason, or the broker and its address.
type Found = Result<(wire::BrokerId, StrBytes, i32), (ErrorCode, &'static str)>;

impl Broker {
    pub(super) fn handle_find_coordinator(
        &mut self,
        now: Now,
        request: RequestId,
        version: i16,
        body: FindCoordinatorRequest,
    ) {
        if version >= 4 {
            let keys = body.coordinator_keys.into_iter();
            let coordinators = keys.map(|key| {
                let found = self.find_coordinator(now, body.key_type, &key);
                keyed_answer(found).with_key(key)
            });
            let coordinators = coordinators.collect();
            let response = FindCoordinatorResponse::default().with_coordinators(coordinators);
            return self.respond(request, response);
        }
        let found = self.find_coordinator(now, body.key_type, &body.key);
        self.respond(request, single_answer(found, version));
    }

    fn find_coordinator(&mut self, now: Now, key_type: i8, key: &str) -> Found {
        if key_type != GROUP {
            let reason = "this cluster has no transactions and no share groups";
            return Err((ErrorCode::InvalidRequest, reason));
        }
        if key.is_empty() {
            return Err((ErrorCode::InvalidGroupId, "a group's id must not be empty"));
        }
        let unavailable = |error| (error, "the group has no coordinator yet");
        let leader = self.group_coordinator(now, key).map_err(unavailable)?;
        let broker = self.image.brokers().get(leader);
        let endpoint = broker.and_then(|broker| broker.endpoints.first());
        let endpoint = endpoint.ok_or_else(|| unavailable(ErrorCode::CoordinatorNotAvailable))?;
        Ok((
            wire::BrokerId(leader.0),
            text(&endpoint.host),
            i32::from(endpoint.port),
        ))
    }
}

fn keyed_answer(found: Found) -> Coordinator {
    match found {
        Ok((id, host, port)) => Coordinator::default()
            .with_node_id(id)
            .with_host(host)
            .with_port(port),
        Err((error, reason)) => Coordinator::default()
            .with_node_id(wire::BrokerId(-1))
            .with_port(-1)
            .with_error_code(error.code())
            .with_error_message(Some(text(reason))),
    }
}

fn single_answer(found: Found, version: i16) -> FindCoordinatorResponse {
    match found {
        Ok((id, host, port)) => FindCoordinatorResponse::default()
            .with_node_id(id)
            .with_host(host)
            .with_port(port),
        Err((error, reason)) => {
            let answer = FindCoordinatorResponse::default()
                .with_error_code(error.code())
                .with_node_id(wire::BrokerId(-1))
                .with_port(-1);
            let message = Some(text(reason)).filter(|_| version >= 1);
            answer.with_error_message(message)
        }
    }
}
