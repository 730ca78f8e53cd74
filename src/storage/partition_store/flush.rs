//! Making a log durable.
//!
//! In: a log with records that were not synced. Out: how far it is durable. A flush that has
//! nothing to do but sync the active segment is plain: it can be done on another thread while
//! records are appended. Invariant: what a plain flush covers was written before it began, and the
//! files that recovery trusts below it were synced before. Source: Kafka's `UnifiedLog.flush`.

use std::path::PathBuf;

use crate::config::sabotage::{Sabotage, planted};
use crate::offset::Offset;

use super::{NamesUnsynced, PartitionStore};
use crate::storage::disk::{Disk, DiskFile, Operation};
use crate::storage::error::{DiskError, IoContext};

/// A flush that only syncs one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainFlush {
    /// The active segment's file.
    pub path: PathBuf,
    /// The end of what it makes durable.
    pub upto: Offset,
    base_offset: Offset,
    changes: u64,
}

impl PlainFlush {
    /// Syncs `file`, which was opened at `path` for this, so that its error is nobody else's: the
    /// kernel tells a failed write back once to each open file.
    pub fn perform(&self, file: &mut impl DiskFile) -> Result<(), DiskError> {
        let synced = file.sync().during(Operation::Sync, &self.path);
        if planted(Sabotage::FsyncErrorIgnored) {
            return Ok(());
        }
        synced
    }
}

impl<D: Disk> PartitionStore<D> {
    /// Makes everything appended so far durable; returns the end of it. Without space for the
    /// epochs the recovery point stays: recovery would read them from the batches.
    pub(in crate::storage) fn flush(&mut self, disk: &D) -> Result<Offset, DiskError> {
        for segment in &mut self.segments {
            if segment.unsynced {
                segment.sync(disk)?;
            }
        }
        self.close_idle_files();
        let written = self.write_epochs(disk);
        self.sync_names(disk)?;
        let end = self.state.log_end_offset;
        match written {
            Ok(()) => self.recovery_point = end,
            Err(error) if error.is_no_space() => {}
            Err(error) => return Err(error),
        }
        Ok(end)
    }

    /// What a flush has to do, if it only has to sync the active segment.
    pub(in crate::storage) fn plain_flush(&self) -> Option<PlainFlush> {
        let (active, closed) = self.segments.split_last()?;
        let is_plain = active.unsynced
            && closed.iter().all(|segment| !segment.unsynced)
            && self.names_unsynced == NamesUnsynced::None
            && self.epochs_written == self.state.epochs;
        is_plain.then(|| PlainFlush {
            path: active.path().to_owned(),
            upto: self.state.log_end_offset,
            base_offset: active.base_offset,
            changes: active.changes,
        })
    }

    /// Takes note of a plain flush that succeeded. The log was not cut meanwhile.
    pub(in crate::storage) fn plainly_flushed(&mut self, flush: &PlainFlush) {
        let mut segments = self.segments.iter_mut();
        let synced = segments.find(|segment| segment.base_offset == flush.base_offset);
        if let Some(segment) = synced.filter(|segment| segment.changes == flush.changes) {
            segment.unsynced = false;
        }
        self.recovery_point = self.recovery_point.max(flush.upto);
        self.close_idle_files();
    }
}
