//! The topics and the registrations of their partitions.
//!
//! In: topic and partition records. Out: lookups by name, by id and by partition.
//! Invariant: every change of a partition adds one to its partition epoch, and one to its leader
//! epoch if and only if the record names a leader (or none). Partitions are numbered without gaps.
//! Source: Kafka's `TopicsImage`, `PartitionRegistration.merge`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ImageError;
use crate::id::TopicId;
use crate::metadata::record::{LeaderChange, MetadataRecord, PartitionChange};
use crate::replica::PartitionRegistration;

/// Every topic of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsImage {
    by_id: Arc<BTreeMap<TopicId, Arc<TopicImage>>>,
    ids: Arc<BTreeMap<Arc<str>, TopicId>>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    name: Arc<str>,
    id: TopicId,
    partitions: Vec<Arc<PartitionRegistration>>,
}

impl TopicImage {
    /// The topic's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The id of this incarnation of the topic.
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// The partition with this index.
    pub fn partition(&self, index: i32) -> Option<&Arc<PartitionRegistration>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// All partitions with their indexes, in order.
    pub fn partitions(&self) -> impl Iterator<Item = (i32, &Arc<PartitionRegistration>)> {
        (0..).zip(&self.partitions)
    }

    /// How many partitions the topic has.
    pub fn partition_count(&self) -> i32 {
        self.partitions.len() as i32
    }
}

impl TopicsImage {
    /// The topic with this id.
    pub fn get(&self, topic_id: TopicId) -> Option<&Arc<TopicImage>> {
        self.by_id.get(&topic_id)
    }

    /// The topic with this name.
    pub fn named(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.get(*self.ids.get(name)?)
    }

    /// A partition by the topic's id.
    pub fn partition(&self, topic_id: TopicId, index: i32) -> Option<&Arc<PartitionRegistration>> {
        self.get(topic_id)?.partition(index)
    }

    /// All topics, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.ids.values().filter_map(|topic_id| self.get(*topic_id))
    }

    /// Whether `self` and `other` are the same map in memory, and thus equal.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.by_id, &other.by_id)
    }

    pub(super) fn create(&mut self, name: &Arc<str>, topic_id: TopicId) -> Result<(), ImageError> {
        if self.ids.contains_key(name) || self.by_id.contains_key(&topic_id) {
            return Err(ImageError::TopicExists(name.to_string()));
        }
        let topic = TopicImage {
            name: Arc::clone(name),
            id: topic_id,
            partitions: Vec::new(),
        };
        Arc::make_mut(&mut self.ids).insert(Arc::clone(name), topic_id);
        Arc::make_mut(&mut self.by_id).insert(topic_id, Arc::new(topic));
        Ok(())
    }

    /// Removes a topic and says what its name was.
    pub(super) fn remove(&mut self, topic_id: TopicId) -> Result<Arc<str>, ImageError> {
        let topic = self
            .get(topic_id)
            .ok_or(ImageError::UnknownTopic(topic_id))?;
        let name = Arc::clone(&topic.name);
        Arc::make_mut(&mut self.ids).remove(&name);
        Arc::make_mut(&mut self.by_id).remove(&topic_id);
        Ok(name)
    }

    pub(super) fn create_partition(
        &mut self,
        partition: i32,
        registration: &PartitionRegistration,
    ) -> Result<(), ImageError> {
        let topic = self.topic_mut(registration.topic_id)?;
        if partition != topic.partition_count() {
            return Err(ImageError::BadPartition {
                topic_id: topic.id,
                partition,
                count: topic.partitions.len(),
            });
        }
        topic.partitions.push(Arc::new(registration.clone()));
        Ok(())
    }

    pub(super) fn change_partition(&mut self, change: &PartitionChange) -> Result<(), ImageError> {
        let PartitionChange {
            topic_id,
            partition,
            ..
        } = *change;
        let topic = self
            .get(topic_id)
            .ok_or(ImageError::UnknownTopic(topic_id))?;
        let count = topic.partitions.len();
        let missing = ImageError::BadPartition {
            topic_id,
            partition,
            count,
        };
        let Some(index) = usize::try_from(partition)
            .ok()
            .filter(|index| *index < count)
        else {
            return Err(missing);
        };
        let topic = self.topic_mut(topic_id)?;
        let registration = topic.partitions.get_mut(index).ok_or(missing)?;
        merge(Arc::make_mut(registration), change);
        Ok(())
    }

    fn topic_mut(&mut self, topic_id: TopicId) -> Result<&mut TopicImage, ImageError> {
        if !self.by_id.contains_key(&topic_id) {
            return Err(ImageError::UnknownTopic(topic_id));
        }
        let topic = Arc::make_mut(&mut self.by_id).get_mut(&topic_id);
        topic
            .map(Arc::make_mut)
            .ok_or(ImageError::UnknownTopic(topic_id))
    }

    pub(super) fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        for topic in self.iter() {
            records.push(MetadataRecord::Topic {
                name: Arc::clone(&topic.name),
                topic_id: topic.id,
            });
            for (partition, registration) in topic.partitions() {
                let registration = registration.as_ref().clone();
                records.push(MetadataRecord::Partition {
                    partition,
                    registration,
                });
            }
        }
        records
    }
}

fn merge(registration: &mut PartitionRegistration, change: &PartitionChange) {
    registration.partition_epoch = registration.partition_epoch.saturating_add(1);
    match change.leader {
        LeaderChange::Unchanged => {}
        LeaderChange::NoLeader => {
            registration.leader = None;
            registration.leader_epoch = registration.leader_epoch.saturating_add(1);
        }
        LeaderChange::Leader(broker_id) => {
            registration.leader = Some(broker_id);
            registration.leader_epoch = registration.leader_epoch.saturating_add(1);
        }
    }
    replace(&mut registration.isr, change.isr.as_ref());
    replace(&mut registration.replicas, change.replicas.as_ref());
    replace(
        &mut registration.adding_replicas,
        change.adding_replicas.as_ref(),
    );
    replace(
        &mut registration.removing_replicas,
        change.removing_replicas.as_ref(),
    );
    replace(&mut registration.elr, change.elr.as_ref());
    replace(
        &mut registration.last_known_elr,
        change.last_known_elr.as_ref(),
    );
    replace(
        &mut registration.leader_recovery_state,
        change.recovery_state.as_ref(),
    );
    replace(&mut registration.directories, change.directories.as_ref());
}

fn replace<T: Clone>(field: &mut T, change: Option<&T>) {
    if let Some(value) = change {
        field.clone_from(value);
    }
}
