//! What the links really did: counters for each link, and the rare events in order.
//!
//! In: reports of the proxies. Out: numbers and sentences from which a fault proves its effect.
//! Keeps: a counter grows only when the thing happened, never when a policy was merely set.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::link::LinkId;

/// Events beyond this many push out the oldest.
const EVENTS_MAX: usize = 10_000;

/// What is counted on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// Connections that the proxy accepted.
    Accepted,
    /// Connections that it reset because nothing listened at the node.
    NodeRefused,
    /// Connections that it reset on purpose.
    Reset,
    /// Ends of connections that were left open although the other end has forgotten them.
    HalfOpen,
    /// Connections that it accepted and left without an answer.
    Muted,
    /// Connections whose way to the node was withheld by a cut.
    ConnectsWithheld,
    /// Directions of connections that had bytes or a FIN withheld by a cut.
    StreamsWithheld,
    /// Bytes that waited at the first look at each withheld stream.
    BytesWithheld,
    /// Request bytes that were written to the node.
    BytesForward,
    /// Response bytes that were written to the side that connected.
    BytesBackward,
    /// Bytes that were delayed by a policy.
    BytesDelayed,
    /// Bytes that waited for bandwidth.
    BytesPaced,
    /// Frames that a rule discarded.
    FramesDropped,
    /// Frames that a rule made wait.
    FramesHeld,
}

const COUNTS: usize = Count::FramesHeld as usize + 1;

/// The counters of one link.
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; COUNTS]);

/// The counters of one link at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts([u64; COUNTS]);

/// A rare event on a link.
#[derive(Clone, Debug)]
pub struct LinkEvent {
    /// When it happened.
    pub at: Instant,
    /// Where.
    pub link: LinkId,
    /// What happened.
    pub what: String,
}

/// The events of all links of a run.
#[derive(Debug, Default)]
pub struct Journal(Mutex<VecDeque<LinkEvent>>);

impl Counters {
    pub(crate) fn add(&self, what: Count, amount: u64) {
        if let Some(counter) = self.0.get(what as usize) {
            counter.fetch_add(amount, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> LinkCounts {
        LinkCounts(
            self.0
                .each_ref()
                .map(|counter| counter.load(Ordering::Relaxed)),
        )
    }
}

impl LinkCounts {
    /// How often `what` happened.
    pub fn get(&self, what: Count) -> u64 {
        self.0.get(what as usize).copied().unwrap_or(0)
    }

    /// What was added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.0.iter().zip(earlier.0);
        let mut counts = pairs.map(|(now, before)| now.saturating_sub(before));
        Self(std::array::from_fn(|_| counts.next().unwrap_or(0)))
    }

    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        let mut counts = self.0.iter().zip(other.0).map(|(one, two)| one + two);
        Self(std::array::from_fn(|_| counts.next().unwrap_or(0)))
    }
}

impl Journal {
    pub(crate) fn record(&self, link: LinkId, what: String) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(LinkEvent {
            at: Instant::now(),
            link,
            what,
        });
    }

    /// The events from `start` on, in order.
    pub fn since(&self, start: Instant) -> Vec<LinkEvent> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events
            .iter()
            .filter(|event| event.at >= start)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_subtract_by_name() {
        let counters = Counters::default();
        counters.add(Count::Reset, 2);
        let before = counters.read();
        counters.add(Count::Reset, 3);
        counters.add(Count::FramesHeld, 1);
        let since = counters.read().since(&before);
        assert_eq!(since.get(Count::Reset), 3);
        assert_eq!(since.plus(&before).get(Count::Reset), 5);
        assert_eq!(since.get(Count::FramesHeld), 1);
    }
}
