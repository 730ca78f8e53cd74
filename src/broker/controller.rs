//! The active controller in this broker: from a request to a proposal to a released answer.
//!
//! In: requests that a controller answers, from this broker or any other; commits of the quorum.
//! Out: proposals, answers. Invariants (KAFKA-6082): an answer leaves only when the quorum has
//! committed all that it rests on; with the leadership of the quorum all answers that wait are
//! refused with NOT_CONTROLLER, and what they report may or may not have happened.

use std::collections::BTreeMap;

use kafka_protocol::messages::{RequestKind, ResponseKind};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tracing::{debug, info, warn};

use super::controller_refusal::refusal;
use super::controller_wire::{self as convert, DecodedRequest};
use super::effects::{Correlation, RequestId};
use super::state_log::note_decision;
use super::{Broker, is_due, metadata_log};
use crate::error::ErrorCode;
use crate::metadata::MetadataRecord;
use crate::metadata::controller::{Controller, ControllerConfig, Decision};
use crate::offset::Offset;
use crate::time::Now;

/// Who asked the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A connection.
    Remote(RequestId),
    /// This broker.
    Local(Correlation),
}

/// An answer that waits for a commit.
#[derive(Debug)]
struct Held {
    caller: Caller,
    response: ResponseKind,
    if_lost: ResponseKind,
}

/// The answers that wait for commits, by the high watermark that releases them.
#[derive(Debug, Default)]
pub(super) struct Releases(BTreeMap<Offset, Vec<Held>>);

impl Broker {
    /// Begins to act as the controller once the quorum says that this node may.
    pub(super) fn activate_controller(&mut self, now: Now) {
        if self.controller.is_some() || !self.quorum.is_active() {
            return;
        }
        self.controller_seed = self.controller_seed.wrapping_add(1);
        let mut seed = [0; 32];
        ChaCha8Rng::seed_from_u64(self.controller_seed).fill_bytes(&mut seed);
        let config = ControllerConfig::from_settings(&self.settings);
        let image = self.image.clone();
        info!(
            epoch = self.quorum.epoch(),
            offset = image.last_offset(),
            "controller is active"
        );
        self.controller = Some(Controller::activate(now, config, image, seed));
        self.lifecycle_leader_changed(now);
        self.forwards_leader_changed(now);
    }

    /// Stops acting as the controller: nothing that waits can be promised any more.
    pub(super) fn deactivate_controller(&mut self) {
        if self.controller.take().is_some() {
            info!(
                epoch = self.quorum.epoch(),
                "controller is no longer active"
            );
        }
        for held in std::mem::take(&mut self.releases.0).into_values().flatten() {
            self.answer_caller(held.caller, held.if_lost);
        }
    }

    /// Fences brokers that were silent for too long.
    pub(super) fn controller_timeout(&mut self, now: Now) {
        while let Some(controller) = &mut self.controller {
            if !is_due(controller.next_timeout(), now) {
                return;
            }
            let next_offset = self.quorum.log_end_offset();
            let decision = controller.handle_timeout(now, next_offset);
            if !self.propose(now, &decision.records, next_offset) {
                return;
            }
        }
    }

    /// Answers a request as the controller, if this broker is it.
    pub(super) fn serve_controller(
        &mut self,
        now: Now,
        caller: Caller,
        version: i16,
        request: RequestKind,
    ) {
        let not_controller = refusal(&request, version, ErrorCode::NotController);
        let Some(controller) = &mut self.controller else {
            return self.answer_caller(caller, not_controller);
        };
        let decoded = match convert::decode(request) {
            Ok(decoded) => decoded,
            Err(refused) => return self.answer_caller(caller, *refused),
        };
        let next_offset = self.quorum.log_end_offset();
        let decision = decide(controller, now, next_offset, version, decoded);
        if !self.propose(now, &decision.records, next_offset) {
            return self.answer_caller(caller, not_controller);
        }
        if self.image.last_offset() + 1 >= decision.release_at {
            return self.answer_caller(caller, decision.response);
        }
        let held = Held {
            caller,
            response: decision.response,
            if_lost: not_controller,
        };
        self.releases
            .0
            .entry(decision.release_at)
            .or_default()
            .push(held);
    }

