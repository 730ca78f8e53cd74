//! Answers that refuse a whole request of a controller API with one code.
//!
//! In: a request and a code. Out: a response that refuses each of its items, in the place where
//! its API carries errors. Invariant: a field that the version lacks is left default.

use kafka_protocol::messages::{
    self as wire, RequestKind, ResponseKind, alter_configs_response as alter_response,
    create_topics_response::CreatableTopicResult, delete_topics_response::DeletableTopicResult,
    incremental_alter_configs_response as incremental_response,
};

use crate::error::ErrorCode;

/// Refuses `request` as malformed.
pub(super) fn invalid(request: &RequestKind) -> ResponseKind {
    refusal(request, 0, ErrorCode::InvalidRequest)
}

/// Refuses `request`, which came in `version`, with `error`.
pub(super) fn refusal(request: &RequestKind, version: i16, error: ErrorCode) -> ResponseKind {
    let code = error.code();
    match request {
        RequestKind::BrokerRegistration(_) => wire::BrokerRegistrationResponse::default()
            .with_error_code(code)
            .into(),
        RequestKind::BrokerHeartbeat(_) => wire::BrokerHeartbeatResponse::default()
            .with_error_code(code)
            .into(),
        RequestKind::AssignReplicasToDirs(_) => wire::AssignReplicasToDirsResponse::default()
            .with_error_code(code)
            .into(),
        RequestKind::AllocateProducerIds(_) => wire::AllocateProducerIdsResponse::default()
            .with_error_code(code)
            .into(),
        RequestKind::CreateTopics(body) => create_topics(body, code),
        RequestKind::DeleteTopics(body) => delete_topics(body, version, code),
        RequestKind::IncrementalAlterConfigs(body) => {
            let responses = body.resources.iter().map(|resource| {
                incremental_response::AlterConfigsResourceResponse::default()
                    .with_resource_type(resource.resource_type)
                    .with_resource_name(resource.resource_name.clone())
                    .with_error_code(code)
            });
            let responses = responses.collect();
            wire::IncrementalAlterConfigsResponse::default()
                .with_responses(responses)
                .into()
        }
        RequestKind::AlterConfigs(body) => {
            let responses = body.resources.iter().map(|resource| {
                alter_response::AlterConfigsResourceResponse::default()
                    .with_resource_type(resource.resource_type)
                    .with_resource_name(resource.resource_name.clone())
                    .with_error_code(code)
            });
            wire::AlterConfigsResponse::default()
                .with_responses(responses.collect())
                .into()
        }
        _ => wire::AlterPartitionResponse::default()
            .with_error_code(code)
            .into(),
    }
}

fn create_topics(body: &wire::CreateTopicsRequest, code: i16) -> ResponseKind {
    let topics = body.topics.iter().map(|topic| {
        CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(code)
    });
    wire::CreateTopicsResponse::default()
        .with_topics(topics.collect())
        .into()
}

fn delete_topics(body: &wire::DeleteTopicsRequest, version: i16, code: i16) -> ResponseKind {
    let by_name = body.topic_names.iter().map(|name| {
        DeletableTopicResult::default()
            .with_name(Some(name.clone()))
            .with_error_code(code)
    });
    let by_state = body.topics.iter().map(|topic| {
        let result = DeletableTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(code);
        if version >= 6 {
            result.with_topic_id(topic.topic_id)
        } else {
            result
        }
    });
    wire::DeleteTopicsResponse::default()
        .with_responses(by_name.chain(by_state).collect())
        .into()
}

/// Whether a response says that its sender is not the controller.
pub(super) fn says_not_controller(response: &ResponseKind) -> bool {
    let code = ErrorCode::NotController.code();
    match response {
        ResponseKind::CreateTopics(body) => {
            body.topics.iter().any(|topic| topic.error_code == code)
        }
        ResponseKind::DeleteTopics(body) => {
            body.responses.iter().any(|topic| topic.error_code == code)
        }
        ResponseKind::IncrementalAlterConfigs(body) => body
            .responses
            .iter()
            .any(|resource| resource.error_code == code),
        ResponseKind::AlterConfigs(body) => body
            .responses
            .iter()
            .any(|resource| resource.error_code == code),
        _ => false,
    }
}
