//! DescribeConfigs (32): the effective value of every key of a topic or of this broker.
//!
//! In: a request. Out: its response at once. Invariant: what is told is what is in force here.

use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse,
    describe_configs_request::DescribeConfigsResource,
    describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult},
};
use kafka_protocol::protocol::StrBytes;

use super::text;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::config::{ConfigEntry, Kind, SETTINGS_KEYS, TOPIC_KEYS, TopicConfig};
use crate::error::ErrorCode;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Where a value comes from, as the wire says it.
const FROM_TOPIC: i8 = 1;
const FROM_BROKER_FILE: i8 = 4;
const FROM_DEFAULT: i8 = 5;

/// Which parts of the answer the request wants and its version carries.
#[derive(Clone, Copy)]
struct Wanted {
    types: bool,
    docs: bool,
}

/// A key with its value, its source, and whether it can be changed at run time.
struct Row {
    entry: ConfigEntry,
    source: i8,
    read_only: bool,
    kind: Kind,
}

impl Broker {
    pub(super) fn handle_describe_configs(
        &mut self,
        request: RequestId,
        version: i16,
        body: DescribeConfigsRequest,
    ) {
        let wanted = Wanted {
            types: version >= 3,
            docs: version >= 3 && body.include_documentation,
        };
        let results = body
            .resources
            .into_iter()
            .map(|resource| self.describe(resource, wanted));
        let response = DescribeConfigsResponse::default().with_results(results.collect());
        self.respond(request, response);
    }

    fn describe(&self, resource: DescribeConfigsResource, wanted: Wanted) -> DescribeConfigsResult {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        let rows = match resource.resource_type {
            TOPIC => self.topic_rows(&resource.resource_name),
            BROKER => self.broker_rows(&resource.resource_name),
            _ => Err((
                ErrorCode::InvalidRequest,
                "only topics and brokers have configurations",
            )),
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err((code, reason)) => {
                return result
                    .with_error_code(code.code())
                    .with_error_message(Some(text(reason)));
            }
        };
        let keys = resource.configuration_keys;
        let asked = |row: &Row| {
            let is_named =
                |keys: &Vec<StrBytes>| keys.iter().any(|key| key.as_str() == row.entry.name);
            keys.as_ref().is_none_or(is_named)
        };
        let configs = rows
            .into_iter()
            .filter(asked)
            .map(|row| encode(row, wanted));
        result.with_configs(configs.collect())
    }

    fn topic_rows(&self, name: &str) -> Result<Vec<Row>, (ErrorCode, &'static str)> {
        let Some(topic) = self.image.topics().named(name) else {
            return Err((ErrorCode::UnknownTopicOrPartition, "no such topic"));
        };
        let overrides = self.image.configs().of_topic(topic.name());
        let entries = TopicConfig::entries(&self.settings, overrides);
        let rows = entries.into_iter().zip(TOPIC_KEYS).map(|(entry, key)| {
            let source = if !entry.is_default {
                FROM_TOPIC
            } else if self.settings.is_set(key.broker_key) {
                FROM_BROKER_FILE
            } else {
                FROM_DEFAULT
            };
            Row {
                entry,
                source,
                read_only: false,
                kind: key.key.kind,
            }
        });
        Ok(rows.collect())
    }

    fn broker_rows(&self, name: &str) -> Result<Vec<Row>, (ErrorCode, &'static str)> {
        if name.parse() != Ok(self.id.0) {
            return Err((ErrorCode::InvalidRequest, "ask the broker that you mean"));
        }
        let rows = self
            .settings
            .entries()
            .zip(SETTINGS_KEYS)
            .map(|(entry, key)| Row {
                source: if entry.is_default {
                    FROM_DEFAULT
                } else {
                    FROM_BROKER_FILE
                },
                entry,
                read_only: true,
                kind: key.kind,
            });
        Ok(rows.collect())
    }
}

fn encode(row: Row, wanted: Wanted) -> DescribeConfigsResourceResult {
    let result = DescribeConfigsResourceResult::default()
        .with_name(text(row.entry.name))
        .with_value(Some(text(&row.entry.value)))
        .with_read_only(row.read_only)
        .with_config_source(row.source);
    let result = if wanted.types {
        result.with_config_type(wire_type(row.kind))
    } else {
        result
    };
    if wanted.docs {
        result.with_documentation(Some(text(row.entry.doc)))
    } else {
        result
    }
}

fn wire_type(kind: Kind) -> i8 {
    match kind {
        Kind::Bool => 1,
        Kind::Text | Kind::OneOf(_) => 2,
        Kind::Int(..) => 3,
        Kind::Long(..) => 5,
        Kind::List => 7,
    }
}
