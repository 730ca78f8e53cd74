//! The controller's requests and responses on Kafka's wire.
//!
//! In: decoded bodies of controller APIs; the controller's answers. Out: the controller's plain
//! structs; bodies. Invariant: a field that the response's version lacks is left default.

use kafka_protocol::messages::{
    self as wire, RequestKind, ResponseKind, alter_configs_response as alter_response,
    alter_partition_response as partition_response,
    assign_replicas_to_dirs_response as assign_response,
    create_topics_response::CreatableTopicResult, delete_topics_response::DeletableTopicResult,
    incremental_alter_configs_response as incremental_response,
};
use kafka_protocol::protocol::StrBytes;

use super::controller_refusal::invalid;
use crate::id::{BrokerId, TopicId};
use crate::metadata::controller::{
    AllocateProducerIds, AlterPartition, AlterPartitionResponse, ApiError, AssignReplicas,
    AssignedReplica, BrokerHeartbeat, ConfigAlteration, ConfigOp, ConfigReplacement, CreatedTopic,
    DeletedTopic, HeartbeatResponse, IsrMember, NewTopic, PartitionAlteration, ProducerIdBlock,
    RegisterBroker, ReplicaDirectory, TopicSelector,
};
use crate::metadata::record::{BrokerEndpoint, ConfigResource};
use crate::offset::BrokerEpoch;
use crate::replica::LeaderRecoveryState;

/// A request as the controller takes it.
#[derive(Debug)]
pub(super) enum DecodedRequest {
    Register(RegisterBroker),
    Heartbeat(BrokerHeartbeat),
    AlterPartition(AlterPartition),
    AssignReplicas(AssignReplicas),
    AllocateProducerIds(AllocateProducerIds),
    CreateTopics {
        topics: Vec<NewTopic>,
        validate_only: bool,
    },
    DeleteTopics(Vec<TopicSelector>),
    IncrementalAlterConfigs {
        alterations: Vec<ConfigAlteration>,
        validate_only: bool,
    },
    AlterConfigs {
        replacements: Vec<ConfigReplacement>,
        validate_only: bool,
    },
}

/// The controller's form of `request`, or the answer that refuses it.
pub(super) fn decode(request: RequestKind) -> Result<DecodedRequest, Box<ResponseKind>> {
    Ok(match request {
        RequestKind::BrokerRegistration(body) => DecodedRequest::Register(registration(body)),
        RequestKind::BrokerHeartbeat(body) => DecodedRequest::Heartbeat(BrokerHeartbeat {
            broker_id: BrokerId(body.broker_id.0),
            broker_epoch: body.broker_epoch,
            metadata_offset: body.current_metadata_offset,
            wants_fence: body.want_fence,
            wants_shutdown: body.want_shut_down,
            offline_directories: body.offline_log_dirs,
        }),
        RequestKind::AlterPartition(body) => DecodedRequest::AlterPartition(alter_partition(body)),
        RequestKind::AssignReplicasToDirs(body) => {
            DecodedRequest::AssignReplicas(assign_replicas(body))
        }
        RequestKind::AllocateProducerIds(body) => {
            DecodedRequest::AllocateProducerIds(AllocateProducerIds {
                broker_id: BrokerId(body.broker_id.0),
                broker_epoch: body.broker_epoch,
            })
        }
        RequestKind::CreateTopics(body) => DecodedRequest::CreateTopics {
            topics: body.topics.into_iter().map(new_topic).collect(),
            validate_only: body.validate_only,
        },
        RequestKind::DeleteTopics(body) => DecodedRequest::DeleteTopics(delete_topics(body)),
        RequestKind::IncrementalAlterConfigs(body) => incremental_alter_configs(body)?,
        RequestKind::AlterConfigs(body) => alter_configs(body)?,
        other => return Err(Box::new(invalid(&other))),
    })
}

fn registration(body: wire::BrokerRegistrationRequest) -> RegisterBroker {
    let endpoints = body.listeners.into_iter().map(|listener| BrokerEndpoint {
        name: listener.name.to_string(),
        host: listener.host.to_string(),
        port: listener.port,
    });
    RegisterBroker {
        broker_id: BrokerId(body.broker_id.0),
        cluster_id: body.cluster_id.to_string(),
        incarnation_id: body.incarnation_id,
        endpoints: endpoints.collect(),
        rack: body.rack.map(|rack| rack.to_string()),
        directories: body.log_dirs,
        previous_broker_epoch: body.previous_broker_epoch,
    }
}

