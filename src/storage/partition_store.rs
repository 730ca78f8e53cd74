//! One partition's log on disk.
//!
//! In: stamped batches, offsets to cut or read at. Out: bytes, and the [`LogState`] that the files
//! amount to. Invariants: segments are contiguous and the last one is the active one; the state is
//! the fold of the batches; `recovery_point` only grows by a sync, and every file that recovery
//! trusts below it (epochs, names) was synced with it. Source: Kafka's `UnifiedLog`, `LocalLog`.

mod append;
mod compact;
mod flush;
mod lookup;
mod read;
mod retain;
mod truncate;

pub(super) use compact::Compaction;
pub use flush::PlainFlush;
pub(super) use read::{READS, ReadRange};

use std::path::{Path, PathBuf};

use crate::config::sabotage::{Sabotage, planted};
use crate::id::TopicId;
use crate::log::LogState;
use crate::offset::Offset;

use super::atomic_file;
use super::checkpoint;
use super::damage::{self, DAMAGED, LogDamage};
use super::disk::{Disk, Operation};
use super::error::{DiskError, IoContext};
use super::names::{EPOCHS, PARTITION_METADATA, PRODUCERS, metadata_partition, offset_file};
use super::producer_snapshot;
use super::request::LogOptions;
use super::sealed_text::{seal, unseal};
use super::segment::{Segment, remove_if_there};

/// A log and its open files.
#[derive(Debug)]
pub(super) struct PartitionStore<D: Disk> {
    pub(super) topic_id: TopicId,
    pub(super) directory: PathBuf,
    pub(super) options: LogOptions,
    pub(super) state: LogState,
    /// Oldest first; never empty.
    pub(super) segments: Vec<Segment<D::File>>,
    /// Everything below is durable.
    pub(super) recovery_point: Offset,
    /// Whether the directory, or its own name, is not synced.
    pub(super) names_unsynced: NamesUnsynced,
    /// The epochs as the checkpoint file has them.
    pub(super) epochs_written: crate::log::EpochCache,
    pub(super) compaction: Compaction,
    /// What is lost of the log, until it is cut there.
    pub(super) damage: Option<LogDamage>,
    /// Bytes of a torn tail that recovery cut off.
    pub(super) cut_bytes: u64,
    /// The first whole batch among them.
    pub(super) cut_whole_from: Option<Offset>,
    /// The append that found no space last, until one continues the log.
    pub(super) refused: Option<DiskError>,
}

/// Which names in directories would be lost at a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NamesUnsynced {
    /// None.
    None,
    /// Some of the log's files.
    Files,
    /// Also the log's directory itself: it was just created.
    Directory,
}

impl<D: Disk> PartitionStore<D> {
    /// Creates an empty log; durable with its first flush. Until then a crash may leave a directory
    /// without a whole `partition.metadata`, which recovery sets aside.
    pub(super) fn create(
        disk: &D,
        directory: PathBuf,
        topic_id: TopicId,
        options: LogOptions,
    ) -> Result<Self, DiskError> {
        disk.create_dir(&directory)
            .during(Operation::CreateDirectory, &directory)?;
        let metadata = directory.join(PARTITION_METADATA);
        let content = format_metadata(topic_id);
        atomic_file::replace_without_directory_sync(disk, &metadata, content.as_bytes())?;
        let segment = Segment::create(disk, &directory, 0)?;
        Ok(Self {
            topic_id,
            directory,
            options,
            state: LogState::default(),
            segments: vec![segment],
            recovery_point: 0,
            names_unsynced: NamesUnsynced::Directory,
            epochs_written: crate::log::EpochCache::default(),
            compaction: Compaction::default(),
            damage: None,
            cut_bytes: 0,
            cut_whole_from: None,
            refused: None,
        })
    }

    /// The first offset that the files hold.
    pub(super) fn first_base_offset(&self) -> Offset {
        self.segments.first().map_or(0, |first| first.base_offset)
    }

    /// The segment that is written to.
    pub(super) fn active(&mut self) -> &mut Segment<D::File> {
        self.segments
            .last_mut()
            .expect("invariant: a log has at least one segment")
    }

    /// The recovery point for the checkpoint.
    pub(super) fn point_to_store(&self) -> Offset {
        if planted(Sabotage::RecoveryPointAheadOfFsync) {
            return self.state.log_end_offset;
        }
        self.recovery_point
    }

    /// Closes the files of all segments but the active one and those that wait for a sync: a log
    /// has one open file, however many segments it has.
    pub(super) fn close_idle_files(&mut self) {
        if let Some((_active, closed)) = self.segments.split_last_mut() {
            closed.iter_mut().for_each(Segment::close_file);
        }
    }

