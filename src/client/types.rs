//! The records that applications hand over and get back.

use bytes::Bytes;

use crate::offset::{LeaderEpoch, Offset};
use crate::record::Header;

/// A record to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerRecord {
    /// The topic's name.
    pub topic: String,
    /// The partition; `None` lets the key decide (murmur2, as the Java client does), and without
    /// a key the partitions take turns.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// The headers, in order; names may repeat.
    pub headers: Vec<Header>,
    /// Milliseconds since the Unix epoch; `None` stamps the record when it is sent.
    pub timestamp: Option<i64>,
}

/// Where an acknowledged record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The record's offset; `None` with `Acks::Zero`, where no broker answers.
    pub offset: Option<Offset>,
    /// The record's timestamp, in milliseconds since the Unix epoch.
    pub timestamp: i64,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// The epoch of the leader that appended the record.
    pub leader_epoch: LeaderEpoch,
}