fn alter_partition(body: wire::AlterPartitionRequest) -> AlterPartition {
    let mut alterations = Vec::new();
    for topic in body.topics {
        for partition in topic.partitions {
            let isr = partition
                .new_isr_with_epochs
                .iter()
                .map(|member| IsrMember {
                    broker_id: BrokerId(member.broker_id.0),
                    broker_epoch: member.broker_epoch,
                });
            alterations.push(PartitionAlteration {
                topic_id: TopicId(topic.topic_id),
                partition: partition.partition_index,
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                isr: isr.collect(),
                recovery_state: recovery_state(partition.leader_recovery_state),
            });
        }
    }
    AlterPartition {
        broker_id: BrokerId(body.broker_id.0),
        broker_epoch: body.broker_epoch,
        alterations,
    }
}

fn assign_replicas(body: wire::AssignReplicasToDirsRequest) -> AssignReplicas {
    let mut replicas = Vec::new();
    for directory in body.directories {
        for topic in directory.topics {
            replicas.extend(topic.partitions.iter().map(|partition| ReplicaDirectory {
                directory: directory.id,
                topic_id: TopicId(topic.topic_id),
                partition: partition.partition_index,
            }));
        }
    }
    AssignReplicas {
        broker_id: BrokerId(body.broker_id.0),
        broker_epoch: body.broker_epoch,
        replicas,
    }
}

/// The recovery state that the wire writes as 0 or 1.
pub(super) fn recovery_state(wire: i8) -> LeaderRecoveryState {
    if wire == 0 {
        LeaderRecoveryState::Recovered
    } else {
        LeaderRecoveryState::Recovering
    }
}

/// What the wire writes for a recovery state.
pub(super) fn wire_recovery_state(state: LeaderRecoveryState) -> i8 {
    match state {
        LeaderRecoveryState::Recovered => 0,
        LeaderRecoveryState::Recovering => 1,
    }
}

