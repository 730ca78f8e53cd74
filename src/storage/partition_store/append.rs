//! Appending batches, and closing segments that are full.
//!
//! Invariant: bytes are written as they came, in one write for each segment they fall into; at a
//! roll the producer snapshot of the new segment's base offset is synced (KAFKA-9892); what finds
//! no space or no descriptor leaves nothing behind, and to take it back needs neither.

use bytes::Bytes;

use crate::log::{BatchSummary, LogState};
use crate::offset::Offset;
use crate::record::{BatchError, BatchHeader, Batches, PositionedError};

use super::PartitionStore;
use super::read::trusts_what_was_not_flushed;
use crate::storage::disk::{Disk, Operation};
use crate::storage::error::DiskError;
use crate::storage::names::{PRODUCERS, offset_file};
use crate::storage::segment::{Segment, remove_if_there};

/// Closed segments that may wait for a flush; beyond it the oldest is synced at the next roll.
const UNSYNCED_SEGMENTS_MAX: usize = 4;

impl<D: Disk> PartitionStore<D> {
    /// Writes whole batches at the end of the log; returns the new end. Without space for all of
    /// them nothing is appended. Batches that continue others which were refused for want of space
    /// are refused likewise.
    pub(in crate::storage) fn append(
        &mut self,
        disk: &D,
        batches: &Bytes,
    ) -> Result<Offset, DiskError> {
        let headers = parse(batches).map_err(DiskError::InvalidBatch)?;
        let end = self.state.log_end_offset;
        if headers.first().is_some_and(|first| first.base_offset > end) {
            return Err(self
                .refused
                .clone()
                .unwrap_or_else(|| self.no_space_before()));
        }
        self.refused = None;
        assert_contiguous(&headers, end);
        // To undo must not need a descriptor: there may be none.
        let opened = self.active().file(disk).map(|_| ());
        if let Err(error) = opened {
            return Err(self.refuse(error));
        }
        let mut before = Before {
            segments: self.segments.len(),
            size: self.active().size,
            end,
            state: None,
        };
        let appended = self.append_parsed(disk, batches, &headers, &mut before);
        match appended {
            Err(error) if error.is_no_space() => {
                self.undo_append(disk, before).map_err(DiskError::fatal)?;
                Err(self.refuse(error))
            }
            appended => appended.map(|()| self.state.log_end_offset),
        }
    }

    fn refuse(&mut self, error: DiskError) -> DiskError {
        if error.is_no_space() {
            self.refused = Some(error.clone());
        }
        error
    }

    /// The answer to an append of which an earlier one did not come this far.
    fn no_space_before(&self) -> DiskError {
        DiskError::NoSpace {
            operation: Operation::Write,
            path: self.directory.clone(),
            message: format!("no append continues offset {}", self.state.log_end_offset),
        }
    }

    fn append_parsed(
        &mut self,
        disk: &D,
        batches: &Bytes,
        headers: &[BatchHeader],
        before: &mut Before,
    ) -> Result<(), DiskError> {
        let options = self.options;
        let mut unwritten = 0..0;
        let mut in_state = 0;
        for (index, header) in headers.iter().enumerate() {
            if self.active().is_full_for(header, &options) {
                self.write(disk, batches.slice(unwritten.clone()))?;
                unwritten.start = unwritten.end;
                before.state.get_or_insert_with(|| self.state.clone());
                // The snapshot at the roll is of all producers before it.
                self.fold(headers.get(in_state..index).unwrap_or_default());
                in_state = index;
                self.roll(disk)?;
                self.close_new_files(before.segments);
            }
            unwritten.end += header.size_bytes();
            self.active().note(header, options.index_interval_bytes);
        }
        self.write(disk, batches.slice(unwritten))?;
        self.fold(headers.get(in_state..).unwrap_or_default());
        if before.state.is_some() {
            self.close_idle_files();
        }
        Ok(())
    }

    /// Closes the files of the segments from `first` on that are written and synced: to undo this
    /// append they are only removed.
    fn close_new_files(&mut self, first: usize) {
        if let Some((_active, closed)) = self.segments.split_last_mut() {
            let written = closed.iter_mut().skip(first);
            written.for_each(Segment::close_file);
        }
    }

    fn fold(&mut self, headers: &[BatchHeader]) {
        for header in headers {
            self.state.append(&BatchSummary::from(header));
        }
    }

    /// Back to the log that was.
    fn undo_append(&mut self, disk: &D, before: Before) -> Result<(), DiskError> {
        let Before {
            segments,
            size,
            end,
            state,
        } = before;
        let rolled = self.segments.iter().skip(segments);
        let mut rolled: Vec<_> = rolled.map(|segment| segment.base_offset).collect();
        // The roll that failed may have left its snapshot.
        rolled.push(self.state.log_end_offset);
        self.remove_segments_from(disk, segments)?;
        for offset in rolled.into_iter().filter(|offset| *offset > end) {
            remove_if_there(disk, &offset_file(&self.directory, offset, PRODUCERS))?;
            self.files_changed();
        }
        self.active().undo(disk, size, end)?;
        if let Some(state) = state {
            self.state = state;
        }
        Ok(())
    }

    fn write(&mut self, disk: &D, bytes: Bytes) -> Result<(), DiskError> {
        self.active().write_noted(disk, &bytes)
    }

    /// Begins the next segment at the end of the log. The file of the one before stays open: an
    /// append that is undone cuts it.
    pub(super) fn roll(&mut self, disk: &D) -> Result<(), DiskError> {
        self.active().write_indexes(disk)?;
        self.write_producers(disk)?;
        let segment = Segment::create(disk, &self.directory, self.state.log_end_offset)?;
        self.segments.push(segment);
        self.files_changed();
        let mut unsynced: Vec<_> = self
            .segments
            .iter_mut()
            .filter(|segment| segment.unsynced)
            .collect();
        if unsynced.len() > UNSYNCED_SEGMENTS_MAX
            && !trusts_what_was_not_flushed()
            && let Some(oldest) = unsynced.first_mut()
        {
            oldest.sync(disk)?;
        }
        Ok(())
    }
}

/// What an append that fails goes back to.
struct Before {
    segments: usize,
    /// Bytes of the active segment.
    size: u64,
    end: Offset,
    /// The state before the first roll, which folds batches into it.
    state: Option<LogState>,
}

fn assert_contiguous(headers: &[BatchHeader], end: Offset) {
    let mut due = end;
    for header in headers {
        let found = header.base_offset;
        assert!(
            found == due && header.last_offset_delta >= 0,
            "invariant: a batch at {due} is due, not one at {found}"
        );
        due = header.next_offset();
    }
}

fn parse(batches: &Bytes) -> Result<Vec<BatchHeader>, PositionedError> {
    let mut iterator = Batches::new(batches.clone());
    let mut headers = Vec::new();
    for batch in iterator.by_ref() {
        headers.push(*batch?.header());
    }
    let available = iterator.rest().len();
    if available == 0 {
        return Ok(headers);
    }
    Err(PositionedError {
        position: batches.len() - available,
        error: BatchError::Truncated {
            needed: available + 1,
            available,
        },
    })
}
