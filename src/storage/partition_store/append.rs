//! Appending batches, and closing segments that are full.
//!
//! Invariant: bytes are written as they came, in one write for each segment they fall into; at a
//! roll the producer snapshot of the new segment's base offset is synced (KAFKA-9892).

use bytes::Bytes;

use crate::log::BatchSummary;
use crate::offset::Offset;
use crate::record::{BatchError, BatchHeader, Batches, PositionedError};

use super::PartitionStore;
use crate::storage::disk::Disk;
use crate::storage::error::DiskError;
use crate::storage::segment::Segment;

/// Closed segments that may wait for a flush; beyond it the oldest is synced at the next roll.
const UNSYNCED_SEGMENTS_MAX: usize = 4;

impl<D: Disk> PartitionStore<D> {
    /// Writes whole batches at the end of the log; returns the new end.
    pub(in crate::storage) fn append(
        &mut self,
        disk: &D,
        batches: &Bytes,
    ) -> Result<Offset, DiskError> {
        let headers = parse(batches).map_err(DiskError::InvalidBatch)?;
        let options = self.options;
        let mut unwritten = 0..0;
        for header in &headers {
            if self.active().is_full_for(header, &options) {
                self.write(disk, batches.slice(unwritten.clone()))?;
                unwritten.start = unwritten.end;
                self.roll(disk)?;
            }
            unwritten.end += header.size_bytes();
            self.state.append(&BatchSummary::from(header));
            self.active().note(header, options.index_interval_bytes);
        }
        self.write(disk, batches.slice(unwritten))?;
        Ok(self.state.log_end_offset)
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
            && let Some(oldest) = unsynced.first_mut()
        {
            oldest.sync(disk)?;
            oldest.close_file();
        }
        Ok(())
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
