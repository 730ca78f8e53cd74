//! What changed between two images, for the brokers to act on.
//!
//! In: an earlier and a later image. Out: deleted topics, new and changed partitions with their
//! registrations, resources with changed configurations, changed brokers.
//! Invariant: a delta depends on the two images only, so it is right after any number of records
//! and after a snapshot alike. Deletions come before partitions: a topic that was deleted and
//! created again under its name is in both.
//! Source: Kafka's `MetadataDelta`, `TopicsDelta.localChanges`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::MetadataImage;
use super::topics::TopicImage;
use crate::id::{BrokerId, TopicId};
use crate::metadata::record::ConfigResource;
use crate::replica::PartitionRegistration;

/// The difference between two images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataDelta {
    /// The topics that exist no longer, by id, with their names.
    pub deleted_topics: BTreeMap<TopicId, Arc<str>>,
    /// The partitions that are new or have a new partition epoch.
    pub partitions: Vec<PartitionDelta>,
    /// The resources whose overrides changed, deleted topics aside.
    pub configs: BTreeSet<ConfigResource>,
    /// The brokers that are new, changed or gone.
    pub brokers: BTreeSet<BrokerId>,
}

/// A partition that is new or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDelta {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index.
    pub partition: i32,
    /// Its new state; `registration.topic_id` is the topic's id.
    pub registration: Arc<PartitionRegistration>,
}

impl MetadataDelta {
    /// What is different in `new`.
    pub fn between(old: &MetadataImage, new: &MetadataImage) -> Self {
        let mut delta = Self::default();
        if !old.topics.is_same(&new.topics) {
            delta.compare_topics(old, new);
        }
        if !old.configs.is_same(&new.configs) {
            delta.compare_configs(old, new);
        }
        if !old.brokers.is_same(&new.brokers) {
            delta.compare_brokers(old, new);
        }
        delta
    }

    /// Whether the two images are equal, offsets and producer ids aside.
    pub fn is_empty(&self) -> bool {
        self.deleted_topics.is_empty()
            && self.partitions.is_empty()
            && self.configs.is_empty()
            && self.brokers.is_empty()
    }

    fn compare_topics(&mut self, old: &MetadataImage, new: &MetadataImage) {
        for topic in old
            .topics
            .iter()
            .filter(|topic| new.topics.get(topic.id()).is_none())
        {
            self.deleted_topics
                .insert(topic.id(), Arc::clone(topic.name()));
        }
        for topic in new.topics.iter() {
            let before = old.topics.get(topic.id());
            if !before.is_some_and(|before| Arc::ptr_eq(before, topic)) {
                self.compare_partitions(before, topic);
            }
        }
    }

    fn compare_partitions(&mut self, before: Option<&Arc<TopicImage>>, topic: &TopicImage) {
        for (partition, registration) in topic.partitions() {
            let earlier = before.and_then(|before| before.partition(partition));
            if earlier != Some(registration) {
                self.partitions.push(PartitionDelta {
                    topic: Arc::clone(topic.name()),
                    partition,
                    registration: Arc::clone(registration),
                });
            }
        }
    }

    fn compare_configs(&mut self, old: &MetadataImage, new: &MetadataImage) {
        for resource in old.configs.resources().chain(new.configs.resources()) {
            let exists = match resource {
                ConfigResource::Topic(name) => new.topics.named(name).is_some(),
                ConfigResource::Broker(_) | ConfigResource::AllBrokers => true,
            };
            if exists && old.configs.of(resource) != new.configs.of(resource) {
                self.configs.insert(resource.clone());
            }
        }
    }

    fn compare_brokers(&mut self, old: &MetadataImage, new: &MetadataImage) {
        for broker in old.brokers.iter().chain(new.brokers.iter()) {
            let id = broker.broker_id;
            if old.brokers.get(id) != new.brokers.get(id) {
                self.brokers.insert(id);
            }
        }
    }
}
