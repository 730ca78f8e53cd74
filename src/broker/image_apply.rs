//! From a new image of the metadata to replicas: created, led, followed, removed.
//!
//! In: images, in order. Out: replicas that obey their registrations, logs created and deleted.
//! Invariants: a log is removed only when the metadata no longer has its topic's incarnation; two
//! incarnations of a topic never share a log. Source: Kafka's `BrokerMetadataPublisher`,
//! `ReplicaManager.applyDelta`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{info, warn};
use uuid::Uuid;

use super::Broker;
use super::directories::Directory;
use super::disk_events::DiskPurpose;
use super::effects::DirectoryIndex;
use super::partition::{Partition, PartitionKey};
use super::state_log::RoleBefore;
use crate::config::TopicConfig;
use crate::id::{BrokerId, LOST_DIRECTORY, TopicId, TopicPartition, UNASSIGNED_DIRECTORY};
use crate::log::LogState;
use crate::metadata::record::ConfigResource;
use crate::metadata::{MetadataDelta, MetadataImage};
use crate::offset::Offset;
use crate::replica::{EligibleBrokers, PartitionRegistration, Replica};
use crate::storage::{DiskRequest, LogDamage, LogOptions};
use crate::time::Now;

/// A log that recovery found and no registration has claimed yet.
#[derive(Clone, Debug)]
pub struct UnclaimedLog {
    /// The incarnation of its topic.
    pub topic_id: TopicId,
    /// What it holds.
    pub state: LogState,
    /// Its high watermark as last checkpointed.
    pub high_watermark: Offset,
    /// Where it lies.
    pub directory: DirectoryIndex,
    /// What it lost although it was durable.
    pub damage: Option<LogDamage>,
}

impl Broker {
    /// Makes `image` the truth and acts on what changed.
    ///
    /// Replicas obey it only once it holds this life of the broker: an older registration may name
    /// it leader for a log that it has lost since. Source: Kafka installs `BrokerMetadataPublisher`
    /// after the initial catch-up.
    pub(super) fn apply_image(&mut self, now: Now, image: MetadataImage) {
        self.image = image;
        let own = self.image.brokers().get(self.id);
        if own.is_some_and(|own| own.incarnation_id == self.incarnation_id) {
            self.apply_changes(now);
        }
        self.directories_image_changed(now);
        self.lifecycle_image_changed(now);
    }

    /// Acts on what changed since the image that was acted on last.
    fn apply_changes(&mut self, now: Now) {
        let image = self.image.clone();
        let delta = MetadataDelta::between(&self.obeyed, &image);
        self.obeyed = image;
        for (topic_id, name) in &delta.deleted_topics {
            self.remove_topic(*topic_id, name);
        }
        let deleted: Vec<&str> = delta.deleted_topics.values().map(|name| &**name).collect();
        self.groups.coordinator.topics_deleted(&deleted);
        if !delta.brokers.is_empty() {
            self.update_eligible_brokers(now);
        }
        for resource in &delta.configs {
            self.raise_min_insync_replicas(now, resource);
        }
        for changed in &delta.partitions {
            let name = TopicPartition::new(Arc::clone(&changed.topic), changed.partition);
            self.apply_registration(now, &name, &changed.registration);
        }
        for resource in &delta.configs {
            self.apply_config(now, resource);
        }
        self.plan_flush(now);
    }

    fn update_eligible_brokers(&mut self, now: Now) {
        let active = self
            .image
            .brokers()
            .iter()
            .filter(|broker| broker.is_active());
        let eligible: EligibleBrokers = active
            .map(|broker| (broker.broker_id, broker.broker_epoch))
            .collect();
        self.eligible = Arc::new(eligible);
        let names: Vec<_> = self.partitions.keys().cloned().collect();
        for name in names {
            let topic = self.obeyed.topics().named(&name.topic);
            let registration = topic.and_then(|topic| topic.partition(name.partition));
            let Some(eligible) = registration.map(|registration| self.eligible_for(registration))
            else {
                continue;
            };
            self.with_replica(now, &name, |replica| {
                replica.handle_eligible_brokers(now, &eligible);
            });
        }
    }

    /// The brokers that may be in the ISR of a partition: those whose log directory of the replica
    /// is online (KIP-858).
    fn eligible_for(&self, registration: &PartitionRegistration) -> Arc<EligibleBrokers> {
        let brokers = self.obeyed.brokers();
        let is_online = |id: &BrokerId| brokers.is_replica_online(registration, *id);
        if registration.replicas.iter().all(is_online) {
            return Arc::clone(&self.eligible);
        }
        let eligible = self.eligible.iter();
        let online = eligible.filter(|(id, _)| is_online(id));
        Arc::new(online.map(|(id, epoch)| (*id, *epoch)).collect())
    }

