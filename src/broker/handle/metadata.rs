//! Metadata (3): brokers, topics and leaders, as this broker knows them.
//!
//! In: a request. Out: its response at once, from the committed image. Topics that do not exist
//! are created on the way if configuration and request allow it; the client asks again.
//! Source: Kafka's `KafkaApis.handleTopicMetadataRequest`, `AutoTopicCreationManager`.

use std::sync::Arc;

use kafka_protocol::messages::{
    self as wire, CreateTopicsRequest, MetadataRequest, MetadataResponse,
    create_topics_request::CreatableTopic,
    metadata_request::MetadataRequestTopic,
    metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
};

use super::{text, wire_topic_name};
use crate::broker::effects::{Channel, RequestId};
use crate::broker::peer_events::PeerPurpose;
use crate::broker::{Broker, OFFSETS_TOPIC};
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId};
use crate::metadata::image::TopicImage;
use crate::replica::PartitionRegistration;
use crate::time::Now;

impl Broker {
    pub(super) fn handle_metadata(
        &mut self,
        now: Now,
        request: RequestId,
        version: i16,
        body: MetadataRequest,
    ) {
        let wants_all = match &body.topics {
            None => true,
            Some(topics) => version == 0 && topics.is_empty(),
        };
        let may_create = (version < 4 || body.allow_auto_topic_creation)
            && self.settings.flag("auto.create.topics.enable");
        let topics = if wants_all {
            self.image
                .topics()
                .iter()
                .map(|topic| self.metadata_of(topic, version))
                .collect()
        } else {
            self.asked_topics(now, version, body.topics.unwrap_or_default(), may_create)
        };
        let response = self.cluster_part(version).with_topics(topics);
        self.respond(request, response);
    }

    fn asked_topics(
        &mut self,
        now: Now,
        version: i16,
        asked: Vec<MetadataRequestTopic>,
        may_create: bool,
    ) -> Vec<MetadataResponseTopic> {
        let mut missing = Vec::new();
        let mut answers = Vec::new();
        for topic in asked {
            let image = match &topic.name {
                Some(name) => self.image.topics().named(name),
                None => self.image.topics().get(TopicId(topic.topic_id)),
            };
            if let Some(image) = image {
                answers.push(self.metadata_of(image, version));
                continue;
            }
            let answer = MetadataResponseTopic::default();
            answers.push(match topic.name {
                None => answer
                    .with_topic_id(topic.topic_id)
                    .with_name((version < 12).then(|| wire_topic_name("")))
                    .with_error_code(ErrorCode::UnknownTopicId.code()),
                Some(name) => {
                    let code = if !is_topic_name(&name) {
                        ErrorCode::InvalidTopicException
                    } else if may_create {
                        missing.push(name.clone());
                        ErrorCode::LeaderNotAvailable
                    } else {
                        ErrorCode::UnknownTopicOrPartition
                    };
                    answer.with_name(Some(name)).with_error_code(code.code())
                }
            });
        }
        if !missing.is_empty() {
            self.create_missing(now, missing);
        }
        answers
    }

    fn create_missing(&mut self, now: Now, mut names: Vec<wire::TopicName>) {
        let asked = names.len();
        names.retain(|name| name.as_str() != OFFSETS_TOPIC);
        if names.len() < asked {
            // With a shape of its own, and compacted.
            self.create_offsets_topic(now);
        }
        if names.is_empty() {
            return;
        }
        let topics = names.into_iter().map(|name| {
            CreatableTopic::default()
                .with_name(name)
                .with_num_partitions(-1)
                .with_replication_factor(-1)
        });
        let timeout = self.settings.millis("request.timeout.ms");
        let body = CreateTopicsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(self.settings.int_millis("request.timeout.ms"));
        let purpose = PeerPurpose::AutoCreate;
        self.call_controller(now, Channel::Forward, body.into(), timeout, purpose);
    }

    /// Everything of the response but the topics.
    fn cluster_part(&self, version: i16) -> MetadataResponse {
        let visible = self.image.brokers().iter().filter(|broker| !broker.fenced);
        let brokers = visible.filter_map(|broker| {
            let endpoint = broker.endpoints.first()?;
            let answer = MetadataResponseBroker::default()
                .with_node_id(wire::BrokerId(broker.broker_id.0))
                .with_host(text(&endpoint.host))
                .with_port(i32::from(endpoint.port));
            let rack = broker.rack.as_deref().filter(|_| version >= 1);
            Some(answer.with_rack(rack.map(text)))
        });
        let response = MetadataResponse::default().with_brokers(brokers.collect());
        let response = if version >= 1 {
            response.with_controller_id(wire::BrokerId(self.visible_controller()))
        } else {
            response
        };
        if version >= 2 {
            response.with_cluster_id(Some(text(&self.settings.cluster_id)))
        } else {
            response
        }
    }

    /// The leader of the quorum, -1 if clients could not reach it.
    pub(super) fn visible_controller(&self) -> i32 {
        self.quorum
            .leader()
            .filter(|leader| self.is_visible(*leader))
            .map_or(-1, |id| id.0)
    }

    fn metadata_of(&self, topic: &Arc<TopicImage>, version: i16) -> MetadataResponseTopic {
        let partitions = topic
            .partitions()
            .map(|(index, registration)| self.partition_metadata(index, registration, version));
        let answer = MetadataResponseTopic::default()
            .with_name(Some(wire_topic_name(topic.name())))
            .with_is_internal(version >= 1 && &**topic.name() == OFFSETS_TOPIC)
            .with_partitions(partitions.collect());
        if version >= 10 {
            answer.with_topic_id(topic.id().0)
        } else {
            answer
        }
    }

    fn partition_metadata(
        &self,
        index: i32,
        registration: &PartitionRegistration,
        version: i16,
    ) -> MetadataResponsePartition {
        let ids = |ids: &[BrokerId]| {
            ids.iter()
                .map(|id| wire::BrokerId(id.0))
                .collect::<Vec<_>>()
        };
        let leader = registration
            .leader
            .filter(|leader| self.is_visible(*leader));
        let answer = MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(wire::BrokerId(leader.map_or(-1, |leader| leader.0)))
            .with_replica_nodes(ids(&registration.replicas))
            .with_isr_nodes(ids(&registration.isr));
        let answer = if leader.is_none() {
            answer.with_error_code(ErrorCode::LeaderNotAvailable.code())
        } else {
            answer
        };
        let answer = if version >= 7 {
            answer.with_leader_epoch(registration.leader_epoch)
        } else {
            answer
        };
        if version < 5 {
            return answer;
        }
        let offline = registration
            .replicas
            .iter()
            .filter(|id| !self.is_online(registration, **id));
        answer.with_offline_replicas(offline.map(|id| wire::BrokerId(id.0)).collect())
    }
}

/// Whether a topic could have this name at all.
fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty()
        && name.len() <= 249
        && name != "."
        && name != ".."
        && name != crate::broker::METADATA_TOPIC
        && name.chars().all(legal)
}
