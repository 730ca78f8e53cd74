//! The range assignor: each topic by itself, in consecutive runs.
//!
//! In: members in the order of `in_order`. Out: of n partitions and m members, everyone gets n / m
//! and the first n % m one more. Partition `i` of topics with as many partitions goes to one
//! member, which joins of topics rely on; the price is that the first members get more of every
//! topic. Source: Kafka's `RangeAssignor`.

use crate::client::assignor::{
    Assignments, MemberSubscription, PartitionCounts, give, in_order, nothing_for_everyone,
};
use crate::id::TopicPartition;

pub(super) fn assign(members: &[MemberSubscription], partitions: &PartitionCounts) -> Assignments {
    let mut assignments = nothing_for_everyone(members);
    let sorted = in_order(members);
    for (topic, &count) in partitions {
        let subscribed: Vec<_> = sorted.iter().filter(|m| m.subscribes(topic)).collect();
        let every = count as usize / subscribed.len().max(1);
        let extra = count as usize % subscribed.len().max(1);
        let mut next = 0;
        for (place, member) in subscribed.into_iter().enumerate() {
            let end = next + every + usize::from(place < extra);
            for partition in next..end {
                let partition = TopicPartition::new(topic.as_str(), partition as i32);
                give(&mut assignments, &member.member_id, partition);
            }
            next = end;
        }
    }
    assignments
}
