//! Reading whole batches.
//!
//! Invariant: what is returned is what was appended, by its checksum; it begins with the batch that
//! holds the asked offset, or with the rest of it if compaction merged it, and ends where a batch
//! ends; memory is bounded by the limit, or by one batch that really is in the file. What reads
//! wrong once is not believed yet: a bit may flip on its way from the disk, and damage lasts.

use bytes::Bytes;
use tracing::warn;

use crate::config::sabotage::{Sabotage, planted};
use crate::offset::Offset;
use crate::record::{Batches, RecordBatch, empty_from};

use super::PartitionStore;
use crate::storage::disk::{Disk, Operation, read_range};
use crate::storage::error::{DiskError, IoContext};
use crate::storage::segment::Segment;

/// How often in a row something must read wrong to be damaged.
pub(in crate::storage) const READS: usize = 3;

/// Which batches to read.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct ReadRange {
    /// The offset to begin at.
    pub(in crate::storage) start: Offset,
    /// The exclusive bound of offsets.
    pub(in crate::storage) end: Offset,
    /// The most bytes to return.
    pub(in crate::storage) max_bytes: usize,
    /// Whether the first batch may be larger than that.
    pub(in crate::storage) minimum_one_batch: bool,
}

impl<D: Disk> PartitionStore<D> {
    /// Reads batches of one segment.
    pub(in crate::storage) fn read(
        &mut self,
        disk: &D,
        range: ReadRange,
    ) -> Result<Bytes, DiskError> {
        self.confirmed(|store| store.read_once(disk, range))
    }

    /// What `act` reads; if that is damaged, it is read anew through fresh descriptors.
    pub(super) fn confirmed<T>(
        &mut self,
        mut act: impl FnMut(&mut Self) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        for _ in 1..READS {
            match act(self) {
                Err(error @ DiskError::Damaged { .. }) => {
                    warn!(%error, "reading once more what reads wrong");
                    self.segments.iter_mut().for_each(Segment::close_file);
                }
                done => return done,
            }
        }
        act(self)
    }

    fn read_once(&mut self, disk: &D, range: ReadRange) -> Result<Bytes, DiskError> {
        let mut end = range.end.min(self.state.log_end_offset);
        let start = range.start;
        self.check_in_range(start)?;
        if let Some(damage) = &self.damage {
            if start >= damage.offset {
                return Err(damage.clone().into());
            }
            end = end.min(damage.offset);
        }
        if start >= end {
            return Ok(Bytes::new());
        }
        let index = self.segment_index(start);
        let is_active = index + 1 == self.segments.len();
        let next = self.segments.get(index + 1).map(|next| next.base_offset);
        let Some(segment) = self.segments.get_mut(index) else {
            return Ok(Bytes::new());
        };
        let Some((position, first)) = segment.locate(disk, start)? else {
            if let Some(start) = next.filter(|_| trusts_what_was_not_flushed()) {
                // As Kafka does, which does not know that there is a gap.
                return self.read_once(disk, ReadRange { start, ..range });
            }
            return Err(DiskError::Damaged {
                path: segment.path().to_owned(),
                position: segment.size,
                offset: start,
                message: "the segment ends before".to_owned(),
            });
        };
        let least = if range.minimum_one_batch {
            first.size_bytes()
        } else {
            0
        };
        let wanted = range.max_bytes.max(least);
        let length = (segment.size - position).min(wanted as u64) as usize;
        let bytes = read_range(segment.file(disk)?, position, length);
        let bytes = Bytes::from(bytes.during(Operation::Read, segment.path())?);
        let path = segment.path().to_owned();
        if !is_active {
            segment.close_file();
        }
        let whole = self.whole_batches(&bytes, (first.base_offset, start), end);
        let whole = whole.map_err(|(at, offset, message)| DiskError::Damaged {
            path,
            position: position + at as u64,
            offset,
            message,
        })?;
        Ok(from_offset(whole, start))
    }

    /// The batches at the beginning of `bytes` that lie below `end`. Each must be what was
    /// appended: its checksum, and what lies outside of that, its base offset and its epoch. Damage
    /// behind the first batch ends the answer; the next read will begin there and report it.
    fn whole_batches(
        &self,
        bytes: &Bytes,
        (base_offset, start): (Offset, Offset),
        end: Offset,
    ) -> Result<Bytes, (usize, Offset, String)> {
        let mut length = 0;
        let mut due = None;
        for batch in Batches::new(bytes.clone()) {
            let verified = match batch {
                Ok(batch) => self.verify(&batch, due, start).map(|()| batch),
                Err(error) => Err(error.error.to_string()),
            };
            match verified {
                Ok(batch) if batch.header().next_offset() > end => break,
                Ok(batch) => {
                    length += batch.bytes().len();
                    due = Some(batch.header().next_offset());
                }
                Err(message) if length == 0 => return Err((length, base_offset, message)),
                Err(_) => break,
            }
        }
        Ok(bytes.slice(..length))
    }

    fn verify(
        &self,
        batch: &RecordBatch,
        due: Option<Offset>,
        start: Offset,
    ) -> Result<(), String> {
        let header = batch.header();
        let (first, last) = (header.base_offset, header.last_offset());
        let is_due = due.map_or(first <= start && start <= last, |due| first == due);
        if !is_due {
            return Err(format!("the batch there has the offsets {first} to {last}"));
        }
        let known = first.max(self.state.log_start_offset);
        let epoch = self.state.epochs.epoch_of(known);
        let found = header.partition_leader_epoch;
        let believes_epochs = planted(Sabotage::EpochCheckpointNotFsynced);
        if epoch.is_some_and(|epoch| epoch != found) && !believes_epochs {
            return Err(format!(
                "the batch there has epoch {found}, known is {epoch:?}"
            ));
        }
        if planted(Sabotage::RecoverySkipsCrc) {
            // As Kafka does, which checks on the way in only.
            return Ok(());
        }
        batch.check_crc().map_err(|error| error.to_string())
    }

    pub(super) fn check_in_range(&self, offset: Offset) -> Result<(), DiskError> {
        let (start, end) = (self.state.log_start_offset, self.state.log_end_offset);
        if (start..=end).contains(&offset) {
            return Ok(());
        }
        Err(DiskError::OffsetOutOfRange {
            offset,
            log_start_offset: start,
            log_end_offset: end,
        })
    }

    /// The index of the segment that holds `offset`, or the nearest.
    pub(super) fn segment_index(&self, offset: Offset) -> usize {
        let after = self
            .segments
            .partition_point(|segment| segment.base_offset <= offset);
        after.saturating_sub(1)
    }
}

/// Whether a bug is planted that leaves gaps between segments.
pub(super) fn trusts_what_was_not_flushed() -> bool {
    planted(Sabotage::RecoveryPointAheadOfFsync)
        || planted(Sabotage::CrashDuringRecoveryCountedAsClean)
}

/// A follower takes only a batch that begins at its end, which may lie inside what compaction
/// merged since: of such a batch it gets the rest.
fn from_offset(batches: Bytes, start: Offset) -> Bytes {
    match empty_from(&batches, start) {
        Some(rest) => [&rest, batches.get(rest.len()..).unwrap_or_default()]
            .concat()
            .into(),
        None => batches,
    }
}
