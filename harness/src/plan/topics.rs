//! The topics of a run: the plan's own, and further ones with settings of their own.
//!
//! In: a plan. Out: every topic, the settings that its promises depend on, and which producer
//! worker serves it. Invariant: a topic has one setting of acks; a producer worker has one, too,
//! so that who sends to a topic is one of the workers of its acks.

use std::collections::BTreeMap;

use checkers::history::Settings;
use serde::{Deserialize, Serialize};

use crate::matrix::Row;
use crate::plan::Plan;
use crate::worker::protocol::{Acks, ProducerOptions};

/// One topic, and how its producers send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication_factor: i16,
    /// In-sync replicas without which acks=all is refused; more than there are copies count as
    /// all copies.
    pub min_insync_replicas: i16,
    /// When a send to it counts as acknowledged.
    pub acks: Acks,
    /// Whether retries are deduplicated by the broker; only with acks=all.
    #[serde(default)]
    pub idempotence: bool,
}

impl TopicPlan {
    /// Whether a worker of `options` may send to it.
    pub fn is_served_by(&self, options: &ProducerOptions) -> bool {
        (self.acks, self.idempotence) == (options.acks, options.idempotence)
    }
}

impl Plan {
    /// The topic that every plan has.
    pub fn own_topic(&self) -> TopicPlan {
        let (cluster, producer) = (&self.cluster, &self.workload.producer);
        TopicPlan {
            name: cluster.topic.clone(),
            partitions: cluster.partitions,
            replication_factor: cluster.replication_factor,
            min_insync_replicas: cluster.min_insync_replicas,
            acks: producer.acks,
            idempotence: producer.idempotence,
        }
    }

    /// Every topic, the plan's own first.
    pub fn topics(&self) -> Vec<TopicPlan> {
        let further = self.cluster.further_topics.iter().cloned();
        std::iter::once(self.own_topic()).chain(further).collect()
    }

    /// Whether it has more topics than one.
    pub fn has_several_topics(&self) -> bool {
        !self.cluster.further_topics.is_empty()
    }

    /// The topic called `name`.
    pub fn topic(&self, name: &str) -> Option<TopicPlan> {
        self.topics().into_iter().find(|topic| topic.name == name)
    }

    /// The settings of every topic, as the history's first line has them; none for one topic.
    pub fn settings_by_topic(&self) -> BTreeMap<String, Settings> {
        if !self.has_several_topics() {
            return BTreeMap::new();
        }
        let topics = self.topics().into_iter();
        topics
            .map(|topic| (topic.name.clone(), self.settings_of(&topic)))
            .collect()
    }

    /// The ways in which its producers send, each once; the plan's own first.
    pub fn ways_to_send(&self) -> Vec<ProducerOptions> {
        let mut ways: Vec<ProducerOptions> = Vec::new();
        for topic in self.topics() {
            if !ways.iter().any(|way| topic.is_served_by(way)) {
                ways.push(ProducerOptions {
                    acks: topic.acks,
                    idempotence: topic.idempotence,
                    ..self.workload.producer.clone()
                });
            }
        }
        ways
    }

    /// How the producer worker with this number, from 0, sends: the ways take turns.
    pub fn way_of(&self, producer: u32) -> ProducerOptions {
        let ways = self.ways_to_send();
        let way = ways.get(producer as usize % ways.len());
        way.cloned()
            .expect("invariant: the plan's own topic has a way")
    }

    /// The partitions that a producer worker may send to, by topic and index.
    pub fn partitions_of(&self, producer: &ProducerOptions) -> Vec<(String, i32)> {
        let topics = self.topics().into_iter();
        let served = topics.filter(|topic| topic.is_served_by(producer));
        let partitions = |topic: TopicPlan| {
            (0..topic.partitions).map(move |partition| (topic.name.clone(), partition))
        };
        served.flat_map(partitions).collect()
    }

    /// The row of the matrix that a topic stands for.
    pub fn row_of(&self, topic: &TopicPlan) -> Row {
        Row::of(&self.settings_of(topic))
    }
}
