//! The first line of a history: the version of the format and what the run was configured with.
//!
//! `{"verdict-history":1,"settings":{…},"run":{…}}`. The settings are all that the contract
//! needs, so that a stored history can be judged on its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::history::group::CommitMode;
use crate::history::key::Key;

/// The version of the format that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// The first line of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Must be `FORMAT_VERSION`.
    #[serde(rename = "verdict-history")]
    pub version: u32,
    /// What the promises depend on.
    #[serde(default)]
    pub settings: Settings,
    /// The settings of each topic by its name, if the run has several; `settings` are then those
    /// of the first one of the plan.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, Settings>,
    /// The nodes that hold the copies of each partition, as `n2`, from its creation on; what is not
    /// named may be on any node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replicas: BTreeMap<Key, Vec<String>>,
    /// Whether the run was to end with `FINAL_READS`: without that line it was cut short, and what
    /// nobody has read says nothing.
    #[serde(default, rename = "final-reads", skip_serializing_if = "is_false")]
    pub final_reads: bool,
    /// Free for the harness: seed, profile, times, versions.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub run: Value,
}

impl Header {
    /// A header of this version.
    pub fn new(settings: Settings, run: Value) -> Self {
        Self {
            version: FORMAT_VERSION,
            settings,
            topics: BTreeMap::new(),
            replicas: BTreeMap::new(),
            final_reads: false,
            run,
        }
    }
}

/// The value of the `admin` operation whose `ok` says that the final readers have read all, and
/// whose `info` that they could not.
pub const FINAL_READS: &str = "final-reads";

/// The value of the `admin` operation during which nothing is broken and nothing is sent any more,
/// and the members work off what is left: `ok` once every partition is committed to its end and
/// every received record is processed, anything else if the deadline came first.
pub const GROUP_DRAIN: &str = "group-drain";

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_false(value: &bool) -> bool {
    !value
}

/// The settings that promises depend on, under Kafka's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `acks` of the producers.
    pub acks: Acks,
    /// `enable.idempotence` of the producers.
    #[serde(rename = "enable.idempotence")]
    pub idempotence: bool,
    /// `max.in.flight.requests.per.connection` of the producers.
    #[serde(rename = "max.in.flight.requests.per.connection")]
    pub max_in_flight: u32,
    /// Copies of each partition.
    #[serde(rename = "replication.factor")]
    pub replication_factor: u32,
    /// `min.insync.replicas` of the topic.
    #[serde(rename = "min.insync.replicas")]
    pub min_insync_replicas: u32,
    /// `unclean.leader.election.enable` of the topic.
    #[serde(rename = "unclean.leader.election.enable")]
    pub unclean_leader_election: bool,
    /// Whether `flush.messages` of the topic is 1: acknowledged is what was fsynced. Otherwise
    /// (`flush.messages` at its default) nothing is, until the system does it by itself.
    #[serde(
        rename = "flush.messages",
        with = "flush_messages",
        skip_serializing_if = "is_false"
    )]
    pub flush_every_message: bool,
    /// How long the clients of a partition may wait for an acknowledgement while log directories
    /// hang, in milliseconds; nothing is promised without it.
    #[serde(
        rename = "available-within-ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub available_within_ms: Option<u64>,
    /// How many nodes, from `n1` on, vote for the active controller: the entries of
    /// `controller.quorum.voters`. Older histories do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controllers: Option<u32>,
    /// Whether offsets of a partition may be missing: transactions, compaction, retention.
    #[serde(rename = "offset-gaps")]
    pub offset_gaps: bool,
    /// How the consumers share their work, if they are members of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupSettings>,
}

/// The settings of the consumers of a group, with Kafka's defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupSettings {
    /// What they do with what they read.
    pub mode: CommitMode,
    /// `auto.commit.interval.ms`.
    #[serde(rename = "auto.commit.interval.ms")]
    pub auto_commit_interval_ms: u64,
    /// `auto.offset.reset`.
    #[serde(rename = "auto.offset.reset")]
    pub reset: OffsetReset,
    /// `session.timeout.ms`.
    #[serde(rename = "session.timeout.ms")]
    pub session_timeout_ms: u64,
    /// `max.poll.interval.ms`, which is also the rebalance timeout.
    #[serde(rename = "max.poll.interval.ms")]
    pub max_poll_interval_ms: u64,
    /// `partition.assignment.strategy`, by the names on the wire.
    pub assignors: Vec<String>,
    /// The topic that commits are stored in; as the topic of the run if it is not named.
    #[serde(rename = "__consumer_offsets", skip_serializing_if = "Option::is_none")]
    pub offsets_topic: Option<OffsetsTopic>,
}

/// What the durability of `__consumer_offsets` depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffsetsTopic {
    /// `offsets.topic.replication.factor`.
    #[serde(rename = "replication.factor")]
    pub replication_factor: u32,
    /// `min.insync.replicas` of the topic.
    #[serde(rename = "min.insync.replicas")]
    pub min_insync_replicas: u32,
    /// Whether `flush.messages` of the topic is 1.
    #[serde(
        default,
        rename = "flush.messages",
        with = "flush_messages",
        skip_serializing_if = "is_false"
    )]
    pub flush_every_message: bool,
}

/// `flush.messages` as Kafka writes it: how many records may wait for an fsync.
mod flush_messages {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Kafka's default: never.
    const NEVER: u64 = i64::MAX as u64;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde calls"
    )]
    pub(super) fn serialize<S: Serializer>(every: &bool, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(if *every { 1 } else { NEVER })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        Ok(u64::deserialize(from)? == 1)
    }
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            mode: CommitMode::default(),
            auto_commit_interval_ms: 5_000,
            reset: OffsetReset::Latest,
            session_timeout_ms: 45_000,
            max_poll_interval_ms: 300_000,
            assignors: vec!["range".into(), "cooperative-sticky".into()],
            offsets_topic: None,
        }
    }
}

/// Where a group starts that has committed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OffsetReset {
    /// At the first record that is still there.
    Earliest,
    /// Behind the last record.
    Latest,
    /// Nowhere: the application must decide.
    None,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotence: true,
            max_in_flight: 5,
            replication_factor: 3,
            min_insync_replicas: 2,
            unclean_leader_election: false,
            flush_every_message: false,
            available_within_ms: None,
            controllers: None,
            offset_gaps: false,
            group: None,
        }
    }
}

/// When a produce request counts as acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acks {
    /// As soon as it was sent; no offset comes back.
    #[serde(rename = "0")]
    Zero,
    /// As soon as the leader has appended it.
    #[serde(rename = "1")]
    One,
    /// As soon as every in-sync replica has it.
    #[serde(rename = "all")]
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flush_messages_is_written_as_kafka_does_and_older_histories_read() {
        let read = |text: &str| serde_json::from_str::<Settings>(text).expect(text);
        assert!(!read("{}").flush_every_message, "an older history");
        let every = read(r#"{"flush.messages":1}"#);
        assert!(every.flush_every_message);
        let text = serde_json::to_string(&every).expect("writes");
        assert!(text.contains(r#""flush.messages":1,"#), "{text}");
        assert_eq!(read(&text), every);
        assert!(
            !read(r#"{"flush.messages":100}"#).flush_every_message,
            "99 acknowledged records may wait for their fsync"
        );
        let group = r#"{"group":{"__consumer_offsets":
            {"replication.factor":3,"min.insync.replicas":2,"flush.messages":1}}}"#;
        let topic = read(group).group.and_then(|group| group.offsets_topic);
        assert!(topic.is_some_and(|topic| topic.flush_every_message));
    }
}
