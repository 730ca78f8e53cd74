//! The active controller: the one node that decides what the metadata log says next.
//!
//! In: requests as plain structs, the time, and the offset of the next metadata record. Out: a
//! [`Decision`]: records to propose to the quorum as one batch, and a response to hold back.
//! Invariant: a decision is made on the image that all earlier decisions lead to, committed or
//! not; so the caller proposes the records of every decision in order and at the offset it named,
//! and drops the controller when it loses the quorum's leadership (bug KAFKA-6082: a controller
//! that decides on after that is a zombie; its batches cannot commit, its responses never leave).
//! Source: Kafka's `QuorumController`.

mod alter_partition;
mod assign_replicas;
mod assignment;
mod configs;
mod create_topics;
mod delete_topics;
mod draft;
mod elect_leaders;
mod election;
mod heartbeat;
mod placement;
mod producer_ids;
mod registration;
mod sessions;
mod topic_name;

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub use self::alter_partition::{
    AlterPartition, AlterPartitionResponse, AlteredPartition, IsrMember, PartitionAlteration,
};
pub use self::assign_replicas::{AssignReplicas, AssignedReplica, ReplicaDirectory};
pub use self::configs::{ConfigAlteration, ConfigOp, ConfigReplacement};
pub use self::create_topics::{CreatedTopic, NewTopic};
pub use self::delete_topics::{DeletedTopic, TopicSelector};
use self::draft::{Draft, TopicDefaults};
pub use self::elect_leaders::{ElectLeaders, ElectionKind, ElectionOutcome};
pub use self::heartbeat::{BrokerHeartbeat, HeartbeatResponse};
pub use self::placement::place;
pub use self::producer_ids::{AllocateProducerIds, ProducerIdBlock};
pub use self::registration::RegisterBroker;
use self::sessions::Sessions;
use crate::config::Settings;
use crate::error::ErrorCode;
use crate::metadata::image::MetadataImage;
use crate::metadata::record::MetadataRecord;
use crate::offset::Offset;
use crate::time::{Now, Time};

/// What the controller needs to know of its node's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerConfig {
    /// `cluster.id`: a broker of another cluster is refused.
    pub cluster_id: String,
    /// `broker.session.timeout.ms`: a silent broker is fenced after it.
    pub session_timeout: Duration,
    /// `min.insync.replicas` of topics that do not set it.
    pub min_insync_replicas: i32,
    /// `unclean.leader.election.enable` of topics that do not set it.
    pub unclean_leader_election: bool,
    /// `num.partitions`: partitions of a topic created without a count.
    pub partitions: i32,
    /// `default.replication.factor`: replicas of a topic created without a factor.
    pub replication_factor: i16,
    /// `delete.topic.enable`.
    pub topics_deletable: bool,
    /// `leader.imbalance.check.interval.seconds`: leadership returns to preferred replicas that
    /// often; `None` if `auto.leader.rebalance.enable` is false.
    pub rebalance_interval: Option<Duration>,
}

impl ControllerConfig {
    /// The controller's part of a node's settings.
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            cluster_id: settings.cluster_id.clone(),
            session_timeout: settings.millis("broker.session.timeout.ms"),
            min_insync_replicas: settings.int("min.insync.replicas"),
            unclean_leader_election: settings.flag("unclean.leader.election.enable"),
            partitions: settings.int("num.partitions"),
            replication_factor: settings.int("default.replication.factor") as i16,
            topics_deletable: settings.flag("delete.topic.enable"),
            rebalance_interval: settings.flag("auto.leader.rebalance.enable").then(|| {
                let seconds = settings.long("leader.imbalance.check.interval.seconds");
                Duration::from_secs(seconds as u64)
            }),
        }
    }
}

/// What the controller decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<R> {
    /// The records to propose, as one atomic batch, at the offset that the caller named.
    /// Empty if nothing changes.
    pub records: Vec<MetadataRecord>,
    /// The response may leave when the quorum's high watermark has reached this offset. It lies
    /// after `records`, or where there are none, after the records that the response rests on.
    pub release_at: Offset,
    /// The answer to the request.
    pub response: R,
}

/// A refusal, as the wire carries it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The code, for programs.
    pub code: ErrorCode,
    /// The reason and what would be right, for people.
    pub message: String,
}

impl ApiError {
    /// A refusal with `code`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The controller of the cluster, while its node leads the metadata quorum.
#[derive(Debug)]
pub struct Controller {
    config: ControllerConfig,
    /// The state after every decision made so far, committed or not.
    image: MetadataImage,
    sessions: Sessions,
    next_rebalance: Option<Time>,
    rng: ChaCha8Rng,
}

impl Controller {
    /// Begins to decide, on the state that the whole metadata log of this node leads to.
    ///
    /// The caller calls it once the quorum committed a record of its own epoch, and every record
    /// before is in `image`. `seed` is drawn fresh for every activation: topic ids come from it.
    /// Every registered broker gets a fresh session.
    pub fn activate(
        now: Now,
        config: ControllerConfig,
        image: MetadataImage,
        seed: [u8; 32],
    ) -> Self {
        let sessions = Sessions::inherit(now.time, config.session_timeout, &image);
        let next_rebalance = config
            .rebalance_interval
            .map(|interval| now.time + interval);
        let rng = ChaCha8Rng::from_seed(seed);
        Self {
            config,
            image,
            sessions,
            next_rebalance,
            rng,
        }
    }

    /// The state after every decision made so far, committed or not.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// When [`Self::handle_timeout`] is due: the earliest end of a broker's session, or the next
    /// return of leaderships to preferred replicas.
    pub fn next_timeout(&self) -> Option<Time> {
        self.sessions
            .next_expiry()
            .into_iter()
            .chain(self.next_rebalance)
            .min()
    }

    /// Fences the broker whose session ended first, if one has; else rebalances leaders, if that
    /// is due. Call again while [`Self::next_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Now, next_offset: Offset) -> Decision<()> {
        let mut draft = self.draft(next_offset);
        if let Some(broker_id) = self.sessions.take_expired(now.time) {
            self.fence_silent(&mut draft, broker_id);
        } else if self.next_rebalance.is_some_and(|due| due <= now.time) {
            self.next_rebalance = self.config.rebalance_interval.map(|every| now.time + every);
            elect_leaders::rebalance(&mut draft);
        }
        self.decide(draft, ())
    }

    fn draft(&self, next_offset: Offset) -> Draft {
        let defaults = TopicDefaults {
            min_insync_replicas: self.config.min_insync_replicas,
            unclean_leader_election: self.config.unclean_leader_election,
        };
        Draft::new(self.image.clone(), defaults, next_offset)
    }

    /// Makes the draft the state of the controller.
    fn decide<R>(&mut self, draft: Draft, response: R) -> Decision<R> {
        let release_at = draft.next_offset();
        let (image, records) = draft.into_parts();
        self.image = image;
        Decision {
            records,
            release_at,
            response,
        }
    }
}

#[cfg(test)]
mod admin_test;
#[cfg(test)]
mod alter_partition_test;
#[cfg(test)]
mod broker_test;
#[cfg(test)]
mod directory_test;
#[cfg(test)]
mod election_test;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod random_test;
