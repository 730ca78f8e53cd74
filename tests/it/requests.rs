//! Requests that a client might send, encoded, as the raw material of bad input.

use broker::protocol::{RequestHeader, codec, versions};
use broker::record::{BatchBuilder, Compression};
use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest, OffsetForLeaderEpochRequest, ProduceRequest, RequestKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::group_requests;

/// The header of a request of `api`, of the version `version`.
pub(crate) fn header(api: ApiKey, version: i16) -> RequestHeader {
    RequestHeader {
        api,
        version,
        correlation_id: 7,
        client_id: Some(StrBytes::from_static_str("hostile")),
        peer: None,
    }
}

/// A frame, with its length in front.
pub(crate) fn frame(api: ApiKey, version: i16, body: &RequestKind) -> Bytes {
    codec::encode_request(&header(api, version), body).unwrap()
}

/// A produce request for partition 0 of `topic`.
pub(crate) fn produce(topic: &'static str, records: Bytes) -> RequestKind {
    let data = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(vec![data]);
    RequestKind::Produce(
        ProduceRequest::default()
            .with_acks(1)
            .with_timeout_ms(1_000)
            .with_topic_data(vec![topic]),
    )
}

/// A batch of three records.
pub(crate) fn batch() -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in ["one", "two", "three"] {
        builder.append(1_700_000_000_000, Some(b"key"), Some(value.as_bytes()), &[]);
    }
    builder.build()
}

/// A well-formed request of every API that a client uses, about `topic`, in its oldest and its
/// newest version by name.
pub(crate) fn well_formed(topic: &'static str) -> Vec<Bytes> {
    let bodies = [
        (ApiKey::Produce, 12, produce(topic, batch())),
        (ApiKey::Fetch, 12, fetch(topic)),
        (ApiKey::ListOffsets, 6, list_offsets(topic)),
        (ApiKey::Metadata, 13, metadata(topic)),
        (ApiKey::FindCoordinator, 3, find_coordinator()),
        (ApiKey::ApiVersions, 4, api_versions()),
        (ApiKey::CreateTopics, 7, create_topics(topic)),
        (ApiKey::DeleteTopics, 6, delete_topics()),
        (ApiKey::InitProducerId, 4, init_producer_id()),
        (ApiKey::OffsetForLeaderEpoch, 4, epoch_end(topic)),
        (ApiKey::DescribeConfigs, 4, describe_configs(topic)),
    ];
    let mut frames = Vec::new();
    let of_groups = group_requests::well_formed(topic);
    for (api, newest, body) in bodies.iter().chain(&of_groups) {
        let oldest = versions::served(*api).unwrap().min;
        for version in [oldest, *newest] {
            // Not every field fits into every version.
            frames.extend(codec::encode_request(&header(*api, version), body));
        }
    }
    frames
}

pub(crate) fn name(topic: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(topic))
}

/// A fetch of partition 0 that does not wait.
pub(crate) fn fetch(topic: &'static str) -> RequestKind {
    RequestKind::Fetch(fetch_with_wait(topic, 0))
}

/// A fetch of partition 0 that waits for 24 days.
pub(crate) fn endless_fetch(topic: &'static str) -> RequestKind {
    RequestKind::Fetch(fetch_with_wait(topic, i32::MAX).with_min_bytes(1 << 20))
}

fn fetch_with_wait(topic: &'static str, wait_millis: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(name(topic))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(wait_millis)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic])
}

fn list_offsets(topic: &'static str) -> RequestKind {
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    RequestKind::ListOffsets(ListOffsetsRequest::default().with_topics(vec![topic]))
}

fn metadata(topic: &'static str) -> RequestKind {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    RequestKind::Metadata(MetadataRequest::default().with_topics(Some(vec![topic; 2])))
}

fn find_coordinator() -> RequestKind {
    let key = StrBytes::from_static_str("group");
    RequestKind::FindCoordinator(FindCoordinatorRequest::default().with_key(key))
}

fn api_versions() -> RequestKind {
    let software = StrBytes::from_static_str("hostile");
    RequestKind::ApiVersions(
        ApiVersionsRequest::default()
            .with_client_software_name(software.clone())
            .with_client_software_version(software),
    )
}

/// It creates nothing: a mutation must not leave ten thousand partitions behind.
fn create_topics(topic: &'static str) -> RequestKind {
    let creatable = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(-1)
        .with_replication_factor(-1);
    RequestKind::CreateTopics(
        CreateTopicsRequest::default()
            .with_topics(vec![creatable])
            .with_validate_only(true),
    )
}

fn delete_topics() -> RequestKind {
    let state = DeleteTopicState::default().with_name(Some(name("never-created")));
    RequestKind::DeleteTopics(DeleteTopicsRequest::default().with_topics(vec![state]))
}

fn init_producer_id() -> RequestKind {
    RequestKind::InitProducerId(
        InitProducerIdRequest::default()
            .with_producer_id((-1).into())
            .with_producer_epoch(-1),
    )
}

fn epoch_end(topic: &'static str) -> RequestKind {
    let topic = OffsetForLeaderTopic::default()
        .with_topic(name(topic))
        .with_partitions(vec![OffsetForLeaderPartition::default()]);
    RequestKind::OffsetForLeaderEpoch(
        OffsetForLeaderEpochRequest::default()
            .with_replica_id((-1).into())
            .with_topics(vec![topic]),
    )
}

fn describe_configs(topic: &'static str) -> RequestKind {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str(topic));
    RequestKind::DescribeConfigs(DescribeConfigsRequest::default().with_resources(vec![resource]))
}
