//! Taking over a partition of `__consumer_offsets`: its log is read from start to end.
//!
//! In: changes of role of its replica, what the disk read. Out: reads, and a coordinator that
//! knows the partition. Invariant: it is read to the end of the log as it was when this broker
//! became leader, not to the high watermark: what lies between may have been acknowledged by the
//! leader before. It is served when all of that is committed.
//! Source: Kafka's `CoordinatorLoaderImpl`, KAFKA-9065 (holes at the end).

use std::time::Duration;

use tracing::{info, warn};

use super::OFFSETS_TOPIC;
use crate::broker::Broker;
use crate::broker::disk_events::DiskPurpose;
use crate::broker::partition::PartitionKey;
use crate::config::sabotage::{Sabotage, planted};
use crate::group::CommittedOffset;
use crate::id::TopicPartition;
use crate::metadata::MetadataImage;
use crate::offset::{LeaderEpoch, Offset};
use crate::record::Batches;
use crate::replica::RoleName;
use crate::storage::{DiskError, DiskReply, DiskRequest};
use crate::time::Now;

/// Bytes that are read at once; Kafka's `offsets.load.buffer.size`.
const READ_BYTES: usize = 5 << 20;
/// The pause before a read is repeated for which there was no descriptor.
const RETRY: Duration = Duration::from_millis(100);

/// A part of a load that is being read.
#[derive(Clone, Debug)]
pub(in crate::broker) struct LoadRead {
    pub(in crate::broker) partition: PartitionKey,
    leader_epoch: LeaderEpoch,
    position: Offset,
    end: Offset,
}

impl Broker {
    /// A replica's role or leader epoch changed; of others than `__consumer_offsets` too.
    pub(in crate::broker) fn group_role_changed(&mut self, name: &TopicPartition) {
        if &*name.topic != OFFSETS_TOPIC {
            return;
        }
        let Some(partition) = self.partitions.get(name) else {
            return self.group_partition_removed(name);
        };
        let replica = &partition.replica;
        let leader_epoch = replica.leader_epoch();
        if replica.role() != RoleName::Leader {
            // An offline replica has no epoch any more, so it cannot be asked for one.
            return self.group_partition_removed(name);
        }
        let log = replica.log();
        let end = if planted(Sabotage::LoadStopsAtHighWatermark) {
            replica.high_watermark()
        } else {
            log.log_end_offset()
        };
        let read = LoadRead {
            partition: partition.key(name),
            leader_epoch,
            position: log.log_start_offset(),
            end,
        };
        info!(partition = %name, leader_epoch, end, "loading groups");
        self.groups
            .coordinator
            .begin_load(name.partition, leader_epoch);
        self.read_on(read);
    }

    /// A replica of `__consumer_offsets` is gone.
    pub(in crate::broker) fn group_partition_removed(&mut self, name: &TopicPartition) {
        if &*name.topic == OFFSETS_TOPIC {
            self.groups
                .coordinator
                .unload(name.partition, LeaderEpoch::MAX);
        }
    }

    fn read_on(&mut self, read: LoadRead) {
        let name = read.partition.name.clone();
        let Some(partition) = self.partitions.get(&name) else {
            return;
        };
        let directory = partition.directory;
        let request = DiskRequest::Read {
            log: name,
            start: read.position,
            end: read.end,
            max_bytes: READ_BYTES,
            minimum_one_batch: true,
        };
        self.disk(directory, request, DiskPurpose::LoadGroups(Box::new(read)));
    }

