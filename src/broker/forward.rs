//! Clients' requests that only the controller can answer, forwarded to it.
//!
//! In: CreateTopics, DeleteTopics and the like; the controller's answers; changes of leadership.
//! Out: the controller's answer, unchanged, or after the request's timeout REQUEST_TIMED_OUT,
//! which means "unknown". Invariant: a request that came from a broker is never forwarded again.
//! Source: Kafka's `ForwardingManager`, without its envelope.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::{RequestKind, ResponseKind};

use super::controller::Caller;
use super::controller_refusal::{refusal, says_not_controller};
use super::effects::{BROKER_CLIENT_PREFIX, Channel, PeerError, RequestId};
use super::peer_events::PeerPurpose;
use super::{Broker, is_due};
use crate::error::ErrorCode;
use crate::protocol::RequestHeader;
use crate::time::{Now, Time};

/// The pause before a request is offered to the controller again.
const RETRY: Duration = Duration::from_millis(50);

/// One forwarded request.
#[derive(Debug)]
struct Forward {
    header: RequestHeader,
    body: RequestKind,
    deadline: Time,
    /// `None` while it is under way.
    retry_at: Option<Time>,
}

/// The requests that wait for the controller.
#[derive(Debug, Default)]
pub(super) struct Forwards(BTreeMap<RequestId, Forward>);

impl Forwards {
    pub(super) fn next_timeout(&self) -> Option<Time> {
        let due = self.0.values().map(|forward| {
            forward
                .retry_at
                .map_or(forward.deadline, |retry| retry.min(forward.deadline))
        });
        due.min()
    }

    pub(super) fn cancel(&mut self, request: RequestId) {
        self.0.remove(&request);
    }
}

impl Broker {
    /// Answers a client's request as the controller, or forwards it to the controller.
    pub(super) fn handle_controller_request(
        &mut self,
        now: Now,
        request: RequestId,
        header: RequestHeader,
        body: RequestKind,
    ) {
        if self.controller.is_some() || is_from_broker(&header) {
            return self.serve_controller(now, Caller::Remote(request), header.version, body);
        }
        let timeout = self.settings.millis("request.timeout.ms");
        let deadline = now.time + requested_timeout(&body).unwrap_or(timeout).min(timeout);
        let forward = Forward {
            header,
            body,
            deadline,
            retry_at: Some(now.time),
        };
        self.forwards.0.insert(request, forward);
        self.forward(now, request);
    }

    /// A controller became known: offer it everything that waits.
    pub(super) fn forwards_leader_changed(&mut self, now: Now) {
        for forward in self.forwards.0.values_mut() {
            forward.retry_at = forward.retry_at.map(|_| now.time);
        }
        self.forwards_timeout(now);
    }

    pub(super) fn forwards_timeout(&mut self, now: Now) {
        let waiting = self.forwards.0.iter();
        let late: Vec<_> = waiting
            .filter(|(_, forward)| forward.deadline <= now.time)
            .map(|(request, _)| *request)
            .collect();
        for request in late {
            if let Some(forward) = self.forwards.0.remove(&request) {
                let version = forward.header.version;
                let answer = refusal(&forward.body, version, ErrorCode::RequestTimedOut);
                self.respond(request, answer);
            }
        }
        let waiting = self.forwards.0.iter();
        let due: Vec<_> = waiting
            .filter(|(_, forward)| is_due(forward.retry_at, now))
            .map(|(request, _)| *request)
            .collect();
        for request in due {
            self.forward(now, request);
        }
    }

    fn forward(&mut self, now: Now, request: RequestId) {
        let Some(forward) = self.forwards.0.get_mut(&request) else {
            return;
        };
        let timeout = forward.deadline.since(now.time);
        let message = (
            forward.header.api,
            forward.header.version,
            forward.body.clone(),
        );
        forward.retry_at = None;
        let purpose = PeerPurpose::Forward(request);
        let sent = self.call_controller_version(now, Channel::Forward, message, timeout, purpose);
        if let Some(forward) = self.forwards.0.get_mut(&request)
            && sent.is_none()
        {
            forward.retry_at = Some(now.time + RETRY);
        }
    }

    pub(super) fn handle_forward_answer(
        &mut self,
        now: Now,
        request: RequestId,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        let Some(forward) = self.forwards.0.get_mut(&request) else {
            return;
        };
        match result {
            Ok(response) if !says_not_controller(&response) => {
                self.forwards.0.remove(&request);
                self.respond(request, *response);
            }
            Ok(_) | Err(_) => forward.retry_at = Some(now.time + RETRY),
        }
    }
}

/// Whether a broker sent the request, by what it calls itself.
pub(super) fn is_from_broker(header: &RequestHeader) -> bool {
    let client_id = header.client_id.as_ref();
    client_id.is_some_and(|id| id.as_str().starts_with(BROKER_CLIENT_PREFIX))
}

fn requested_timeout(body: &RequestKind) -> Option<Duration> {
    let millis = match body {
        RequestKind::CreateTopics(body) => body.timeout_ms,
        RequestKind::DeleteTopics(body) => body.timeout_ms,
        _ => return None,
    };
    u64::try_from(millis).ok().map(Duration::from_millis)
}
