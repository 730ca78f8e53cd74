//! Identities: the names of brokers, topics, partitions and directories.
//!
//! Every type here is a plain value. `TopicPartition` names a partition by its topic's *name*
//! (log directories, requests of old versions); `TopicId` names the incarnation of a topic and is
//! never reused, so a recreated topic is a different topic.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// The log directory of a replica that no directory was chosen for yet (KIP-858).
pub const UNASSIGNED_DIRECTORY: Uuid = Uuid::from_u128(1);

/// The log directory of a replica whose log is lost or damaged (KIP-858).
pub const LOST_DIRECTORY: Uuid = Uuid::from_u128(2);

/// The id of a broker process, `node.id` in its configuration. Non-negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerId(pub i32);

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The unique id of one incarnation of a topic. The zero id means "no id".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// The absent id, as the wire writes it.
    pub const ZERO: Self = Self(Uuid::nil());
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition by the name of its topic and its index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index, from zero.
    pub partition: i32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    /// Writes `topic-partition`, which is also the name of the partition's directory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
