//! A log directory's thread and what is under way there.
//!
//! In: operations and when each was asked for, their completions. Out: whether the directory
//! stalls. Invariant: a directory stalls if an operation that is executed takes too long; what only
//! waits for its turn behind others that do complete is slow. Flushes are executed beside the
//! others, so that a sync that hangs is told however much is read meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use super::disk::{DirectoryThread, Job, Reopened, SubmitError};
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
    /// Operations that were not handed over yet.
    unsubmitted: Vec<Job>,
    flushes: Lane,
    others: Lane,
    /// When each operation was tried last that waits for space; it is tried again among the others.
    without_space: BTreeMap<DiskToken, Time>,
    /// An operation hangs, and whatever else was asked for is given up.
    stalled: bool,
}

impl Directory {
    pub(super) fn new(thread: Option<DirectoryThread>) -> Self {
        Self {
            thread,
            unsubmitted: Vec::new(),
            flushes: Lane::default(),
            others: Lane::default(),
            without_space: BTreeMap::new(),
            stalled: false,
        }
    }

    /// Takes an operation, to be handed over with [`Self::submit`]. While the directory is given up
    /// nothing is: nobody would ever hear that it ended.
    pub(super) fn ask(&mut self, now: Time, token: DiskToken, request: DiskRequest) {
        if self.stalled {
            return;
        }
        let lane = match request {
            DiskRequest::Flush { .. } => &mut self.flushes,
            _ => &mut self.others,
        };
        lane.under_way.insert(token, now);
        self.unsubmitted.push(Job { token, request });
    }

    /// An operation ended.
    pub(super) fn ended(&mut self, now: Time, token: DiskToken) {
        self.end(now, token);
        self.submit();
    }

    /// Whether the operation was under way: it may have been given up.
    fn end(&mut self, now: Time, token: DiskToken) -> bool {
        let mut was_here = self.without_space.remove(&token).is_some();
        if was_here {
            self.others.progressed_at = now;
        }
        for lane in [&mut self.flushes, &mut self.others] {
            was_here |= lane.ended(now, token);
        }
        was_here
    }

    /// An operation found no space and others go on; each time that it is tried it is so anew.
    pub(super) fn set_aside(&mut self, now: Time, token: DiskToken) {
        if self.end(now, token) {
            self.without_space.insert(token, now);
        }
    }

    /// Hands over what was asked for, as far as there is room: the thread is woken once for all.
    pub(super) fn submit(&mut self) {
        let Some(thread) = &self.thread else {
            return;
        };
        if self.unsubmitted.is_empty() {
            return;
        }
        let submitted = thread.try_submit(std::mem::take(&mut self.unsubmitted));
        if let Err(SubmitError::Full(jobs)) = submitted {
            self.unsubmitted = jobs;
        }
    }

    /// The process was stopped until `now`: all times count anew.
    pub(super) fn slept(&mut self, now: Time) {
        let asked = [&mut self.flushes, &mut self.others].into_iter();
        let asked = asked.flat_map(|lane| lane.under_way.values_mut());
        asked
            .chain(self.without_space.values_mut())
            .for_each(|since| *since = now);
    }

    /// Whether an operation that is executed takes longer than `limit`, for the first time.
    pub(super) fn stalls(&self, now: Time, limit: Duration) -> bool {
        let lanes = [(&self.flushes, &self.others), (&self.others, &self.flushes)];
        let mut lanes = lanes.into_iter();
        let tried = self.without_space.values().next();
        let retry = tried.is_some_and(|tried| self.others.is_over(*tried, now, limit));
        !self.stalled
            && (retry || lanes.any(|(lane, beside)| lane.stalls_beside(beside, now, limit)))
    }

    /// Whether its thread may not end for long: it completes what was asked for first.
    pub(super) fn hangs(&self, now: Time) -> bool {
        let lanes = [&self.flushes.under_way, &self.others.under_way];
        let mut asked = lanes.into_iter().chain([&self.without_space]);
        let is_old = |since: &Time| now.since(*since) > HUNG;
        self.stalled || asked.any(|lane| lane.values().next().is_some_and(is_old))
    }