fn new_topic(topic: wire::create_topics_request::CreatableTopic) -> NewTopic {
    let assignments = topic.assignments.into_iter().map(|assignment| {
        let brokers = assignment.broker_ids.iter().map(|id| BrokerId(id.0));
        (assignment.partition_index, brokers.collect())
    });
    let configs = topic.configs.into_iter().map(|config| {
        (
            config.name.to_string(),
            config.value.map(|value| value.to_string()),
        )
    });
    NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn delete_topics(body: wire::DeleteTopicsRequest) -> Vec<TopicSelector> {
    let by_name = body
        .topic_names
        .into_iter()
        .map(|name| TopicSelector::Name(name.to_string()));
    let by_state = body.topics.into_iter().map(|topic| match topic.name {
        Some(name) => TopicSelector::Name(name.to_string()),
        None => TopicSelector::Id(TopicId(topic.topic_id)),
    });
    by_name.chain(by_state).collect()
}

fn resource(kind: i8, name: &str) -> Option<ConfigResource> {
    match (kind, name) {
        (2, name) => Some(ConfigResource::Topic(name.into())),
        (4, "") => Some(ConfigResource::AllBrokers),
        (4, name) => name
            .parse()
            .ok()
            .map(|id| ConfigResource::Broker(BrokerId(id))),
        _ => None,
    }
}

fn wire_resource(resource: &ConfigResource) -> (i8, StrBytes) {
    match resource {
        ConfigResource::Topic(name) => (2, StrBytes::from_string(name.to_string())),
        ConfigResource::Broker(id) => (4, StrBytes::from_string(id.to_string())),
        ConfigResource::AllBrokers => (4, StrBytes::new()),
    }
}

fn incremental_alter_configs(
    body: wire::IncrementalAlterConfigsRequest,
) -> Result<DecodedRequest, Box<ResponseKind>> {
    let mut alterations = Vec::new();
    for item in &body.resources {
        let Some(resource) = resource(item.resource_type, &item.resource_name) else {
            return Err(Box::new(invalid(&RequestKind::IncrementalAlterConfigs(
                body,
            ))));
        };
        let ops = item.configs.iter().map(|config| {
            let op = match config.config_operation {
                0 => ConfigOp::Set(config.value.as_ref().map(ToString::to_string)),
                1 => ConfigOp::Delete,
                _ => ConfigOp::EditList,
            };
            (config.name.to_string(), op)
        });
        alterations.push(ConfigAlteration {
            resource,
            ops: ops.collect(),
        });
    }
    let validate_only = body.validate_only;
    Ok(DecodedRequest::IncrementalAlterConfigs {
        alterations,
        validate_only,
    })
}

fn alter_configs(body: wire::AlterConfigsRequest) -> Result<DecodedRequest, Box<ResponseKind>> {
    let mut replacements = Vec::new();
    for item in &body.resources {
        let Some(resource) = resource(item.resource_type, &item.resource_name) else {
            return Err(Box::new(invalid(&RequestKind::AlterConfigs(body))));
        };
        let overrides = item.configs.iter().map(|config| {
            (
                config.name.to_string(),
                config.value.as_ref().map(ToString::to_string),
            )
        });
        replacements.push(ConfigReplacement {
            resource,
            overrides: overrides.collect(),
        });
    }
    let validate_only = body.validate_only;
    Ok(DecodedRequest::AlterConfigs {
        replacements,
        validate_only,
    })
}

pub(super) fn registration_response(result: Result<BrokerEpoch, ApiError>) -> ResponseKind {
    let body = wire::BrokerRegistrationResponse::default();
    match result {
        Ok(epoch) => body.with_broker_epoch(epoch).into(),
        Err(error) => body.with_error_code(error.code.code()).into(),
    }
}

pub(super) fn heartbeat_response(result: Result<HeartbeatResponse, ApiError>) -> ResponseKind {
    let body = wire::BrokerHeartbeatResponse::default();
    match result {
        Ok(response) => body
            .with_is_caught_up(response.is_caught_up)
            .with_is_fenced(response.is_fenced)
            .with_should_shut_down(response.should_shut_down)
            .into(),
        Err(error) => body.with_error_code(error.code.code()).into(),
    }
}

pub(super) fn assign_replicas_response(
    result: Result<Vec<AssignedReplica>, ApiError>,
) -> ResponseKind {
    let body = wire::AssignReplicasToDirsResponse::default();
    let answers = match result {
        Ok(answers) => answers,
        Err(error) => return body.with_error_code(error.code.code()).into(),
    };
    let directories = answers.into_iter().map(|(replica, result)| {
        let code = result.map_or_else(|error| error.code.code(), |()| 0);
        let partition = assign_response::PartitionData::default()
            .with_partition_index(replica.partition)
            .with_error_code(code);
        let topic = assign_response::TopicData::default()
            .with_topic_id(replica.topic_id.0)
            .with_partitions(vec![partition]);
        assign_response::DirectoryData::default()
            .with_id(replica.directory)
            .with_topics(vec![topic])
    });
    body.with_directories(directories.collect()).into()
}

pub(super) fn producer_ids_response(result: Result<ProducerIdBlock, ApiError>) -> ResponseKind {
    let body = wire::AllocateProducerIdsResponse::default();
    match result {
        Ok(block) => body
            .with_producer_id_start(wire::ProducerId(block.first))
            .with_producer_id_len(block.count)
            .into(),
        Err(error) => body.with_error_code(error.code.code()).into(),
    }
}

pub(super) fn alter_partition_response(result: AlterPartitionResponse) -> ResponseKind {
    let altered = match result {
        Ok(altered) => altered,
        Err(error) => {
            let code = error.code.code();
            return wire::AlterPartitionResponse::default()
                .with_error_code(code)
                .into();
        }
    };
    let topics = altered.into_iter().map(|altered| {
        let partition =
            partition_response::PartitionData::default().with_partition_index(altered.partition);
        let partition = match altered.result {
            Ok(now) => partition
                .with_leader_id(wire::BrokerId(now.leader.map_or(-1, |leader| leader.0)))
                .with_leader_epoch(now.leader_epoch)
                .with_isr(now.isr.iter().map(|id| wire::BrokerId(id.0)).collect())
                .with_leader_recovery_state(wire_recovery_state(now.leader_recovery_state))
                .with_partition_epoch(now.partition_epoch),
            Err(error) => partition.with_error_code(error.code.code()),
        };
        partition_response::TopicData::default()
            .with_topic_id(altered.topic_id.0)
            .with_partitions(vec![partition])
    });
    wire::AlterPartitionResponse::default()
        .with_topics(topics.collect())
        .into()
}

pub(super) fn create_topics_response(
    names: &[String],
    results: Vec<Result<CreatedTopic, ApiError>>,
    version: i16,
) -> ResponseKind {
    let topics = names.iter().zip(results).map(|(name, result)| {
        let topic = CreatableTopicResult::default()
            .with_name(wire::TopicName(StrBytes::from_string(name.clone())));
        match result {
            Ok(created) => {
                let topic = if version >= 7 {
                    topic.with_topic_id(created.topic_id.0)
                } else {
                    topic
                };
                if version >= 5 {
                    topic
                        .with_num_partitions(created.partitions)
                        .with_replication_factor(created.replication_factor)
                        .with_configs(Some(Vec::new()))
                } else {
                    topic
                }
            }
            Err(error) => topic
                .with_error_code(error.code.code())
                .with_error_message(Some(StrBytes::from_string(error.message))),
        }
    });
    wire::CreateTopicsResponse::default()
        .with_topics(topics.collect())
        .into()
}

pub(super) fn delete_topics_response(
    selectors: &[TopicSelector],
    results: Vec<Result<DeletedTopic, ApiError>>,
    version: i16,
) -> ResponseKind {
    let topic_name = |name: &str| Some(wire::TopicName(StrBytes::from_string(name.to_owned())));
    let responses = selectors.iter().zip(results).map(|(selector, result)| {
        let (name, id) = match (selector, &result) {
            (_, Ok(deleted)) => (topic_name(&deleted.name), deleted.topic_id),
            (TopicSelector::Name(name), Err(_)) => (topic_name(name), TopicId::ZERO),
            (TopicSelector::Id(id), Err(_)) => (None, *id),
        };
        let topic = DeletableTopicResult::default().with_name(name);
        let topic = if version >= 6 {
            topic.with_topic_id(id.0)
        } else {
            topic
        };
        match result {
            Ok(_) => topic,
            Err(error) if version >= 5 => topic
                .with_error_code(error.code.code())
                .with_error_message(Some(StrBytes::from_string(error.message))),
            Err(error) => topic.with_error_code(error.code.code()),
        }
    });
    wire::DeleteTopicsResponse::default()
        .with_responses(responses.collect())
        .into()
}

pub(super) fn incremental_alter_configs_response<'a>(
    resources: impl Iterator<Item = &'a ConfigResource>,
    results: Vec<Result<(), ApiError>>,
) -> ResponseKind {
    let responses = resources.zip(results).map(|(resource, result)| {
        let (kind, name) = wire_resource(resource);
        let response = incremental_response::AlterConfigsResourceResponse::default()
            .with_resource_type(kind)
            .with_resource_name(name);
        match result {
            Ok(()) => response,
            Err(error) => response
                .with_error_code(error.code.code())
                .with_error_message(Some(StrBytes::from_string(error.message))),
        }
    });
    wire::IncrementalAlterConfigsResponse::default()
        .with_responses(responses.collect())
        .into()
}

pub(super) fn alter_configs_response<'a>(
    resources: impl Iterator<Item = &'a ConfigResource>,
    results: Vec<Result<(), ApiError>>,
) -> ResponseKind {
    let responses = resources.zip(results).map(|(resource, result)| {
        let (kind, name) = wire_resource(resource);
        let response = alter_response::AlterConfigsResourceResponse::default()
            .with_resource_type(kind)
            .with_resource_name(name);
        match result {
            Ok(()) => response,
            Err(error) => response
                .with_error_code(error.code.code())
                .with_error_message(Some(StrBytes::from_string(error.message))),
        }
    });
    wire::AlterConfigsResponse::default()
        .with_responses(responses.collect())
        .into()
}
