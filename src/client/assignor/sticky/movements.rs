//! Where partitions have moved during one balancing, so that two of a topic do not swap places.
//!
//! In: a move that would improve the balance. Out: the moves to make instead, with the same effect
//! on everybody's load: if a partition of the topic went the other way before, both go home.
//! Invariant: whoever gives has one less and whoever takes one more, all others as many. (Kafka
//! only sends the other one home; then a third member may lose one, and the move need not improve
//! the balance.) Source: Kafka's `PartitionMovements`.

use std::collections::BTreeMap;

use crate::id::TopicPartition;

/// The moves so far: where each partition was at first, and where it is now.
#[derive(Default)]
pub(super) struct Movements<'a> {
    moves: BTreeMap<TopicPartition, (&'a str, &'a str)>,
}

impl<'a> Movements<'a> {
    /// The partitions that move, and to whom, so that `from` gives one and `to` takes one.
    pub(super) fn resolve(
        &mut self,
        partition: &TopicPartition,
        from: &'a str,
        to: &'a str,
    ) -> Vec<(TopicPartition, &'a str)> {
        let first = self.moves.get(partition).map_or(from, |(first, _)| *first);
        let mut same_topic = self
            .moves
            .iter()
            .filter(|(p, _)| p.topic == partition.topic);
        let back = same_topic.find(|(_, (began, now))| *began == to && *now == first);
        let Some(back) = back.map(|(back, _)| back.clone()) else {
            self.note(partition.clone(), first, to);
            return vec![(partition.clone(), to)];
        };
        self.note(back.clone(), to, to);
        let mut moves = vec![(back, to)];
        if first != from {
            self.note(partition.clone(), first, first);
            moves.push((partition.clone(), first));
        }
        moves
    }

    /// Notes where a partition is; one that came back where it began has not moved.
    fn note(&mut self, partition: TopicPartition, first: &'a str, now: &'a str) {
        if first == now {
            self.moves.remove(&partition);
        } else {
            self.moves.insert(partition, (first, now));
        }
    }
}
