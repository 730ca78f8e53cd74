//! Who had what: the claims of all members, and whom each partition belonged to.
//!
//! In: what every member says that it had. Out: at most one owner of each partition.
//! Invariant: the newest generation wins, and two members of the same generation that claim the
//! same partition both lose it, whatever order they come in: one of the two missed a rebalance, and
//! nobody can tell which (KAFKA-12984).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::client::assignor::user_data::{Claim, NO_GENERATION};
use crate::id::TopicPartition;

/// The resolved claims.
pub(super) struct Claims<'a> {
    /// Each member's partitions, without those that a newer claim has taken.
    owned: BTreeMap<&'a str, Vec<TopicPartition>>,
    /// Everyone who says that it had the partition, newest generation first.
    claimants: BTreeMap<TopicPartition, Vec<(i32, &'a str)>>,
    /// The newest generation that anyone tells of.
    newest: i32,
}

impl<'a> Claims<'a> {
    /// Resolves the claims on partitions that `counts` has.
    pub(super) fn resolve(claims: BTreeMap<&'a str, Claim>, counts: &BTreeMap<&str, i32>) -> Self {
        let generations = claims.values().map(|claim| claim.generation_id);
        let newest = generations.max().unwrap_or(NO_GENERATION);
        let mut owned: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        let mut claimants: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (member, claim) in claims {
            owned.insert(member, Vec::new());
            for partition in claim.partitions {
                let count = counts.get(&*partition.topic).copied().unwrap_or(0);
                let by: &mut Vec<_> = claimants.entry(partition.clone()).or_default();
                // A member that names a partition twice does not compete with itself.
                if partition.partition < count && !by.contains(&(claim.generation_id, member)) {
                    by.push((claim.generation_id, member));
                }
            }
        }
        for (partition, by) in &mut claimants {
            by.sort_by_key(|(generation_id, member)| (Reverse(*generation_id), *member));
            if let Some(owner) = sole_newest(by) {
                owned.entry(owner).or_default().push(partition.clone());
            }
        }
        Self {
            owned,
            claimants,
            newest,
        }
    }

    /// The members, and what each of them owned.
    pub(super) fn owned(&self) -> impl Iterator<Item = (&'a str, &[TopicPartition])> {
        let owned = self.owned.iter();
        owned.map(|(member, partitions)| (*member, partitions.as_slice()))
    }

    /// Who had the partition in the newest generation before the group's last one.
    pub(super) fn previous(&self, partition: &TopicPartition) -> Option<&'a str> {
        let by = self.claimants.get(partition)?;
        let mut older = by.iter().filter(|(id, _)| *id < self.newest);
        older.next().map(|(_, member)| *member)
    }

    /// Whether another member than `member` may still hold the partition: only its undisputed
    /// owner may have it while others claim it.
    pub(super) fn is_held_by_another(&self, partition: &TopicPartition, member: &str) -> bool {
        let by = self.claimants.get(partition).map_or(&[][..], Vec::as_slice);
        by.iter().any(|(_, other)| *other != member) && sole_newest(by) != Some(member)
    }
}

/// The claimant of the newest generation, if there is only one; `by` is sorted.
fn sole_newest<'a>(by: &[(i32, &'a str)]) -> Option<&'a str> {
    match by {
        [(newest, _), (other, _), ..] if newest == other => None,
        [(_, member), ..] => Some(member),
        [] => None,
    }
}
