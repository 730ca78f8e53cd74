//! One log directory: its identity, its logs, its checkpoints.
//!
//! In: an opened [`Disk`] and [`DiskRequest`]s in order. Out: what recovery found, and one result
//! for each request. Invariants: the stored recovery points, the note of later ones and the high
//! watermarks are lowered, durably, before a log is cut or removed, except under the name of a
//! deleted one; after the first I/O error nothing is touched any more.
//! Source: Kafka's `LogManager`, `LogDirFailureChannel`.

mod execute;
mod flush;
mod open;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use uuid::Uuid;

use std::collections::BTreeMap;

use crate::id::{TopicId, TopicPartition};
use crate::log::LogState;
use crate::offset::{BrokerEpoch, Offset};
use crate::record::RecordBatch;

use super::atomic_file;
use super::ballast::Ballast;
use super::checkpoint::{HIGH_WATERMARKS, LOG_STARTS, Offsets, RECOVERY_POINTS, format_offsets};
use super::damage::LogDamage;
use super::disk::Disk;
use super::error::DiskError;
use super::flushed_note::FlushedNote;
use super::partition_store::PartitionStore;
use super::quorum_state::{QuorumElection, SnapshotId};

/// A log directory in use. It belongs to one thread.
#[derive(Debug)]
pub struct LogDirectory<D: Disk> {
    disk: D,
    path: PathBuf,
    logs: BTreeMap<TopicPartition, PartitionStore<D>>,
    checkpoints: Checkpoints,
    flushed: FlushedNote,
    /// Logs that had durable records and have no usable files any more.
    missing: BTreeMap<TopicPartition, LogDamage>,
    ballast: Ballast,
    /// The first failure; nothing is done after it.
    offline: Option<String>,
}

/// What was found in a log directory.
#[derive(Clone, Debug)]
pub struct RecoveredDirectory {
    /// The directory's own id, from `meta.properties`.
    pub directory_id: Uuid,
    /// Whether the last life ended with `Close`; if not, unsynced records may be lost.
    pub was_clean: bool,
    /// The broker epoch of the last life, if that ended cleanly and was registered.
    pub previous_broker_epoch: Option<BrokerEpoch>,
    /// The logs, in the order of their names; the metadata log is among them if it exists.
    pub logs: Vec<RecoveredLog>,
    /// The quorum's election state; that of a new node if there is none.
    pub election: QuorumElection,
    /// The newest metadata snapshot.
    pub snapshot: Option<(SnapshotId, Bytes)>,
    /// The batches of the metadata log.
    pub metadata_batches: Vec<RecordBatch>,
}

/// A log that recovery found. All of it is durable.
///
/// A log whose files are gone although they held durable records is found, too: empty, damaged, and
/// with [`TopicId::ZERO`], for only its name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredLog {
    /// Whose log it is, by name.
    pub topic_partition: TopicPartition,
    /// Whose log it is, by incarnation.
    pub topic_id: TopicId,
    /// What it holds.
    pub state: LogState,
    /// The last stored high watermark, within the log.
    pub high_watermark: Offset,
    /// What it lost although it was durable: it is served up to there, and takes no more records
    /// before it is truncated there.
    pub damage: Option<LogDamage>,
    /// Bytes of the torn tail that a crash left, cut off.
    pub cut_bytes: u64,
    /// The offset of a whole batch among them: the bad bytes before it are a hole, and not the end.
    pub cut_whole_from: Option<Offset>,
}

/// The offsets in the checkpoint files, as they are on disk.
#[derive(Clone, Debug, Default)]
struct Checkpoints {
    high_watermarks: Offsets,
    recovery_points: Offsets,
    log_starts: Offsets,
}

impl Checkpoints {
    fn write(
        disk: &impl Disk,
        directory: &Path,
        name: &str,
        offsets: &Offsets,
    ) -> Result<(), DiskError> {
        let content = format_offsets(offsets);
        atomic_file::replace(disk, &directory.join(name), content.as_bytes())
    }
}

impl<D: Disk> LogDirectory<D> {
    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first failure, if the directory is offline.
    pub fn offline_cause(&self) -> Option<&str> {
        self.offline.as_deref()
    }

    fn write_high_watermarks(&mut self, offsets: Offsets) -> Result<(), DiskError> {
        if offsets != self.checkpoints.high_watermarks {
            Checkpoints::write(&self.disk, &self.path, HIGH_WATERMARKS, &offsets)?;
            self.checkpoints.high_watermarks = offsets;
        }
        Ok(())
    }

