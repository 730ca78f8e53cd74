//! Taking over and giving up partitions of `__consumer_offsets`.
//!
//! In: the log of a partition, from its start to its end, as record batches. Out: its groups.
//! Invariant: the last record of a key counts, and one without a value deletes; nothing that was
//! known of the partition before survives a load (KAFKA-5600).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use thiserror::Error;

use super::records::{self, GroupMetadata, GroupRecord, RecordError};
use super::response::CommittedOffset;
use super::state::Group;
use super::{Coordinator, Shard};
use crate::config::sabotage::{Sabotage, planted};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::offset::LeaderEpoch;
use crate::record::{Batches, DECOMPRESSED_BYTES_MAX};
use crate::time::Now;

/// What was read of a partition so far.
#[derive(Debug, Default)]
pub(super) struct Loading {
    offsets: BTreeMap<String, BTreeMap<TopicPartition, CommittedOffset>>,
    groups: BTreeMap<String, GroupMetadata>,
    /// Topics that were deleted meanwhile: what the log says of them is of the past.
    pub(super) deleted_topics: BTreeSet<String>,
}

/// A partition of `__consumer_offsets` that cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A batch is damaged.
    #[error("a batch of __consumer_offsets-{partition} does not read: {reason}")]
    Batch {
        /// Of which partition.
        partition: i32,
        /// What is wrong with it.
        reason: String,
    },
}

impl Coordinator {
    /// This broker leads `partition` from now on, in `leader_epoch`; its log follows.
    pub fn begin_load(&mut self, partition: i32, leader_epoch: LeaderEpoch) {
        let known = self.shards.get(&partition);
        if known.is_some_and(|shard| shard.leader_epoch >= leader_epoch) {
            return;
        }
        self.drop_shard(partition);
        let loading = Some(Loading::default());
        self.shards.insert(
            partition,
            Shard {
                leader_epoch,
                loading,
            },
        );
    }

    /// Takes in the next batches of the log of `partition`.
    ///
    /// # Errors
    /// If a batch does not read. A record that does not read is skipped with a warning, as Kafka
    /// does, so that one of them does not take away the groups of a whole partition.
    pub fn load(
        &mut self,
        partition: i32,
        leader_epoch: LeaderEpoch,
        batches: Bytes,
    ) -> Result<(), LoadError> {
        let Some(loading) = self.loading(partition, leader_epoch) else {
            return Ok(());
        };
        let damaged = |reason: String| LoadError::Batch { partition, reason };
        for batch in Batches::new(batches) {
            let batch = batch.map_err(|error| damaged(error.to_string()))?;
            if batch.header().attributes.is_control() {
                continue;
            }
            let records = batch.records(DECOMPRESSED_BYTES_MAX);
            for record in records.map_err(|error| damaged(error.to_string()))? {
                let record = record.map_err(|error| damaged(error.to_string()))?;
                let Some(key) = record.key else {
                    continue;
                };
                if let Err(error) = loading.take(key, record.value) {
                    tracing::warn!(partition, offset = record.offset, %error, "record skipped");
                }
            }
        }
        Ok(())
    }

    /// The end of the log was reached: the partition's groups are served from now on.
    pub fn finish_load(&mut self, now: Now, partition: i32, leader_epoch: LeaderEpoch) {
        let Some(loading) = self.loading(partition, leader_epoch).map(std::mem::take) else {
            return;
        };
        let Loading {
            mut offsets,
            groups,
            deleted_topics,
        } = loading;
        for (group_id, metadata) in groups {
            let mut group = Group::loaded(&group_id, partition, metadata, now);
            group.offsets = offsets.remove(&group_id).unwrap_or_default();
            self.groups.insert(group_id, group);
        }
        for (group_id, offsets) in offsets {
            let mut group = Group::new(&group_id, partition, now);
            group.offsets = offsets;
            self.groups.insert(group_id, group);
        }
        self.revive_stale(partition);
        if let Some(shard) = self.shards.get_mut(&partition) {
            shard.loading = None;
        }
        self.expire_at
            .get_or_insert(now.time + self.settings.retention_check_interval);
        let loaded = self
            .groups
            .values()
            .filter(|group| group.partition == partition);
        for group_id in loaded.map(|group| group.id.clone()).collect::<Vec<_>>() {
            self.note_alarm(&group_id);
        }
        let deleted: Vec<_> = deleted_topics.iter().map(String::as_str).collect();
        // Only here: other partitions have heard of it when it happened, and their groups may have
        // committed offsets of a topic that has the name again.
        self.drop_topics(Some(partition), &deleted);
    }

