//! The last words of a node that leaves the metadata quorum for good.
//!
//! In: the loss of the metadata directory, or another reason why the quorum's member here halts.
//! Out: all log directories offline, heartbeats that say so, then `Effect::Halt`. Invariants:
//! nothing is written any more, neither metadata nor records; the node ends once a controller
//! obeyed or two elections and `PATIENCE` are over, whichever comes first. Whoever leads the quorum
//! next is not known to a member that has halted, so all other voters are told: only the active
//! controller obeys.
//! Source: ours, after KIP-858's last heartbeats of a broker whose directories failed.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{ApiKey, ResponseKind};
use tracing::{info, warn};

use super::effects::{Channel, Effect, PeerError};
use super::peer_events::PeerPurpose;
use super::{Broker, is_due};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::offset::BrokerEpoch;
use crate::protocol::versions;
use crate::time::{Now, Time};

/// How long a controller may take to obey, besides two elections: the first may be tied.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one voter may take to answer before it is told again.
const ATTEMPT: Duration = Duration::from_millis(250);

/// A node that is about to end.
#[derive(Debug)]
pub(super) struct Farewell {
    reason: String,
    until: Time,
    /// The voters that have yet to answer.
    in_flight: BTreeSet<BrokerId>,
}

impl Broker {
    /// Begins the end of this node: it gives up what it leads, tells that, and halts for `reason`.
    pub(super) fn say_farewell(&mut self, now: Now, reason: String) {
        if self.farewell.is_some() {
            return;
        }
        let election_timeout = self
            .settings
            .millis("controller.quorum.election.timeout.ms");
        self.farewell = Some(Farewell {
            reason,
            until: now.time + 2 * election_timeout + PATIENCE,
            in_flight: BTreeSet::new(),
        });
        self.quorum.handle_storage_failed(now);
        self.give_up_directories(now);
        self.lifecycle_leader_changed(now);
        let is_alone = self.settings.voters.iter().all(|voter| voter.id == self.id);
        if is_alone || self.lifecycle.broker_epoch().is_none() {
            self.end_farewell();
        }
    }

    /// Tells every voter that has nothing to answer yet.
    pub(super) fn repeat_farewell(&mut self, epoch: BrokerEpoch) {
        let Some(farewell) = &mut self.farewell else {
            return;
        };
        let own = self.id;
        let others = self.settings.voters.iter().map(|voter| voter.id);
        let untold: Vec<_> = others
            .filter(|voter| *voter != own && farewell.in_flight.insert(*voter))
            .collect();
        for voter in untold {
            let Some(endpoint) = self.voter_endpoint(voter) else {
                continue;
            };
            // Fenced, it gets no new replicas either.
            let body = self.heartbeat(epoch).with_want_fence(true).into();
            let api = ApiKey::BrokerHeartbeat;
            self.send(
                (voter, endpoint),
                Channel::Lifecycle,
                (api, versions::newest(api), body),
                ATTEMPT,
                PeerPurpose::Farewell { to: voter },
            );
        }
    }

    pub(super) fn handle_farewell_answer(
        &mut self,
        to: BrokerId,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        let Some(farewell) = &mut self.farewell else {
            return;
        };
        farewell.in_flight.remove(&to);
        let Ok(ResponseKind::BrokerHeartbeat(response)) = result.map(|body| *body) else {
            return;
        };
        match response.error_code.err() {
            None => {
                info!(controller = %to, "the controller knows that this node ends");
                self.end_farewell();
            }
            // Somebody else is this broker by now: nothing is left to tell.
            Some(ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered) => {
                self.end_farewell();
            }
            Some(_) => {}
        }
    }

    pub(super) fn farewell_next_timeout(&self) -> Option<Time> {
        self.farewell.as_ref().map(|farewell| farewell.until)
    }

    pub(super) fn farewell_timeout(&mut self, now: Now) {
        if is_due(self.farewell_next_timeout(), now) {
            warn!("no controller could be told in time that this node ends");
            self.end_farewell();
        }
    }

    fn end_farewell(&mut self) {
        if let Some(farewell) = &mut self.farewell {
            let reason = farewell.reason.clone();
            self.effects.push(Effect::Halt { reason });
        }
    }
}
