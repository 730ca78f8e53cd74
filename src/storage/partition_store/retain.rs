//! Removing old records from the front of a log.
//!
//! Invariant: only whole segments at or below the high watermark go, the oldest first, and each
//! removal is durable before the next, so that a crash never leaves a hole. Source: Kafka's
//! `UnifiedLog#deleteOldSegments`.

use crate::offset::Offset;

use super::{PartitionStore, sync_dir};
use crate::storage::disk::Disk;
use crate::storage::error::DiskError;
use crate::storage::producer_snapshot;
use crate::storage::request::Retention;
use crate::storage::segment::millis;

impl<D: Disk> PartitionStore<D> {
    /// The first offset that stays if segments go that are too old or too many. If all of them are,
    /// a new one begins.
    pub(in crate::storage) fn retention_target(
        &mut self,
        disk: &D,
        retention: Retention,
        high_watermark: Offset,
        wall_millis: i64,
    ) -> Result<Offset, DiskError> {
        self.state
            .producers
            .expire(wall_millis, retention.producer_expiration);
        let mut excess = self.excess_bytes(retention);
        let mut target = self.state.log_start_offset;
        for index in 0..self.segments.len() {
            let Some(end) = self.segment_end(index).filter(|end| *end <= high_watermark) else {
                break;
            };
            let size = self.segments.get(index).map_or(0, |segment| segment.size);
            let is_last = index + 1 == self.segments.len();
            let is_excess = excess >= size && !is_last;
            let too_old = |store: &mut Self| store.is_too_old(disk, index, retention, wall_millis);
            if !is_excess && !self.confirmed(too_old)? {
                break;
            }
            if is_last {
                self.roll(disk)?;
                self.close_idle_files();
            }
            excess = excess.saturating_sub(size);
            target = end;
        }
        Ok(target)
    }

    /// Forgets the records below `to`, as far as they exist; returns the first that remains.
    pub(in crate::storage) fn advance_log_start(
        &mut self,
        disk: &D,
        to: Offset,
    ) -> Result<Offset, DiskError> {
        self.state.advance_log_start(to);
        let start = self.state.log_start_offset;
        while self.segments.len() > 1 && self.segment_end(0).is_some_and(|end| end <= start) {
            self.remove_first(disk)?;
        }
        Ok(start)
    }

    /// Removes the indexes of the segments that go with the records below `start`.
    pub(in crate::storage) fn remove_indexes_below(
        &self,
        disk: &D,
        start: Offset,
    ) -> Result<(), DiskError> {
        for (index, segment) in self.segments.iter().enumerate() {
            if self.segment_end(index).is_some_and(|end| end <= start) {
                segment.remove_indexes(disk)?;
            }
        }
        Ok(())
    }

    /// The end of a segment, if it holds records.
    fn segment_end(&self, index: usize) -> Option<Offset> {
        let base = self.segments.get(index)?.base_offset;
        let end = match self.segments.get(index + 1) {
            Some(next) => next.base_offset,
            None => self.state.log_end_offset,
        };
        (end > base).then_some(end)
    }

    fn excess_bytes(&self, retention: Retention) -> u64 {
        let size: u64 = self.segments.iter().map(|segment| segment.size).sum();
        retention.bytes.map_or(0, |most| size.saturating_sub(most))
    }

    fn is_too_old(
        &mut self,
        disk: &D,
        index: usize,
        retention: Retention,
        wall_millis: i64,
    ) -> Result<bool, DiskError> {
        let Some(age) = retention.age else {
            return Ok(false);
        };
        let Some(segment) = self.segments.get_mut(index) else {
            return Ok(false);
        };
        let largest = segment.largest_timestamp(disk)?;
        self.close_idle_files();
        Ok(largest.is_some_and(|largest| wall_millis.saturating_sub(largest) > millis(age)))
    }

    fn remove_first(&mut self, disk: &D) -> Result<(), DiskError> {
        let first = self.segments.get(1).map_or(0, |next| next.base_offset);
        self.keep_producers_at(disk, first)?;
        self.sync_names(disk)?;
        self.segments.remove(0).remove(disk)?;
        sync_dir(disk, &self.directory)?;
        self.remove_producer_snapshots(disk, |offset| offset < first)
    }

    /// Sees to it that there is a snapshot at `base_offset`: what lies below goes, and with it the
    /// means to rebuild it. A crash may have taken the one that the roll wrote.
    fn keep_producers_at(&mut self, disk: &D, base_offset: Offset) -> Result<(), DiskError> {
        if self.producer_snapshot_at(disk, base_offset)?.is_some() {
            return Ok(());
        }
        let producers = self.rebuild_producers(disk, base_offset)?;
        self.write_producer_snapshot(disk, base_offset, &producer_snapshot::format(&producers))
    }
}
