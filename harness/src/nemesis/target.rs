//! Whom a fault hits: named by role in the plan, resolved when it fires.
//!
//! In: a [`Target`] and what the cluster looks like now. Out: the nodes, or why there are none.
//! Keeps: resolution is a pure function of the picture and one drawn number, so that a report can
//! repeat it. Source: `faults.md` §1.9.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use broker::broker::OFFSETS_TOPIC;
use broker::group::partition_for;
use broker::id::BrokerId;
use checkers::history::Key;
use serde::{Deserialize, Serialize};

use crate::nemesis::min_isr::MinIsr;
use crate::workload::group::Roster;

/// A future in a box, because faults are called through trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whom a fault is aimed at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Target {
    /// Any node.
    Random,
    /// The leader of a partition.
    Leader {
        /// Its topic.
        topic: String,
        /// Its index.
        partition: i32,
    },
    /// A replica of a partition that is in sync and does not lead it.
    Follower {
        /// Its topic.
        topic: String,
        /// Its index.
        partition: i32,
    },
    /// Every replica of a partition that does not lead it, in sync or not.
    Followers {
        /// Its topic.
        topic: String,
        /// Its index.
        partition: i32,
    },
    /// The active controller.
    Controller,
    /// The last in-sync replica of some partition.
    OnlyReplicaInIsr,
    /// The broker that coordinates a group, which also leads the group's partition of
    /// `__consumer_offsets`.
    Coordinator {
        /// The group's name.
        group: String,
    },
    /// A client that is a member of the run's group.
    Member,
    /// Every member of the run's group.
    AllMembers,
    /// A client that sends.
    Producer,
    /// The client that owns a partition.
    Owner {
        /// Its topic.
        topic: String,
        /// Its index.
        partition: i32,
    },
    /// Every node.
    All,
    /// This node.
    Node {
        /// Its broker id.
        id: i32,
    },
}

/// What the cluster looks like at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// Every node of the run, alive or not, in order.
    pub nodes: Vec<BrokerId>,
    /// The active controller, if one is known.
    pub controller: Option<BrokerId>,
    /// The nodes that are registered and not fenced.
    pub registered: Vec<BrokerId>,
    /// The partitions of the topics under test.
    pub partitions: Vec<PartitionState>,
}

/// Who holds a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: i32,
    /// Its leader, if it has one.
    pub leader: Option<BrokerId>,
    /// Its replicas.
    pub replicas: Vec<BrokerId>,
    /// Those in sync now, as the active controller says.
    pub isr: Vec<BrokerId>,
    /// Those in sync by all who were asked: whoever surely has what was acknowledged.
    pub sure: Vec<BrokerId>,
    /// Those that are offline: their broker is, or the log directory that holds them.
    pub offline: Vec<BrokerId>,
}

/// What the cluster looked like when a majority told last.
#[derive(Clone, Debug)]
pub struct LastKnown {
    /// The cluster.
    pub state: ClusterState,
    /// How long ago it was asked.
    pub age: Duration,
}

/// Looks at the cluster from outside, as a client.
pub trait ClusterView: Send + Sync {
    /// The newest state that a majority of the nodes tells within a short time.
    ///
    /// # Errors
    /// A sentence that says which nodes answered and what they said.
    fn observe(&self) -> BoxFuture<'_, Result<ClusterState, String>>;

    /// What a majority told last, however long ago.
    fn last_known(&self) -> Option<LastKnown> {
        None
    }

    /// `min.insync.replicas` of every topic under test, as DescribeConfigs tells it.
    ///
    /// # Errors
    /// Who was asked and what it said; a cluster without topics has none to tell of.
    fn min_isr(&self) -> BoxFuture<'_, Result<MinIsr, String>> {
        Box::pin(async { Err("there are no topics under test".to_owned()) })
    }

    /// Sets `min.insync.replicas` of these topics by IncrementalAlterConfigs.
    ///
    /// # Errors
    /// The first topic whose value could not be set.
    fn set_min_isr<'a>(&'a self, _values: &'a MinIsr) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Err("there are no topics under test".to_owned()) })
    }
}

impl Target {
    /// True if resolving needs to look at the cluster.
    pub fn needs_view(&self) -> bool {
        !matches!(self, Self::Random | Self::All | Self::Node { .. }) && !self.is_client()
    }

    /// The nodes that are meant now; `draw` picks among several.
    ///
    /// # Errors
    /// Why nobody has the role at this moment.
    pub fn resolve(&self, state: &ClusterState, draw: u64) -> Result<Vec<BrokerId>, String> {
        let one = match self {
            Self::All => return Ok(state.nodes.clone()),
            Self::Followers { topic, partition } => {
                let held = state.partition(topic, *partition)?;
                let follows = |node: &BrokerId| held.leader.is_some_and(|leader| leader != *node);
                let nodes: Vec<_> = held.replicas.iter().copied().filter(follows).collect();
                let nobody = || format!("nobody is {self} now");
                return Some(nodes)
                    .filter(|nodes| !nodes.is_empty())
                    .ok_or_else(nobody);
            }
            Self::Random => pick(&state.nodes, draw),
            Self::Node { id } => state.nodes.iter().copied().find(|node| node.0 == *id),
            Self::Controller => state.controller,
            Self::Leader { topic, partition } => state.partition(topic, *partition)?.leader,
            Self::Follower { topic, partition } => {
                pick(&state.partition(topic, *partition)?.followers(), draw)
            }
            Self::Coordinator { group } => state.coordinator(group)?,
            Self::Member | Self::AllMembers | Self::Producer | Self::Owner { .. } => {
                return Err(format!("{self} is no node"));
            }
            Self::OnlyReplicaInIsr => {
                let alone = state.partitions.iter().filter(|held| held.isr.len() == 1);
                pick(
                    &alone.flat_map(|held| held.isr.clone()).collect::<Vec<_>>(),
                    draw,
                )
            }
        };
        one.map(|node| vec![node])
            .ok_or_else(|| format!("nobody is {self} now"))
    }
}

