//! A log directory's thread and what is under way there.
//!
//! In: operations and when each was asked for, their completions. Out: whether the directory
//! stalls. Invariant: a directory stalls if the operation that is executed takes too long; what
//! only waits for its turn behind others that do complete is slow.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::disk::{DirectoryThread, Reopened, SubmitError};
use crate::broker::effects::DiskToken;
use crate::storage::DiskRequest;
use crate::time::Time;

/// An operation that takes longer hangs, for whoever ends the node without waiting for it.
const HUNG: Duration = Duration::from_secs(2);

/// A directory's thread and what is under way there.
#[derive(Debug)]
pub(super) struct Directory {
    /// `None` if the directory could not be opened.
    thread: Option<DirectoryThread>,
    /// Operations that the thread's queue had no room for yet.
    overflow: VecDeque<(DiskToken, DiskRequest)>,
    /// When each operation under way was asked for; tokens grow with time.
    under_way: BTreeMap<DiskToken, Time>,
    /// When an operation ended last: the next one began then, if it had been asked for.
    progressed_at: Time,
    /// An operation hangs, and whatever else was asked for is given up.
    stalled: bool,
}

impl Directory {
    pub(super) fn new(thread: Option<DirectoryThread>) -> Self {
        Self {
            thread,
            overflow: VecDeque::new(),
            under_way: BTreeMap::new(),
            progressed_at: Time::ZERO,
            stalled: false,
        }
    }

    /// Hands an operation over, as soon as there is room for it.
    pub(super) fn ask(&mut self, now: Time, token: DiskToken, request: DiskRequest) {
        self.under_way.insert(token, now);
        self.overflow.push_back((token, request));
        self.submit();
    }

    /// An operation ended.
    pub(super) fn ended(&mut self, now: Time, token: DiskToken) {
        self.under_way.remove(&token);
        self.progressed_at = now;
        self.submit();
    }

    /// An operation found no space and others go on; each time that it is tried it is so anew.
    pub(super) fn set_aside(&mut self, now: Time, token: DiskToken) {
        if let Some(since) = self.under_way.get_mut(&token) {
            *since = now;
        }
        self.progressed_at = now;
    }

    fn submit(&mut self) {
        let Some(thread) = &self.thread else {
            return;
        };
        while let Some((token, request)) = self.overflow.pop_front() {
            match thread.try_submit(token, request) {
                Ok(()) | Err(SubmitError::Ended) => {}
                Err(SubmitError::Full(token, request)) => {
                    self.overflow.push_front((token, request));
                    return;
                }
            }
        }
    }

    /// The process was stopped until `now`: all times count anew.
    pub(super) fn slept(&mut self, now: Time) {
        self.under_way.values_mut().for_each(|since| *since = now);
    }

    /// Whether the operation that is executed takes longer than `limit`, for the first time.
    pub(super) fn stalls(&self, now: Time, limit: Duration) -> bool {
        let oldest = self.under_way.values().next();
        let began = oldest.map(|asked| self.progressed_at.max(*asked));
        !self.stalled && began.is_some_and(|began| now.since(began) > limit)
    }

    /// Whether its thread may not end for long: it completes what was asked for first.
    pub(super) fn hangs(&self, now: Time) -> bool {
        let oldest = self.under_way.values().next();
        self.stalled || oldest.is_some_and(|since| now.since(*since) > HUNG)
    }

    /// Gives up all that is under way.
    pub(super) fn abandon(&mut self) {
        self.stalled = true;
        self.overflow.clear();
        self.under_way.clear();
        if let Some(thread) = &mut self.thread {
            thread.abandon();
        }
    }

    /// Goes on after it was abandoned.
    pub(super) fn resume(&mut self, reopened: Reopened) {
        self.stalled = false;
        if let Some(thread) = &mut self.thread {
            thread.resume(reopened);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TopicPartition;

    const LIMIT: Duration = Duration::from_secs(1);

    /// A directory that was asked for `count` operations at once, 10 s after the start.
    fn asked_for(count: DiskToken) -> Directory {
        let mut directory = Directory::new(None);
        for token in 0..count {
            let log = TopicPartition::new("t", 0);
            directory.ask(Time::from_millis(10_000), token, DiskRequest::Flush { log });
        }
        directory
    }

    #[test]
    fn a_slow_disk_that_completes_operations_does_not_stall() {
        let mut directory = asked_for(50);
        for token in 0..50 {
            let now = Time::from_millis(10_100 + 100 * token);
            assert!(!directory.stalls(now, LIMIT), "operation {token}");
            directory.ended(now, token);
        }
        assert!(
            !directory.stalls(Time::from_millis(60_000), LIMIT),
            "nothing is under way"
        );
    }

    #[test]
    fn the_operation_that_is_executed_stalls() {
        let mut directory = asked_for(2);
        assert!(!directory.stalls(Time::from_millis(11_000), LIMIT));
        assert!(directory.stalls(Time::from_millis(11_001), LIMIT));
        directory.ended(Time::from_millis(10_900), 0);
        assert!(!directory.stalls(Time::from_millis(11_900), LIMIT));
        assert!(directory.stalls(Time::from_millis(11_901), LIMIT));
        directory.abandon();
        assert!(
            !directory.stalls(Time::from_millis(60_000), LIMIT),
            "it was told once"
        );
    }

    #[test]
    fn the_time_of_a_process_that_was_stopped_does_not_count() {
        let mut directory = asked_for(2);
        directory.ended(Time::from_millis(10_100), 0);
        directory.slept(Time::from_millis(60_000));
        assert!(!directory.stalls(Time::from_millis(61_000), LIMIT));
        assert!(directory.stalls(Time::from_millis(61_001), LIMIT));
    }

    #[test]
    fn what_waits_for_space_and_hangs_when_it_is_tried_again_stalls() {
        let mut directory = asked_for(1);
        for now in [10_100, 11_000, 11_900] {
            directory.set_aside(Time::from_millis(now), 0);
            assert!(!directory.stalls(Time::from_millis(now + 1000), LIMIT));
        }
        assert!(directory.stalls(Time::from_millis(12_901), LIMIT));
        directory.abandon();
        directory.set_aside(Time::from_millis(13_000), 0);
        assert!(directory.under_way.is_empty(), "it was given up");
    }

    #[test]
    fn what_waits_for_space_counts_as_progress() {
        let mut directory = asked_for(2);
        directory.set_aside(Time::from_millis(10_900), 0);
        assert!(!directory.stalls(Time::from_millis(11_900), LIMIT));
        assert!(directory.stalls(Time::from_millis(11_901), LIMIT));
    }
}
