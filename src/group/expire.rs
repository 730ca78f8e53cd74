//! Offsets that nobody needs any more, and groups that hold none.
//!
//! Offsets of a group expire `offsets.retention.minutes` after it became empty; of a group without
//! members ever, after their commit; of a consumer group with members, only where nobody
//! subscribes to the topic. Never amid a rebalance (KAFKA-13636). Source: KIP-211.

use std::collections::BTreeSet;

use super::Coordinator;
use super::records::offset_commit_key;
use super::response::CommittedOffset;
use super::state::{Group, State};
use super::write::{Pending, Purpose};
use crate::id::TopicPartition;
use crate::time::Now;

impl Coordinator {
    /// Looks for what has expired; the coordinator's timer calls it.
    pub(super) fn expire(&mut self, now: Now) {
        let retention = i64::try_from(self.settings.retention.as_millis()).unwrap_or(i64::MAX);
        for group_id in self.groups.keys().cloned().collect::<Vec<_>>() {
            let Some(group) = self.groups.get(&group_id) else {
                continue;
            };
            let mut expired = expired(group, now.wall_millis, retention);
            // A tombstone behind a commit that is on its way would delete what is acknowledged.
            expired.retain(|name| !self.is_being_committed(&group_id, name));
            let is_idle = group.state == State::Empty && group.pending_members.is_empty();
            if is_idle && expired.len() == group.offsets.len() && !self.is_written(&group_id) {
                self.write_group_deletion(&group_id, None);
            } else {
                self.drop_offsets(&group_id, expired);
            }
        }
    }

    /// The topics are gone, and with them all offsets committed for them: a topic that gets the
    /// name again begins without (KAFKA-19154).
    pub fn topics_deleted(&mut self, topics: &[&str]) {
        self.drop_topics(None, topics);
        let loading = self.shards.values_mut();
        for loading in loading.filter_map(|shard| shard.loading.as_mut()) {
            let topics = topics.iter().map(|topic| (*topic).to_owned());
            loading.deleted_topics.extend(topics);
        }
    }

    /// Drops the offsets that groups of `partition` have for incarnations of topics that are gone.
    pub fn keep_offsets(
        &mut self,
        partition: i32,
        is_of_a_topic: impl Fn(&TopicPartition, &CommittedOffset) -> bool,
    ) {
        let groups = self.groups.values();
        let groups = groups.filter(|group| group.partition == partition);
        let gone = groups.map(|group| {
            let gone = group.offsets.iter();
            let gone = gone.filter(|(name, offset)| !is_of_a_topic(name, offset));
            let gone = gone.map(|(name, _)| name.clone()).collect();
            (group.id.clone(), gone)
        });
        for (group_id, gone) in gone.collect::<Vec<_>>() {
            self.drop_offsets(&group_id, gone);
        }
    }

    /// Drops the offsets of `topics` in the groups of one partition, or of all.
    pub(super) fn drop_topics(&mut self, partition: Option<i32>, topics: &[&str]) {
        let groups = self.groups.values();
        let groups = groups.filter(|group| partition.is_none_or(|only| only == group.partition));
        for group_id in groups.map(|group| group.id.clone()).collect::<Vec<_>>() {
            let mut gone = self.partitions_in_log(&group_id);
            gone.retain(|name| topics.contains(&&*name.topic));
            self.drop_offsets(&group_id, gone.into_iter().collect());
        }
    }

    fn drop_offsets(&mut self, group_id: &str, partitions: Vec<TopicPartition>) {
        if partitions.is_empty() {
            return;
        }
        let tombstone = |name| (offset_commit_key(group_id, name), None);
        let records = partitions.iter().map(tombstone).collect();
        self.write(group_id, records, Purpose::Expire(partitions));
    }

    /// The partitions that the group has offsets of, and those whose offsets are on their way: a
    /// tombstone must follow these in the log.
    pub(super) fn partitions_in_log(&self, group_id: &str) -> BTreeSet<TopicPartition> {
        let group = self.groups.get(group_id);
        let known = group.into_iter().flat_map(|group| group.offsets.keys());
        let mut partitions: BTreeSet<_> = known.cloned().collect();
        let of_group = |pending: &&Pending| pending.group_id == group_id;
        for pending in self.writes.values().filter(of_group) {
            if let Purpose::Commit { offsets, .. } = &pending.purpose {
                partitions.extend(offsets.iter().map(|(name, _)| name.clone()));
            }
        }
        partitions
    }

    fn is_being_committed(&self, group_id: &str, name: &TopicPartition) -> bool {
        let of_group = |pending: &&Pending| pending.group_id == group_id;
        self.writes.values().filter(of_group).any(|pending| {
            matches!(&pending.purpose, Purpose::Commit { offsets, .. }
                if offsets.iter().any(|(committed, _)| committed == name))
        })
    }

    /// Whether something of the group is on its way to the log.
    pub(super) fn is_written(&self, group_id: &str) -> bool {
        self.writes
            .values()
            .any(|pending| pending.group_id == group_id)
    }
}

fn expired(group: &Group, wall_millis: i64, retention: i64) -> Vec<TopicPartition> {
    let is_over = |since: i64, offset: &CommittedOffset| match offset.expire_millis {
        Some(at) => wall_millis >= at,
        None => wall_millis.saturating_sub(since) >= retention,
    };
    let subscribed = group.subscribed_topics();
    let offsets = group.offsets.iter().filter(|(name, offset)| {
        let committed = offset.commit_millis;
        match (group.state, &group.protocol_type) {
            (State::Empty, Some(_)) if group.state_millis >= 0 => {
                is_over(group.state_millis, offset)
            }
            (State::Empty, _) => is_over(committed, offset),
            (State::Stable, Some(_)) if group.is_of_consumers() => {
                let unused = subscribed
                    .as_ref()
                    .is_some_and(|all| !all.contains(&*name.topic));
                unused && is_over(committed, offset)
            }
            _ => false,
        }
    });
    offsets.map(|(name, _)| name.clone()).collect()
}
