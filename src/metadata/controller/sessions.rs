//! The brokers' sessions: who was heard of when, and how much metadata they have.
//!
//! In: registrations, heartbeats and the time. Out: who is silent for too long.
//! Invariant: every unfenced broker has a session, so a broker that falls silent is fenced in the
//! end. Sessions are soft state of the active controller; safety never depends on them.
//! Source: Kafka's `BrokerHeartbeatManager`, `BrokerHeartbeatTracker`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::BrokerId;
use crate::metadata::image::MetadataImage;
use crate::offset::{BrokerEpoch, NO_OFFSET, Offset};
use crate::time::Time;

/// The sessions of all brokers that were heard of.
#[derive(Debug)]
pub(super) struct Sessions {
    timeout: Duration,
    by_broker: BTreeMap<BrokerId, Session>,
}

/// What the controller knows of a live broker beyond its registration.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The life of the broker that the session belongs to.
    pub(super) broker_epoch: BrokerEpoch,
    /// When the broker counts as silent.
    pub(super) expires: Time,
    /// Whether this controller heard of the broker itself, or only inherited it.
    pub(super) heard: bool,
    /// The last metadata offset that the broker said it has applied.
    pub(super) metadata_offset: Offset,
    /// The metadata offset that others must apply before the broker may shut down.
    pub(super) shutdown_offset: Offset,
}

impl Sessions {
    /// Fresh sessions for all brokers of the image: a new controller cannot know who was silent.
    pub(super) fn inherit(now: Time, timeout: Duration, image: &MetadataImage) -> Self {
        let mut sessions = Self {
            timeout,
            by_broker: BTreeMap::new(),
        };
        for broker in image.brokers().iter() {
            let mut session = sessions.fresh(now, broker.broker_epoch);
            session.heard = false;
            session.shutdown_offset = image.last_offset();
            sessions.by_broker.insert(broker.broker_id, session);
        }
        sessions
    }

    fn fresh(&self, now: Time, broker_epoch: BrokerEpoch) -> Session {
        Session {
            broker_epoch,
            expires: now + self.timeout,
            heard: true,
            metadata_offset: NO_OFFSET,
            shutdown_offset: NO_OFFSET,
        }
    }

    pub(super) fn get(&self, broker_id: BrokerId) -> Option<&Session> {
        self.by_broker.get(&broker_id)
    }

    pub(super) fn get_mut(&mut self, broker_id: BrokerId) -> Option<&mut Session> {
        self.by_broker.get_mut(&broker_id)
    }

    /// Begins the session of a new life of a broker.
    pub(super) fn begin(&mut self, now: Time, broker_id: BrokerId, broker_epoch: BrokerEpoch) {
        let session = self.fresh(now, broker_epoch);
        self.by_broker.insert(broker_id, session);
    }

    /// Prolongs the session of a broker that was heard of, and begins one if it had lapsed.
    pub(super) fn touch(
        &mut self,
        now: Time,
        broker_id: BrokerId,
        broker_epoch: BrokerEpoch,
    ) -> &mut Session {
        let fresh = self.fresh(now, broker_epoch);
        let session = self
            .by_broker
            .entry(broker_id)
            .or_insert_with(|| fresh.clone());
        if session.broker_epoch != broker_epoch {
            *session = fresh;
        }
        session.expires = now + self.timeout;
        session.heard = true;
        session
    }

    pub(super) fn end(&mut self, broker_id: BrokerId) {
        self.by_broker.remove(&broker_id);
    }

    /// Whether `broker_id` was heard of by this controller and is not silent for too long.
    pub(super) fn is_live(&self, now: Time, broker_id: BrokerId) -> bool {
        self.get(broker_id)
            .is_some_and(|session| session.heard && now < session.expires)
    }

    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.by_broker.values().map(|session| session.expires).min()
    }

    /// Ends the session that expired first, if one has, and says whose it was.
    pub(super) fn take_expired(&mut self, now: Time) -> Option<BrokerId> {
        let expired = self
            .by_broker
            .iter()
            .filter(|(_, session)| session.expires <= now);
        let (broker_id, _) = expired.min_by_key(|(_, session)| session.expires)?;
        let broker_id = *broker_id;
        self.end(broker_id);
        Some(broker_id)
    }
}
