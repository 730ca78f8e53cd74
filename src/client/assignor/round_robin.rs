//! The round-robin assignor: all partitions of all topics, dealt out in turn.
//!
//! In: members in the order of `in_order`, topics by name. Out: each partition to the next member
//! in the circle that subscribes to its topic. With equal subscriptions everyone gets as many, give
//! or take one; with different subscriptions the result can be lopsided, as it is in Kafka.
//! Source: Kafka's `RoundRobinAssignor`.

use crate::client::assignor::{
    Assignments, MemberSubscription, PartitionCounts, give, in_order, nothing_for_everyone,
};
use crate::id::TopicPartition;

pub(super) fn assign(members: &[MemberSubscription], partitions: &PartitionCounts) -> Assignments {
    let mut assignments = nothing_for_everyone(members);
    let sorted = in_order(members);
    let mut circle = sorted.iter().cycle();
    for (topic, &count) in partitions {
        // Without a subscriber the search below would go round for ever.
        if !sorted.iter().any(|member| member.subscribes(topic)) {
            continue;
        }
        for partition in 0..count {
            if let Some(member) = circle.by_ref().find(|member| member.subscribes(topic)) {
                let partition = TopicPartition::new(topic.as_str(), partition);
                give(&mut assignments, &member.member_id, partition);
            }
        }
    }
    assignments
}
