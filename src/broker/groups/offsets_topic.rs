//! The topic `__consumer_offsets`: created when somebody looks for a coordinator.
//!
//! Its replication factor is the configured one, or as many brokers as live at that time. Source:
//! Kafka's `AutoTopicCreationManager`; the bound is this project's (`issues show 3`), Kafka
//! refuses until there are enough brokers.

use kafka_protocol::messages::{
    CreateTopicsRequest,
    create_topics_request::{CreatableTopic, CreatableTopicConfig},
};

use crate::broker::Broker;
use crate::broker::effects::Channel;
use crate::broker::handle::{text, wire_topic_name};
use crate::broker::peer_events::PeerPurpose;
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::time::Now;

/// Where groups keep their offsets and members.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

impl Broker {
    /// The broker that coordinates `group_id`.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE while there is no topic, or no leader; the topic is on its way.
    pub(in crate::broker) fn group_coordinator(
        &mut self,
        now: Now,
        group_id: &str,
    ) -> Result<BrokerId, ErrorCode> {
        let partition = self.offsets_partition(group_id);
        let Some(topic) = self.image.topics().named(OFFSETS_TOPIC) else {
            self.create_offsets_topic(now);
            return Err(ErrorCode::CoordinatorNotAvailable);
        };
        let leader = topic
            .partition(partition)
            .and_then(|partition| partition.leader);
        let leader = leader.filter(|leader| self.is_visible(*leader));
        leader.ok_or(ErrorCode::CoordinatorNotAvailable)
    }

    /// Asks the controller for the topic, unless that is under way.
    pub(in crate::broker) fn create_offsets_topic(&mut self, now: Now) {
        if self.groups.is_creating_topic {
            return;
        }
        let active = self
            .image
            .brokers()
            .iter()
            .filter(|broker| broker.is_active());
        let live = active.count() as i32;
        if live == 0 {
            return;
        }
        let factor = self
            .settings
            .int("offsets.topic.replication.factor")
            .min(live);
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            (
                "segment.bytes",
                self.settings.text("offsets.topic.segment.bytes").to_owned(),
            ),
        ];
        let configs = configs.into_iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(&value)))
        });
        let topic = CreatableTopic::default()
            .with_name(wire_topic_name(OFFSETS_TOPIC))
            .with_num_partitions(self.settings.int("offsets.topic.num.partitions"))
            .with_replication_factor(factor as i16)
            .with_configs(configs.collect());
        let timeout = self.settings.millis("request.timeout.ms");
        let body = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(self.settings.int_millis("request.timeout.ms"));
        let purpose = PeerPurpose::OffsetsTopic;
        let sent = self.call_controller(now, Channel::Forward, body.into(), timeout, purpose);
        self.groups.is_creating_topic = sent.is_some();
    }

    /// The controller answered, or did not; whoever looks for a coordinator next asks again.
    pub(in crate::broker) fn offsets_topic_answered(&mut self) {
        self.groups.is_creating_topic = false;
    }
}
