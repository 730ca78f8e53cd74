//! The records of the metadata log: each one is a fact about the cluster.
//!
//! In: decisions of the controller. Out: values that `MetadataImage::apply` folds.
//! Invariant: a record says everything that its application needs, so that an image never depends
//! on the node that applies it.
//! Source: Kafka's `metadata/src/main/resources/common/metadata/*.json`; the encoding is our own.

mod codec;
mod field;

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

pub use self::codec::{CodecError, decode_records, encode_records};
use crate::id::{BrokerId, TopicId, UNASSIGNED_DIRECTORY};
use crate::offset::{BrokerEpoch, ProducerId};
use crate::replica::{LeaderRecoveryState, PartitionRegistration};

/// One fact about the cluster, as the metadata log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRecord {
    /// Nothing; a new controller writes it to commit what came before.
    NoOp,
    /// A broker process registered; it replaces the broker's earlier registration.
    RegisterBroker(BrokerRegistration),
    /// A broker left the cluster for good.
    UnregisterBroker {
        /// The broker.
        broker_id: BrokerId,
        /// The life of it that left.
        broker_epoch: BrokerEpoch,
    },
    /// A registered broker was fenced, unfenced, or began a controlled shutdown.
    BrokerRegistrationChange {
        /// The broker.
        broker_id: BrokerId,
        /// The life of it that changed.
        broker_epoch: BrokerEpoch,
        /// The new state of the fence, if it changed.
        fenced: Option<bool>,
        /// Whether the broker shuts down, if that changed.
        in_controlled_shutdown: Option<bool>,
    },
    /// Other log directories of a registered broker than before are offline (KIP-858).
    BrokerDirectoriesOffline {
        /// The broker.
        broker_id: BrokerId,
        /// The life of it that changed.
        broker_epoch: BrokerEpoch,
        /// All of its registered directories that are offline now.
        directories: Vec<Uuid>,
    },
    /// A topic was created; its partitions follow.
    Topic {
        /// The topic's name.
        name: Arc<str>,
        /// The id of this incarnation, never used before.
        topic_id: TopicId,
    },
    /// A topic, its partitions and its configuration were deleted.
    RemoveTopic {
        /// The incarnation that was deleted.
        topic_id: TopicId,
    },
    /// A partition was created.
    Partition {
        /// The partition's index, from zero.
        partition: i32,
        /// Its first state; `registration.topic_id` says of which topic.
        registration: PartitionRegistration,
    },
    /// A partition changed.
    PartitionChange(PartitionChange),
    /// A configuration key was set, or with `None` deleted.
    Config {
        /// What is configured.
        resource: ConfigResource,
        /// Kafka's name of the key.
        key: String,
        /// The raw value.
        value: Option<String>,
    },
    /// A block of producer ids was handed out; the next block begins at `next_producer_id`.
    ProducerIds {
        /// The broker that received the block.
        broker_id: BrokerId,
        /// The life of the broker.
        broker_epoch: BrokerEpoch,
        /// The first id that was not handed out.
        next_producer_id: ProducerId,
    },
}

/// A broker as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The broker.
    pub broker_id: BrokerId,
    /// The process: a fresh id with every start.
    pub incarnation_id: Uuid,
    /// The offset of the `RegisterBroker` record; names this life of the broker.
    pub broker_epoch: BrokerEpoch,
    /// Where it listens.
    pub endpoints: Vec<BrokerEndpoint>,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// The ids of the log directories that it could open when it registered, or opened later.
    pub directories: Vec<Uuid>,
    /// Those of them that have failed or stall since.
    pub offline_directories: Vec<Uuid>,
    /// A fenced broker leads nothing, joins no ISR, and clients do not see it.
    pub fenced: bool,
    /// A broker that shuts down leads nothing and joins no ISR.
    pub in_controlled_shutdown: bool,
}

impl BrokerRegistration {
    /// Whether the broker may lead partitions and be a member of their ISR (KIP-841).
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether the broker can use what lies in `directory`. A replica without one is where the
    /// broker will put it.
    pub fn is_directory_online(&self, directory: Uuid) -> bool {
        directory == UNASSIGNED_DIRECTORY
            || self.directories.contains(&directory)
                && !self.offline_directories.contains(&directory)
    }
}

/// An address on which a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerEndpoint {
    /// The listener's name, such as `PLAINTEXT`.
    pub name: String,
    /// The host that peers and clients connect to.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// What changed of a partition; `None` and `Unchanged` leave a field as it is.
///
/// Applying it adds one to the partition epoch always, and one to the leader epoch if and only if
/// `leader` is not `Unchanged`, even when it names the same broker (KIP-631).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionChange {
    /// The partition's topic.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: i32,
    /// The new in-sync replicas.
    pub isr: Option<Vec<BrokerId>>,
    /// The new leader.
    pub leader: LeaderChange,
    /// The new replicas, preferred leader first.
    pub replicas: Option<Vec<BrokerId>>,
    /// The replicas that a reassignment adds.
    pub adding_replicas: Option<Vec<BrokerId>>,
    /// The replicas that a reassignment removes.
    pub removing_replicas: Option<Vec<BrokerId>>,
    /// The new eligible leader replicas (KIP-966).
    pub elr: Option<Vec<BrokerId>>,
    /// The new last known leaders (KIP-966).
    pub last_known_elr: Option<Vec<BrokerId>>,
    /// Whether the leader has yet to recover from an unclean election.
    pub recovery_state: Option<LeaderRecoveryState>,
    /// The log directories of the replicas, parallel to them.
    pub directories: Option<Vec<Uuid>>,
}

impl PartitionChange {
    /// A change of nothing in partition `partition` of the topic, to be filled in.
    pub fn new(topic_id: TopicId, partition: i32) -> Self {
        Self {
            topic_id,
            partition,
            isr: None,
            leader: LeaderChange::Unchanged,
            replicas: None,
            adding_replicas: None,
            removing_replicas: None,
            elr: None,
            last_known_elr: None,
            recovery_state: None,
            directories: None,
        }
    }
}

/// The leader field of a [`PartitionChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderChange {
    /// The leader and its epoch stay.
    Unchanged,
    /// A new epoch begins, and nobody leads it.
    NoLeader,
    /// A new epoch begins, led by this broker.
    Leader(BrokerId),
}

/// What a configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(Arc<str>),
    /// One broker.
    Broker(BrokerId),
    /// Every broker of the cluster that does not set the key itself.
    AllBrokers,
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => f.write_str("all brokers"),
        }
    }
}

#[cfg(test)]
mod codec_test;
