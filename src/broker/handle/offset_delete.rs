//! OffsetDelete (47): an administrator deletes offsets of a group (KIP-496).

use std::sync::Arc;

use kafka_protocol::messages::{
    OffsetDeleteRequest, OffsetDeleteResponse,
    offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic},
};

use super::wire_topic_name;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::broker::groups::{Job, caller};
use crate::error::ErrorCode;
use crate::group::{DeleteOffsetsRequest, GroupRequest};
use crate::id::TopicPartition;
use crate::protocol::RequestHeader;
use crate::time::Now;

impl Broker {
    pub(super) fn handle_offset_delete(
        &mut self,
        now: Now,
        request: RequestId,
        header: &RequestHeader,
        body: OffsetDeleteRequest,
    ) {
        let mut partitions = Vec::new();
        for topic in body.topics {
            for partition in topic.partitions {
                partitions.push(self.partition_name(&topic.name, partition.partition_index));
            }
        }
        let delete = DeleteOffsetsRequest {
            group_id: body.group_id.to_string(),
            partitions,
        };
        let job = Job::Plain {
            request,
            version: header.version,
        };
        let delete = GroupRequest::DeleteOffsets(delete);
        self.ask_coordinator(now, caller(header), delete, job);
    }
}

/// The answer on the wire.
pub(in crate::broker) fn offset_delete_response(
    answer: Result<Vec<(TopicPartition, Option<ErrorCode>)>, ErrorCode>,
) -> OffsetDeleteResponse {
    let answers = match answer {
        Err(error) => return OffsetDeleteResponse::default().with_error_code(error.code()),
        Ok(answers) => answers,
    };
    let mut topics: Vec<(Arc<str>, OffsetDeleteResponseTopic)> = Vec::new();
    for (name, error) in answers {
        let partition = OffsetDeleteResponsePartition::default()
            .with_partition_index(name.partition)
            .with_error_code(error.map_or(0, |error| error.code()));
        match topics.last_mut().filter(|(topic, _)| *topic == name.topic) {
            Some((_, topic)) => topic.partitions.push(partition),
            None => {
                let topic = OffsetDeleteResponseTopic::default()
                    .with_name(wire_topic_name(&name.topic))
                    .with_partitions(vec![partition]);
                topics.push((name.topic, topic));
            }
        }
    }
    let topics = topics.into_iter().map(|(_, topic)| topic).collect();
    OffsetDeleteResponse::default().with_topics(topics)
}
