//! Removing records that a later record with the same key replaced.
//!
//! One step rewrites at most one segment, so that appends wait for no more than that. A pass takes
//! the last offset of each key of one segment (the source) and thins every segment up to and with
//! the source by them, the oldest first. Invariants: only closed, durable segments below the high
//! watermark are read or thinned; a segment keeps its offsets without holes, its epochs and its
//! producers; its file is replaced by one rename, so a crash leaves the old or the new one. A
//! tombstone goes only after its segment's source pass removed all that it hides, and is as old as
//! its segment's newest record; where that differs from Kafka's, `docs/kips.md` says.
//! Source: Kafka's `Cleaner`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::PartitionStore;
use crate::offset::Offset;
use crate::record::{DECOMPRESSED_BYTES_MAX, RecordBatch, merged_empty};
use crate::storage::disk::{Disk, Operation, read_range};
use crate::storage::error::{DiskError, IoContext};
use crate::storage::scanner::{Depth, Scanner, Step};
use crate::storage::segment::millis;

/// How far compaction has come, in this life of the log.
#[derive(Debug, Default)]
pub(in crate::storage) struct Compaction {
    /// Every segment below was a source.
    sources_end: Offset,
    pass: Option<Pass>,
}

#[derive(Debug)]
struct Pass {
    source: Offset,
    /// Every segment below is thinned.
    thinned_end: Offset,
    /// The last offset of each key in the source.
    last: BTreeMap<Bytes, Offset>,
}

impl<D: Disk> PartitionStore<D> {
    /// Compacts a little; returns whether there is more to do.
    pub(in crate::storage) fn compact(
        &mut self,
        disk: &D,
        delete_retention: Duration,
        high_watermark: Offset,
        wall_millis: i64,
    ) -> Result<bool, DiskError> {
        let Some(mut pass) = self.take_pass(disk, high_watermark)? else {
            return Ok(false);
        };
        let next = self
            .segments
            .iter()
            .position(|segment| segment.base_offset >= pass.thinned_end);
        let Some(index) = next.filter(|index| *index + 1 < self.segments.len()) else {
            return Ok(false);
        };
        let base = self
            .segments
            .get(index)
            .map_or(0, |segment| segment.base_offset);
        if base > pass.source {
            // Retention removed the source under us.
            self.compaction.sources_end = base;
            return Ok(true);
        }
        self.thin(
            disk,
            index,
            &pass.last,
            wall_millis.saturating_sub(millis(delete_retention)),
        )?;
        let end = self.closed_end(index);
        pass.thinned_end = end;
        if end > pass.source {
            self.compaction.sources_end = end;
        } else {
            self.compaction.pass = Some(pass);
        }
        Ok(true)
    }

    /// The pass under way, or the next one.
    fn take_pass(&mut self, disk: &D, limit: Offset) -> Result<Option<Pass>, DiskError> {
        if let Some(pass) = self.compaction.pass.take() {
            return Ok(Some(pass));
        }
        let done = self.compaction.sources_end;
        let next = self
            .segments
            .iter()
            .position(|segment| segment.base_offset >= done);
        let Some(index) = next.filter(|index| index + 1 < self.segments.len()) else {
            return Ok(None);
        };
        let end = self.closed_end(index);
        if end > limit {
            return Ok(None);
        }
        if end > self.recovery_point {
            // Nothing else need ever flush this log, and what hides a record must be durable.
            self.flush(disk)?;
        }
        let mut last = BTreeMap::new();
        let source = self
            .segments
            .get(index)
            .map_or(0, |segment| segment.base_offset);
        for batch in self.confirmed(|store| store.batches_of(disk, index))? {
            if batch.header().attributes.is_control() {
                continue;
            }
            for record in batch
                .records(DECOMPRESSED_BYTES_MAX)
                .into_iter()
                .flatten()
                .flatten()
            {
                if let Some(key) = record.key {
                    last.insert(Bytes::copy_from_slice(&key), record.offset);
                }
            }
        }
        Ok(Some(Pass {
            source,
            thinned_end: 0,
            last,
        }))
    }

