//! Broker heartbeats: unfencing, fencing, controlled shutdown, and silence.
//!
//! In: BrokerHeartbeat (63) and the time. Out: changes of the broker's registration, and of the
//! partitions that it leads or follows.
//! Invariants: a broker unfences only after it applied its own registration; a fenced or
//! shutting-down broker leads nothing and is in no ISR unless as its last member (KIP-841);
//! a silent broker is fenced when its session ends, one broker an event; a replica in a
//! directory that is offline leads nothing and is in no ISR unless as its last member (KIP-858).
//! Source: Kafka's `ReplicationControlManager.processBrokerHeartbeat`,
//! `BrokerHeartbeatManager.calculateNextBrokerState`.

use uuid::Uuid;

use super::draft::Draft;
use super::election::Loss;
use super::{ApiError, Controller, Decision};
use crate::error::ErrorCode;
use crate::id::{BrokerId, LOST_DIRECTORY, UNASSIGNED_DIRECTORY};
use crate::metadata::record::{BrokerRegistration, MetadataRecord};
use crate::offset::{BrokerEpoch, Offset};
use crate::time::Now;

/// A broker says that it is alive, and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerHeartbeat {
    /// The broker.
    pub broker_id: BrokerId,
    /// The life of it.
    pub broker_epoch: BrokerEpoch,
    /// The offset of the last metadata record that it has applied.
    pub metadata_offset: Offset,
    /// Whether it wants to be fenced.
    pub wants_fence: bool,
    /// Whether it wants to shut down.
    pub wants_shutdown: bool,
    /// Its log directories that are offline, all of them whose ids it knows (KIP-858).
    pub offline_directories: Vec<Uuid>,
}

/// What the controller answers to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatResponse {
    /// Whether the broker has applied its own registration.
    pub is_caught_up: bool,
    /// Whether the broker is fenced.
    pub is_fenced: bool,
    /// Whether the broker may stop now: it leads nothing, and the others know.
    pub should_shut_down: bool,
}

/// Where a broker goes with a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextState {
    Fenced,
    Unfenced,
    ControlledShutdown,
    ShutdownNow,
}

impl Controller {
    /// Takes note of a heartbeat and moves the broker to its next state.
    ///
    /// # Errors
    /// `BROKER_ID_NOT_REGISTERED`, `STALE_BROKER_EPOCH`: the broker must register again.
    pub fn handle_broker_heartbeat(
        &mut self,
        now: Now,
        next_offset: Offset,
        request: BrokerHeartbeat,
    ) -> Decision<Result<HeartbeatResponse, ApiError>> {
        let mut draft = self.draft(next_offset);
        let broker_id = request.broker_id;
        if let Err(refusal) = self.check_broker_epoch(broker_id, request.broker_epoch) {
            return self.decide(draft, Err(refusal));
        }
        let session = self
            .sessions
            .touch(now.time, broker_id, request.broker_epoch);
        session.metadata_offset = session.metadata_offset.max(request.metadata_offset);
        note_directories(&mut draft, &request);
        let next = self.next_state(&draft, &request);
        self.move_broker(&mut draft, broker_id, next);
        let response = HeartbeatResponse {
            is_caught_up: request.metadata_offset >= request.broker_epoch,
            is_fenced: matches!(next, NextState::Fenced | NextState::ShutdownNow),
            should_shut_down: next == NextState::ShutdownNow,
        };
        self.decide(draft, Ok(response))
    }

    /// Fences a broker whose session has ended.
    pub(super) fn fence_silent(&mut self, draft: &mut Draft, broker_id: BrokerId) {
        self.move_broker(draft, broker_id, NextState::Fenced);
    }

    /// Refuses a request of a broker's earlier life (KIP-380, KIP-903).
    pub(super) fn check_broker_epoch(
        &self,
        broker_id: BrokerId,
        broker_epoch: BrokerEpoch,
    ) -> Result<(), ApiError> {
        match self.image.brokers().epoch(broker_id) {
            None => Err(ApiError::new(
                ErrorCode::BrokerIdNotRegistered,
                format!("broker {broker_id} is not registered"),
            )),
            Some(registered) if registered != broker_epoch => Err(ApiError::new(
                ErrorCode::StaleBrokerEpoch,
                format!(
                    "broker {broker_id} has epoch {registered}, the request is from {broker_epoch}"
                ),
            )),
            Some(_) => Ok(()),
        }
    }

