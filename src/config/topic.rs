//! One topic's configuration: the broker's defaults with the topic's overrides on top.
//!
//! In: `Settings` and the raw overrides from the metadata image. Out: a typed `TopicConfig`, and
//! the effective value of every key for DescribeConfigs. Source: Kafka's `TopicConfig`/`LogConfig`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::nearest;
use super::key::INT_MAX;
use super::{ConfigEntry, ConfigError, Key, Kind, Settings};

/// Whose clock stamps a topic's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The leader's, when it appends.
    LogAppendTime,
}

/// A key of a topic, with the broker's key that gives its default.
#[derive(Clone, Copy, Debug)]
pub struct TopicKey {
    /// The key; its `default` is Kafka's, used where no broker's settings are at hand.
    pub key: Key,
    /// The key of `Settings` that gives the default.
    pub broker_key: &'static str,
}

const MS: Kind = Kind::Long(0, i64::MAX);
const POSITIVE: Kind = Kind::Long(1, i64::MAX);

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    broker_key: &'static str,
    doc: &'static str,
) -> TopicKey {
    TopicKey {
        key: Key::new(name, kind, Some(default), doc),
        broker_key,
    }
}

/// Every key that a topic may override.
#[rustfmt::skip]
pub const TOPIC_KEYS: &[TopicKey] = &[
    row("cleanup.policy", Kind::OneOf(&["delete", "compact"]), "delete", "log.cleanup.policy",
        "What happens to old segments: they go by age and size, or keep each key's last value."),
    row("compression.type", Kind::OneOf(&["producer"]), "producer", "compression.type",
        "The compression of stored batches: the producer's."),
    row("delete.retention.ms", MS, "86400000", "log.cleaner.delete.retention.ms",
        "How long a compacted topic keeps tombstones."),
    row("file.delete.delay.ms", MS, "60000", "log.segment.delete.delay.ms",
        "Time before a removed segment's files go."),
    row("flush.messages", POSITIVE, "9223372036854775807", "log.flush.interval.messages",
        "Records after which the log is flushed; 1 flushes before every acknowledgement."),
    row("flush.ms", POSITIVE, "9223372036854775807", "log.flush.interval.ms",
        "Age at which unflushed records are flushed."),
    row("index.interval.bytes", Kind::Int(1, INT_MAX), "4096", "log.index.interval.bytes",
        "Bytes of log for one index entry."),
    row("max.message.bytes", Kind::Int(0, INT_MAX), "1048588", "message.max.bytes",
        "Largest record batch."),
    row("message.timestamp.after.max.ms", MS, "3600000", "log.message.timestamp.after.max.ms",
        "How far a timestamp may lie in the future."),
    row("message.timestamp.before.max.ms", MS, "9223372036854775807",
        "log.message.timestamp.before.max.ms", "How far a timestamp may lie in the past."),
    row("message.timestamp.type", Kind::OneOf(&["CreateTime", "LogAppendTime"]), "CreateTime",
        "log.message.timestamp.type", "Whose clock stamps records."),
    row("min.insync.replicas", Kind::Int(1, INT_MAX), "1", "min.insync.replicas",
        "In-sync replicas that acks=all needs."),
    row("retention.bytes", Kind::Long(-1, i64::MAX), "-1", "log.retention.bytes",
        "Size of a partition above which old segments go; -1 is no limit."),
    row("retention.ms", Kind::Long(-1, i64::MAX), "604800000", "log.retention.ms",
        "Age at which a segment may go; -1 keeps it."),
    row("segment.bytes", Kind::Int(1024, INT_MAX), "1073741824", "log.segment.bytes",
        "Size of a segment."),
    row("segment.index.bytes", Kind::Int(12, INT_MAX), "10485760", "log.index.size.max.bytes",
        "Size of an index that rolls its segment."),
    row("segment.ms", POSITIVE, "604800000", "log.roll.ms", "Age at which a segment is rolled."),
    row("unclean.leader.election.enable", Kind::Bool, "false", "unclean.leader.election.enable",
        "Whether a replica outside the ISR may become leader."),
];

/// The validated configuration of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `cleanup.policy` is `compact`: no record goes by age or size.
    pub is_compacted: bool,
    /// `delete.retention.ms`.
    pub delete_retention: Duration,
    /// `file.delete.delay.ms`.
    pub file_delete_delay: Duration,
    /// `flush.messages`: records after which a flush is due; `u64::MAX` is never.
    pub flush_messages: u64,
    /// `flush.ms`: age at which a flush is due; `None` is never.
    pub flush_interval: Option<Duration>,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `retention.bytes`; `None` is no limit.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; `None` is no limit.
    pub retention: Option<Duration>,
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `segment.ms`.
    pub segment_age: Duration,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
}