    pub(super) fn apply_registration(
        &mut self,
        now: Now,
        name: &TopicPartition,
        registration: &PartitionRegistration,
    ) {
        if !registration.replicas.contains(&self.id) {
            self.remove_partition(name);
            return;
        }
        if !self.partitions.contains_key(name) && !self.open_partition(now, name, registration) {
            return;
        }
        self.repair_replica(now, name, registration);
        let eligible = self.eligible_for(registration);
        self.with_replica(now, name, |replica| {
            let before = RoleBefore::of(replica);
            replica.handle_registration(now, registration, &eligible);
            before.note_change(name, registration, replica);
        });
        self.note_assignment(name, registration);
    }

    /// Claims the partition's recovered log, or creates an empty one.
    fn open_partition(
        &mut self,
        now: Now,
        name: &TopicPartition,
        registration: &PartitionRegistration,
    ) -> bool {
        let topic_id = registration.topic_id;
        let known = self.claim_log(name, registration);
        let place = match &known {
            Some(log) => Some(log.directory),
            None => self.place_replica(registration),
        };
        let Some(directory) = place else {
            warn!(
                partition = %name,
                "its log directory is offline; no other replica is created in its place"
            );
            return false;
        };
        let config = self.topic_config(&name.topic);
        let (state, high_watermark, damage) = known.map_or_else(Default::default, |log| {
            (log.state, log.high_watermark, log.damage)
        });
        let settings = self.replica_settings(&config);
        let replica = Replica::recovered(settings, state, high_watermark);
        let generation = self.fresh_id();
        let options = LogOptions::from(&config);
        let request = DiskRequest::CreateLog {
            log: name.clone(),
            topic_id,
            options,
        };
        let key = PartitionKey {
            name: name.clone(),
            generation,
        };
        let partition = Partition::new(replica, directory, topic_id, config, generation);
        self.partitions.insert(name.clone(), partition);
        self.disk(directory, request, DiskPurpose::Unwatched(key.clone()));
        if let Some(damage) = damage {
            self.lose_replica(now, &key, damage);
        }
        true
    }

    /// The log of this incarnation that recovery found; others are deleted. Of two, one was created
    /// while the directory of the other was offline: the controller knows which one counts.
    fn claim_log(
        &mut self,
        name: &TopicPartition,
        registration: &PartitionRegistration,
    ) -> Option<UnclaimedLog> {
        let assigned = registration.directory_of(self.id);
        let mut found = self.unclaimed.remove(name).unwrap_or_default();
        found.sort_by_key(|log| self.directory_id(log.directory) != Some(assigned));
        let mut claimed = None;
        for log in found {
            // Of a log that is gone only the name is known.
            let is_its = [registration.topic_id, TopicId::ZERO].contains(&log.topic_id);
            if claimed.is_none() && is_its {
                claimed = Some(log);
            } else {
                let path = self.directory_path(log.directory);
                warn!(partition = %name, directory = path, "removing a log of another time");
                self.delete_log(log.directory, name);
            }
        }
        claimed
    }

    fn directory_id(&self, index: DirectoryIndex) -> Option<Uuid> {
        self.directories.get(index).and_then(Directory::id)
    }

    /// The directory for a replica that has no log here: the one it is assigned to, or any if it
    /// is assigned to none. While a directory is offline, a replica that is assigned to an unknown
    /// one may lie there (KAFKA-16234).
    fn place_replica(&self, registration: &PartitionRegistration) -> Option<DirectoryIndex> {
        let assigned = registration.directory_of(self.id);
        let found = self
            .directories
            .iter()
            .position(|directory| directory.id() == Some(assigned));
        if found.is_some() {
            return found.filter(|index| {
                let directory = self.directories.get(*index);
                directory.is_some_and(Directory::is_online)
            });
        }
        let is_free = matches!(assigned, UNASSIGNED_DIRECTORY | LOST_DIRECTORY);
        if is_free || self.directories.iter().all(Directory::is_online) {
            self.emptiest_directory()
        } else {
            None
        }
    }

    /// The online directory with the fewest partitions.
    fn emptiest_directory(&self) -> Option<DirectoryIndex> {
        let mut counts: BTreeMap<DirectoryIndex, usize> = BTreeMap::new();
        for partition in self.partitions.values() {
            *counts.entry(partition.directory).or_default() += 1;
        }
        let online = self
            .directories
            .iter()
            .enumerate()
            .filter(|(_, dir)| dir.is_online());
        online
            .map(|(index, _)| index)
            .min_by_key(|index| counts.get(index).copied().unwrap_or(0))
    }

