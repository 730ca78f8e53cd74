//! A decision in the making: records, and the image that they lead to.
//!
//! In: records, one after the other. Out: the records and the image after them.
//! Invariant: a record is applied as soon as it is drafted, so what follows in the same decision
//! sees it; a draft that is dropped leaves no trace.

use std::sync::Arc;

use super::election::{self, ElectionRules, Loss};
use crate::id::{BrokerId, TopicId};
use crate::metadata::image::{MetadataImage, Overrides, TopicImage};
use crate::metadata::record::{MetadataRecord, PartitionChange};
use crate::offset::Offset;
use crate::replica::PartitionRegistration;

/// Broker-wide values of the topic settings that elections depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopicDefaults {
    pub(super) min_insync_replicas: i32,
    pub(super) unclean_leader_election: bool,
}

/// Records that were not handed out yet, and the image after them.
#[derive(Debug)]
pub(super) struct Draft {
    image: MetadataImage,
    defaults: TopicDefaults,
    records: Vec<MetadataRecord>,
    next_offset: Offset,
}

impl Draft {
    pub(super) fn new(image: MetadataImage, defaults: TopicDefaults, next_offset: Offset) -> Self {
        assert!(
            next_offset > image.last_offset(),
            "invariant: decisions are proposed in order; next offset {next_offset}, image at {}",
            image.last_offset()
        );
        Self {
            image,
            defaults,
            records: Vec::new(),
            next_offset,
        }
    }

    pub(super) fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The offset that the next record will have.
    pub(super) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    pub(super) fn into_parts(self) -> (MetadataImage, Vec<MetadataRecord>) {
        (self.image, self.records)
    }

    /// Adds a record.
    pub(super) fn push(&mut self, record: MetadataRecord) {
        let applied = self.image.apply(&record, self.next_offset);
        applied.expect("invariant: the controller's records fit its image");
        self.next_offset += 1;
        self.records.push(record);
    }

    /// The effective `min.insync.replicas` of a topic with these overrides, at least 1.
    pub(super) fn min_insync_replicas(&self, overrides: &Overrides) -> usize {
        let set = overrides
            .get("min.insync.replicas")
            .and_then(|value| value.parse().ok());
        set.unwrap_or(self.defaults.min_insync_replicas).max(1) as usize
    }

    /// The effective `unclean.leader.election.enable` of a topic with these overrides.
    pub(super) fn unclean_leader_election(&self, overrides: &Overrides) -> bool {
        let set = overrides.get("unclean.leader.election.enable");
        set.map_or(self.defaults.unclean_leader_election, |value| {
            value == "true"
        })
    }

    /// The rules of an election in `topic`, if `loss` happens to the image.
    pub(super) fn election_rules(&self, topic: &Arc<str>, loss: Loss) -> ElectionRules {
        let brokers = self.image.brokers();
        let is_lost = |broker_id| loss.broker() == Some(broker_id);
        let overrides = self.image.configs().of_topic(topic);
        let active = brokers.iter().map(|broker| broker.broker_id);
        ElectionRules {
            active: active
                .filter(|id| brokers.is_active(*id) && !is_lost(*id))
                .collect(),
            min_insync_replicas: self.min_insync_replicas(overrides),
            brokers: brokers.clone(),
            unclean: self.unclean_leader_election(overrides),
            loss,
        }
    }

    /// Takes a broker out of the ISRs and leaderships of all partitions.
    pub(super) fn lose_broker(&mut self, loss: Loss) {
        self.re_elect_where(loss, |partition| loss.concerns(partition));
    }

    /// Takes a broker out of the ISRs and leaderships of the partitions that it has in directories
    /// that are offline (KIP-858).
    pub(super) fn lose_offline_replicas(&mut self, broker_id: BrokerId) {
        let loss = Loss::Fenced(broker_id);
        let brokers = self.image.brokers().clone();
        self.re_elect_where(loss, |partition| {
            loss.concerns(partition) && !brokers.is_replica_online(partition, broker_id)
        });
    }

    /// Elects leaders for the partitions that have none, where that is possible now.
    pub(super) fn elect_missing_leaders(&mut self) {
        self.re_elect_where(Loss::Nothing, |partition| partition.leader.is_none());
    }

    fn re_elect_where(&mut self, loss: Loss, concerned: impl Fn(&PartitionRegistration) -> bool) {
        let topics: Vec<Arc<TopicImage>> = self.image.topics().iter().cloned().collect();
        for topic in topics {
            let partitions = topic
                .partitions()
                .filter(|(_, partition)| concerned(partition));
            let partitions: Vec<_> = partitions.collect();
            if partitions.is_empty() {
                continue;
            }
            let rules = self.election_rules(topic.name(), loss);
            for (index, partition) in partitions {
                let isr = loss.survivors(&partition.isr);
                let change = election::elect(partition, isr, &rules).change(partition, index);
                self.push_change(change);
            }
        }
    }

    /// Adds the record of a partition's change, if it is one.
    pub(super) fn push_change(&mut self, change: Option<PartitionChange>) {
        if let Some(change) = change {
            self.push(MetadataRecord::PartitionChange(change));
        }
    }

    /// The partition, which exists.
    pub(super) fn partition(&self, topic_id: TopicId, index: i32) -> &Arc<PartitionRegistration> {
        let partition = self.image.topics().partition(topic_id, index);
        partition.expect("invariant: the decision looked the partition up before")
    }

    /// Whether a broker leads any partition.
    pub(super) fn leads_any(&self, broker_id: BrokerId) -> bool {
        let mut topics = self.image.topics().iter();
        topics.any(|topic| topic.partitions().any(|(_, p)| p.leader == Some(broker_id)))
    }
}
