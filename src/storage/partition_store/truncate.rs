//! Cutting the end of a log, or all of it.
//!
//! In: the new end. Out: the state of what remains. Invariant: the caller has lowered the stored
//! recovery point to the new end first; then a crash at any moment leaves a prefix of the old log
//! that is at least as long as the new one, because segments go from the newest on and the cut is
//! synced before the epoch checkpoint is replaced. Source: Kafka's `UnifiedLog#truncateTo`,
//! `truncateFullyAndStartAt`.

use std::ops::ControlFlow;

use crate::config::sabotage::{Sabotage, planted};
use crate::log::{BatchSummary, LogState, ProducerState};
use crate::offset::Offset;

use super::{Compaction, PartitionStore, sync_dir};
use crate::storage::atomic_file;
use crate::storage::disk::{Disk, Operation};
use crate::storage::error::{DiskError, IoContext};
use crate::storage::names::{PRODUCERS, offset_file, parse_offset_file};
use crate::storage::producer_snapshot;
use crate::storage::segment::{Segment, walk};

impl<D: Disk> PartitionStore<D> {
    /// Where the log will end if it is cut at `to`: a batch that `to` cuts goes whole.
    pub(in crate::storage) fn end_after_cut(
        &mut self,
        disk: &D,
        to: Offset,
    ) -> Result<Offset, DiskError> {
        let to = self.first_lost(to);
        if to >= self.state.log_end_offset || to < self.state.log_start_offset {
            return Ok(to);
        }
        Ok(self.cut_at(disk, to)?.map_or(to, |(_, offset)| offset))
    }

    /// `to`, or where the log is damaged: what lies behind goes in any case.
    fn first_lost(&self, to: Offset) -> Offset {
        let damage = self.damage.as_ref();
        damage.map_or(to, |damage| to.min(damage.offset))
    }

    /// Where the file of the segment that holds `to` is to be cut: the first byte and its offset.
    /// Bytes that are no batch are cut, too.
    fn cut_at(&mut self, disk: &D, to: Offset) -> Result<Option<(u64, Offset)>, DiskError> {
        let index = self.segment_index(to);
        let located = self.confirmed(|store| match store.segments.get_mut(index) {
            Some(segment) => segment.locate(disk, to),
            None => Ok(None),
        });
        match located {
            Ok(found) => Ok(found.map(|(position, header)| (position, header.base_offset))),
            Err(DiskError::Damaged {
                position, offset, ..
            }) if offset <= to => Ok(Some((position, offset))),
            Err(error) => Err(error),
        }
    }

    /// Removes the records at and after `to`, durably.
    pub(in crate::storage) fn truncate(&mut self, disk: &D, to: Offset) -> Result<(), DiskError> {
        let to = self.first_lost(to);
        if to >= self.state.log_end_offset && self.damage.is_none() {
            return Ok(());
        }
        let loses_all = self.damage.is_some() && to <= self.first_base_offset();
        if to < self.state.log_start_offset || loses_all {
            return self.restart_at(disk, to);
        }
        self.compaction = Compaction::default();
        self.recovery_point = self.recovery_point.min(to);
        let kept = self.segment_index(to) + 1;
        let cut = self.cut_at(disk, to)?;
        self.remove_segments_from(disk, kept)?;
        let mut end = to;
        if let Some((position, offset)) = cut {
            end = offset;
            self.active().truncate(disk, position, end)?;
        }
        self.remove_producer_snapshots(disk, |offset| offset > end)?;
        sync_dir(disk, &self.directory)?;
        let producers = self.rebuild_producers(disk, end)?;
        self.state.truncate(end, producers);
        self.recovery_point = self.recovery_point.min(end);
        self.write_epochs(disk)?;
        self.clear_damage(disk)?;
        self.sync_names(disk)
    }

