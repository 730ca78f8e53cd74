//! Requests to peers and to the controller, and the way of their answers back to who asked.
//!
//! In: requests with a purpose, answers with a correlation. Out: `Effect::Send`, or a call of the
//! controller in this very broker. Invariant: each request has exactly one purpose and its answer
//! is dispatched exactly once.

use std::time::Duration;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};

use super::Broker;
use super::controller::Caller;
use super::effects::{Channel, Correlation, Effect, PeerError, PeerRequest, RequestId};
use super::partition::PartitionKey;
use crate::config::Endpoint;
use crate::id::BrokerId;
use crate::offset::LeaderEpoch;
use crate::protocol::versions;
use crate::quorum;
use crate::replica::AlterPartitionToken;
use crate::time::Now;

/// Why a request was sent.
#[derive(Clone, Debug)]
pub(super) enum PeerPurpose {
    /// The quorum sent it.
    Quorum {
        to: BrokerId,
        correlation: quorum::Correlation,
    },
    Registration,
    Heartbeat,
    /// The last heartbeat of a node that ends.
    Farewell {
        to: BrokerId,
    },
    AlterPartition {
        partition: PartitionKey,
        token: AlterPartitionToken,
    },
    ProducerIds,
    /// Where replicas lie.
    Assignments,
    /// A client's request that only the controller can answer.
    Forward(RequestId),
    /// A topic that a client asked about is created for it.
    AutoCreate,
    /// `__consumer_offsets` is created for whoever looks for a coordinator.
    OffsetsTopic,
    /// A follower's fetch.
    Fetch {
        leader: BrokerId,
    },
    /// A follower asks for the bounds of its leader's log.
    LeaderOffsets {
        partition: PartitionKey,
        leader_epoch: LeaderEpoch,
    },
}

impl Broker {
    /// The answer of a peer to an `Effect::Send`, or the reason why there is none.
    pub fn handle_peer(
        &mut self,
        now: Now,
        correlation: Correlation,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        if self.closing.is_flushing() {
            return;
        }
        self.dispatch_peer_answer(now, correlation, result);
        self.settle(now);
    }

    pub(super) fn dispatch_peer_answer(
        &mut self,
        now: Now,
        correlation: Correlation,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        let Some(purpose) = self.peer_purposes.remove(&correlation) else {
            return;
        };
        match purpose {
            PeerPurpose::Quorum { to, correlation } => {
                self.handle_quorum_answer(now, to, correlation, result);
            }
            PeerPurpose::Registration => self.handle_registration_answer(now, correlation, result),
            PeerPurpose::Heartbeat => self.handle_heartbeat_answer(now, correlation, result),
            PeerPurpose::Farewell { to } => self.handle_farewell_answer(to, result),
            PeerPurpose::AlterPartition { partition, token } => {
                self.handle_alter_partition_answer(now, &partition, token, result);
            }
            PeerPurpose::Assignments => self.handle_assignments_answer(now, correlation, result),
            PeerPurpose::ProducerIds => self.handle_producer_ids_answer(now, result),
            PeerPurpose::Forward(request) => self.handle_forward_answer(now, request, result),
            PeerPurpose::AutoCreate => {}
            PeerPurpose::OffsetsTopic => self.offsets_topic_answered(),
            PeerPurpose::Fetch { leader } => {
                self.handle_fetch_answer(now, leader, correlation, result);
            }
            PeerPurpose::LeaderOffsets {
                partition,
                leader_epoch,
            } => {
                self.handle_leader_offsets_answer(now, &partition, leader_epoch, result);
            }
        }
    }

    /// Sends `body` to `to`. The version is the newest, which all brokers of a cluster serve.
    pub(super) fn send(
        &mut self,
        (to, endpoint): (BrokerId, Endpoint),
        channel: Channel,
        (api, version, body): (ApiKey, i16, RequestKind),
        timeout: Duration,
        purpose: PeerPurpose,
    ) -> Correlation {
        let correlation = self.fresh_id();
        self.peer_purposes.insert(correlation, purpose);
        let body = Box::new(body);
        self.effects.push(Effect::Send(PeerRequest {
            correlation,
            to,
            endpoint,
            channel,
            api,
            version,
            body,
            timeout,
        }));
        correlation
    }

    /// Asks the active controller, wherever it is. `None` if nobody is known to be it.
    pub(super) fn call_controller(
        &mut self,
        now: Now,
        channel: Channel,
        body: RequestKind,
        timeout: Duration,
        purpose: PeerPurpose,
    ) -> Option<Correlation> {
        let api = controller_api(&body)?;
        self.call_controller_version(
            now,
            channel,
            (api, versions::newest(api), body),
            timeout,
            purpose,
        )
    }

    /// Asks the active controller with a body of a given version.
    pub(super) fn call_controller_version(
        &mut self,
        now: Now,
        channel: Channel,
        (api, version, body): (ApiKey, i16, RequestKind),
        timeout: Duration,
        purpose: PeerPurpose,
    ) -> Option<Correlation> {
        let leader = self.quorum.leader()?;
        if leader == self.id {
            let correlation = self.fresh_id();
            self.peer_purposes.insert(correlation, purpose);
            self.serve_controller(now, Caller::Local(correlation), version, body);
            return Some(correlation);
        }
        let endpoint = self.voter_endpoint(leader)?;
        Some(self.send(
            (leader, endpoint),
            channel,
            (api, version, body),
            timeout,
            purpose,
        ))
    }

    /// Where a voter of the quorum listens.
    pub(super) fn voter_endpoint(&self, id: BrokerId) -> Option<Endpoint> {
        let voter = self.settings.voters.iter().find(|voter| voter.id == id)?;
        Some(voter.endpoint.clone())
    }

    /// Where a registered broker listens.
    pub(super) fn broker_endpoint(&self, id: BrokerId) -> Option<Endpoint> {
        let registration = self.image.brokers().get(id)?;
        let endpoint = registration.endpoints.first()?;
        Some(Endpoint {
            host: endpoint.host.clone(),
            port: endpoint.port,
        })
    }
}

/// The API of a request that a controller answers.
fn controller_api(body: &RequestKind) -> Option<ApiKey> {
    match body {
        RequestKind::BrokerRegistration(_) => Some(ApiKey::BrokerRegistration),
        RequestKind::BrokerHeartbeat(_) => Some(ApiKey::BrokerHeartbeat),
        RequestKind::AlterPartition(_) => Some(ApiKey::AlterPartition),
        RequestKind::AssignReplicasToDirs(_) => Some(ApiKey::AssignReplicasToDirs),
        RequestKind::AllocateProducerIds(_) => Some(ApiKey::AllocateProducerIds),
        RequestKind::CreateTopics(_) => Some(ApiKey::CreateTopics),
        RequestKind::DeleteTopics(_) => Some(ApiKey::DeleteTopics),
        RequestKind::AlterConfigs(_) => Some(ApiKey::AlterConfigs),
        RequestKind::IncrementalAlterConfigs(_) => Some(ApiKey::IncrementalAlterConfigs),
        _ => None,
    }
}