    /// Writes the epoch checkpoint if it is not up to date; durable after [`Self::sync_names`].
    pub(super) fn write_epochs(&mut self, disk: &D) -> Result<(), DiskError> {
        if self.epochs_written == self.state.epochs {
            return Ok(());
        }
        let content = checkpoint::format_epochs(&self.state.epochs);
        let path = self.directory.join(EPOCHS);
        let content = content.as_bytes();
        if planted(Sabotage::EpochCheckpointNotFsynced) {
            atomic_file::replace_without_any_sync(disk, &path, content)?;
        } else {
            atomic_file::replace_without_directory_sync(disk, &path, content)?;
        }
        self.epochs_written = self.state.epochs.clone();
        self.files_changed();
        Ok(())
    }

    /// Writes the producers at the end of the log; durable after [`Self::sync_names`].
    pub(super) fn write_producers(&mut self, disk: &D) -> Result<(), DiskError> {
        let content = producer_snapshot::format(&self.state.producers);
        self.write_producer_snapshot(disk, self.state.log_end_offset, &content)
    }

    /// Writes the producers at `offset`, formatted; durable after [`Self::sync_names`].
    pub(super) fn write_producer_snapshot(
        &mut self,
        disk: &D,
        offset: Offset,
        content: &[u8],
    ) -> Result<(), DiskError> {
        let path = offset_file(&self.directory, offset, PRODUCERS);
        if planted(Sabotage::ProducerSnapshotNotFsynced) {
            atomic_file::replace_without_any_sync(disk, &path, content)?;
        } else {
            atomic_file::replace_without_directory_sync(disk, &path, content)?;
        }
        self.files_changed();
        Ok(())
    }

    /// Remembers that names in the log's directory changed.
    pub(super) fn files_changed(&mut self) {
        self.names_unsynced = self.names_unsynced.max(NamesUnsynced::Files);
    }

    /// Makes the names of the log's files, and of the log itself, durable.
    pub(super) fn sync_names(&mut self, disk: &D) -> Result<(), DiskError> {
        let forgets_files = planted(Sabotage::DirectoryEntryNotFsyncedAfterRoll)
            && !self.directory.ends_with(metadata_partition().to_string());
        if self.names_unsynced == NamesUnsynced::Files && forgets_files {
            self.names_unsynced = NamesUnsynced::None;
        }
        if self.names_unsynced >= NamesUnsynced::Files {
            sync_dir(disk, &self.directory)?;
        }
        if self.names_unsynced == NamesUnsynced::Directory {
            sync_dir(disk, atomic_file::parent(&self.directory))?;
        }
        self.names_unsynced = NamesUnsynced::None;
        Ok(())
    }

    /// Flushes and writes what lets the next start skip recovery. A damaged log stays as it is.
    pub(super) fn close(&mut self, disk: &D) -> Result<(), DiskError> {
        if self.damage.is_some() {
            return Ok(());
        }
        if self.segments.is_empty() {
            // A restart of the log found no space for its new segment.
            let end = self.state.log_end_offset;
            let segment = Segment::create(disk, &self.directory, end)?;
            self.segments.push(segment);
        }
        self.active().write_indexes(disk)?;
        self.write_producers(disk)?;
        self.flush(disk)?;
        self.write_epochs(disk)
    }

    /// Takes note that the log is damaged, and keeps that over restarts.
    pub(super) fn set_damage(&mut self, disk: &D, damage: LogDamage) -> Result<(), DiskError> {
        if self.damage.is_some() {
            return Ok(());
        }
        let kept = damage::write(disk, &self.directory, &damage);
        self.damage = Some(damage);
        match kept {
            Err(error) if !error.is_no_space() => Err(error),
            _ => Ok(()),
        }
    }

    /// Forgets the damage: what it was about is gone. Durable after [`Self::sync_names`].
    pub(super) fn clear_damage(&mut self, disk: &D) -> Result<(), DiskError> {
        if self.damage.take().is_some() {
            remove_if_there(disk, &self.directory.join(DAMAGED))?;
            self.files_changed();
        }
        Ok(())
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(disk: &impl Disk, directory: &Path) -> Result<(), DiskError> {
    disk.sync_dir(directory)
        .during(Operation::SyncDirectory, directory)
}

fn format_metadata(topic_id: TopicId) -> String {
    seal(&format!("version: 0\ntopic_id: {topic_id}\n"))
}

/// The topic id in the content of a `partition.metadata`, if it is whole.
pub(super) fn parse_metadata(content: &[u8]) -> Option<TopicId> {
    let id = unseal(content).ok()?;
    let id = id.strip_prefix("version: 0\ntopic_id: ")?;
    uuid::Uuid::parse_str(id.strip_suffix('\n')?)
        .ok()
        .map(TopicId)
}
