//! What every assignor promises for every group: no partition twice, none left out, balance,
//! stickiness, and the same answer whatever order the members come in.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::client::assignor::AssignorKind::{CooperativeSticky, RoundRobin, Sticky};
use crate::client::assignor::testing::{again, member};
use crate::client::assignor::{Assignments, AssignorKind, MemberSubscription, PartitionCounts};
use crate::id::TopicPartition;

const TOPICS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
struct Group {
    members: Vec<MemberSubscription>,
    counts: PartitionCounts,
}

impl Group {
    /// Every partition that somebody subscribes to.
    fn wanted(&self) -> BTreeSet<TopicPartition> {
        let read = |topic: &str| self.members.iter().any(|member| member.subscribes(topic));
        let counts = self.counts.iter().filter(|(topic, _)| read(topic));
        counts
            .flat_map(|(topic, &count)| (0..count).map(|i| TopicPartition::new(topic.as_str(), i)))
            .collect()
    }

    fn after(&self, assignments: &Assignments, generation_id: i32) -> Self {
        let members = self.members.iter();
        Self {
            members: members
                .map(|m| again(m, assignments, generation_id))
                .collect(),
            counts: self.counts.clone(),
        }
    }

    fn assign(&self, kind: AssignorKind) -> Assignments {
        kind.assign(&self.members, &self.counts)
    }

    fn is_equal(&self) -> bool {
        let topics = |m: &MemberSubscription| -> BTreeSet<String> {
            let names = m.subscription.topics.iter().cloned();
            names
                .filter(|topic| self.counts.contains_key(topic))
                .collect()
        };
        let mut all = self.members.iter().map(topics);
        let first = all.next();
        all.all(|other| Some(other) == first)
    }
}

fn counts() -> impl Strategy<Value = PartitionCounts> {
    let count = prop_oneof![Just(0), 1..3, 3..12];
    proptest::collection::btree_map(proptest::sample::select(&TOPICS[..]), count, 1..=4)
        .prop_map(|counts| counts.into_iter().map(|(t, n)| (t.to_owned(), n)).collect())
}

/// Members `m0`, `m1` …, each with a set of topics; all with the same if `equal`.
fn group(equal: bool) -> impl Strategy<Value = Group> {
    let masks = proptest::collection::vec(0u8..16, 1..8);
    (counts(), masks).prop_map(move |(counts, masks)| {
        let members = masks.iter().enumerate().map(|(place, mask)| {
            let mask = if equal { 15 } else { *mask };
            let chosen = TOPICS
                .iter()
                .enumerate()
                .filter(|(bit, _)| mask >> bit & 1 == 1);
            let topics: Vec<_> = chosen.map(|(_, topic)| *topic).collect();
            member(&format!("m{place}"), &topics.join(" "))
        });
        Group {
            members: members.collect(),
            counts,
        }
    })
}

/// A group whose members believe in anything: any partitions, any generations, overlapping.
fn confused_group() -> impl Strategy<Value = Group> {
    let claim = proptest::collection::btree_set((0..TOPICS.len(), 0..12i32), 0..10);
    let claims = proptest::collection::vec((claim, -1..4i32), 8);
    (any::<bool>().prop_flat_map(group), claims).prop_map(|(mut group, claims)| {
        for (member, (claim, generation_id)) in group.members.iter_mut().zip(claims) {
            let named = claim
                .into_iter()
                .map(|(t, index)| TopicPartition::new(TOPICS[t], index));
            let named = BTreeMap::from([(member.member_id.clone(), named.collect())]);
            *member = again(member, &named, generation_id);
        }
        group
    })
}

fn sorted(assignments: &Assignments) -> Vec<TopicPartition> {
    let mut all: Vec<_> = assignments.values().flatten().cloned().collect();
    all.sort();
    all
}

/// Asserts that each partition has one owner, which subscribes to it.
fn assert_complete(group: &Group, assignments: &Assignments) {
    let wanted: Vec<_> = group.wanted().into_iter().collect();
    assert_eq!(sorted(assignments), wanted);
    assert_subscribed(group, assignments);
}

fn assert_subscribed(group: &Group, assignments: &Assignments) {
    for member in &group.members {
        for partition in &assignments[&member.member_id] {
            assert!(
                member.subscribes(&partition.topic),
                "{} got {partition}",
                member.member_id
            );
        }
    }
}

/// Asserts that no member could take a partition of one that has at least two more.
fn assert_balanced(group: &Group, assignments: &Assignments) {
    for rich in assignments.values() {
        for poor in &group.members {
            let count = assignments[&poor.member_id].len();
            let takes = rich
                .iter()
                .find(|partition| poor.subscribes(&partition.topic));
            let problem = format!("{} has {count}, could take {takes:?}", poor.member_id);
            assert!(
                rich.len() < count + 2 || takes.is_none(),
                "{problem} of {assignments:?}"
            );
        }
    }
}

fn moved(before: &Assignments, after: &Assignments) -> usize {
    let kept = |(id, had): (&String, &Vec<TopicPartition>)| {
        let has = after.get(id).map_or(&[][..], Vec::as_slice);
        had.iter()
            .filter(|partition| has.contains(partition))
            .count()
    };
    sorted(after).len() - before.iter().map(kept).sum::<usize>()
}

