//! What may be told of a group: one owner of a partition in a generation, generations that grow,
//! acknowledged commits that stay.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::*;
use super::client::Asked;

const PARTITIONS: u8 = 7;

/// A leader's decision: each partition to one of the members, in turn.
pub(super) fn assign(members: &[String]) -> Vec<(String, Bytes)> {
    let share = |(index, member): (usize, &String)| {
        let mine = (0..PARTITIONS).filter(|p| usize::from(*p) % members.len() == index);
        (member.clone(), mine.collect())
    };
    members.iter().enumerate().map(share).collect()
}

#[derive(Default)]
pub(super) struct Oracle {
    /// By generation: the owner of each partition.
    owners: BTreeMap<i32, BTreeMap<u8, String>>,
    pub(super) acknowledged: usize,
    last_acknowledged: i64,
    last_shown: i64,
}

impl Oracle {
    /// The latest generation that somebody was told an assignment of.
    pub(super) fn latest(&self) -> i32 {
        self.owners.keys().next_back().copied().unwrap_or(0)
    }

    pub(super) fn generations(&self) -> usize {
        self.owners.len()
    }

    pub(super) fn answered(&mut self, asked: &Asked, answer: &GroupResponse) {
        match answer {
            GroupResponse::Sync(response) if response.error.is_none() => {
                self.assigned(asked, &response.assignment);
            }
            GroupResponse::Commit(answers) if answers[0].1.is_none() => {
                self.acknowledged += 1;
                assert!(
                    asked.generation_id >= asked.latest,
                    "generation {} committed after {} was assigned",
                    asked.generation_id,
                    asked.latest
                );
                let offset = asked.offset.expect("a commit has an offset");
                self.last_acknowledged = self.last_acknowledged.max(offset);
            }
            _ => {}
        }
    }

    fn assigned(&mut self, asked: &Asked, partitions: &Bytes) {
        let generation = asked.generation_id;
        let latest = self.latest();
        assert!(
            generation >= latest || self.owners.contains_key(&generation),
            "generation {generation} was assigned after {latest}"
        );
        let owners = self.owners.entry(generation).or_default();
        for partition in partitions {
            let owner = owners
                .entry(*partition)
                .or_insert_with(|| asked.owner.clone());
            assert_eq!(
                *owner, asked.owner,
                "partition {partition} has two owners in generation {generation}"
            );
        }
    }

    /// Offsets are committed in growing order, so what is shown never goes back and never before
    /// what was acknowledged.
    pub(super) fn shown(&mut self, offset: Option<i64>) {
        let shown = offset.unwrap_or(0);
        assert!(
            shown >= self.last_acknowledged,
            "{shown} is shown, {} was acknowledged",
            self.last_acknowledged
        );
        assert!(
            shown >= self.last_shown,
            "{shown} after {}",
            self.last_shown
        );
        self.last_shown = shown;
    }

    pub(super) fn all_are_owned_in(&self, generation: i32) -> bool {
        let owned = self.owners.get(&generation).map_or(0, BTreeMap::len);
        owned == usize::from(PARTITIONS)
    }
}
