//! OffsetForLeaderEpoch (23): where an epoch ends, for consumers that check for truncation.
//!
//! In: a request. Out: its response. Source: KIP-320.

use kafka_protocol::messages::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    offset_for_leader_epoch_response as response,
};

use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::log::EpochEnd;
use crate::offset::LeaderEpoch;

impl Broker {
    pub(super) fn handle_offset_for_leader_epoch(
        &mut self,
        request: RequestId,
        body: OffsetForLeaderEpochRequest,
    ) {
        let mut topics = Vec::new();
        for topic in body.topics {
            let mut partitions = Vec::new();
            for asked in topic.partitions {
                let name = self.partition_name(&topic.topic, asked.partition);
                let answer = response::EpochEndOffset::default().with_partition(asked.partition);
                let end = self.epoch_end(&name, asked.current_leader_epoch, asked.leader_epoch);
                partitions.push(match end {
                    Ok(end) => answer
                        .with_leader_epoch(end.epoch)
                        .with_end_offset(end.end_offset),
                    Err(error) => answer.with_error_code(error.code()),
                });
            }
            topics.push(
                response::OffsetForLeaderTopicResult::default()
                    .with_topic(topic.topic)
                    .with_partitions(partitions),
            );
        }
        self.respond(
            request,
            OffsetForLeaderEpochResponse::default().with_topics(topics),
        );
    }

    fn epoch_end(
        &self,
        name: &TopicPartition,
        current_leader_epoch: LeaderEpoch,
        epoch: LeaderEpoch,
    ) -> Result<EpochEnd, ErrorCode> {
        match self.partitions.get(name) {
            Some(partition) => partition
                .replica
                .offset_for_leader_epoch(current_leader_epoch, epoch),
            None if self.partition_exists(name) => Err(ErrorCode::NotLeaderOrFollower),
            None => Err(ErrorCode::UnknownTopicOrPartition),
        }
    }
}