    /// Proposes the records of a decision. `false` if this node does not lead the quorum.
    fn propose(&mut self, now: Now, records: &[MetadataRecord], next_offset: Offset) -> bool {
        if records.is_empty() {
            return true;
        }
        for record in records {
            debug!(?record, "controller decides");
            note_decision(record);
        }
        let (payload, count) = metadata_log::payload(records, now.wall_millis);
        match self.quorum.propose(now, payload, count) {
            Ok(proposed) => {
                assert_eq!(
                    proposed.base_offset, next_offset,
                    "invariant: a decision is proposed at the offset it was made for"
                );
                true
            }
            Err(error) => {
                warn!(%error, "a decision of the controller was dropped");
                self.deactivate_controller();
                false
            }
        }
    }

    /// Lets the answers go that `applied`, the end of the applied metadata, covers.
    pub(super) fn release_answers(&mut self, applied: Offset) {
        while let Some(entry) = self.releases.0.first_entry() {
            if *entry.key() > applied {
                return;
            }
            for held in entry.remove() {
                self.answer_caller(held.caller, held.response);
            }
        }
    }

    fn answer_caller(&mut self, caller: Caller, response: ResponseKind) {
        match caller {
            Caller::Remote(request) => self.respond(request, response),
            Caller::Local(correlation) => {
                self.local_answers
                    .push_back((correlation, Ok(Box::new(response))));
            }
        }
    }
}

/// Calls the controller's handler for `request` and converts its response.
fn decide(
    controller: &mut Controller,
    now: Now,
    next_offset: Offset,
    version: i16,
    request: DecodedRequest,
) -> Decision<ResponseKind> {
    match request {
        DecodedRequest::Register(request) => {
            let decision = controller.handle_broker_registration(now, next_offset, request);
            convert_response(decision, convert::registration_response)
        }
        DecodedRequest::Heartbeat(request) => {
            let decision = controller.handle_broker_heartbeat(now, next_offset, request);
            convert_response(decision, convert::heartbeat_response)
        }
        DecodedRequest::AlterPartition(request) => {
            let decision = controller.handle_alter_partition(next_offset, request);
            convert_response(decision, convert::alter_partition_response)
        }
        DecodedRequest::AssignReplicas(request) => {
            let decision = controller.handle_assign_replicas(next_offset, request);
            convert_response(decision, convert::assign_replicas_response)
        }
        DecodedRequest::AllocateProducerIds(request) => {
            let decision = controller.handle_allocate_producer_ids(next_offset, request);
            convert_response(decision, convert::producer_ids_response)
        }
        DecodedRequest::CreateTopics {
            topics,
            validate_only,
        } => {
            let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
            let decision = controller.handle_create_topics(next_offset, topics, validate_only);
            convert_response(decision, |created| {
                convert::create_topics_response(&names, created, version)
            })
        }
        DecodedRequest::DeleteTopics(topics) => {
            let decision = controller.handle_delete_topics(next_offset, &topics);
            convert_response(decision, |deleted| {
                convert::delete_topics_response(&topics, deleted, version)
            })
        }
        DecodedRequest::IncrementalAlterConfigs {
            alterations,
            validate_only,
        } => {
            let decision = controller.handle_incremental_alter_configs(
                next_offset,
                &alterations,
                validate_only,
            );
            let resources = alterations.iter().map(|alteration| &alteration.resource);
            convert_response(decision, |results| {
                convert::incremental_alter_configs_response(resources, results)
            })
        }
        DecodedRequest::AlterConfigs {
            replacements,
            validate_only,
        } => {
            let decision =
                controller.handle_alter_configs(next_offset, &replacements, validate_only);
            let resources = replacements.iter().map(|replacement| &replacement.resource);
            convert_response(decision, |results| {
                convert::alter_configs_response(resources, results)
            })
        }
    }
}

fn convert_response<R>(
    decision: Decision<R>,
    convert: impl FnOnce(R) -> ResponseKind,
) -> Decision<ResponseKind> {
    Decision {
        records: decision.records,
        release_at: decision.release_at,
        response: convert(decision.response),
    }
}