    /// Gives up all that is under way.
    pub(super) fn abandon(&mut self) {
        self.stalled = true;
        self.unsubmitted.clear();
        self.flushes.under_way.clear();
        self.others.under_way.clear();
        self.without_space.clear();
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

/// Operations of which one is executed after the other.
#[derive(Debug, Default)]
struct Lane {
    /// When each operation under way was asked for; tokens grow with time.
    under_way: BTreeMap<DiskToken, Time>,
    /// When an operation ended last that the oldest one here may have waited for: it began then, if
    /// it had been asked for.
    progressed_at: Time,
}

impl Lane {
    /// An operation of this lane, or of the one beside it, ended; whether it was of this one.
    fn ended(&mut self, now: Time, token: DiskToken) -> bool {
        let was_here = self.under_way.remove(&token).is_some();
        let oldest = self.under_way.keys().next();
        if was_here || oldest.is_some_and(|oldest| token < *oldest) {
            self.progressed_at = now;
        }
        was_here
    }

    /// Whether its oldest operation is executed for longer than `limit`. It is not yet, as long as
    /// an older one is under way beside it.
    fn stalls_beside(&self, beside: &Self, now: Time, limit: Duration) -> bool {
        let Some((token, asked)) = self.under_way.first_key_value() else {
            return false;
        };
        let older = beside.under_way.first_key_value();
        let has_turn = older.is_none_or(|(older, _)| token < older);
        has_turn && self.is_over(*asked, now, limit)
    }

    /// Whether what was asked for then is executed for longer than `limit`.
    fn is_over(&self, asked: Time, now: Time, limit: Duration) -> bool {
        now.since(self.progressed_at.max(asked)) > limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TopicPartition;
    use crate::storage::SnapshotId;

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
    fn a_sync_that_hangs_stalls_however_much_is_read_beside_it() {
        let mut directory = asked_for(1);
        let asked = Time::from_millis(10_000);
        for token in 1..=20 {
            let id = SnapshotId::default();
            directory.ask(asked, token, DiskRequest::ReadSnapshot { id });
        }
        for token in 1..=10 {
            let now = Time::from_millis(10_000 + 100 * token);
            assert!(!directory.stalls(now, LIMIT), "operation {token}");
            directory.ended(now, token);
        }
        assert!(directory.stalls(Time::from_millis(11_001), LIMIT));
    }

    #[test]
    fn a_flush_that_waits_for_its_turn_does_not_stall() {
        let mut directory = Directory::new(None);
        let asked = Time::from_millis(10_000);
        for token in 0..20 {
            let id = SnapshotId::default();
            directory.ask(asked, token, DiskRequest::ReadSnapshot { id });
        }
        let log = TopicPartition::new("t", 0);
        directory.ask(asked, 20, DiskRequest::Flush { log });
        for token in 0..20 {
            let now = Time::from_millis(10_100 + 100 * token);
            assert!(!directory.stalls(now, LIMIT), "operation {token}");
            directory.ended(now, token);
        }
        assert!(!directory.stalls(Time::from_millis(13_000), LIMIT));
        assert!(directory.stalls(Time::from_millis(13_001), LIMIT));
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
        assert!(directory.without_space.is_empty(), "it was given up");
    }

    #[test]
    fn what_is_asked_of_a_directory_that_was_given_up_does_not_stall_it_later() {
        let mut directory = asked_for(1);
        directory.abandon();
        let log = TopicPartition::new("t", 0);
        directory.ask(Time::from_millis(11_000), 1, DiskRequest::Flush { log });
        // As `resume` does, which needs a directory that was opened anew.
        directory.stalled = false;
        assert!(!directory.stalls(Time::from_millis(60_000), LIMIT));
        assert!(!directory.hangs(Time::from_millis(60_000)));
    }

    #[test]
    fn what_waits_for_space_counts_as_progress() {
        let mut directory = asked_for(2);
        directory.set_aside(Time::from_millis(10_900), 0);
        assert!(!directory.stalls(Time::from_millis(11_900), LIMIT));
        assert!(directory.stalls(Time::from_millis(11_901), LIMIT));
    }
}
