//! The sticky assignment of a group whose members all subscribe to the same topics.
//!
//! In: the claims. Out: of P partitions and C members everyone has P / C or one more, and as many
//! partitions as that allows stay where they were.
//! Invariant: exactly P % C members are above the lower quota, so every member that is filled last
//! is one that has exactly the lower quota. Source: Kafka's `ConstrainedAssignmentBuilder`.

use std::collections::{BTreeSet, VecDeque};

use crate::client::assignor::sticky::Group;
use crate::client::assignor::{Assignments, give};
use crate::config::sabotage::{Sabotage, planted};
use crate::id::TopicPartition;

/// How many partitions a member has in a balanced group.
struct Quota {
    min: usize,
    max: usize,
    /// How many more members may have `max`, where it is more than `min`.
    over: usize,
}

/// The members that can take more.
#[derive(Default)]
struct Unfilled<'a> {
    /// Below the lower quota, in the circle in which they take.
    below: VecDeque<&'a str>,
    /// At the lower quota exactly, in the order in which they came to it.
    at_min: VecDeque<&'a str>,
}

pub(super) fn assign(group: &Group<'_>) -> Assignments {
    let everything: Vec<_> = group.partitions_of(group.counts.keys().copied()).collect();
    let members = group.topics.len().max(1);
    let mut quota = Quota {
        min: everything.len() / members,
        max: everything.len().div_ceil(members),
        over: everything.len() % members,
    };
    let mut assignments = Assignments::new();
    let mut unfilled = Unfilled::default();
    for (member, owned) in group.claims.owned() {
        let kept = keep(owned, &mut quota);
        unfilled.note(member, kept.len(), &quota);
        assignments.insert(member.to_owned(), kept);
    }
    let kept: BTreeSet<_> = assignments.values().flatten().cloned().collect();
    for partition in everything {
        if kept.contains(&partition) {
            continue;
        }
        if let Some(member) = unfilled.next() {
            give(&mut assignments, member, partition);
            let count = assignments.get(member).map_or(0, Vec::len);
            unfilled.note(member, count, &quota);
        }
    }
    assignments
}

/// What a member keeps of what it owned: the lowest partition numbers, over all topics.
fn keep(owned: &[TopicPartition], quota: &mut Quota) -> Vec<TopicPartition> {
    let mut kept = owned.to_vec();
    kept.sort_by(|a, b| (a.partition, &a.topic).cmp(&(b.partition, &b.topic)));
    if planted(Sabotage::StickyAssignorIgnoresQuota) {
        return kept;
    }
    if kept.len() >= quota.max && quota.over > 0 {
        quota.over -= 1;
        kept.truncate(quota.max);
    } else {
        kept.truncate(quota.min);
    }
    kept
}

impl<'a> Unfilled<'a> {
    /// Files a member under what it has now.
    fn note(&mut self, member: &'a str, count: usize, quota: &Quota) {
        if count < quota.min {
            self.below.push_back(member);
        } else if count == quota.min {
            self.at_min.push_back(member);
        }
    }

    fn next(&mut self) -> Option<&'a str> {
        self.below.pop_front().or_else(|| self.at_min.pop_front())
    }
}
