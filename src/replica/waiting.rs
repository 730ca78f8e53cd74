//! Produce requests that wait for an offset.
//!
//! In: requests with the offset they wait for and a deadline. Out: those that are covered, those
//! that are late, those that wait for what is taken back, or all of them when leadership ends.
//! Invariant: each request leaves exactly once.

use std::collections::{BTreeMap, BTreeSet};

use crate::offset::Offset;
use crate::replica::{ProduceToken, Produced};
use crate::time::Time;

/// One waiting request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) token: ProduceToken,
    pub(super) produced: Produced,
    deadline: Time,
}

impl Waiting {
    pub(super) fn new(token: ProduceToken, produced: Produced, deadline: Time) -> Self {
        Self {
            token,
            produced,
            deadline,
        }
    }
}

type Key = (Offset, u64);

/// Requests in the order of the offsets they wait for, then of arrival.
#[derive(Debug, Default)]
pub(super) struct WaitingProduces {
    by_offset: BTreeMap<Key, Waiting>,
    by_deadline: BTreeSet<(Time, Key)>,
    arrivals: u64,
}

impl WaitingProduces {
    /// Lets `waiting` wait until everything below `required` is there.
    pub(super) fn push(&mut self, required: Offset, waiting: Waiting) {
        let key = (required, self.arrivals);
        self.arrivals += 1;
        self.by_deadline.insert((waiting.deadline, key));
        self.by_offset.insert(key, waiting);
    }

    /// Takes the next request that `reached` covers.
    pub(super) fn pop_covered(&mut self, reached: Offset) -> Option<Waiting> {
        let &key = self.by_offset.first_key_value()?.0;
        (key.0 <= reached).then(|| self.remove(key)).flatten()
    }

    /// Takes a request that waits for more than `reached`.
    pub(super) fn pop_beyond(&mut self, reached: Offset) -> Option<Waiting> {
        let &key = self.by_offset.last_key_value()?.0;
        (key.0 > reached).then(|| self.remove(key)).flatten()
    }

    /// Takes the next request whose deadline has come.
    pub(super) fn pop_late(&mut self, now: Time) -> Option<Waiting> {
        let &(deadline, key) = self.by_deadline.first()?;
        (deadline <= now).then(|| self.remove(key)).flatten()
    }

    /// Takes any request.
    pub(super) fn pop_any(&mut self) -> Option<Waiting> {
        self.pop_covered(Offset::MAX)
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.by_deadline.first().map(|&(deadline, _)| deadline)
    }

    fn remove(&mut self, key: Key) -> Option<Waiting> {
        let waiting = self.by_offset.remove(&key)?;
        self.by_deadline.remove(&(waiting.deadline, key));
        Some(waiting)
    }
}
