//! Finding the first record of a time.
//!
//! In: a timestamp and an exclusive bound. Out: the first record below the bound whose timestamp is
//! at least that. Source: Kafka's `UnifiedLog#fetchOffsetByTimestamp`.

use crate::offset::Offset;
use crate::record::{DECOMPRESSED_BYTES_MAX, RecordBatch};

use super::PartitionStore;
use super::read::ReadRange;
use crate::storage::disk::Disk;
use crate::storage::error::DiskError;
use crate::storage::request::TimestampOffset;

impl<D: Disk> PartitionStore<D> {
    /// Finds the first record below `end` with at least `timestamp`.
    pub(in crate::storage) fn lookup_timestamp(
        &mut self,
        disk: &D,
        timestamp: i64,
        end: Offset,
    ) -> Result<Option<TimestampOffset>, DiskError> {
        let begin = self.confirmed(|store| store.begin_lookup(disk, timestamp))?;
        self.close_idle_files();
        let Some(mut offset) = begin else {
            return Ok(None);
        };
        loop {
            let range = ReadRange {
                start: offset,
                end,
                max_bytes: 0,
                minimum_one_batch: true,
            };
            let bytes = self.read(disk, range)?;
            let Ok(batch) = RecordBatch::first(&bytes) else {
                return Ok(None);
            };
            if let Some(found) = self.search_batch(&batch, timestamp) {
                return Ok(Some(found));
            }
            offset = batch.header().next_offset();
        }
    }

    /// The offset of a batch before which no record has `timestamp` or more.
    fn begin_lookup(&mut self, disk: &D, timestamp: i64) -> Result<Option<Offset>, DiskError> {
        let start = self.state.log_start_offset;
        for segment in &mut self.segments {
            let largest = segment.largest_timestamp(disk)?;
            if largest.is_some_and(|largest| largest >= timestamp) {
                let offset = segment.locate_timestamp(disk, timestamp)?;
                return Ok(Some(offset.max(start)));
            }
        }
        Ok(None)
    }

    fn search_batch(&self, batch: &RecordBatch, timestamp: i64) -> Option<TimestampOffset> {
        if batch.header().max_timestamp < timestamp {
            return None;
        }
        let records = batch.records(DECOMPRESSED_BYTES_MAX).ok()?;
        let start = self.state.log_start_offset;
        let mut records = records.map_while(Result::ok);
        let found =
            records.find(|record| record.timestamp >= timestamp && record.offset >= start)?;
        Some(TimestampOffset {
            timestamp: found.timestamp,
            offset: found.offset,
            leader_epoch: batch.header().partition_leader_epoch,
        })
    }
}
