//! Reading and changing configurations.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;

use crate::client::admin::Admin;
use crate::client::admin::topics::changed;
use crate::client::cluster::error_code;
use crate::client::error::ClientError;
use crate::id::BrokerId;

const DESCRIBE_CONFIGS_VERSION_MAX: i16 = 2;
const INCREMENTAL_ALTER_CONFIGS_VERSION_MAX: i16 = 1;
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;

impl Admin {
    /// The effective configuration of a topic, by Kafka's names.
    ///
    /// # Errors
    /// `Invalid` if there is no such topic, `Retriable` if no broker answers.
    pub async fn describe_topic_configs(
        &self,
        topic: &str,
    ) -> Result<BTreeMap<String, String>, ClientError> {
        let request = describe(TOPIC, topic);
        let response = self
            .call_any(&request, DESCRIBE_CONFIGS_VERSION_MAX)
            .await?;
        configs(topic, &response)
    }

    /// The effective configuration of a broker, by Kafka's names, asked of that broker. One that
    /// is not known yet may have registered since the cluster was last asked.
    ///
    /// # Errors
    /// `Retriable` if the broker does not answer.
    pub async fn describe_broker_configs(
        &self,
        broker: BrokerId,
    ) -> Result<BTreeMap<String, String>, ClientError> {
        let name = broker.to_string();
        let request = describe(BROKER, &name);
        let seen = self.cluster.generation();
        if self.cluster.brokers().iter().all(|known| known.0 != broker) {
            self.cluster.refresh(Some(&[]), seen, false).await?;
        }
        let limit = self.cluster.request_timeout();
        let response = self
            .cluster
            .call(broker, &request, DESCRIBE_CONFIGS_VERSION_MAX, limit)
            .await
            .map_err(|error| ClientError::retriable(format!("broker {broker}: {error}")))?;
        configs(&name, &response)
    }

    /// Sets configurations of a topic.
    ///
    /// # Errors
    /// `Invalid` if a name or value is refused, `UnknownOutcome` if the answer was lost.
    pub async fn alter_topic_configs(
        &self,
        topic: &str,
        configs: &[(&str, &str)],
    ) -> Result<(), ClientError> {
        let entries = configs.iter().map(|(name, value)| {
            AlterableConfig::default()
                .with_name(StrBytes::from((*name).to_owned()))
                .with_config_operation(SET)
                .with_value(Some(StrBytes::from((*value).to_owned())))
        });
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from(topic.to_owned()))
            .with_configs(entries.collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let response = self
            .call_any(&request, INCREMENTAL_ALTER_CONFIGS_VERSION_MAX)
            .await?;
        let what = format!("alter configs of topic {topic}");
        match response.responses.first() {
            Some(answer) => changed(&what, answer.error_code, answer.error_message.as_deref()),
            None => Err(ClientError::unknown(format!(
                "{what}: the answer does not name it"
            ))),
        }
    }
}

fn describe(resource_type: i8, name: &str) -> DescribeConfigsRequest {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(StrBytes::from(name.to_owned()))
        .with_configuration_keys(None);
    DescribeConfigsRequest::default().with_resources(vec![resource])
}

fn configs(
    name: &str,
    response: &kafka_protocol::messages::DescribeConfigsResponse,
) -> Result<BTreeMap<String, String>, ClientError> {
    let result = response
        .results
        .iter()
        .find(|result| result.resource_name.as_str() == name)
        .ok_or_else(|| ClientError::retriable(format!("the answer does not name {name}")))?;
    match error_code(result.error_code) {
        Some(code) => Err(ClientError::from_code(code, format!("configs of {name}"))),
        None => Ok(result
            .configs
            .iter()
            .filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.to_string())))
            .collect()),
    }
}