    /// The disk read a part of a partition's log.
    pub(in crate::broker) fn handle_load_read(
        &mut self,
        now: Now,
        mut read: LoadRead,
        result: Result<DiskReply, DiskError>,
    ) {
        let (partition, epoch) = (read.partition.name.partition, read.leader_epoch);
        if !self.is_loading(&read) {
            return;
        }
        let batches = match result {
            Ok(DiskReply::Read { batches }) => batches,
            Ok(_) => return,
            Err(error) if error.is_no_space() => {
                warn!(partition = %read.partition.name, %error, "groups are loaded later");
                let reads = self.groups.loads_to_retry.entry(now.time + RETRY);
                return reads.or_default().push(read);
            }
            Err(error) => {
                warn!(partition = %read.partition.name, %error, "groups are not loaded");
                return self.groups.coordinator.unload(partition, epoch);
            }
        };
        let last = Batches::new(batches.clone()).filter_map(Result::ok).last();
        if let Err(error) = self.groups.coordinator.load(partition, epoch, batches) {
            warn!(%error, "groups are not loaded");
            return self.groups.coordinator.unload(partition, epoch);
        }
        let next = last.map(|batch| batch.header().next_offset());
        match next {
            Some(next) if next < read.end => {
                read.position = next;
                self.read_on(read);
            }
            // Nothing more is there, even if the end was further: holes of compaction.
            _ => {
                self.groups.read_to_end.insert(partition, read);
                self.finish_load_if_committed(now, partition);
            }
        }
    }

    /// Whether the read is one of the present load, and of the present life of the partition.
    fn is_loading(&self, read: &LoadRead) -> bool {
        let name = &read.partition.name;
        let live = self.partitions.get(name).map(|live| live.generation);
        let coordinator = &self.groups.coordinator;
        live == Some(read.partition.generation)
            && coordinator.is_loading(name.partition, read.leader_epoch)
    }

    /// The high watermark of a replica moved; of others than `__consumer_offsets` too.
    pub(in crate::broker) fn group_high_watermark_advanced(
        &mut self,
        now: Now,
        name: &TopicPartition,
    ) {
        if &*name.topic == OFFSETS_TOPIC {
            self.finish_load_if_committed(now, name.partition);
        }
    }

    /// Serves a partition that was read once all of it is committed: before that, the next leader
    /// may not have what would be told now. Source: Kafka reads at the last committed offset.
    fn finish_load_if_committed(&mut self, now: Now, partition: i32) {
        let Some(read) = self.groups.read_to_end.get(&partition) else {
            return;
        };
        if !self.is_loading(read) {
            self.groups.read_to_end.remove(&partition);
            return;
        }
        let (name, epoch) = (&read.partition.name, read.leader_epoch);
        let Some(live) = self.partitions.get(name) else {
            return;
        };
        let end = live.replica.log().log_end_offset().min(read.end);
        if live.replica.high_watermark() < end {
            return;
        }
        info!(partition = %name, leader_epoch = epoch, "groups are loaded");
        self.groups.read_to_end.remove(&partition);
        self.groups.coordinator.finish_load(now, partition, epoch);
        self.drop_offsets_of_gone_topics(partition);
    }

    /// The last leader may not have lived to delete the offsets of a topic that went. A topic that
    /// was committed for existed before this leadership began, so this broker knew of it.
    fn drop_offsets_of_gone_topics(&mut self, partition: i32) {
        let image = &self.image;
        let is_of_a_topic =
            |name: &TopicPartition, offset: &CommittedOffset| is_of_topic(image, name, offset);
        self.groups
            .coordinator
            .keep_offsets(partition, is_of_a_topic);
    }

    /// Whether an offset was committed for the topic that has the name now: one that got it again
    /// inherits nothing (KAFKA-19154).
    pub(in crate::broker) fn is_of_present_topic(
        &self,
        name: &TopicPartition,
        offset: &CommittedOffset,
    ) -> bool {
        is_of_topic(&self.image, name, offset)
    }

    /// Reads on where the disk had no descriptor for it.
    pub(in crate::broker) fn retry_loads(&mut self, now: Now) {
        while let Some(entry) = self.groups.loads_to_retry.first_entry()
            && *entry.key() <= now.time
        {
            for read in entry.remove() {
                if self.is_loading(&read) {
                    self.read_on(read);
                }
            }
        }
    }
}

fn is_of_topic(image: &MetadataImage, name: &TopicPartition, offset: &CommittedOffset) -> bool {
    let topic = image.topics().named(&name.topic);
    topic.is_some_and(|topic| offset.topic_id.is_none_or(|id| id == topic.id()))
}