    /// Removes all records; the log starts and ends at `offset`.
    pub(in crate::storage) fn restart_at(
        &mut self,
        disk: &D,
        offset: Offset,
    ) -> Result<(), DiskError> {
        self.compaction = Compaction::default();
        self.refused = None;
        self.recovery_point = 0;
        self.state = LogState::empty_at(offset);
        self.write_epochs(disk)?;
        self.sync_names(disk)?;
        self.remove_segments_from(disk, 1)?;
        // Each group before the next, or a crash could bring back a log without its beginning or
        // without the producers before it.
        sync_dir(disk, &self.directory)?;
        self.remove_segments_from(disk, 0)?;
        sync_dir(disk, &self.directory)?;
        self.remove_producer_snapshots(disk, |_| true)?;
        sync_dir(disk, &self.directory)?;
        self.segments = vec![Segment::create(disk, &self.directory, offset)?];
        self.files_changed();
        self.clear_damage(disk)?;
        self.flush(disk).map(|_| ())
    }

    /// Removes the segments from index `kept` on, the newest first.
    pub(super) fn remove_segments_from(&mut self, disk: &D, kept: usize) -> Result<(), DiskError> {
        while self.segments.len() > kept {
            if let Some(segment) = self.segments.pop() {
                segment.remove(disk)?;
            }
        }
        Ok(())
    }

    /// Removes the producer snapshots whose offset is `unwanted`.
    pub(in crate::storage) fn remove_producer_snapshots(
        &mut self,
        disk: &D,
        unwanted: impl Fn(Offset) -> bool,
    ) -> Result<(), DiskError> {
        for offset in self.producer_snapshots(disk)? {
            if unwanted(offset) {
                let path = offset_file(&self.directory, offset, PRODUCERS);
                disk.remove_file(&path).during(Operation::Remove, &path)?;
                self.files_changed();
            }
        }
        Ok(())
    }

    /// The offsets of the producer snapshots, ascending.
    fn producer_snapshots(&self, disk: &D) -> Result<Vec<Offset>, DiskError> {
        let names = disk.list(&self.directory);
        let names = names.during(Operation::List, &self.directory)?;
        Ok(names
            .iter()
            .filter_map(|name| parse_offset_file(name, PRODUCERS))
            .collect())
    }

    /// The producers at `offset`, if a whole snapshot has them.
    pub(super) fn producer_snapshot_at(
        &self,
        disk: &D,
        offset: Offset,
    ) -> Result<Option<ProducerState>, DiskError> {
        let path = offset_file(&self.directory, offset, PRODUCERS);
        let content = atomic_file::read(disk, &path)?;
        let is_empty = content.as_ref().is_some_and(Vec::is_empty);
        if is_empty && planted(Sabotage::ProducerSnapshotNotFsynced) {
            return Ok(Some(ProducerState::default()));
        }
        Ok(content.and_then(|content| producer_snapshot::parse(&content)))
    }

    /// The producers of the batches below `end`: the newest whole snapshot and what follows it.
    pub(in crate::storage) fn rebuild_producers(
        &mut self,
        disk: &D,
        end: Offset,
    ) -> Result<ProducerState, DiskError> {
        let mut from = self.first_base_offset();
        let mut producers = ProducerState::default();
        for offset in self.producer_snapshots(disk)?.into_iter().rev() {
            if offset > end || offset < from {
                continue;
            }
            if let Some(found) = self.producer_snapshot_at(disk, offset)? {
                producers = found;
                from = offset;
                break;
            }
        }
        let producers = self.confirmed(|store| {
            let mut replayed = producers.clone();
            store.replay_producers(disk, from, end, &mut replayed)?;
            Ok(replayed)
        })?;
        self.close_idle_files();
        Ok(producers)
    }

    fn replay_producers(
        &mut self,
        disk: &D,
        from: Offset,
        end: Offset,
        producers: &mut ProducerState,
    ) -> Result<(), DiskError> {
        let first = self.segment_index(from);
        for segment in self.segments.iter_mut().skip(first) {
            if segment.base_offset >= end || from >= end {
                break;
            }
            let path = segment.path().to_owned();
            let (begin, size) = ((0, segment.base_offset), segment.size);
            walk(segment.file(disk)?, &path, begin, size, |_, header| {
                if header.base_offset >= end {
                    return ControlFlow::Break(());
                }
                if header.base_offset >= from {
                    producers.update(&BatchSummary::from(header));
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }
}
