//! InitProducerId (22): ids for idempotent producers, from blocks that the controller hands out.
//!
//! In: requests, blocks. Out: an id that no producer had before. Invariant: an id of a block is
//! handed out once; a block of an earlier life of this broker is never used again.
//! Source: Kafka's `RPCProducerIdManager`.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{
    self as wire, AllocateProducerIdsRequest, InitProducerIdRequest, InitProducerIdResponse,
    ResponseKind,
};

use crate::broker::effects::{Channel, PeerError, RequestId};
use crate::broker::peer_events::PeerPurpose;
use crate::broker::{Broker, is_due};
use crate::error::ErrorCode;
use crate::offset::ProducerId;
use crate::time::{Now, Time};

/// The pause after the controller did not answer.
const RETRY: Duration = Duration::from_millis(50);
/// How long a producer waits for a block before it has to ask again.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The ids at hand, and the producers that wait for more.
#[derive(Debug, Default)]
pub(in crate::broker) struct ProducerIds {
    ids: Range<ProducerId>,
    waiting: VecDeque<(Time, RequestId)>,
    asked: bool,
    retry_at: Option<Time>,
}

impl ProducerIds {
    pub(in crate::broker) fn next_timeout(&self) -> Option<Time> {
        let late = self.waiting.front().map(|(deadline, _)| *deadline);
        [self.retry_at, late].into_iter().flatten().min()
    }
}

impl Broker {
    pub(super) fn handle_init_producer_id(
        &mut self,
        now: Now,
        request: RequestId,
        body: &InitProducerIdRequest,
    ) {
        if body.transactional_id.is_some() {
            // Fatal for the producer: it must not wait for what does not exist.
            return self.refuse(request, ErrorCode::TransactionalIdAuthorizationFailed);
        }
        self.producer_ids
            .waiting
            .push_back((now.time + WAIT_MAX, request));
        self.hand_out_producer_ids(now);
    }

    fn refuse(&mut self, request: RequestId, error: ErrorCode) {
        let response = InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(wire::ProducerId(-1))
            .with_producer_epoch(-1);
        self.respond(request, response);
    }

    fn hand_out_producer_ids(&mut self, now: Now) {
        while !self.producer_ids.waiting.is_empty() {
            let Some(id) = self.producer_ids.ids.next() else {
                return self.ask_for_producer_ids(now);
            };
            if let Some((_, request)) = self.producer_ids.waiting.pop_front() {
                let response =
                    InitProducerIdResponse::default().with_producer_id(wire::ProducerId(id));
                self.respond(request, response);
            }
        }
    }

    fn ask_for_producer_ids(&mut self, now: Now) {
        if self.producer_ids.asked {
            return;
        }
        let body = AllocateProducerIdsRequest::default()
            .with_broker_id(wire::BrokerId(self.id.0))
            .with_broker_epoch(self.broker_epoch());
        let timeout = self.settings.millis("controller.quorum.request.timeout.ms");
        let purpose = PeerPurpose::ProducerIds;
        let sent = self.call_controller(now, Channel::Control, body.into(), timeout, purpose);
        self.producer_ids.asked = sent.is_some();
        self.producer_ids.retry_at = sent.is_none().then(|| now.time + RETRY);
    }

    pub(in crate::broker) fn handle_producer_ids_answer(
        &mut self,
        now: Now,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        self.producer_ids.asked = false;
        match result.map(|body| *body) {
            Ok(ResponseKind::AllocateProducerIds(body)) if body.error_code.is_ok() => {
                let first = body.producer_id_start.0;
                let end = first.saturating_add(i64::from(body.producer_id_len.max(0)));
                self.producer_ids.ids = first..end;
                self.hand_out_producer_ids(now);
            }
            _ => self.producer_ids.retry_at = Some(now.time + RETRY),
        }
    }

    pub(in crate::broker) fn producer_ids_timeout(&mut self, now: Now) {
        while let Some((deadline, request)) = self.producer_ids.waiting.front().copied() {
            if !is_due(Some(deadline), now) {
                break;
            }
            self.producer_ids.waiting.pop_front();
            self.refuse(request, ErrorCode::CoordinatorLoadInProgress);
        }
        if is_due(self.producer_ids.retry_at, now) {
            self.producer_ids.retry_at = None;
            self.hand_out_producer_ids(now);
        }
    }
}