    fn next_state(&self, draft: &Draft, request: &BrokerHeartbeat) -> NextState {
        let broker_id = request.broker_id;
        let registration = registration(draft, broker_id);
        if registration.fenced {
            let has_seen_itself = request.metadata_offset >= request.broker_epoch;
            return match (request.wants_shutdown, request.wants_fence) {
                (true, _) => NextState::ShutdownNow,
                (false, false) if has_seen_itself => NextState::Unfenced,
                (false, _) => NextState::Fenced,
            };
        }
        if registration.in_controlled_shutdown {
            let is_done = !draft.leads_any(broker_id) && self.others_know(draft, broker_id);
            return if is_done {
                NextState::ShutdownNow
            } else {
                NextState::ControlledShutdown
            };
        }
        match (request.wants_shutdown, request.wants_fence) {
            (true, _) if draft.leads_any(broker_id) => NextState::ControlledShutdown,
            (true, _) => NextState::ShutdownNow,
            (false, true) => NextState::Fenced,
            (false, false) => NextState::Unfenced,
        }
    }

    /// Whether every active broker has applied the metadata that took the leaderships away.
    fn others_know(&self, draft: &Draft, broker_id: BrokerId) -> bool {
        let shutdown_offset = self
            .sessions
            .get(broker_id)
            .map(|session| session.shutdown_offset);
        let mut others = draft
            .image()
            .brokers()
            .iter()
            .filter(|broker| broker.is_active());
        others.all(|other| {
            let session = self.sessions.get(other.broker_id);
            session.map(|session| session.metadata_offset) >= shutdown_offset
        })
    }

    fn move_broker(&mut self, draft: &mut Draft, broker_id: BrokerId, next: NextState) {
        let Some(registration) = draft.image().brokers().get(broker_id).cloned() else {
            return;
        };
        let is_fenced = registration.fenced;
        match next {
            NextState::Fenced | NextState::ShutdownNow if !is_fenced => {
                draft.lose_broker(Loss::Fenced(broker_id));
                draft.push(change(&registration, Some(true), None));
            }
            NextState::Unfenced if is_fenced => {
                let ends_shutdown = registration.in_controlled_shutdown.then_some(false);
                draft.push(change(&registration, Some(false), ends_shutdown));
                draft.elect_missing_leaders();
            }
            NextState::ControlledShutdown if !registration.in_controlled_shutdown => {
                draft.lose_broker(Loss::Fenced(broker_id));
                draft.push(change(&registration, None, Some(true)));
                let session = self.sessions.get_mut(broker_id);
                let session = session.expect("invariant: a heartbeat touches the session");
                session.shutdown_offset = draft.next_offset() - 1;
            }
            NextState::Fenced
            | NextState::Unfenced
            | NextState::ControlledShutdown
            | NextState::ShutdownNow => {}
        }
        if next == NextState::ShutdownNow {
            self.sessions.end(broker_id);
        }
    }
}

/// Moves leaderships away from directories that went offline since the last heartbeat; those that
/// came back may lead again where nobody else can. One that could not be read when the broker
/// registered is registered by being told of, offline at first (in Kafka only a restart does that).
fn note_directories(draft: &mut Draft, request: &BrokerHeartbeat) {
    let registration = registration(draft, request.broker_id);
    let was_offline = registration.offline_directories.clone();
    let registered = &registration.directories;
    let told = &request.offline_directories;
    let is_new = |directory: &&Uuid| {
        let is_place = ![UNASSIGNED_DIRECTORY, LOST_DIRECTORY].contains(directory);
        is_place && !registered.contains(directory)
    };
    let offline = registered.iter().filter(|known| told.contains(known));
    let offline: Vec<_> = offline.chain(told.iter().filter(is_new)).copied().collect();
    if offline == was_offline {
        return;
    }
    draft.push(MetadataRecord::BrokerDirectoriesOffline {
        broker_id: request.broker_id,
        broker_epoch: request.broker_epoch,
        directories: offline,
    });
    draft.lose_offline_replicas(request.broker_id);
    draft.elect_missing_leaders();
}

fn registration(draft: &Draft, broker_id: BrokerId) -> &BrokerRegistration {
    let registration = draft.image().brokers().get(broker_id);
    registration.expect("invariant: the heartbeat's epoch was checked")
}

fn change(
    registration: &BrokerRegistration,
    fenced: Option<bool>,
    in_controlled_shutdown: Option<bool>,
) -> MetadataRecord {
    MetadataRecord::BrokerRegistrationChange {
        broker_id: registration.broker_id,
        broker_epoch: registration.broker_epoch,
        fenced,
        in_controlled_shutdown,
    }
}
