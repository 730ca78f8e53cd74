//! The broker's periodic work: checkpoints of high watermarks, notes of what was flushed,
//! retention, flushes by age.
//!
//! In: time. Out: disk requests. Invariant: a timer that is late fires once, not once for each
//! period that it missed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::directories::Directory;
use tracing::warn;

use super::disk_events::DiskPurpose;
use super::effects::DirectoryIndex;
use super::partition::PartitionKey;
use super::{Broker, is_due};
use crate::config::Settings;
use crate::id::TopicPartition;
use crate::offset::Offset;
use crate::storage::{DiskError, DiskRequest, Retention};
use crate::time::{Now, Time};

/// The shortest time between two complaints about a full disk.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(2);
/// The time from a flush to the note of it: what is damaged before is taken for a torn tail.
const NOTE_PAUSE: Duration = Duration::from_millis(100);
/// The shortest time between two flushes by age.
const FLUSH_PAUSE_MIN: Duration = Duration::from_millis(1);

/// When what is due.
#[derive(Debug)]
pub(super) struct Timers {
    /// Bytes of the metadata log since the last snapshot.
    pub(super) metadata_bytes: u64,
    checkpoint_at: Time,
    checkpoint_interval: Duration,
    retention_at: Time,
    retention_interval: Duration,
    /// When it may next be said that a disk is full, and what is old be removed for that.
    full_disk_not_before: Time,
    flush_at: Option<Time>,
    /// When it is noted how far the logs were flushed, and in which directories.
    note_at: Option<Time>,
    flushed: BTreeSet<DirectoryIndex>,
}

impl Timers {
    pub(super) fn new(now: Time, settings: &Settings) -> Self {
        let checkpoint_interval = settings.millis("replica.high.watermark.checkpoint.interval.ms");
        let retention_interval = settings.millis("log.retention.check.interval.ms");
        Self {
            metadata_bytes: 0,
            checkpoint_at: now + checkpoint_interval,
            checkpoint_interval,
            retention_at: now + retention_interval,
            retention_interval,
            full_disk_not_before: now,
            flush_at: None,
            note_at: None,
            flushed: BTreeSet::new(),
        }
    }

    pub(super) fn next_timeout(&self) -> Time {
        let flush_at = self.flush_at.unwrap_or(self.retention_at);
        let note_at = self.note_at.unwrap_or(self.retention_at);
        let rare = self.checkpoint_at.min(self.retention_at);
        rare.min(flush_at).min(note_at)
    }
}

impl Broker {
    pub(super) fn periodic_timeout(&mut self, now: Now) {
        if is_due(Some(self.timers.checkpoint_at), now) {
            self.timers.checkpoint_at = now.time + self.timers.checkpoint_interval;
            self.checkpoint_high_watermarks();
        }
        if is_due(Some(self.timers.retention_at), now) {
            self.timers.retention_at = now.time + self.timers.retention_interval;
            self.retain(now);
        }
        if is_due(self.timers.note_at, now) {
            self.timers.note_at = None;
            self.note_flushed();
        }
        if is_due(self.timers.flush_at, now) {
            self.timers.flush_at = None;
            self.flush_old_records();
            self.plan_flush(now);
        }
    }

    /// A log of `directory` was flushed: soon that is noted.
    pub(super) fn plan_note(&mut self, now: Now, directory: DirectoryIndex) {
        self.timers.flushed.insert(directory);
        self.timers.note_at.get_or_insert(now.time + NOTE_PAUSE);
    }

    fn note_flushed(&mut self) {
        for directory in std::mem::take(&mut self.timers.flushed) {
            let is_online = self
                .directories
                .get(directory)
                .is_some_and(Directory::is_online);
            if is_online {
                self.disk(directory, DiskRequest::NoteFlushed, DiskPurpose::Checkpoint);
            }
        }
    }