impl TopicConfig {
    /// Kafka's defaults, for cores and tests that have no `Settings`.
    pub fn kafka_defaults() -> Self {
        Self::from_lookup(|row| row.key.default.unwrap_or("").to_owned())
    }

    /// The configuration of a topic with these raw overrides, on a broker with these settings.
    pub fn resolve(
        settings: &Settings,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        for (name, value) in overrides {
            validate_topic_override(name, value)?;
        }
        Ok(Self::from_lookup(|row| {
            let default = || settings.text(row.broker_key).to_owned();
            overrides.get(row.key.name).cloned().unwrap_or_else(default)
        }))
    }

    /// Every key with its effective value, in the table's order.
    pub fn entries(settings: &Settings, overrides: &BTreeMap<String, String>) -> Vec<ConfigEntry> {
        let entry = |row: &TopicKey| {
            let set = overrides.get(row.key.name);
            ConfigEntry {
                name: row.key.name,
                value: set
                    .map_or_else(|| settings.text(row.broker_key), String::as_str)
                    .to_owned(),
                is_default: set.is_none(),
                doc: row.key.doc,
            }
        };
        TOPIC_KEYS.iter().map(entry).collect()
    }

    fn from_lookup(value_of: impl Fn(&TopicKey) -> String) -> Self {
        let text = |name: &str| {
            let row = TOPIC_KEYS.iter().find(|row| row.key.name == name);
            value_of(row.expect("invariant: the key is in the table of topic keys"))
        };
        let long = |name: &str| -> i64 {
            text(name)
                .parse()
                .expect("invariant: topic configurations are validated")
        };
        let non_negative = |name: &str| u64::try_from(long(name)).ok();
        let millis = |name: &str| Duration::from_millis(non_negative(name).unwrap_or(0));
        Self {
            is_compacted: text("cleanup.policy") == "compact",
            delete_retention: millis("delete.retention.ms"),
            file_delete_delay: millis("file.delete.delay.ms"),
            flush_messages: match long("flush.messages") {
                i64::MAX => u64::MAX,
                messages => messages as u64,
            },
            flush_interval: match long("flush.ms") {
                i64::MAX => None,
                ms => Some(Duration::from_millis(ms as u64)),
            },
            index_interval_bytes: long("index.interval.bytes") as u32,
            max_message_bytes: long("max.message.bytes") as u32,
            timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
            timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
            timestamp_type: match text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_insync_replicas: long("min.insync.replicas") as i32,
            retention_bytes: non_negative("retention.bytes"),
            retention: non_negative("retention.ms").map(Duration::from_millis),
            segment_bytes: long("segment.bytes") as u32,
            segment_index_bytes: long("segment.index.bytes") as u32,
            segment_age: millis("segment.ms"),
            unclean_leader_election: text("unclean.leader.election.enable") == "true",
        }
    }
}

/// Checks one override as a client wrote it.
pub fn validate_topic_override(name: &str, value: &str) -> Result<(), ConfigError> {
    match TOPIC_KEYS.iter().find(|row| row.key.name == name) {
        Some(row) => row.key.check(value),
        None => Err(ConfigError::UnknownKey {
            key: name.to_owned(),
            nearest: nearest(name, TOPIC_KEYS.iter().map(|row| row.key.name)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SETTINGS_KEYS;

    #[test]
    fn defaults_agree_with_the_broker_keys_they_name() {
        for row in TOPIC_KEYS {
            let broker = SETTINGS_KEYS
                .iter()
                .find(|key| key.name == row.broker_key)
                .unwrap();
            assert_eq!(
                (row.key.default, row.key.kind),
                (broker.default, broker.kind)
            );
        }
    }

    #[test]
    fn overrides_win_over_the_broker_settings() {
        let pairs = [
            "node.id=1",
            "log.dirs=/d",
            "min.insync.replicas=2",
            "log.retention.ms=5",
        ];
        let settings = Settings::parse("", &pairs).unwrap();
        let overrides = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
        let config = TopicConfig::resolve(&settings, &overrides).unwrap();
        assert_eq!((config.min_insync_replicas, config.retention), (2, None));
        assert_eq!(config.flush_messages, u64::MAX);
        let entries = TopicConfig::entries(&settings, &overrides);
        let is_default = |name| {
            entries
                .iter()
                .find(|entry| entry.name == name)
                .unwrap()
                .is_default
        };
        assert!(!is_default("retention.ms") && is_default("segment.ms"));
    }

    #[test]
    fn a_bad_override_says_what_would_be_right() {
        let unknown = validate_topic_override("retention", "1")
            .unwrap_err()
            .to_string();
        assert_eq!(unknown, "unknown key retention: did you mean retention.ms?");
        let bad = validate_topic_override("cleanup.policy", "compress")
            .unwrap_err()
            .to_string();
        assert_eq!(
            bad,
            "bad value for cleanup.policy: \"compress\" is not one of delete, compact"
        );
    }
}
