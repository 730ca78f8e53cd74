//! A partition as the controller decided it.
//!
//! In: the controller's records, folded by `metadata`. Out: what a replica acts on.
//! Invariant: `isr` and `elr` are disjoint subsets of `replicas`, the leader is in the ISR.
//! Source: Kafka's `PartitionRegistration`.

use uuid::Uuid;

use crate::id::{BrokerId, TopicId, UNASSIGNED_DIRECTORY};
use crate::offset::{LeaderEpoch, PartitionEpoch};

/// A partition as the controller knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// The partition's topic.
    pub topic_id: TopicId,
    /// The brokers that hold a replica, preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The in-sync replicas.
    pub isr: Vec<BrokerId>,
    /// The eligible leader replicas (KIP-966).
    pub elr: Vec<BrokerId>,
    /// The last known leaders (KIP-966).
    pub last_known_elr: Vec<BrokerId>,
    /// The leader, if there is one.
    pub leader: Option<BrokerId>,
    /// The leader's epoch; grows with every election, even of the same leader.
    pub leader_epoch: LeaderEpoch,
    /// The version of this registration; grows with every change.
    pub partition_epoch: PartitionEpoch,
    /// Whether the leader has yet to recover from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
    /// The replicas that a reassignment adds.
    pub adding_replicas: Vec<BrokerId>,
    /// The replicas that a reassignment removes.
    pub removing_replicas: Vec<BrokerId>,
    /// The log directories of the replicas, parallel to them.
    pub directories: Vec<Uuid>,
}

impl PartitionRegistration {
    /// The log directory in which `broker_id` keeps its replica, as far as the controller was told.
    pub fn directory_of(&self, broker_id: BrokerId) -> Uuid {
        let mut replicas = self.replicas.iter().zip(&self.directories);
        let found = replicas.find(|(replica, _)| **replica == broker_id);
        found.map_or(UNASSIGNED_DIRECTORY, |(_, directory)| *directory)
    }
}

/// Whether a leader has recovered from an unclean election.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaderRecoveryState {
    /// The ordinary state.
    #[default]
    Recovered,
    /// The leader was elected uncleanly and has not confirmed its log yet.
    Recovering,
}
