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

/// What the note of a directory says, or said when the directory was opened.
#[derive(Clone, Debug, Default)]
pub(super) struct FlushedNote {
    offsets: Offsets,
    is_there: bool,
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