impl Target {
    /// The clients that are meant now, or why there is none; `None` if nodes are meant.
    pub fn resolve_clients(&self, roster: &Roster, draw: u64) -> Option<Result<Vec<u32>, String>> {
        let found = match self {
            Self::AllMembers => {
                let members = roster.members();
                let nobody = || "the group has no members now".to_owned();
                return Some(if members.is_empty() {
                    Err(nobody())
                } else {
                    Ok(members)
                });
            }
            Self::Member => pick(&roster.members(), draw),
            Self::Producer => pick(roster.producers(), draw),
            Self::Owner { topic, partition } => roster.owner_of(&Key::new(topic, *partition)),
            _ => return None,
        };
        let found = found.map(|client| vec![client]);
        Some(found.ok_or_else(|| format!("nobody is {self} now")))
    }

    /// Whether a client is meant.
    pub fn is_client(&self) -> bool {
        matches!(
            self,
            Self::Member | Self::AllMembers | Self::Producer | Self::Owner { .. }
        )
    }
}

impl ClusterState {
    /// The leader of the partition of `__consumer_offsets` that `group` lives in.
    fn coordinator(&self, group: &str) -> Result<Option<BrokerId>, String> {
        let of_topic = |held: &&PartitionState| held.topic == OFFSETS_TOPIC;
        let count = self.partitions.iter().filter(of_topic).count();
        if count == 0 {
            return Err(format!("the cluster has no {OFFSETS_TOPIC} yet"));
        }
        let index = partition_for(group, count as i32);
        Ok(self.partition(OFFSETS_TOPIC, index)?.leader)
    }

    /// Whether `node` takes part although one of its log directories is offline; nothing is known
    /// of its directories while it does not take part.
    pub fn has_offline_directory(&self, node: BrokerId) -> Option<bool> {
        let mut partitions = self.partitions.iter();
        let takes_part = self.registered.contains(&node);
        takes_part.then(|| partitions.any(|held| held.offline.contains(&node)))
    }

    fn partition(&self, topic: &str, index: i32) -> Result<&PartitionState, String> {
        let wanted = |held: &&PartitionState| held.topic == topic && held.partition == index;
        let missing = || format!("the cluster does not know partition {topic}-{index}");
        self.partitions.iter().find(wanted).ok_or_else(missing)
    }
}

impl PartitionState {
    fn followers(&self) -> Vec<BrokerId> {
        self.isr
            .iter()
            .copied()
            .filter(|node| Some(*node) != self.leader)
            .collect()
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Random => f.write_str("a random node"),
            Self::Leader { topic, partition } => write!(f, "leader of {topic}-{partition}"),
            Self::Follower { topic, partition } => write!(f, "follower of {topic}-{partition}"),
            Self::Followers { topic, partition } => write!(f, "followers of {topic}-{partition}"),
            Self::Controller => f.write_str("controller"),
            Self::OnlyReplicaInIsr => f.write_str("only replica in the ISR"),
            Self::Coordinator { group } => write!(f, "coordinator of {group}"),
            Self::Member => f.write_str("a member of the group"),
            Self::AllMembers => f.write_str("all members of the group"),
            Self::Producer => f.write_str("a producer"),
            Self::Owner { topic, partition } => write!(f, "owner of {topic}-{partition}"),
            Self::All => f.write_str("all nodes"),
            Self::Node { id } => write!(f, "node {id}"),
        }
    }
}

fn pick<T: Copy>(from: &[T], draw: u64) -> Option<T> {
    let index = draw.checked_rem(from.len() as u64)?;
    from.get(index as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().copied().map(BrokerId).collect()
    }

    #[test]
    fn roles_resolve_to_who_holds_them() {
        let held = |partition, leader: Option<i32>, isr: &[i32]| PartitionState {
            topic: "t".into(),
            partition,
            leader: leader.map(BrokerId),
            replicas: ids(&[1, 2, 3]),
            isr: ids(isr),
            sure: vec![],
            offline: vec![],
        };
        let state = ClusterState {
            nodes: ids(&[1, 2, 3]),
            controller: Some(BrokerId(2)),
            registered: ids(&[1, 2, 3]),
            partitions: vec![held(0, Some(1), &[1, 2, 3]), held(1, None, &[3])],
        };
        let leader = |partition| Target::Leader {
            topic: "t".into(),
            partition,
        };
        let follower = Target::Follower {
            topic: "t".into(),
            partition: 0,
        };
        let followers = |partition| Target::Followers {
            topic: "t".into(),
            partition,
        };
        for (target, draw, expected) in [
            (followers(0), 1, Some(ids(&[2, 3]))),
            (followers(1), 0, None),
            (Target::All, 0, Some(ids(&[1, 2, 3]))),
            (Target::Random, 4, Some(ids(&[2]))),
            (Target::Node { id: 3 }, 0, Some(ids(&[3]))),
            (Target::Node { id: 4 }, 0, None),
            (Target::Controller, 9, Some(ids(&[2]))),
            (leader(0), 0, Some(ids(&[1]))),
            (leader(1), 0, None),
            (leader(2), 0, None),
            (follower.clone(), 0, Some(ids(&[2]))),
            (follower, 1, Some(ids(&[3]))),
            (Target::OnlyReplicaInIsr, 7, Some(ids(&[3]))),
        ] {
            assert_eq!(target.resolve(&state, draw).ok(), expected, "{target}");
        }
        assert!(Target::Random.resolve(&ClusterState::default(), 1).is_err());
    }
}
