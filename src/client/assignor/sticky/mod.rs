//! The sticky assignors: balance first, then as few moves as balance allows.
//!
//! In: members with their claims, what each had and in which generation. Out: an assignment.
//! Invariants: of two members that claim a partition the newer generation has it, and of two of the
//! same generation neither (KAFKA-12984); the cooperative assignor gives no partition to a member
//! while another one holds it (KIP-429, KAFKA-14639).
//! Source: Kafka's `AbstractStickyAssignor`.
//!
//! | module | holds |
//! |---|---|
//! | `claims` | who had what |
//! | `constrained` | everyone subscribes to the same topics: quotas |
//! | `general` | subscriptions differ: the least loaded, then moves until nothing improves |

mod claims;
mod constrained;
mod general;
mod movements;
#[cfg(test)]
mod sticky_test;

use std::collections::{BTreeMap, BTreeSet};

use crate::client::assignor::user_data::{Claim, cooperative_claim};
use crate::client::assignor::{Assignments, MemberSubscription, PartitionCounts, Subscription};
use crate::id::TopicPartition;

use claims::Claims;

/// What the assignor knows of the group: members by id, with the topics that exist.
struct Group<'a> {
    topics: BTreeMap<&'a str, BTreeSet<&'a str>>,
    counts: BTreeMap<&'a str, i32>,
    claims: Claims<'a>,
}

impl<'a> Group<'a> {
    fn new(
        members: &'a [MemberSubscription],
        partitions: &'a PartitionCounts,
        claim: fn(&Subscription) -> Claim,
    ) -> Self {
        let topics: BTreeMap<_, BTreeSet<_>> = members
            .iter()
            .map(|member| {
                let names = member.subscription.topics.iter().map(String::as_str);
                let exist = names.filter(|topic| partitions.contains_key(*topic));
                (member.member_id.as_str(), exist.collect())
            })
            .collect();
        let subscribed: BTreeSet<_> = topics.values().flatten().copied().collect();
        let counts: BTreeMap<_, _> = partitions
            .iter()
            .map(|(topic, count)| (topic.as_str(), *count))
            .filter(|(topic, _)| subscribed.contains(topic))
            .collect();
        let claims = members
            .iter()
            .map(|member| (member.member_id.as_str(), claim(&member.subscription)))
            .collect();
        let claims = Claims::resolve(claims, &counts);
        Self {
            topics,
            counts,
            claims,
        }
    }

    fn assign(&self) -> Assignments {
        let mut subscriptions = self.topics.values();
        let first = subscriptions.next();
        if subscriptions.all(|topics| Some(topics) == first) {
            constrained::assign(self)
        } else {
            general::assign(self)
        }
    }

    /// Every partition of `topics`, in their order.
    fn partitions_of<'b>(
        &'b self,
        topics: impl IntoIterator<Item = &'b str>,
    ) -> impl Iterator<Item = TopicPartition> {
        topics.into_iter().flat_map(|topic| {
            let count = self.counts.get(topic).copied().unwrap_or(0);
            let topic: std::sync::Arc<str> = topic.into();
            (0..count).map(move |index| TopicPartition::new(topic.clone(), index))
        })
    }
}

/// Assigns to members that gave up everything before they joined.
pub(super) fn assign(
    members: &[MemberSubscription],
    partitions: &PartitionCounts,
    claim: fn(&Subscription) -> Claim,
) -> Assignments {
    Group::new(members, partitions, claim).assign()
}

/// Assigns to members that keep what they have, and withholds what changes hands: its old owner
/// gives it up in this generation, and the next one hands it out.
pub(super) fn assign_cooperatively(
    members: &[MemberSubscription],
    partitions: &PartitionCounts,
) -> Assignments {
    let group = Group::new(members, partitions, cooperative_claim);
    let mut assignments = group.assign();
    for (member, assigned) in &mut assignments {
        assigned.retain(|partition| !group.claims.is_held_by_another(partition, member));
    }
    assignments
}
