//! The network between the simulated nodes: it loses, delays, doubles and reorders.
//!
//! In: messages. Out: the same, later, perhaps twice, perhaps never. Invariant: it invents none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::id::BrokerId;
use crate::quorum::sim::Plan;
use crate::quorum::{Correlation, Request, Response};
use crate::time::Time;

#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) from: BrokerId,
    pub(super) to: BrokerId,
    pub(super) correlation: Correlation,
    pub(super) message: Message,
}

#[derive(Clone, Debug)]
pub(super) enum Message {
    Request(Request),
    Response(Response),
    /// The sender's connection broke; `to` is the sender, `from` whom it wanted to reach.
    Failed,
}

#[derive(Debug, Default)]
pub(super) struct Network {
    in_flight: BTreeMap<(Time, u64), Envelope>,
    sent: u64,
    /// Directed links that are cut.
    pub(super) cut: BTreeSet<(BrokerId, BrokerId)>,
    /// Whether the network behaves: no loss, short delays.
    pub(super) is_calm: bool,
}

impl Network {
    pub(super) fn send(
        &mut self,
        now: Time,
        plan: &Plan,
        rng: &mut ChaCha8Rng,
        envelope: Envelope,
    ) {
        let mut chance = |permille: u32| rng.random_range(0..1000) < permille;
        let lost = !self.is_calm && chance(plan.lost_permille);
        if lost || self.cut.contains(&(envelope.from, envelope.to)) {
            if matches!(envelope.message, Message::Request(_)) && chance(500) {
                let delay = Duration::from_millis(rng.random_range(1..200));
                self.put(now + delay, failure(&envelope));
            }
            return;
        }
        let doubled = !self.is_calm && chance(plan.doubled_permille);
        let copies = if doubled { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.draw_delay(plan, rng);
            self.put(now + delay, envelope.clone());
        }
    }

    /// Tells the sender of a request that the receiver's process is gone, perhaps.
    pub(super) fn refuse(&mut self, now: Time, rng: &mut ChaCha8Rng, request: &Envelope) {
        let hears = self.is_calm || rng.random_bool(0.5);
        if hears && !self.cut.contains(&(request.to, request.from)) {
            let delay = Duration::from_micros(rng.random_range(100..3000));
            self.put(now + delay, failure(request));
        }
    }

    /// When the next message arrives.
    pub(super) fn next_arrival(&self) -> Option<Time> {
        self.in_flight.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next message.
    pub(super) fn receive(&mut self) -> Option<Envelope> {
        self.in_flight.pop_first().map(|(_, envelope)| envelope)
    }

    /// Hands a message over again at `at`: its receiver is paused.
    pub(super) fn put(&mut self, at: Time, envelope: Envelope) {
        self.sent += 1;
        self.in_flight.insert((at, self.sent), envelope);
    }

    fn draw_delay(&self, plan: &Plan, rng: &mut ChaCha8Rng) -> Duration {
        let late = !self.is_calm && rng.random_range(0..1000) < plan.late_permille;
        let micros = if late {
            rng.random_range(0..plan.late_millis * 1000)
        } else {
            rng.random_range(100..3000)
        };
        Duration::from_micros(micros)
    }
}

fn failure(envelope: &Envelope) -> Envelope {
    Envelope {
        from: envelope.to,
        to: envelope.from,
        correlation: envelope.correlation,
        message: Message::Failed,
    }
}
