//! Opens a log directory: identity, shutdown marker, recovery of every log.
//!
//! Invariant: when `open` returns, everything it reports is durable, and the stored recovery points
//! are not above what recovery kept. A directory of a log without a whole `partition.metadata` was
//! never flushed; it is set aside as `-stray`, because the cause could also be damage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::sabotage::{Sabotage, planted};
use crate::id::{TopicId, TopicPartition};
use crate::log::LogState;
use crate::record::{Batches, RecordBatch};
use crate::storage::atomic_file;
use crate::storage::ballast::Ballast;
use crate::storage::checkpoint::{
    HIGH_WATERMARKS, LOG_STARTS, Offsets, RECOVERY_POINTS, parse_offsets,
};
use crate::storage::damage::LogDamage;
use crate::storage::disk::{Disk, Operation};
use crate::storage::error::{DiskError, IoContext, OpenError};
use crate::storage::flushed_note::FlushedNote;
use crate::storage::identity::{self, DirectoryIdentity, LastShutdown};
use crate::storage::names::{
    DELETED_SUFFIX, METADATA_TOPIC, PARTITION_METADATA, STRAY_SUFFIX, TEMPORARY_SUFFIX, aside_name,
    metadata_partition, parse_partition_dir,
};
use crate::storage::partition_store::{ReadRange, parse_metadata};
use crate::storage::quorum_state;
use crate::storage::recovery::{Known, recover};

use super::{Checkpoints, LogDirectory, RecoveredDirectory, RecoveredLog};

/// Bytes read at once when the metadata log is loaded.
const METADATA_CHUNK_BYTES: usize = 1 << 20;

impl<D: Disk> LogDirectory<D> {
    /// Opens the directory at `path`, creating it if it is not there.
    pub fn open(
        disk: D,
        path: PathBuf,
        identity: &DirectoryIdentity,
    ) -> Result<(Self, RecoveredDirectory), OpenError> {
        let created = disk.create_dir(&path);
        created.during(Operation::CreateDirectory, &path)?;
        let directory_id = identity::claim(&disk, &path, identity)?;
        let last = identity::take_shutdown_marker(&disk, &path)?;
        let election = quorum_state::read_election(&disk, &path)?;
        let ballast = Ballast::in_directory(&disk, &path)?;
        let mut directory = Self {
            disk,
            path,
            ballast,
            logs: BTreeMap::new(),
            checkpoints: Checkpoints::default(),
            flushed: FlushedNote::default(),
            missing: BTreeMap::new(),
            offline: None,
        };
        directory.read_checkpoints()?;
        let is_clean = matches!(last, LastShutdown::Clean(_));
        directory.plant_shutdown_marker()?;
        for name in directory.sweep()? {
            directory.open_log(name, is_clean)?;
        }
        directory.remove_planted_marker()?;
        directory.miss_logs();
        directory.refuse_damaged_metadata()?;
        directory.plant_truncation()?;
        match directory.checkpoint_recovery() {
            // What is stored is lower, which costs only time at the next start.
            Err(error) if error.is_no_space() => {}
            stored => {
                stored?;
                directory.flushed.remove(&directory.disk, &directory.path)?;
            }
        }
        directory.ballast.fill(&directory.disk)?;
        let recovered = RecoveredDirectory {
            directory_id,
            was_clean: is_clean,
            previous_broker_epoch: match last {
                LastShutdown::Clean(epoch) => epoch,
                LastShutdown::Unclean => None,
            },
            logs: directory.recovered_logs(),
            election,
            snapshot: quorum_state::newest_snapshot(&directory.disk, &directory.path)?,
            metadata_batches: directory.read_metadata()?,
        };
        Ok((directory, recovered))
    }