    /// The end of a segment that is not the active one.
    fn closed_end(&self, index: usize) -> Offset {
        let next = self.segments.get(index + 1);
        next.map_or(self.state.log_end_offset, |next| next.base_offset)
    }

    fn thin(
        &mut self,
        disk: &D,
        index: usize,
        last: &BTreeMap<Bytes, Offset>,
        tombstones_before: i64,
    ) -> Result<(), DiskError> {
        let mut batches: Vec<Bytes> = Vec::new();
        let mut changed = false;
        let (largest, found) = self.confirmed(|store| {
            let segment = store.segments.get_mut(index);
            let largest = segment.map(|segment| segment.largest_timestamp(disk));
            Ok((
                largest.transpose()?.flatten(),
                store.batches_of(disk, index)?,
            ))
        })?;
        let are_old = largest.is_some_and(|time| time < tombstones_before);
        for batch in found {
            let stays = |record: &crate::record::Record| {
                let Some(key) = &record.key else { return true };
                let is_last = last.get(key).is_none_or(|last| record.offset >= *last);
                is_last && (record.value.is_some() || !are_old)
            };
            // A batch that cannot be read stays as it is.
            let thinned = if batch.header().attributes.is_control() {
                None
            } else {
                batch
                    .thinned(DECOMPRESSED_BYTES_MAX, stays)
                    .unwrap_or_default()
            };
            changed |= thinned.is_some();
            let bytes = thinned.unwrap_or_else(|| batch.into_bytes());
            match batches
                .last_mut()
                .and_then(|last| Some((merged_empty(last, &bytes)?, last)))
            {
                Some((merged, last)) => {
                    *last = merged;
                    changed = true;
                }
                None => batches.push(bytes),
            }
        }
        if changed && let Some(segment) = self.segments.get_mut(index) {
            segment.replace(disk, &batches.concat())?;
        }
        self.close_idle_files();
        Ok(())
    }

    /// The batches of a segment; damage is an error, and nothing is rewritten.
    fn batches_of(&mut self, disk: &D, index: usize) -> Result<Vec<RecordBatch>, DiskError> {
        let Some(segment) = self.segments.get_mut(index) else {
            return Ok(Vec::new());
        };
        let (path, size) = (segment.path().to_owned(), segment.size);
        let base = segment.base_offset;
        let file = segment.file(disk)?;
        let mut scanner = Scanner::new(file, Depth::Whole, 0, size);
        let mut batches: Vec<RecordBatch> = Vec::new();
        loop {
            let offset = batches
                .last()
                .map_or(base, |last| last.header().next_offset());
            let (position, message) = match scanner.step().during(Operation::Read, &path)? {
                Step::Batch { position, header } => {
                    let bytes = read_range(file, position, header.size_bytes());
                    let bytes = Bytes::from(bytes.during(Operation::Read, &path)?);
                    match whole_batch(&bytes, offset) {
                        Ok(batch) => {
                            batches.push(batch);
                            continue;
                        }
                        Err(message) => (position, message),
                    }
                }
                Step::End => break,
                Step::Damaged { position, message } => (position, message),
            };
            return Err(DiskError::Damaged {
                path,
                position,
                offset,
                message,
            });
        }
        self.close_idle_files();
        Ok(batches)
    }
}

/// The batch that is to be written again, and would keep what a read got wrong.
fn whole_batch(bytes: &Bytes, due: Offset) -> Result<RecordBatch, String> {
    let batch = RecordBatch::first(bytes).map_err(|error| error.to_string())?;
    let found = batch.header().base_offset;
    if found != due {
        return Err(format!("the batch there has base offset {found}"));
    }
    batch.check_crc().map_err(|error| error.to_string())?;
    Ok(batch)
}
