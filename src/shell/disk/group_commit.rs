//! Which flushes one sync answers, and how long a sync waits for more of them.
//!
//! In: what comes while flushes wait, how long the last sync took and whom it answered. Out:
//! whether the flushes must be done first, and how long to wait for more. Invariants: between a
//! flush and the sync that answers it nothing but appends, reads and flushes are done, so the sync
//! covers all that the flush asked for; nothing that belongs to no log is done, for a write of the
//! quorum's state tells that all writes before it are durable; who flushes alone never waits.
//! Source: MySQL's `binlog_group_commit_sync_delay` and `…_no_delay_count`, PostgreSQL's
//! `commit_delay` (half a sync is advised) and `commit_siblings`.

use std::time::{Duration, Instant};

use crate::id::TopicPartition;
use crate::storage::DiskRequest;

/// A sync that is faster than this is done sooner than others would come.
const SYNC_MIN: Duration = Duration::from_micros(200);

/// A sync that is slower than this still does not wait for more than others need to come.
const SYNC_MAX: Duration = Duration::from_millis(4);

/// Whether `request` must not be done before the flushes that wait, those of `waiting`.
pub(super) fn must_follow<'a>(
    request: &DiskRequest,
    mut waiting: impl Iterator<Item = &'a TopicPartition>,
) -> bool {
    match request {
        DiskRequest::Append { .. }
        | DiskRequest::Flush { .. }
        | DiskRequest::Read { .. }
        | DiskRequest::LookupTimestamp { .. } => false,
        other => other
            .log()
            .is_none_or(|log| waiting.any(|waiting| waiting == log)),
    }
}

/// When the flushes that wait are done.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupCommit {
    /// Flushes that are likely to come: whom the last sync answered, and who came meanwhile.
    pub(super) expected: usize,
    /// How long the last sync took, within bounds.
    sync: Duration,
    /// When the first and the last of the flushes that wait came.
    came: Option<(Instant, Instant)>,
}

impl GroupCommit {
    /// One more flush waits.
    pub(super) fn came(&mut self, now: Instant) {
        let first = self.came.map_or(now, |(first, _)| first);
        self.came = Some((first, now));
    }

    /// How long the `waiting` flushes wait for more, unless more come; `None` if not at all.
    /// Together at most as long as a sync takes, and a quarter of it without anyone coming.
    pub(super) fn patience(&self, now: Instant, waiting: usize) -> Option<Duration> {
        let (first, last) = self.came?;
        if waiting >= self.expected || self.sync < SYNC_MIN {
            return None;
        }
        let until = (first + self.sync).min(last + self.sync / 4);
        let left = until.saturating_duration_since(now);
        Some(left).filter(|left| !left.is_zero())
    }

    /// A sync took so long and answers `answered` flushes; while it ran, `late` others came.
    pub(super) fn synced(&mut self, took: Duration, answered: usize, late: usize) {
        self.expected = answered + late;
        self.sync = took.min(SYNC_MAX);
        self.came = None;
    }
}

#[cfg(test)]
#[path = "group_commit_test.rs"]
mod tests;