    /// Damaged checkpoints are as good as none: recovery then reads everything, and the high
    /// watermark begins at the log start.
    fn read_checkpoints(&mut self) -> Result<(), DiskError> {
        let read = |name: &str| -> Result<Offsets, DiskError> {
            let content = atomic_file::read(&self.disk, &self.path.join(name))?;
            let parsed = content.and_then(|content| parse_offsets(&content).ok());
            Ok(parsed.unwrap_or_default())
        };
        self.checkpoints = Checkpoints {
            high_watermarks: read(HIGH_WATERMARKS)?,
            recovery_points: read(RECOVERY_POINTS)?,
            log_starts: read(LOG_STARTS)?,
        };
        self.flushed = FlushedNote::read(&self.disk, &self.path)?;
        Ok(())
    }

    /// Removes left-overs; returns the names of the logs' directories.
    fn sweep(&mut self) -> Result<Vec<TopicPartition>, DiskError> {
        let names = self.disk.list(&self.path);
        let names = names.during(Operation::List, &self.path)?;
        let (mut logs, mut deleted) = (Vec::new(), Vec::new());
        for name in names {
            let path = self.path.join(&name);
            if !self.disk.is_dir(&path) {
                if name.ends_with(TEMPORARY_SUFFIX) {
                    let removed = self.disk.remove_file(&path);
                    removed.during(Operation::Remove, &path)?;
                }
            } else if name.ends_with(DELETED_SUFFIX) {
                deleted.push((name, path));
            } else {
                logs.extend(parse_partition_dir(&name));
            }
        }
        logs.sort();
        for (name, path) in deleted {
            let log = name.strip_suffix(DELETED_SUFFIX);
            let log = log.and_then(parse_partition_dir);
            match log.filter(|log| !logs.contains(log)) {
                Some(log) => self.finish_deletion(&log, &path)?,
                // The name is in use again, or too long: the old log was forgotten.
                None => {
                    let removed = self.disk.remove_dir(&path);
                    removed.during(Operation::Remove, &path)?;
                }
            }
        }
        Ok(logs)
    }

    /// Without space even now the rest waits for the next start, or for a log of that name.
    fn finish_deletion(&mut self, log: &TopicPartition, doomed: &Path) -> Result<(), DiskError> {
        match self.bury(log, doomed) {
            Err(error) if error.is_no_space() => Ok(()),
            done => done,
        }
    }

    fn open_log(&mut self, log: TopicPartition, is_clean: bool) -> Result<(), DiskError> {
        let directory = self.path.join(log.to_string());
        let metadata = atomic_file::read(&self.disk, &directory.join(PARTITION_METADATA))?;
        let Some(topic_id) = metadata.and_then(|content| parse_metadata(&content)) else {
            self.set_aside(&log.to_string(), STRAY_SUFFIX)?;
            return Ok(());
        };
        let known = Known {
            topic_id,
            is_clean,
            recovery_point: offset_of(&self.checkpoints.recovery_points, &log)
                .max(self.flushed.of(&log)),
            log_start_offset: self.checkpoints.log_starts.get(&log).copied(),
        };
        let store = recover(&self.disk, directory, known)?;
        self.logs.insert(log, store);
        Ok(())
    }

    /// The planted bug: while the logs are recovered, the directory looks as if it had been closed.
    fn plant_shutdown_marker(&self) -> Result<(), DiskError> {
        if planted(Sabotage::CrashDuringRecoveryCountedAsClean) {
            identity::leave_shutdown_marker(&self.disk, &self.path, None)?;
        }
        Ok(())
    }

    fn remove_planted_marker(&self) -> Result<(), DiskError> {
        if planted(Sabotage::CrashDuringRecoveryCountedAsClean) {
            identity::take_shutdown_marker(&self.disk, &self.path)?;
        }
        Ok(())
    }