    fn write_recovery_points(&mut self, offsets: Offsets) -> Result<(), DiskError> {
        if offsets != self.checkpoints.recovery_points {
            Checkpoints::write(&self.disk, &self.path, RECOVERY_POINTS, &offsets)?;
            self.checkpoints.recovery_points = offsets;
        }
        Ok(())
    }

    fn write_log_starts(&mut self, offsets: Offsets) -> Result<(), DiskError> {
        if offsets != self.checkpoints.log_starts {
            Checkpoints::write(&self.disk, &self.path, LOG_STARTS, &offsets)?;
            self.checkpoints.log_starts = offsets;
        }
        Ok(())
    }

    /// Stores how far each log is durable, and where it begins.
    fn checkpoint_recovery(&mut self) -> Result<(), DiskError> {
        let mut points: Offsets = self
            .logs
            .iter()
            .map(|(log, store)| (log.clone(), store.point_to_store()))
            .collect();
        // As long as nothing is in its place, a missing log is missed again at the next start.
        let missing = self.missing.iter();
        points.extend(missing.map(|(log, damage)| (log.clone(), damage.lost_to)));
        self.write_recovery_points(points)?;
        let starts = self.logs.iter();
        let starts = starts.map(|(log, store)| (log.clone(), store.state.log_start_offset));
        self.write_log_starts(starts.collect())
    }

    /// Notes how far each log is durable, if a crash may find that note.
    fn note_flushed(&mut self) -> Result<(), DiskError> {
        if !self.flushed.is_due(self.logs.len()) {
            return Ok(());
        }
        let points = self.logs.iter();
        let points = points.map(|(log, store)| (log.clone(), store.recovery_point));
        let mut points: Offsets = points.filter(|(_, point)| *point > 0).collect();
        // The note may be all that knows of a missing log: a full disk has no place for it.
        let missing = self.missing.iter();
        points.extend(missing.map(|(log, damage)| (log.clone(), damage.lost_to)));
        self.flushed.write(&self.disk, &self.path, points)
    }

    /// Stores that `log` begins at `start`.
    fn checkpoint_log_start(
        &mut self,
        log: &TopicPartition,
        start: Offset,
    ) -> Result<(), DiskError> {
        let mut starts = self.checkpoints.log_starts.clone();
        starts.insert(log.clone(), start);
        self.write_log_starts(starts)
    }

    /// Lowers the stored offsets of `log` to `to`, before its records above are touched.
    fn lower_checkpoints(&mut self, log: &TopicPartition, to: Offset) -> Result<(), DiskError> {
        self.flushed.lower(&self.disk, &self.path, log, to)?;
        let lowered = |offsets: &Offsets| {
            let mut offsets = offsets.clone();
            if let Some(offset) = offsets.get_mut(log) {
                *offset = to.min(*offset);
            }
            offsets
        };
        let recovery_points = lowered(&self.checkpoints.recovery_points);
        self.write_recovery_points(recovery_points)?;
        let high_watermarks = lowered(&self.checkpoints.high_watermarks);
        self.write_high_watermarks(high_watermarks)?;
        let log_starts = lowered(&self.checkpoints.log_starts);
        self.write_log_starts(log_starts)
    }

    /// Removes `log` from the stored offsets, before its files go.
    fn forget_checkpoints(&mut self, log: &TopicPartition) -> Result<(), DiskError> {
        self.flushed.lower(&self.disk, &self.path, log, 0)?;
        let mut recovery_points = self.checkpoints.recovery_points.clone();
        recovery_points.remove(log);
        self.write_recovery_points(recovery_points)?;
        let mut high_watermarks = self.checkpoints.high_watermarks.clone();
        high_watermarks.remove(log);
        self.write_high_watermarks(high_watermarks)?;
        let mut log_starts = self.checkpoints.log_starts.clone();
        log_starts.remove(log);
        self.write_log_starts(log_starts)
    }
}

#[cfg(test)]
#[path = "directory_test.rs"]
mod tests;

#[cfg(test)]
#[path = "directory_sabotage_test.rs"]
mod sabotage_tests;

#[cfg(test)]
#[path = "directory_damage_test.rs"]
mod damage_tests;

#[cfg(test)]
#[path = "directory_note_test.rs"]
mod note_tests;

#[cfg(test)]
#[path = "directory_loss_test.rs"]
mod loss_tests;

#[cfg(test)]
#[path = "directory_space_test.rs"]
mod space_tests;

#[cfg(test)]
#[path = "directory_compact_test.rs"]
mod compact_tests;

#[cfg(test)]
#[path = "directory_model_test.rs"]
mod model_tests;

#[cfg(test)]
#[path = "directory_flush_test.rs"]
mod flush_tests;