    /// The effective configuration of a topic on this broker.
    pub(super) fn topic_config(&self, topic: &Arc<str>) -> TopicConfig {
        let overrides = self.image.configs().of_topic(topic);
        TopicConfig::resolve(&self.settings, overrides).unwrap_or_else(|error| {
            warn!(topic = %topic, %error, "the topic's configuration is ignored");
            self.settings.topic_defaults.clone()
        })
    }

    /// Before the registrations: an ISR that shrank under a higher minimum left replicas in the
    /// ELR, and measured by the lower one it would commit what they lack (KIP-966).
    fn raise_min_insync_replicas(&mut self, now: Now, resource: &ConfigResource) {
        let ConfigResource::Topic(topic) = resource else {
            return;
        };
        let new = self.topic_config(topic).min_insync_replicas;
        for name in self.partitions_of(topic) {
            let partition = self.partitions.get(&name);
            if partition.is_some_and(|partition| partition.config.min_insync_replicas < new) {
                self.with_replica(now, &name, |replica| {
                    replica.handle_min_insync_replicas(now, new.max(1) as usize);
                });
            }
        }
    }

    fn partitions_of(&self, topic: &Arc<str>) -> Vec<TopicPartition> {
        let names = self.partitions.keys();
        names.filter(|name| name.topic == *topic).cloned().collect()
    }

    fn apply_config(&mut self, now: Now, resource: &ConfigResource) {
        let ConfigResource::Topic(topic) = resource else {
            return;
        };
        let config = self.topic_config(topic);
        for name in self.partitions_of(topic) {
            let Some(partition) = self.partitions.get_mut(&name) else {
                continue;
            };
            partition.config = config.clone();
            let key = PartitionKey {
                name: name.clone(),
                generation: partition.generation,
            };
            let (directory, options) = (partition.directory, LogOptions::from(&config));
            let request = DiskRequest::Configure {
                log: name.clone(),
                options,
            };
            self.disk(directory, request, DiskPurpose::Unwatched(key));
            let settings = self.replica_settings(&config);
            self.with_replica(now, &name, |replica| {
                replica.handle_min_insync_replicas(now, settings.min_insync_replicas);
                replica.handle_flush_messages(now, settings.flush_messages);
            });
        }
    }

    fn remove_topic(&mut self, topic_id: TopicId, topic: &Arc<str>) {
        let of_topic = |name: &TopicPartition| name.topic == *topic;
        let live = self.partitions.iter();
        let live =
            live.filter(|(name, partition)| of_topic(name) && partition.topic_id == topic_id);
        let names: Vec<_> = live.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.remove_partition(&name);
        }
    }

    fn remove_partition(&mut self, name: &TopicPartition) {
        if let Some(mut partition) = self.forget_partition(name) {
            info!(partition = %name, "replica removed");
            partition.replica.handle_registration(
                Now::default(),
                &PartitionRegistration {
                    topic_id: partition.topic_id,
                    leader_epoch: i32::MAX,
                    partition_epoch: i32::MAX,
                    ..PartitionRegistration::default()
                },
                &self.eligible,
            );
            for effect in partition.replica.take_effects() {
                if let crate::replica::Effect::CompleteProduce { token, outcome } = effect {
                    self.complete_produce(token, outcome);
                }
            }
            self.delete_log(partition.directory, name);
        }
    }

    pub(super) fn delete_log(&mut self, directory: DirectoryIndex, name: &TopicPartition) {
        self.disk(
            directory,
            DiskRequest::DeleteLog { log: name.clone() },
            DiskPurpose::Step,
        );
    }

    /// Removes the logs that no registration has claimed, once the metadata is complete.
    pub(super) fn remove_stray_logs(&mut self) {
        for (name, logs) in std::mem::take(&mut self.unclaimed) {
            for log in logs {
                warn!(partition = %name, topic_id = %log.topic_id, "removing a stray log");
                self.delete_log(log.directory, &name);
            }
        }
    }

    /// Whether a partition exists in the metadata, here or elsewhere.
    pub(super) fn partition_exists(&self, name: &TopicPartition) -> bool {
        let topic = self.image.topics().named(&name.topic);
        topic.is_some_and(|topic| topic.partition(name.partition).is_some())
    }

    /// Whether a broker is visible and has its replica in a log directory that is online.
    pub(super) fn is_online(&self, registration: &PartitionRegistration, id: BrokerId) -> bool {
        let brokers = self.image.brokers();
        self.is_visible(id) && brokers.is_replica_online(registration, id)
    }

    /// Whether a broker is registered and not fenced.
    pub(super) fn is_visible(&self, id: BrokerId) -> bool {
        self.image
            .brokers()
            .get(id)
            .is_some_and(|broker| !broker.fenced)
    }
}