    /// Plans the next flush by age: half the shortest `flush.ms`, so that a record gets no older,
    /// unless its directory is crowded then or takes long to flush. No answer waits for it: what
    /// `flush.ms` promises is an age, as in Kafka.
    pub(super) fn plan_flush(&mut self, now: Now) {
        let intervals = self
            .partitions
            .values()
            .filter_map(|partition| partition.config.flush_interval);
        let Some(shortest) = intervals.min() else {
            self.timers.flush_at = None;
            return;
        };
        let at = now.time + (shortest / 2).max(FLUSH_PAUSE_MIN);
        self.timers.flush_at = Some(self.timers.flush_at.map_or(at, |planned| planned.min(at)));
    }

    fn flush_old_records(&mut self) {
        let unflushed = self.partitions.iter().filter(|(_, partition)| {
            let directory = self.directories.get(partition.directory);
            if directory.is_none_or(Directory::is_crowded) {
                return false;
            }
            let log = partition.replica.log();
            partition.config.flush_interval.is_some()
                && log.flushed_offset() < log.appended_offset()
        });
        let unflushed: Vec<_> = unflushed
            .map(|(name, partition)| (partition.directory, name.clone(), partition.generation))
            .collect();
        for (directory, name, generation) in unflushed {
            let request = DiskRequest::Flush { log: name.clone() };
            let key = PartitionKey { name, generation };
            self.disk(directory, request, DiskPurpose::Flush(key));
        }
    }

    /// Writes the high watermarks of all partitions, directory by directory, and with them how far
    /// each log is durable: that of the metadata counts, too, where no partition lies.
    pub(super) fn checkpoint_high_watermarks(&mut self) {
        let online = self.directories.iter().enumerate();
        let online = online.filter(|(_, directory)| directory.is_online());
        let mut by_directory: BTreeMap<DirectoryIndex, BTreeMap<TopicPartition, Offset>> =
            online.map(|(index, _)| (index, BTreeMap::new())).collect();
        for (name, partition) in &self.partitions {
            let offsets = by_directory.entry(partition.directory).or_default();
            offsets.insert(name.clone(), partition.replica.high_watermark());
        }
        for (directory, high_watermarks) in by_directory {
            let request = DiskRequest::CheckpointHighWatermarks { high_watermarks };
            self.disk(directory, request, DiskPurpose::Checkpoint);
        }
    }

    /// A disk has no space for an append: what is old goes now, not at the next check.
    pub(super) fn note_full_disk(&mut self, now: Now, error: &DiskError) {
        if is_due(Some(self.timers.full_disk_not_before), now) {
            self.timers.full_disk_not_before = now.time + FULL_DISK_PAUSE;
            warn!(%error, "the disk is full: appends are refused until there is space");
            self.retain(now);
        }
    }

    fn retain(&mut self, now: Now) {
        let producer_expiration = self.settings.millis("producer.id.expiration.ms");
        let requests: Vec<_> = self
            .partitions
            .iter()
            .map(|(name, partition)| {
                let config = &partition.config;
                let retention = Retention {
                    age: config.retention.filter(|_| !config.is_compacted),
                    bytes: config.retention_bytes.filter(|_| !config.is_compacted),
                    producer_expiration,
                };
                let request = DiskRequest::Retain {
                    log: name.clone(),
                    retention,
                    high_watermark: partition.replica.high_watermark(),
                    wall_millis: now.wall_millis,
                };
                (partition.directory, partition.key(name), request)
            })
            .collect();
        for (directory, key, request) in requests {
            self.disk(directory, request, DiskPurpose::Retained(key.clone()));
            self.compact(now, &key);
        }
    }

    /// Compacts the next bit of a log, if its topic is compacted. One request at a time, so that
    /// appends come between.
    pub(super) fn compact(&mut self, now: Now, key: &PartitionKey) {
        let partition = self.partitions.get(&key.name);
        let Some(partition) = partition.filter(|partition| {
            partition.config.is_compacted && partition.generation == key.generation
        }) else {
            return;
        };
        let directory = partition.directory;
        let request = DiskRequest::Compact {
            log: key.name.clone(),
            delete_retention: partition.config.delete_retention,
            high_watermark: partition.replica.high_watermark(),
            wall_millis: now.wall_millis,
        };
        self.disk(directory, request, DiskPurpose::Compacted(key.clone()));
    }
}