/// From whom to whom partitions of which topic moved.
fn moves<'a>(
    before: &'a Assignments,
    after: &'a Assignments,
) -> BTreeSet<(&'a str, &'a str, String)> {
    let mut moves = BTreeSet::new();
    for (from, had) in before {
        for (to, has) in after.iter().filter(|(to, _)| *to != from) {
            for partition in had.iter().filter(|partition| has.contains(partition)) {
                moves.insert((from.as_str(), to.as_str(), partition.topic.to_string()));
            }
        }
    }
    moves
}

/// The fewest moves that balance needs: everybody keeps up to its quota, and as many as may have
/// one more keep one more.
fn fewest_moves(before: &Assignments, members: &[MemberSubscription], total: usize) -> usize {
    let (min, over) = (total / members.len(), total % members.len());
    let had = |member: &MemberSubscription| before.get(&member.member_id).map_or(0, Vec::len);
    let kept: usize = members.iter().map(|member| had(member).min(min)).sum();
    let above = members.iter().filter(|member| had(member) > min).count();
    total - kept - above.min(over)
}

proptest! {
    #[test]
    fn each_partition_has_one_owner(group in confused_group()) {
        for kind in [AssignorKind::Range, RoundRobin, Sticky] {
            assert_complete(&group, &group.assign(kind));
        }
    }

    #[test]
    fn the_order_of_members_changes_nothing(group in confused_group(), turn in 0..8usize) {
        let mut other = group.clone();
        let length = other.members.len();
        other.members.rotate_left(turn % length);
        other.members.reverse();
        for kind in AssignorKind::ALL {
            prop_assert_eq!(group.assign(kind), other.assign(kind));
        }
    }

    #[test]
    fn a_cooperative_group_never_shares_and_settles(group in confused_group()) {
        let now = group.assign(CooperativeSticky);
        assert_subscribed(&group, &now);
        for member in &group.members {
            for partition in &now[&member.member_id] {
                let holds = |m: &&MemberSubscription| m.subscription.owned.contains(partition);
                let others = group.members.iter().filter(|m| m.member_id != member.member_id);
                let newest = others.filter(holds).map(|m| m.subscription.generation_id).max();
                prop_assert!(
                    newest.is_none_or(|id| id < member.subscription.generation_id && holds(&member)),
                    "{} gets {partition}, which another holds", member.member_id
                );
            }
        }
        let all = sorted(&now);
        let once: BTreeSet<_> = all.iter().cloned().collect();
        prop_assert_eq!(once.len(), all.len(), "nobody shares");
        let mut rounds = 1;
        let (mut group, mut now) = (group, now);
        while sorted(&now).len() < group.wanted().len() {
            group = group.after(&now, 9 + rounds);
            now = group.assign(CooperativeSticky);
            // With equal subscriptions the follow-up hands out everything. With different ones the
            // balance found then may move more, as it may in Kafka.
            rounds += 1;
            let most = if group.is_equal() { 2 } else { 4 };
            prop_assert!(rounds <= most, "not settled after {rounds} rounds");
        }
        assert_complete(&group, &now);
        assert_balanced(&group, &now);
    }

    #[test]
    fn equal_subscriptions_differ_by_one_at_most(group in group(true)) {
        for kind in [RoundRobin, Sticky, CooperativeSticky] {
            let assignments = group.assign(kind);
            let sizes = || assignments.values().map(Vec::len);
            prop_assert!(sizes().max() <= sizes().min().map(|min| min + 1), "{kind:?}");
        }
    }

    #[test]
    fn no_member_could_take_from_one_with_two_more(group in confused_group()) {
        assert_balanced(&group, &group.assign(Sticky));
    }

    #[test]
    fn nothing_moves_when_nothing_changed(group in any::<bool>().prop_flat_map(group)) {
        let before = group.assign(Sticky);
        for kind in [Sticky, CooperativeSticky] {
            let after = group.after(&before, 1).assign(kind);
            prop_assert_eq!(moved(&before, &after), 0, "{:?}", kind);
        }
    }

    #[test]
    fn joining_and_leaving_move_no_more_than_balance_needs(
        group in group(true),
        leaves in proptest::collection::vec(any::<bool>(), 8),
        joins in 0..3usize,
    ) {
        let before = group.assign(Sticky);
        let mut changed = group.after(&before, 1);
        let mut leaves = leaves.into_iter();
        changed.members.retain(|_| !leaves.next().unwrap_or(false));
        for place in 0..joins {
            changed.members.push(member(&format!("new{place}"), &TOPICS.join(" ")));
        }
        prop_assume!(!changed.members.is_empty());
        let after = changed.assign(Sticky);
        let total = changed.wanted().len();
        prop_assert_eq!(moved(&before, &after), fewest_moves(&before, &changed.members, total));
    }

    #[test]
    fn no_two_members_swap_partitions_of_a_topic(
        group in group(false),
        who in 0..8usize,
    ) {
        let before = group.assign(Sticky);
        let mut changed = group.after(&before, 1);
        changed.members.remove(who % group.members.len());
        let after = changed.assign(Sticky);
        assert_complete(&changed, &after);
        let moves = moves(&before, &after);
        for (from, to, topic) in &moves {
            let back = (*to, *from, topic.clone());
            prop_assert!(!moves.contains(&back), "{from} and {to} swap in {topic}: {before:?} {after:?}");
        }
    }
}
