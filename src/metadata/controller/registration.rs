//! Broker registration: a process joins the cluster and gets a broker epoch.
//!
//! In: BrokerRegistration (62). Out: the registration record, and before it the records that take
//! the broker's earlier life out of every ISR.
//! Invariants: the epoch is the offset of the registration record, so no two lives share one;
//! a broker that lost its log's end is in no ISR where another member remains (KIP-903, KIP-966).
//! Source: Kafka's `ClusterControlManager.registerBroker`.

use uuid::Uuid;

use super::election::Loss;
use super::{ApiError, Controller, Decision};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::metadata::record::{BrokerEndpoint, BrokerRegistration, MetadataRecord};
use crate::offset::{BrokerEpoch, Offset};
use crate::time::Now;

/// A process asks to join the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// The broker's id.
    pub broker_id: BrokerId,
    /// The cluster that the broker believes it belongs to.
    pub cluster_id: String,
    /// The id of the process, drawn when it started.
    pub incarnation_id: Uuid,
    /// Where it listens; at least one endpoint.
    pub endpoints: Vec<BrokerEndpoint>,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// The ids of the log directories that it could open.
    pub directories: Vec<Uuid>,
    /// The broker epoch that its clean-shutdown marker holds; `NO_BROKER_EPOCH` without one.
    pub previous_broker_epoch: BrokerEpoch,
}

impl Controller {
    /// Registers a broker; the response is its broker epoch.
    ///
    /// The broker begins fenced, and unfences by its heartbeats. The same process asking again
    /// gets the same epoch.
    ///
    /// # Errors
    /// `INCONSISTENT_CLUSTER_ID`, `INVALID_REGISTRATION`; `DUPLICATE_BROKER_REGISTRATION` while
    /// another process with this id is alive as far as this controller heard (retriable).
    pub fn handle_broker_registration(
        &mut self,
        now: Now,
        next_offset: Offset,
        request: RegisterBroker,
    ) -> Decision<Result<BrokerEpoch, ApiError>> {
        let mut draft = self.draft(next_offset);
        if let Err(refusal) = self.check_registration(now, &request) {
            return self.decide(draft, Err(refusal));
        }
        let broker_id = request.broker_id;
        if let Some(existing) = self.image.brokers().get(broker_id) {
            if existing.incarnation_id == request.incarnation_id {
                let broker_epoch = existing.broker_epoch;
                self.sessions.touch(now.time, broker_id, broker_epoch);
                return self.decide(draft, Ok(broker_epoch));
            }
            if existing.broker_epoch != request.previous_broker_epoch {
                draft.lose_broker(Loss::UncleanShutdown(broker_id));
            } else if !existing.fenced {
                draft.lose_broker(Loss::Fenced(broker_id));
            }
        }
        let broker_epoch = draft.next_offset();
        draft.push(MetadataRecord::RegisterBroker(registration(
            request,
            broker_epoch,
        )));
        self.sessions.begin(now.time, broker_id, broker_epoch);
        self.decide(draft, Ok(broker_epoch))
    }

    fn check_registration(&self, now: Now, request: &RegisterBroker) -> Result<(), ApiError> {
        let broker_id = request.broker_id;
        if request.cluster_id != self.config.cluster_id {
            return Err(ApiError::new(
                ErrorCode::InconsistentClusterId,
                format!(
                    "broker {broker_id} belongs to cluster {}, this is cluster {}",
                    request.cluster_id, self.config.cluster_id
                ),
            ));
        }
        if broker_id.0 < 0 || request.endpoints.is_empty() {
            return Err(ApiError::new(
                ErrorCode::InvalidRegistration,
                format!("broker {broker_id} needs an id of at least 0 and at least one endpoint"),
            ));
        }
        let Some(existing) = self.image.brokers().get(broker_id) else {
            return Ok(());
        };
        let is_other = existing.incarnation_id != request.incarnation_id;
        let is_live = self.sessions.is_live(now.time, broker_id);
        if is_other && is_live && !existing.in_controlled_shutdown {
            return Err(ApiError::new(
                ErrorCode::DuplicateBrokerRegistration,
                format!(
                    "another process is registered as broker {broker_id} and was heard of within \
                     the session timeout of {} ms; retry when it has lapsed",
                    self.config.session_timeout.as_millis()
                ),
            ));
        }
        Ok(())
    }
}

fn registration(request: RegisterBroker, broker_epoch: BrokerEpoch) -> BrokerRegistration {
    BrokerRegistration {
        broker_id: request.broker_id,
        incarnation_id: request.incarnation_id,
        broker_epoch,
        endpoints: request.endpoints,
        rack: request.rack,
        directories: request.directories,
        offline_directories: Vec::new(),
        fenced: true,
        in_controlled_shutdown: false,
    }
}
