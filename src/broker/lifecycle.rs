//! This broker's life in the cluster: registration, heartbeats, fencing, controlled shutdown.
//!
//! In: time, the image, the known leader of the quorum, the controller's answers. Out:
//! BrokerRegistration and BrokerHeartbeat requests. Invariants: at most one of them is under way;
//! a new leader is asked at once; the broker's epoch comes from its registration alone.
//! Source: Kafka's `BrokerLifecycleManager`.
//!
//! The lease: until a session after an acknowledged heartbeat was *sent*, the controller cannot
//! have fenced this broker, so nobody else leads what it leads; a move back to a preferred leader
//! (every `leader.imbalance.check.interval.seconds`) is the exception, until its record is here.
//! Only reads of a log's end rely on the lease (Kafka answers those from deposed leaders, too);
//! what is acknowledged never does.

use std::time::Duration;

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{
    self as wire, BrokerHeartbeatRequest, BrokerRegistrationRequest, ResponseKind,
    broker_registration_request::Listener,
};
use kafka_protocol::protocol::StrBytes;
use tracing::{debug, info, warn};

use super::directories::Directory;
use super::effects::{Channel, Correlation, Effect, PeerError};
use super::peer_events::PeerPurpose;
use super::{Broker, is_due};
use crate::config::Settings;
use crate::error::ErrorCode;
use crate::offset::{BrokerEpoch, NO_BROKER_EPOCH};
use crate::time::{Now, Time};

/// The pause before a refused or lost request is repeated.
const RETRY: Duration = Duration::from_millis(30);
/// The pause between heartbeats that ask whether the shutdown may go on.
const SHUTDOWN_POLL: Duration = Duration::from_millis(50);

/// Heartbeats in a row that may fail before a broker stops without its controller's leave.
const SHUTDOWN_FAILURES_MAX: u32 = 20;

/// Where the broker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The controller does not know this process yet.
    Unregistered,
    /// Registered in this epoch.
    Registered(BrokerEpoch),
    /// The broker may stop.
    Released,
}

/// The lifecycle of one broker.
#[derive(Debug)]
pub(super) struct Lifecycle {
    state: State,
    heartbeat_interval: Duration,
    call_timeout: Duration,
    registration_deadline: Time,
    previous_epoch: BrokerEpoch,
    next_at: Option<Time>,
    /// The request under way, and when it was sent.
    in_flight: Option<(Correlation, Time)>,
    session: Duration,
    lease_until: Time,
    failures: u32,
    /// Directories changed since the last heartbeat was sent.
    has_news: bool,
    /// The controller answered a heartbeat that knew of our registration.
    caught_up: bool,
    serving: bool,
    shutdown_deadline: Option<Time>,
}

