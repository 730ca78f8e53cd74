//! How far the logs were flushed of late: a note that costs no sync.
//!
//! In: the recovery points of a directory's logs, a few times a second. Out: at the next start, how
//! far each log was durable at least; after SIGKILL the last note, after a loss of power any of
//! those since the last start, or none. Invariant: whichever is found, all that it says was synced:
//! it is written after the syncs that it tells of, its checksum fits only a whole one, and before a
//! log is cut below what it says of it, or forgotten, it is removed, durably. Kafka has no such
//! file: it is what lets Protocol-Aware Recovery (FAST'18) tell damage from a torn tail above the
//! stored recovery point.

use std::path::Path;

use crate::id::TopicPartition;
use crate::offset::Offset;

use super::atomic_file;
use super::checkpoint::{Offsets, format_offsets, parse_offsets};
use super::disk::Disk;
use super::error::DiskError;
use super::partition_store::sync_dir;
use super::segment::remove_if_there;

/// The name of the file.
pub(super) const FLUSHED: &str = "flushed-offset-note";

/// How many logs are noted each time, on average, at most: ten times a second that is less than 1 %
/// of a processor.
const LOGS_EACH_TIME: usize = 1000;

/// What the note of a directory says, or said when the directory was opened.
#[derive(Clone, Debug, Default)]
pub(super) struct FlushedNote {
    offsets: Offsets,
    is_there: bool,
    /// How often it was to be written since it was.
    put_off: usize,
}

impl FlushedNote {
    /// The note that the last life left. One that is not whole says nothing, and goes at once:
    /// nobody would know which older one may come back in its place.
    pub(super) fn read(disk: &impl Disk, directory: &Path) -> Result<Self, DiskError> {
        let Some(content) = atomic_file::read(disk, &directory.join(FLUSHED))? else {
            // The last life may have been killed before it synced that it removed the note.
            sync_dir(disk, directory)?;
            return Ok(Self::default());
        };
        let mut note = Self {
            is_there: true,
            ..Self::default()
        };
        match parse_offsets(&content) {
            Ok(offsets) => note.offsets = offsets,
            Err(_) => note.remove(disk, directory)?,
        }
        Ok(note)
    }

    /// Everything of the log below was synced.
    pub(super) fn of(&self, log: &TopicPartition) -> Offset {
        self.offsets.get(log).copied().unwrap_or(0)
    }

    /// The logs that it names, with what it says of them.
    pub(super) fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Whether it is its turn to be written: a note of many logs only every so many-th time, so
    /// that what it costs does not grow with their number.
    pub(super) const fn is_due(&mut self, logs: usize) -> bool {
        let is_due = self.put_off >= logs / LOGS_EACH_TIME;
        self.put_off = if is_due { 0 } else { self.put_off + 1 };
        is_due
    }

    /// Notes the recovery points of all logs. Without space the note stays as it was.
    pub(super) fn write(
        &mut self,
        disk: &impl Disk,
        directory: &Path,
        offsets: Offsets,
    ) -> Result<(), DiskError> {
        if self.is_there && offsets == self.offsets {
            return Ok(());
        }
        let content = format_offsets(&offsets);
        let path = directory.join(FLUSHED);
        match atomic_file::replace_without_any_sync(disk, &path, content.as_bytes()) {
            Err(error) if error.is_no_space() => return Ok(()),
            written => written?,
        }
        self.offsets = offsets;
        self.is_there = true;
        Ok(())
    }

    /// What is to be done before the records of `log` from `to` on are touched.
    pub(super) fn lower(
        &mut self,
        disk: &impl Disk,
        directory: &Path,
        log: &TopicPartition,
        to: Offset,
    ) -> Result<(), DiskError> {
        if self.of(log) <= to {
            return Ok(());
        }
        self.remove_file(disk, directory)?;
        self.offsets.insert(log.clone(), to);
        Ok(())
    }

    /// All that it says is stored in a better place.
    pub(super) fn remove(&mut self, disk: &impl Disk, directory: &Path) -> Result<(), DiskError> {
        self.remove_file(disk, directory)?;
        self.offsets.clear();
        Ok(())
    }

    fn remove_file(&mut self, disk: &impl Disk, directory: &Path) -> Result<(), DiskError> {
        if self.is_there {
            remove_if_there(disk, &directory.join(FLUSHED))?;
            sync_dir(disk, directory)?;
            self.is_there = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_noted_each_time_do_not_grow_with_the_logs_of_the_directory() {
        for (logs, written) in [
            (0, 1000),
            (999, 1000),
            (1000, 500),
            (2500, 333),
            (50_000, 19),
        ] {
            let mut note = FlushedNote::default();
            let count = (0..1000).filter(|_| note.is_due(logs)).count();
            assert_eq!(count, written, "{logs} logs");
            assert!(count * logs <= 1000 * LOGS_EACH_TIME);
        }
    }
}
