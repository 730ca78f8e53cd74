//! Where the replicas of a new topic go.
//!
//! In: the live brokers, the shape of the topic, and two numbers drawn at random. Out: the replicas
//! of each partition, preferred leader first.
//! Invariants: the replicas of a partition are on different brokers; the brokers' numbers of
//! preferred leaders differ by at most one. Pure: the same input gives the same placement.
//! Source: Kafka's `StripedReplicaPlacer`, without racks.

use crate::id::BrokerId;

/// Places `partitions` partitions of `replication_factor` replicas on `brokers`.
///
/// `start` turns the order of the brokers, `shift` the distance between a leader and its first
/// follower, so that topics do not all load the same brokers. Gives `None` if there are fewer
/// brokers than replicas, or no replicas are asked for.
pub fn place(
    brokers: &[BrokerId],
    partitions: usize,
    replication_factor: usize,
    start: usize,
    shift: usize,
) -> Option<Vec<Vec<BrokerId>>> {
    if replication_factor == 0 || brokers.len() < replication_factor {
        return None;
    }
    let count = brokers.len();
    let ring = |position: usize| brokers.get(position % count).copied();
    let replicas = |partition: usize| {
        let leader = start % count + partition;
        // Each round over the brokers pairs leaders with other followers.
        let round = shift % count + partition / count;
        let follower = |nth: usize| ring(leader + 1 + (round + nth) % (count - 1));
        std::iter::once(ring(leader))
            .chain((0..replication_factor - 1).map(follower))
            .collect()
    };
    (0..partitions).map(replicas).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn ids(count: i32) -> Vec<BrokerId> {
        (1..=count).map(BrokerId).collect()
    }

    #[test]
    fn three_brokers_three_replicas_lead_two_partitions_each_of_six() {
        let placed = place(&ids(3), 6, 3, 0, 0).unwrap();
        let leaders: Vec<i32> = placed.iter().map(|replicas| replicas[0].0).collect();
        assert_eq!(leaders, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn too_few_brokers_or_no_replicas_have_no_placement() {
        assert_eq!(place(&ids(2), 1, 3, 0, 0), None);
        assert_eq!(place(&ids(2), 1, 0, 0, 0), None);
        assert_eq!(place(&[], 1, 1, 0, 0), None);
        assert_eq!(place(&ids(1), 2, 1, 7, 9), Some(vec![ids(1), ids(1)]));
    }

    proptest! {
        #[test]
        fn replicas_are_distinct_and_leaders_balanced(
            brokers in 1..8i32,
            partitions in 1..40usize,
            factor in 1..8usize,
            start: u16,
            shift: u16,
        ) {
            prop_assume!(factor <= brokers as usize);
            let placed =
                place(&ids(brokers), partitions, factor, start.into(), shift.into()).unwrap();
            prop_assert_eq!(placed.len(), partitions);
            let mut leaders: BTreeMap<BrokerId, usize> =
                ids(brokers).into_iter().map(|id| (id, 0)).collect();
            for replicas in &placed {
                prop_assert_eq!(replicas.len(), factor);
                prop_assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), factor);
                *leaders.get_mut(&replicas[0]).unwrap() += 1;
            }
            let (min, max) = (leaders.values().min().unwrap(), leaders.values().max().unwrap());
            prop_assert!(max - min <= 1, "{:?}", leaders);
        }
    }
}
