//! ListOffsets (2): the first, the last, or the offset at a time, of partitions led here.
//!
//! In: a request. Out: its response, after the disk's index was searched where a time is asked
//! for. Invariants: a client never learns of an offset at or after what it may read; a leader that
//! may have been deposed tells no end (Kafka's does, for a moment).

use std::collections::BTreeMap;

use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, list_offsets_response};

use crate::broker::Broker;
use crate::broker::disk_events::{DiskPurpose, read_error};
use crate::broker::effects::{DirectoryIndex, RequestId};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::offset::{LeaderEpoch, NO_LEADER_EPOCH};
use crate::replica::{Isolation, OffsetAnswer, OffsetAsker, OffsetQuery};
use crate::storage::{DiskError, DiskReply, DiskRequest};
use crate::time::Now;

/// The timestamp that asks for the end.
const LATEST: i64 = -1;
/// The replica id of who asks for the end of the log itself, as Kafka's debugging consumer does.
const DEBUGGING: i32 = -2;
/// The timestamp that asks for the beginning.
const EARLIEST: i64 = -2;

/// The requests that wait for searches.
#[derive(Debug, Default)]
pub(in crate::broker) struct OffsetLookups(BTreeMap<RequestId, Job>);

#[derive(Debug)]
struct Job {
    version: i16,
    response: ListOffsetsResponse,
    /// Where in the response each searched partition stands: topic, partition.
    searched: Vec<(usize, usize)>,
    pending: usize,
}

impl Broker {
    pub(super) fn handle_list_offsets(
        &mut self,
        now: Now,
        request: RequestId,
        version: i16,
        body: ListOffsetsRequest,
    ) {
        let asker = asker(body.replica_id.0, body.isolation_level);
        let mut searches = Vec::new();
        let mut searched = Vec::new();
        let mut topics = Vec::new();
        for topic in body.topics {
            let mut partitions = Vec::new();
            for asked in topic.partitions {
                let name = self.partition_name(&topic.name, asked.partition_index);
                let answer = self.list_offset(
                    now,
                    &name,
                    (asked.current_leader_epoch, asked.timestamp),
                    asker,
                );
                if let OffsetAnswer::LookUp { upper } = answer
                    && let Some(partition) = self.partitions.get(&name)
                {
                    searched.push((topics.len(), partitions.len()));
                    let timestamp = asked.timestamp;
                    let search = DiskRequest::LookupTimestamp {
                        log: name,
                        timestamp,
                        end: upper,
                    };
                    searches.push((partition.directory, search));
                }
                partitions.push(answered(asked.partition_index, answer, version));
            }
            topics.push(
                list_offsets_response::ListOffsetsTopicResponse::default()
                    .with_name(topic.name)
                    .with_partitions(partitions),
            );
        }
        let response = ListOffsetsResponse::default().with_topics(topics);
        if searches.is_empty() {
            return self.respond(request, response);
        }
        let pending = searches.len();
        self.lookups.0.insert(
            request,
            Job {
                version,
                response,
                searched,
                pending,
            },
        );
        self.search(request, searches);
    }

    fn search(&mut self, request: RequestId, searches: Vec<(DirectoryIndex, DiskRequest)>) {
        for (item, (directory, search)) in searches.into_iter().enumerate() {
            self.disk(
                directory,
                search,
                DiskPurpose::Lookup {
                    lookup: request,
                    item,
                },
            );
        }
    }

    /// What a client or replica is told of an offset of a partition that this broker may lead.
    pub(in crate::broker) fn list_offset(
        &self,
        now: Now,
        name: &TopicPartition,
        (current_leader_epoch, timestamp): (LeaderEpoch, i64),
        asker: OffsetAsker,
    ) -> OffsetAnswer {
        let is_about_the_end = timestamp != EARLIEST && asker != OffsetAsker::Replica;
        if is_about_the_end && !self.lifecycle.has_lease(now) {
            // Another leader may know of a later end: the client had better look for it.
            return OffsetAnswer::Error(ErrorCode::NotLeaderOrFollower);
        }
        let query = match timestamp {
            LATEST => OffsetQuery::Latest,
            EARLIEST => OffsetQuery::Earliest,
            0.. => OffsetQuery::AtOrAfter(timestamp),
            _ => return OffsetAnswer::Error(ErrorCode::InvalidRequest),
        };
        match self.partitions.get(name) {
            Some(partition) => partition
                .replica
                .list_offset(current_leader_epoch, query, asker),
            None if self.partition_exists(name) => {
                OffsetAnswer::Error(ErrorCode::NotLeaderOrFollower)
            }
            None => OffsetAnswer::Error(ErrorCode::UnknownTopicOrPartition),
        }
    }

    pub(in crate::broker) fn handle_lookup(
        &mut self,
        request: RequestId,
        item: usize,
        result: Result<DiskReply, DiskError>,
    ) {
        let Some(job) = self.lookups.0.get_mut(&request) else {
            return;
        };
        let place = job.searched.get(item).copied();
        let partition = place.and_then(|(topic, partition)| {
            job.response
                .topics
                .get_mut(topic)?
                .partitions
                .get_mut(partition)
        });
        if let Some(partition) = partition {
            match result {
                Ok(DiskReply::Timestamp { found: Some(found) }) => {
                    partition.timestamp = found.timestamp;
                    partition.offset = found.offset;
                    if job.version >= 4 {
                        partition.leader_epoch = found.leader_epoch;
                    }
                }
                Ok(_) => {}
                Err(error) => partition.error_code = read_error(&error).code(),
            }
        }
        job.pending -= 1;
        if job.pending == 0
            && let Some(job) = self.lookups.0.remove(&request)
        {
            self.respond(request, job.response);
        }
    }
}

fn asker(replica_id: i32, isolation_level: i8) -> OffsetAsker {
    match (replica_id, isolation_level) {
        (0.. | DEBUGGING, _) => OffsetAsker::Replica,
        (_, 1) => OffsetAsker::Client(Isolation::ReadCommitted),
        _ => OffsetAsker::Client(Isolation::ReadUncommitted),
    }
}

fn answered(
    partition: i32,
    answer: OffsetAnswer,
    version: i16,
) -> list_offsets_response::ListOffsetsPartitionResponse {
    let response = list_offsets_response::ListOffsetsPartitionResponse::default()
        .with_partition_index(partition)
        .with_timestamp(-1)
        .with_offset(-1);
    match answer {
        OffsetAnswer::Error(error) => response.with_error_code(error.code()),
        OffsetAnswer::Found {
            offset,
            leader_epoch,
        } => {
            let response = response.with_offset(offset);
            let epoch = if version >= 4 {
                leader_epoch
            } else {
                NO_LEADER_EPOCH
            };
            response.with_leader_epoch(epoch)
        }
        OffsetAnswer::LookUp { .. } => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_no_consumer_learns_of_the_end_of_the_log_itself() {
        for (replica_id, isolation_level, wanted) in [
            (-1, 0, OffsetAsker::Client(Isolation::ReadUncommitted)),
            (-1, 1, OffsetAsker::Client(Isolation::ReadCommitted)),
            (DEBUGGING, 0, OffsetAsker::Replica),
            (DEBUGGING, 1, OffsetAsker::Replica),
            (2, 0, OffsetAsker::Replica),
        ] {
            assert_eq!(asker(replica_id, isolation_level), wanted, "{replica_id}");
        }
    }
}
