//! The assignors: who of a group reads which partition.
//!
//! In: what every member subscribes to and owned before, and the partitions of every topic.
//! Out: the partitions of every member, as the group's leader sends them in its SyncGroup.
//! Invariants: an assignor is a pure function, the order of its members changes nothing, and no
//! partition is given to two members. Only the cooperative assignor leaves partitions out: those
//! that another member still has to give up (KIP-429); the rebalance that follows hands them out.
//! Source: Kafka's `ConsumerPartitionAssignor`s; racks are carried and not yet weighed.
//!
//! | module | holds |
//! |---|---|
//! | `range` | every topic by itself, in consecutive runs |
//! | `round_robin` | all partitions dealt out like cards |
//! | `sticky` | balance first, then as few moves as possible; eager and cooperative |
//! | `protocol` | the bytes of subscriptions and assignments |
//! | `user_data` | what the sticky assignors tell of the last generation |

#[cfg(test)]
mod property_test;
mod protocol;
#[cfg(test)]
mod protocol_test;
mod range;
#[cfg(test)]
mod range_test;
mod round_robin;
mod sticky;
#[cfg(test)]
mod testing;
mod user_data;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::id::TopicPartition;

pub use protocol::{
    ProtocolError, Subscription, decode_assignment, decode_subscription, encode_assignment,
    encode_subscription,
};

/// How many partitions each topic has.
pub type PartitionCounts = BTreeMap<String, i32>;

/// The partitions of each member, by its id.
pub type Assignments = BTreeMap<String, Vec<TopicPartition>>;

/// A member as the group's leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSubscription {
    /// The id that the coordinator gave it.
    pub member_id: String,
    /// `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
    /// What it asked for when it joined.
    pub subscription: Subscription,
}

impl MemberSubscription {
    fn subscribes(&self, topic: &str) -> bool {
        self.subscription.topics.iter().any(|name| name == topic)
    }
}

/// The assignors that a member can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssignorKind {
    /// Each topic in consecutive runs; partition `i` of two topics goes to the same member.
    Range,
    /// All partitions of all topics dealt out in turn.
    RoundRobin,
    /// As balanced as can be, and as few moves as that allows; members give up everything first.
    Sticky,
    /// `Sticky`, and members keep what does not move (KIP-429).
    CooperativeSticky,
}

impl AssignorKind {
    /// Every assignor.
    pub const ALL: [Self; 4] = [
        Self::Range,
        Self::RoundRobin,
        Self::Sticky,
        Self::CooperativeSticky,
    ];

    /// The protocol's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The assignor of a protocol name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether members keep their partitions while they join.
    pub fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    /// The user data of a subscription: what the assignor wants to know of the last assignment
    /// that this member got, and of that assignment's generation.
    pub fn user_data(self, last: Option<(&[TopicPartition], i32)>) -> Option<Bytes> {
        let (partitions, generation_id) = last?;
        match self {
            Self::Range | Self::RoundRobin => None,
            Self::Sticky => Some(user_data::encode_sticky(partitions, generation_id)),
            Self::CooperativeSticky => Some(user_data::encode_cooperative(generation_id)),
        }
    }

    /// Divides the partitions of the subscribed topics among the members; every member has an
    /// entry. Topics that `partitions` does not name are left out.
    pub fn assign(
        self,
        members: &[MemberSubscription],
        partitions: &PartitionCounts,
    ) -> Assignments {
        match self {
            Self::Range => range::assign(members, partitions),
            Self::RoundRobin => round_robin::assign(members, partitions),
            Self::Sticky => sticky::assign(members, partitions, user_data::sticky_claim),
            Self::CooperativeSticky => sticky::assign_cooperatively(members, partitions),
        }
    }
}

/// Static members by their instance ids, then the others by their member ids, so that a static
/// member that comes back under a new member id gets the same partitions.
fn in_order(members: &[MemberSubscription]) -> Vec<&MemberSubscription> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by_key(|member| {
        let instance = member.instance_id.as_deref();
        (instance.is_none(), instance, member.member_id.as_str())
    });
    sorted
}

fn nothing_for_everyone(members: &[MemberSubscription]) -> Assignments {
    let ids = members.iter().map(|member| member.member_id.clone());
    ids.map(|id| (id, Vec::new())).collect()
}

fn give(assignments: &mut Assignments, member: &str, partition: TopicPartition) {
    assignments
        .entry(member.to_owned())
        .or_default()
        .push(partition);
}