impl Lifecycle {
    pub(super) fn new(now: Time, settings: &Settings, previous_epoch: BrokerEpoch) -> Self {
        let heartbeat_interval = settings.millis("broker.heartbeat.interval.ms");
        let session = settings.millis("broker.session.timeout.ms");
        Self {
            state: State::Unregistered,
            heartbeat_interval,
            call_timeout: heartbeat_interval
                .max(Duration::from_millis(200))
                .min(session / 3),
            registration_deadline: now + settings.millis("initial.broker.registration.timeout.ms"),
            previous_epoch,
            next_at: Some(now),
            in_flight: None,
            session,
            lease_until: Time::ZERO,
            failures: 0,
            has_news: false,
            caught_up: false,
            serving: false,
            shutdown_deadline: None,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        let next_at = if self.in_flight.is_some() {
            None
        } else {
            self.next_at
        };
        [next_at, self.shutdown_deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// The epoch of this life, once the controller has given one.
    pub(super) fn broker_epoch(&self) -> Option<BrokerEpoch> {
        match self.state {
            State::Registered(epoch) => Some(epoch),
            State::Unregistered | State::Released => None,
        }
    }

    /// Whether the broker was ever unfenced and thus knows the cluster.
    pub(super) fn has_served(&self) -> bool {
        self.serving
    }

    pub(super) fn is_released(&self) -> bool {
        self.state == State::Released
    }

    /// Whether no other broker can have been elected where this one leads, clocks of equal pace
    /// provided; a tenth of the session is left for the difference.
    pub(super) fn has_lease(&self, now: Now) -> bool {
        self.shutdown_deadline.is_none() && !self.is_released() && now.time < self.lease_until
    }

    /// Takes the answer to `correlation` if it is the one that is waited for: when it was sent.
    fn take_in_flight(&mut self, correlation: Correlation) -> Option<Time> {
        let (_, sent_at) = self
            .in_flight
            .filter(|(waited, _)| *waited == correlation)?;
        self.in_flight = None;
        Some(sent_at)
    }

    fn act_at(&mut self, at: Time) {
        self.next_at = Some(self.next_at.map_or(at, |next| next.min(at)));
    }
}

impl Broker {
    /// The epoch of this life of the broker, `NO_BROKER_EPOCH` before it is registered.
    pub(super) fn broker_epoch(&self) -> BrokerEpoch {
        self.lifecycle.broker_epoch().unwrap_or(NO_BROKER_EPOCH)
    }

    /// The leader of the quorum changed, or is unknown for good: begin anew at once.
    pub(super) fn lifecycle_leader_changed(&mut self, now: Now) {
        self.lifecycle.in_flight = None;
        self.lifecycle.act_at(now.time);
    }

    /// A directory went offline or online: tell the controller at once.
    pub(super) fn lifecycle_directories_changed(&mut self, now: Now) {
        self.lifecycle.has_news = true;
        self.lifecycle.act_at(now.time);
    }

    /// The image changed: a broker that has just seen its registration asks to be unfenced.
    pub(super) fn lifecycle_image_changed(&mut self, now: Now) {
        let Some(epoch) = self.lifecycle.broker_epoch() else {
            return;
        };
        if !self.lifecycle.caught_up && self.image.last_offset() >= epoch {
            self.lifecycle.caught_up = true;
            self.lifecycle.act_at(now.time);
        }
        let registration = self.image.brokers().get(self.id);
        let unfenced = registration.is_some_and(|own| own.broker_epoch == epoch && !own.fenced);
        if unfenced && !self.lifecycle.serving {
            self.lifecycle.serving = true;
            info!(broker = %self.id, epoch, "broker serves");
            self.remove_stray_logs();
            self.effects.push(Effect::Serving);
        }
    }

    /// The process is to stop: hand leaderships over first, for at most `patience`.
    pub(super) fn lifecycle_shut_down(&mut self, now: Now, patience: Duration) {
        if self.lifecycle.broker_epoch().is_none() {
            self.lifecycle.state = State::Released;
            return;
        }
        self.lifecycle.failures = 0;
        self.lifecycle.shutdown_deadline = Some(now.time + patience);
        self.lifecycle.act_at(now.time);
    }

    pub(super) fn lifecycle_timeout(&mut self, now: Now) {
        if is_due(self.lifecycle.shutdown_deadline, now) {
            warn!("leaderships were not handed over in time; stopping all the same");
            self.release();
        }
        if self.lifecycle.in_flight.is_some() || !is_due(self.lifecycle.next_at, now) {
            return;
        }
        match self.lifecycle.state {
            State::Unregistered if now.time > self.lifecycle.registration_deadline => {
                let reason = "no controller registered this broker within \
                              initial.broker.registration.timeout.ms";
                self.effects.push(Effect::Halt {
                    reason: reason.to_owned(),
                });
                self.lifecycle.next_at = None;
            }
            State::Unregistered => self.register(now),
            State::Registered(epoch) if self.farewell.is_some() => {
                self.lifecycle.next_at = Some(now.time + RETRY);
                self.repeat_farewell(epoch);
            }
            State::Registered(epoch) => self.beat(now, epoch),
            State::Released => self.lifecycle.next_at = None,
        }
    }

    fn release(&mut self) {
        self.lifecycle.state = State::Released;
        self.lifecycle.next_at = None;
        self.lifecycle.shutdown_deadline = None;
    }

    fn register(&mut self, now: Now) {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let listener = Listener::default()
            .with_name(text("PLAINTEXT"))
            .with_host(text(&self.settings.advertised.host))
            .with_port(self.settings.advertised.port);
        let rack = Some(self.settings.text("broker.rack")).filter(|rack| !rack.is_empty());
        // Those that are offline, too: only of a registered one the heartbeats tell that.
        let directories = self.directories.iter().filter_map(Directory::id);
        let body = BrokerRegistrationRequest::default()
            .with_broker_id(wire::BrokerId(self.id.0))
            .with_cluster_id(text(&self.settings.cluster_id))
            .with_incarnation_id(self.incarnation_id)
            .with_listeners(vec![listener])
            .with_rack(rack.map(text))
            .with_log_dirs(directories.collect())
            .with_previous_broker_epoch(self.lifecycle.previous_epoch);
        self.call(now, body.into(), PeerPurpose::Registration);
    }

    fn beat(&mut self, now: Now, epoch: BrokerEpoch) {
        self.lifecycle.has_news = false;
        let body = self.heartbeat(epoch);
        self.call(now, body.into(), PeerPurpose::Heartbeat);
    }

    /// What there is to tell of this broker now.
    pub(super) fn heartbeat(&self, epoch: BrokerEpoch) -> BrokerHeartbeatRequest {
        let offline = self
            .directories
            .iter()
            .filter(|directory| !directory.is_online());
        BrokerHeartbeatRequest::default()
            .with_broker_id(wire::BrokerId(self.id.0))
            .with_broker_epoch(epoch)
            .with_current_metadata_offset(self.image.last_offset())
            .with_want_shut_down(self.lifecycle.shutdown_deadline.is_some())
            .with_offline_log_dirs(offline.filter_map(Directory::id).collect())
    }

    fn call(&mut self, now: Now, body: wire::RequestKind, purpose: PeerPurpose) {
        self.lifecycle.next_at = Some(now.time + RETRY);
        let timeout = self.lifecycle.call_timeout;
        let sent = self.call_controller(now, Channel::Lifecycle, body, timeout, purpose);
        self.lifecycle.in_flight = sent.map(|correlation| (correlation, now.time));
        if sent.is_none() {
            self.note_unreachable();
        }
    }

    pub(super) fn handle_registration_answer(
        &mut self,
        now: Now,
        correlation: Correlation,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        if self.lifecycle.take_in_flight(correlation).is_none() {
            return;
        }
        self.lifecycle.next_at = Some(now.time + RETRY);
        let Ok(ResponseKind::BrokerRegistration(response)) = result.map(|body| *body) else {
            return;
        };
        match response.error_code.err() {
            None => {
                info!(broker = %self.id, epoch = response.broker_epoch, "broker registered");
                self.lifecycle.state = State::Registered(response.broker_epoch);
                self.lifecycle.next_at = Some(now.time + self.lifecycle.heartbeat_interval);
                self.lifecycle_image_changed(now);
            }
            Some(ErrorCode::InconsistentClusterId | ErrorCode::InvalidRegistration) => {
                let reason = "the controller refused this broker: its cluster.id or node.id is \
                              not one of this cluster";
                self.effects.push(Effect::Halt {
                    reason: reason.to_owned(),
                });
            }
            Some(error) => debug!(?error, "registration refused; trying again"),
        }
    }

    pub(super) fn handle_heartbeat_answer(
        &mut self,
        now: Now,
        correlation: Correlation,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        let Some(sent_at) = self.lifecycle.take_in_flight(correlation) else {
            return;
        };
        let Ok(ResponseKind::BrokerHeartbeat(response)) = result.map(|body| *body) else {
            self.note_unreachable();
            return;
        };
        match response.error_code.err() {
            None if response.should_shut_down => self.release(),
            None => {
                self.lifecycle.failures = 0;
                self.lifecycle.next_at = Some(now.time + self.pause(&response));
                if !response.is_fenced {
                    self.lifecycle.lease_until = sent_at + self.lifecycle.session * 9 / 10;
                }
            }
            Some(ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered) => {
                let reason = "another process registered as this broker";
                self.effects.push(Effect::Halt {
                    reason: reason.to_owned(),
                });
            }
            Some(error) => debug!(?error, "heartbeat refused; trying again"),
        }
    }

    /// A broker that stops does not wait for a controller that may have stopped, too.
    fn note_unreachable(&mut self) {
        self.lifecycle.failures += 1;
        let stops = self.lifecycle.shutdown_deadline.is_some();
        if stops && self.lifecycle.failures >= SHUTDOWN_FAILURES_MAX {
            warn!("no controller to hand leaderships over to; stopping all the same");
            self.release();
        }
    }

    fn pause(&self, response: &wire::BrokerHeartbeatResponse) -> Duration {
        if self.lifecycle.shutdown_deadline.is_some() {
            SHUTDOWN_POLL
        } else if self.lifecycle.has_news || self.lifecycle.caught_up && !response.is_caught_up {
            Duration::ZERO
        } else {
            self.lifecycle.heartbeat_interval
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_ends_with_its_time_and_with_a_shutdown() {
        let settings = Settings::parse("", &["node.id=1", "log.dirs=/d"]).unwrap();
        let mut lifecycle = Lifecycle::new(Time::ZERO, &settings, NO_BROKER_EPOCH);
        let at = |millis| Now {
            time: Time::from_millis(millis),
            wall_millis: 0,
        };
        assert!(!lifecycle.has_lease(at(0)), "nothing was acknowledged yet");
        lifecycle.lease_until = Time::from_millis(900);
        assert!(lifecycle.has_lease(at(899)));
        assert!(!lifecycle.has_lease(at(900)));
        lifecycle.shutdown_deadline = Some(Time::from_millis(5000));
        assert!(
            !lifecycle.has_lease(at(100)),
            "leaderships are being handed over"
        );
    }
}
