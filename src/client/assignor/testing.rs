//! Groups for the assignors' tests, written as text.

use std::collections::BTreeMap;

use crate::client::assignor::{
    Assignments, AssignorKind, MemberSubscription, PartitionCounts, Subscription,
};
use crate::id::TopicPartition;

/// A member from its id, its topics ("a b") and what it had ("a-0 b-1") in a generation.
pub(super) fn member(id: &str, topics: &str) -> MemberSubscription {
    MemberSubscription {
        member_id: id.to_owned(),
        instance_id: None,
        subscription: Subscription {
            topics: topics.split_whitespace().map(str::to_owned).collect(),
            ..Subscription::default()
        },
    }
}

/// The member with a claim on `partitions`, told in both sticky assignors' ways.
pub(super) fn with_claim(
    mut member: MemberSubscription,
    partitions: &[TopicPartition],
    generation_id: i32,
) -> MemberSubscription {
    let subscription = &mut member.subscription;
    subscription.user_data = AssignorKind::Sticky.user_data(Some((partitions, generation_id)));
    subscription.owned = partitions.to_vec();
    subscription.generation_id = Some(generation_id);
    member
}

/// The member as it joins again after it got `assignments` in `generation_id`.
pub(super) fn again(
    member: &MemberSubscription,
    assignments: &Assignments,
    generation_id: i32,
) -> MemberSubscription {
    match assignments.get(&member.member_id) {
        Some(partitions) => with_claim(member.clone(), partitions, generation_id),
        None => member.clone(),
    }
}

/// "a:3 b:2".
pub(super) fn topics(text: &str) -> PartitionCounts {
    let count = |word: &str| {
        let (topic, count) = word.split_once(':').expect("topic:count");
        (topic.to_owned(), count.parse().expect("a count"))
    };
    text.split_whitespace().map(count).collect()
}

/// "a-0 b-1".
pub(super) fn partitions(text: &str) -> Vec<TopicPartition> {
    let partition = |word: &str| {
        let (topic, index) = word.rsplit_once('-').expect("topic-partition");
        TopicPartition::new(topic, index.parse().expect("an index"))
    };
    text.split_whitespace().map(partition).collect()
}

/// The assignment as text, members by id and their partitions sorted.
pub(super) fn shown(assignments: &Assignments) -> BTreeMap<&str, String> {
    let list = |partitions: &Vec<TopicPartition>| {
        let mut sorted = partitions.clone();
        sorted.sort();
        let words: Vec<_> = sorted.iter().map(ToString::to_string).collect();
        words.join(" ")
    };
    let members = assignments.iter();
    members
        .map(|(id, partitions)| (id.as_str(), list(partitions)))
        .collect()
}

/// Asserts that `members` are assigned what `expected` says, one text for each.
pub(super) fn check(
    kind: AssignorKind,
    members: &[MemberSubscription],
    counts: &str,
    expected: &[(&str, &str)],
) -> Assignments {
    let assignments = kind.assign(members, &topics(counts));
    let expected = expected.iter().map(|(id, list)| (*id, (*list).to_owned()));
    assert_eq!(
        shown(&assignments),
        expected.collect(),
        "{kind:?} of {counts}"
    );
    assignments
}