    /// This broker leads `partition` no more, or not in `leader_epoch`: whoever waits must look
    /// for the new coordinator. What an earlier epoch says is too late.
    pub fn unload(&mut self, partition: i32, leader_epoch: LeaderEpoch) {
        let known = self.shards.get(&partition);
        if known.is_some_and(|shard| shard.leader_epoch <= leader_epoch) {
            self.drop_shard(partition);
        }
    }

    /// The partition could not be read; it stays unserved until somebody leads it anew.
    pub fn is_loading(&self, partition: i32, leader_epoch: LeaderEpoch) -> bool {
        let shard = self.shards.get(&partition);
        shard.is_some_and(|shard| shard.leader_epoch == leader_epoch && shard.loading.is_some())
    }

    fn loading(&mut self, partition: i32, leader_epoch: LeaderEpoch) -> Option<&mut Loading> {
        let shard = self.shards.get_mut(&partition)?;
        (shard.leader_epoch == leader_epoch)
            .then_some(shard.loading.as_mut())
            .flatten()
    }

    fn drop_shard(&mut self, partition: i32) {
        self.shards.remove(&partition);
        let error = ErrorCode::NotCoordinator;
        let of_partition = |pending: &super::write::Pending| pending.partition == partition;
        let tokens = self
            .writes
            .iter()
            .filter(|(_, pending)| of_partition(pending));
        for token in tokens.map(|(token, _)| *token).collect::<Vec<_>>() {
            if let Some(pending) = self.writes.remove(&token) {
                self.abandon(pending, error);
            }
        }
        let groups = self
            .groups
            .values()
            .filter(|group| group.partition == partition);
        for group_id in groups.map(|group| group.id.clone()).collect::<Vec<_>>() {
            let Some(mut group) = self.groups.remove(&group_id) else {
                continue;
            };
            if let Some(alarm) = group.alarm.take() {
                self.alarms.remove(&(alarm, group_id.clone()));
            }
            for member in group.members.values() {
                self.answer_waiting(member, error);
            }
            if planted(Sabotage::StaleCacheKeptOnLoad) {
                self.stale.insert(group_id, group);
            }
        }
    }

    /// The planted bug: what was known before the load hides what the log says.
    fn revive_stale(&mut self, partition: i32) {
        let stale = std::mem::take(&mut self.stale);
        for (group_id, old) in stale {
            if old.partition != partition {
                self.stale.insert(group_id, old);
            } else if let Some(group) = self.groups.get_mut(&group_id) {
                group.offsets.extend(old.offsets);
            }
        }
    }
}

impl Loading {
    fn take(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), RecordError> {
        let ignores = value.is_none() && planted(Sabotage::TombstoneIgnoredOnLoad);
        match records::parse(key, value)? {
            _ if ignores => {}
            GroupRecord::Other => {}
            GroupRecord::Offset {
                group_id,
                partition,
                value: Some(offset),
            } => {
                self.offsets
                    .entry(group_id)
                    .or_default()
                    .insert(partition, offset);
            }
            GroupRecord::Offset {
                group_id,
                partition,
                value: None,
            } => {
                if let Some(offsets) = self.offsets.get_mut(&group_id) {
                    offsets.remove(&partition);
                    if offsets.is_empty() {
                        self.offsets.remove(&group_id);
                    }
                }
            }
            GroupRecord::Group {
                group_id,
                value: Some(metadata),
            } => {
                self.groups.insert(group_id, metadata);
            }
            GroupRecord::Group {
                group_id,
                value: None,
            } => {
                self.groups.remove(&group_id);
            }
        }
        Ok(())
    }
}
