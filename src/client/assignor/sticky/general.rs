//! The sticky assignment of a group whose members subscribe to different topics.
//!
//! In: the claims. Out: an assignment in which no member could take a partition from another that
//! has at least two more than it.
//! Invariant: each move takes from a member with at least two more, so every move lowers the sum of
//! the squares, the moves end, and Kafka's comparison of the balance before and after, with its way
//! back, can never decide otherwise; nor can its exclusion of members and topics that have nothing
//! to move. Source: Kafka's `GeneralAssignmentBuilder`.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::assignor::Assignments;
use crate::client::assignor::sticky::Group;
use crate::client::assignor::sticky::movements::Movements;
use crate::id::TopicPartition;

struct Builder<'a> {
    /// The members that subscribe to each topic.
    candidates: BTreeMap<&'a str, Vec<&'a str>>,
    held: BTreeMap<&'a str, BTreeSet<TopicPartition>>,
    owner: BTreeMap<TopicPartition, &'a str>,
    /// Whether a member had partitions of a topic that it no longer subscribes to.
    revocation_required: bool,
    movements: Movements<'a>,
}

pub(super) fn assign(group: &Group<'_>) -> Assignments {
    let mut builder = Builder::new(group);
    let mut topics: Vec<_> = group.counts.keys().copied().collect();
    // Those that few can take come first, while there is still a choice for the others.
    topics.sort_by_key(|topic| (builder.candidates(topic).len(), *topic));
    let sorted: Vec<_> = group.partitions_of(topics).collect();
    let mut unassigned = sorted.clone();
    unassigned.retain(|partition| !builder.owner.contains_key(partition));
    for partition in &unassigned {
        if let Some(member) = builder.least_loaded(partition) {
            builder.hand_over(partition.clone(), member);
        }
    }
    if !builder.revocation_required {
        // What is new moves first, so that what members had stays with them.
        builder.balance(group, &unassigned);
    }
    builder.balance(group, &sorted);
    builder.finish(group)
}

impl<'a> Builder<'a> {
    fn new(group: &Group<'a>) -> Self {
        let mut candidates: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (member, topics) in &group.topics {
            for topic in topics {
                candidates.entry(*topic).or_default().push(*member);
            }
        }
        let mut builder = Self {
            candidates,
            held: group.topics.keys().map(|m| (*m, BTreeSet::new())).collect(),
            owner: BTreeMap::new(),
            revocation_required: false,
            movements: Movements::default(),
        };
        for (member, owned) in group.claims.owned() {
            for partition in owned {
                if builder.can_take(member, partition) {
                    builder.hand_over(partition.clone(), member);
                } else {
                    builder.revocation_required = true;
                }
            }
        }
        builder
    }

    fn candidates(&self, topic: &str) -> &[&'a str] {
        self.candidates.get(topic).map_or(&[], Vec::as_slice)
    }

    fn can_take(&self, member: &str, partition: &TopicPartition) -> bool {
        self.candidates(&partition.topic).contains(&member)
    }

    fn load(&self, member: &str) -> usize {
        self.held.get(member).map_or(0, BTreeSet::len)
    }

    fn least_loaded(&self, partition: &TopicPartition) -> Option<&'a str> {
        let candidates = self.candidates(&partition.topic).iter().copied();
        candidates.min_by_key(|member| (self.load(member), *member))
    }

    fn hand_over(&mut self, partition: TopicPartition, member: &'a str) {
        if let Some(old) = self.owner.insert(partition.clone(), member)
            && let Some(held) = self.held.get_mut(old)
        {
            held.remove(&partition);
        }
        self.held.entry(member).or_default().insert(partition);
    }

    /// Moves partitions of `movable` until none of them can move to a member with two less.
    fn balance(&mut self, group: &Group<'a>, movable: &[TopicPartition]) {
        let mut moved = true;
        while moved {
            moved = false;
            for partition in movable {
                moved |= self.improve(group, partition);
            }
        }
    }

    /// Takes one partition from the owner of `partition`, if somebody is better suited: who had it
    /// before, or else who has least.
    fn improve(&mut self, group: &Group<'a>, partition: &TopicPartition) -> bool {
        let Some(owner) = self.owner.get(partition).copied() else {
            return false;
        };
        let suited = |member: &&str| self.load(owner) > self.load(member) + 1;
        let previous = group.claims.previous(partition).filter(suited);
        let previous = previous.filter(|member| self.can_take(member, partition));
        let least = || self.least_loaded(partition).filter(suited);
        let Some(member) = previous.or_else(least) else {
            return false;
        };
        for (moving, to) in self.movements.resolve(partition, owner, member) {
            self.hand_over(moving, to);
        }
        true
    }

    /// The lists, each in the order of the topics' names.
    fn finish(self, group: &Group<'a>) -> Assignments {
        let members = group.topics.keys();
        let list = |member: &str| {
            self.held
                .get(member)
                .into_iter()
                .flatten()
                .cloned()
                .collect()
        };
        members
            .map(|member| ((*member).to_owned(), list(member)))
            .collect()
    }
}
