//! Where partitions have moved during one balancing, so that two of a topic do not swap places.
//!
//! In: moves from one member to another. Out: the partition to move instead: if one of the same
//! topic went the other way before, it goes back.
//! Invariant: what is proposed is held by the member that gives, since a record names where the
//! partition is now. (Kafka looks from where the partition began; then the one that goes back may
//! belong to a third member, and the move need not improve the balance.)
//! Source: Kafka's `PartitionMovements`.

use std::collections::BTreeMap;

use crate::id::TopicPartition;

/// The moves so far: where each partition was at first, and where it is now.
#[derive(Default)]
pub(super) struct Movements<'a> {
    moves: BTreeMap<TopicPartition, (&'a str, &'a str)>,
}

impl<'a> Movements<'a> {
    /// The partition that moves from `from` to `to` in place of `partition`.
    pub(super) fn instead_of(
        &self,
        partition: &TopicPartition,
        from: &str,
        to: &str,
    ) -> TopicPartition {
        let mut same_topic = self
            .moves
            .iter()
            .filter(|(p, _)| p.topic == partition.topic);
        same_topic
            .find(|(_, (first, now))| *first == to && *now == from)
            .map_or_else(|| partition.clone(), |(back, _)| back.clone())
    }

    /// Notes a move; one that came back where it began has not moved.
    pub(super) fn note(&mut self, partition: TopicPartition, from: &'a str, to: &'a str) {
        let first = self.moves.get(&partition).map_or(from, |(first, _)| *first);
        if first == to {
            self.moves.remove(&partition);
        } else {
            self.moves.insert(partition, (first, to));
        }
    }
}
