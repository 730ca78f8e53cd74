//! OffsetCommit (8): a group stores how far it has come.
//!
//! In: a request. Out: an answer for each partition, once the log holds what was accepted.
//! Partitions that do not exist are refused here; the coordinator knows no topics.

use std::sync::Arc;

use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse,
    offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
};
use kafka_protocol::protocol::StrBytes;

use super::wire_topic_name;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::broker::groups::{Job, caller};
use crate::error::ErrorCode;
use crate::group::{CommitOffset, CommitRequest, GroupRequest, MemberRequest};
use crate::id::TopicPartition;
use crate::protocol::RequestHeader;
use crate::time::Now;

impl Broker {
    pub(super) fn handle_offset_commit(
        &mut self,
        now: Now,
        request: RequestId,
        header: &RequestHeader,
        body: OffsetCommitRequest,
    ) {
        let (mut partitions, mut offsets) = (Vec::new(), Vec::new());
        // Versions 2 to 4; -1 leaves it to the group (KIP-211).
        let retention = Some(body.retention_time_ms).filter(|retention| *retention >= 0);
        for topic in body.topics {
            let topic_id = self
                .image
                .topics()
                .named(&topic.name)
                .map(|topic| topic.id());
            for commit in topic.partitions {
                let name = self.partition_name(&topic.name, commit.partition_index);
                if !self.partition_exists(&name) {
                    partitions.push((name, Some(ErrorCode::UnknownTopicOrPartition)));
                    continue;
                }
                let metadata = commit.committed_metadata.unwrap_or_default();
                let epoch = commit.committed_leader_epoch;
                offsets.push((
                    name.clone(),
                    CommitOffset {
                        offset: commit.committed_offset,
                        leader_epoch: (epoch >= 0).then_some(epoch),
                        metadata: metadata.to_string(),
                        topic_id,
                        expire_millis: retention
                            .map(|retention| now.wall_millis.saturating_add(retention)),
                    },
                ));
                partitions.push((name, None));
            }
        }
        if offsets.is_empty() {
            return self.respond(request, offset_commit_response(partitions));
        }
        let commit = CommitRequest {
            member: MemberRequest {
                group_id: body.group_id.to_string(),
                member_id: body.member_id.to_string(),
                instance_id: body.group_instance_id.as_ref().map(StrBytes::to_string),
                generation_id: body.generation_id_or_member_epoch,
            },
            offsets,
            knows_group_id_not_found: header.version >= 9,
        };
        let job = Job::Commit {
            request,
            partitions,
        };
        self.ask_coordinator(now, caller(header), GroupRequest::Commit(commit), job);
    }
}

/// The answer on the wire, topic by topic.
pub(in crate::broker) fn offset_commit_response(
    answers: Vec<(TopicPartition, Option<ErrorCode>)>,
) -> OffsetCommitResponse {
    let mut topics: Vec<(Arc<str>, OffsetCommitResponseTopic)> = Vec::new();
    for (name, error) in answers {
        let partition = OffsetCommitResponsePartition::default()
            .with_partition_index(name.partition)
            .with_error_code(error.map_or(0, |error| error.code()));
        match topics.last_mut().filter(|(topic, _)| *topic == name.topic) {
            Some((_, topic)) => topic.partitions.push(partition),
            None => {
                let topic = OffsetCommitResponseTopic::default()
                    .with_name(wire_topic_name(&name.topic))
                    .with_partitions(vec![partition]);
                topics.push((name.topic, topic));
            }
        }
    }
    let topics = topics.into_iter().map(|(_, topic)| topic).collect();
    OffsetCommitResponse::default().with_topics(topics)
}
