//! Creating and deleting topics.

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::client::admin::Admin;
use crate::client::cluster::error_code;
use crate::client::error::{ClientError, ErrorKind};
use crate::error::ErrorCode;

const CREATE_TOPICS_VERSION_MAX: i16 = 4;
const DELETE_TOPICS_VERSION_MAX: i16 = 5;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// The topic's name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas each partition has.
    pub replication_factor: i16,
    /// Topic configurations, by Kafka's names.
    pub configs: Vec<(String, String)>,
}

impl Admin {
    /// Creates a topic; returns once the controller has committed it.
    ///
    /// # Errors
    /// `Invalid` or `Retriable` if it was refused, `UnknownOutcome` if the answer was lost.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<(), ClientError> {
        let configs = topic.configs.into_iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from(name))
                .with_value(Some(StrBytes::from(value)))
        });
        let creatable = CreatableTopic::default()
            .with_name(topic_name(&topic.name))
            .with_num_partitions(topic.partitions)
            .with_replication_factor(topic.replication_factor)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![creatable])
            .with_timeout_ms(self.timeout_millis());
        let response = self.call_any(&request, CREATE_TOPICS_VERSION_MAX).await?;
        let answer = response
            .topics
            .iter()
            .find(|answer| answer.name.as_str() == topic.name);
        let what = format!("create topic {}", topic.name);
        match answer {
            Some(answer) => changed(&what, answer.error_code, answer.error_message.as_deref()),
            None => Err(ClientError::unknown(format!(
                "{what}: the answer does not name it"
            ))),
        }
    }

    /// Deletes a topic; returns once the controller has committed it.
    ///
    /// # Errors
    /// `Invalid` or `Retriable` if it was refused, `UnknownOutcome` if the answer was lost.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), ClientError> {
        let request = DeleteTopicsRequest::default()
            .with_topics(Vec::<DeleteTopicState>::new())
            .with_topic_names(vec![topic_name(topic)])
            .with_timeout_ms(self.timeout_millis());
        let response = self.call_any(&request, DELETE_TOPICS_VERSION_MAX).await?;
        let what = format!("delete topic {topic}");
        match response.responses.first() {
            Some(answer) => changed(&what, answer.error_code, answer.error_message.as_deref()),
            None => Err(ClientError::unknown(format!(
                "{what}: the answer does not name it"
            ))),
        }
    }

    fn timeout_millis(&self) -> i32 {
        i32::try_from(self.cluster.request_timeout().as_millis()).unwrap_or(i32::MAX)
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from(name.to_owned()))
}

/// The result of a change that a broker answered with `code`.
pub(super) fn changed(what: &str, code: i16, message: Option<&str>) -> Result<(), ClientError> {
    let Some(code) = error_code(code) else {
        return Ok(());
    };
    let kind = match code {
        // The controller may have written the change before it lost its place.
        ErrorCode::RequestTimedOut | ErrorCode::UnknownServerError => ErrorKind::UnknownOutcome,
        _ if code.is_retriable() => ErrorKind::Retriable,
        _ => ErrorKind::Invalid,
    };
    let detail = message
        .filter(|m| !m.is_empty())
        .map(|m| format!(": {m}"))
        .unwrap_or_default();
    Err(ClientError {
        kind,
        code: Some(code),
        message: format!("{what}: {code}{detail}"),
    })
}
