//! Appending batches, and closing segments that are full.
//!
//! Invariant: bytes are written as they came, in one write for each segment they fall into; at a
//! roll the producer snapshot of the new segment's base offset is synced (KAFKA-9892); what finds
//! no space leaves nothing behind.

use bytes::Bytes;

use crate::log::BatchSummary;
use crate::offset::Offset;
use crate::record::{BatchError, BatchHeader, Batches, PositionedError};

use super::PartitionStore;
use super::read::trusts_what_was_not_flushed;
use crate::storage::disk::{Disk, Operation};
use crate::storage::error::DiskError;
use crate::storage::segment::Segment;

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
        let before = (self.segments.len(), self.active().size);
        match self.append_parsed(disk, batches, &headers) {
            Err(error) if error.is_no_space() => {
                self.undo_append(disk, before, end)
                    .map_err(DiskError::fatal)?;
                self.refused = Some(error.clone());
                Err(error)
            }
            appended => appended.map(|()| self.state.log_end_offset),
        }
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
    ) -> Result<(), DiskError> {
        let options = self.options;
        let mut unwritten = 0..0;
        let mut in_state = 0;
        for (index, header) in headers.iter().enumerate() {
            if self.active().is_full_for(header, &options) {
                self.write(disk, batches.slice(unwritten.clone()))?;
                unwritten.start = unwritten.end;
                // The snapshot at the roll is of all producers before it.
                self.fold(headers.get(in_state..index).unwrap_or_default());
                in_state = index;
                self.roll(disk)?;
            }
            unwritten.end += header.size_bytes();
            self.active().note(header, options.index_interval_bytes);
        }
        self.write(disk, batches.slice(unwritten))?;
        self.fold(headers.get(in_state..).unwrap_or_default());
        Ok(())
    }

    fn fold(&mut self, headers: &[BatchHeader]) {
        for header in headers {
            self.state.append(&BatchSummary::from(header));
        }
    }

    /// Back to the log that ended at `end`.
    fn undo_append(
        &mut self,
        disk: &D,
        (segments, size): (usize, u64),
        end: Offset,
    ) -> Result<(), DiskError> {
        let has_folded = self.state.log_end_offset > end;
        self.remove_segments_from(disk, segments)?;
        self.active().undo(disk, size, end)?;
        if has_folded {
            self.remove_producer_snapshots(disk, |offset| offset > end)?;
            let producers = self.rebuild_producers(disk, end)?;
            self.state.truncate(end, producers);
        }
        Ok(())
    }

    fn write(&mut self, disk: &D, bytes: Bytes) -> Result<(), DiskError> {
        self.active().write_noted(disk, &bytes)
    }

    /// Closes the active segment and begins the next one at the end of the log.
    pub(super) fn roll(&mut self, disk: &D) -> Result<(), DiskError> {
        self.active().write_indexes(disk)?;
        self.active().close_file();
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
            oldest.close_file();
        }
        Ok(())
    }
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