    /// A log that has a recovery point had durable records, and its files are gone only if someone
    /// took them: deleting a log forgets its recovery point first, or leaves a directory until
    /// then.
    fn miss_logs(&mut self) {
        let noted = self.flushed.offsets().iter();
        for (log, &lost_to) in noted.chain(&self.checkpoints.recovery_points) {
            let deleted = self.path.join(aside_name(&log.to_string(), DELETED_SUFFIX));
            if lost_to > 0 && !self.logs.contains_key(log) && !self.disk.is_dir(&deleted) {
                let directory = self.path.join(log.to_string());
                let reason = format!("there is no usable log in {}", directory.display());
                let damage = LogDamage {
                    offset: 0,
                    lost_to,
                    reason,
                };
                let known = self.missing.entry(log.clone()).or_insert(damage);
                known.lost_to = known.lost_to.max(lost_to);
            }
        }
    }

    /// The planted bug: what lies above the stored high watermark is thrown away, although it may
    /// be acknowledged. Kafka did this before KIP-101.
    fn plant_truncation(&mut self) -> Result<(), DiskError> {
        if !planted(Sabotage::TruncateToHighWatermarkOnRestart) {
            return Ok(());
        }
        for (log, store) in &mut self.logs {
            if &*log.topic != METADATA_TOPIC {
                let stored = offset_of(&self.checkpoints.high_watermarks, log);
                let to = stored.max(store.state.log_start_offset);
                store.truncate(&self.disk, to)?;
            }
        }
        Ok(())
    }

    fn recovered_logs(&self) -> Vec<RecoveredLog> {
        let missing = self.missing.iter().map(|(log, damage)| RecoveredLog {
            topic_partition: log.clone(),
            topic_id: TopicId::ZERO,
            state: LogState::default(),
            high_watermark: 0,
            damage: Some(damage.clone()),
            cut_bytes: 0,
            cut_whole_from: None,
        });
        let logs = self.logs.iter();
        let found = logs.map(|(log, store)| {
            let state = &store.state;
            let stored = offset_of(&self.checkpoints.high_watermarks, log);
            RecoveredLog {
                topic_partition: log.clone(),
                topic_id: store.topic_id,
                state: state.clone(),
                high_watermark: stored.clamp(state.log_start_offset, state.log_end_offset),
                damage: store.damage.clone(),
                cut_bytes: store.cut_bytes,
                cut_whole_from: store.cut_whole_from,
            }
        });
        found.chain(missing).collect()
    }

    /// The quorum cannot do without a record of the metadata log that was durable: this node may
    /// have been needed to commit it.
    fn refuse_damaged_metadata(&self) -> Result<(), OpenError> {
        let log = metadata_partition();
        let store = self.logs.get(&log).and_then(|store| store.damage.as_ref());
        match store.or_else(|| self.missing.get(&log)) {
            None => Ok(()),
            Some(damage) => Err(metadata_damaged(&self.path, damage)),
        }
    }

    fn read_metadata(&mut self) -> Result<Vec<RecordBatch>, OpenError> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        let Some(store) = self.logs.get_mut(&metadata_partition()) else {
            return Ok(batches);
        };
        let mut start = store.state.log_start_offset;
        while start < store.state.log_end_offset {
            let range = ReadRange {
                start,
                end: store.state.log_end_offset,
                max_bytes: METADATA_CHUNK_BYTES,
                minimum_one_batch: true,
            };
            let bytes = match store.read(&self.disk, range) {
                Err(error) if error.is_damage() => {
                    return Err(metadata_damaged(&self.path, &error));
                }
                bytes => bytes?,
            };
            batches.extend(Batches::new(bytes).flatten());
            let next = batches
                .last()
                .map_or(start, |last| last.header().next_offset());
            if next <= start {
                break;
            }
            start = next;
        }
        Ok(batches)
    }
}

fn metadata_damaged(path: &Path, damage: &impl ToString) -> OpenError {
    let damage = damage.to_string();
    OpenError::Damaged {
        path: path.join(metadata_partition().to_string()),
        message: format!(
            "{damage}; committed metadata may be lost: remove the data directory of this node, \
             and it will copy the log from the others"
        ),
    }
}

fn offset_of(offsets: &Offsets, log: &TopicPartition) -> i64 {
    offsets.get(log).copied().unwrap_or(0)
}
