//! OffsetFetch (9): what groups have committed; several groups at once from version 8 on.
//!
//! In: a request. Out: its answer at once, from what is committed in the log of the offsets.
//! A partition without an offset is answered with -1 and no error.

use std::collections::BTreeMap;

use kafka_protocol::messages::{
    OffsetFetchRequest, OffsetFetchResponse, TopicName,
    offset_fetch_request::{OffsetFetchRequestTopic, OffsetFetchRequestTopics},
    offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
        OffsetFetchResponseTopic, OffsetFetchResponseTopics,
    },
};

use super::{text, wire_topic_name};
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::error::ErrorCode;
use crate::group::CommittedOffset;
use crate::id::TopicPartition;
use crate::time::Now;

/// The partitions that are asked for; all that have an offset, if `None`.
type Asked = Option<Vec<(TopicName, Vec<i32>)>>;
/// Topic by topic, each partition with its offset, if there is one.
type Found = Vec<(TopicName, Vec<(i32, Option<CommittedOffset>)>)>;

impl Broker {
    pub(super) fn handle_offset_fetch(
        &mut self,
        now: Now,
        request: RequestId,
        version: i16,
        body: OffsetFetchRequest,
    ) {
        if version >= 8 {
            let groups = body.groups.into_iter().map(|group| {
                let pair = |t: OffsetFetchRequestTopics| (t.name, t.partition_indexes);
                let asked = group
                    .topics
                    .map(|topics| topics.into_iter().map(pair).collect());
                let found = self.find_offsets(now, &group.group_id, asked);
                group_response(found).with_group_id(group.group_id)
            });
            let groups = groups.collect();
            let response = OffsetFetchResponse::default().with_groups(groups);
            return self.respond(request, response);
        }
        let pair = |t: OffsetFetchRequestTopic| (t.name, t.partition_indexes);
        let asked: Asked = body
            .topics
            .map(|topics| topics.into_iter().map(pair).collect());
        let found = self.find_offsets(now, &body.group_id, asked.clone());
        self.respond(request, single_response(found, asked, version));
    }

    fn find_offsets(&self, now: Now, group_id: &str, asked: Asked) -> Result<Found, ErrorCode> {
        let partition = self.served_partition(now, group_id);
        let mut offsets = self.groups.coordinator.committed(partition, group_id)?;
        offsets.retain(|name, offset| self.is_of_present_topic(name, offset));
        let Some(asked) = asked else {
            let mut topics: BTreeMap<&str, Vec<_>> = BTreeMap::new();
            for (name, offset) in offsets {
                let of_topic = topics.entry(&name.topic).or_default();
                of_topic.push((name.partition, Some(offset.clone())));
            }
            let topics = topics.into_iter();
            return Ok(topics
                .map(|(name, found)| (wire_topic_name(name), found))
                .collect());
        };
        let found = asked.into_iter().map(|(topic, partitions)| {
            let of_topic = partitions.into_iter().map(|index| {
                let name = TopicPartition::new(topic.as_str(), index);
                (index, offsets.get(&name).copied().cloned())
            });
            let of_topic = of_topic.collect();
            (topic, of_topic)
        });
        Ok(found.collect())
    }
}

fn group_response(found: Result<Found, ErrorCode>) -> OffsetFetchResponseGroup {
    let found = match found {
        Err(error) => return OffsetFetchResponseGroup::default().with_error_code(error.code()),
        Ok(found) => found,
    };
    let partition = |(index, offset): (i32, Option<CommittedOffset>)| {
        let answer = OffsetFetchResponsePartitions::default().with_partition_index(index);
        match offset {
            None => answer
                .with_committed_offset(-1)
                .with_committed_leader_epoch(-1)
                .with_metadata(Some(text(""))),
            Some(offset) => answer
                .with_committed_offset(offset.offset)
                .with_committed_leader_epoch(offset.leader_epoch.unwrap_or(-1))
                .with_metadata(Some(text(&offset.metadata))),
        }
    };
    let topics = found.into_iter().map(|(name, partitions)| {
        OffsetFetchResponseTopics::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(partition).collect())
    });
    OffsetFetchResponseGroup::default().with_topics(topics.collect())
}

fn single_response(
    found: Result<Found, ErrorCode>,
    asked: Asked,
    version: i16,
) -> OffsetFetchResponse {
    let (found, error) = match found {
        Ok(found) => (found, 0),
        // Before version 2 an error is said of each partition, as there is no other place.
        Err(error) => {
            let none = |index: i32| (index, None);
            let asked = asked.unwrap_or_default().into_iter();
            let asked = asked.map(|(name, all)| (name, all.into_iter().map(none).collect()));
            (asked.collect(), error.code())
        }
    };
    let partition = |(index, offset): (i32, Option<CommittedOffset>)| {
        let offset = offset.unwrap_or_else(|| CommittedOffset {
            offset: -1,
            ..CommittedOffset::default()
        });
        let answer = OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset.offset)
            .with_metadata(Some(text(&offset.metadata)))
            .with_error_code(error);
        if version >= 5 {
            answer.with_committed_leader_epoch(offset.leader_epoch.unwrap_or(-1))
        } else {
            answer
        }
    };
    let topics: Vec<_> = found
        .into_iter()
        .map(|(name, partitions)| {
            OffsetFetchResponseTopic::default()
                .with_name(name)
                .with_partitions(partitions.into_iter().map(partition).collect())
        })
        .collect();
    let response = OffsetFetchResponse::default().with_topics(topics);
    if version >= 2 {
        response.with_error_code(error)
    } else {
        response
    }
}
