//! Fetch (1) of partitions, by consumers and followers.
//!
//! In: a request. Out: its response, perhaps after a wait (`purgatory`). There are no fetch
//! sessions: every answer has session id 0, which every client accepts. Invariant: an answer for a
//! partition with an error has no records and no offsets. Source: `reference/kafka.md` §1.8.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{FetchRequest, FetchResponse, fetch_request, fetch_response};
use tracing::info;

use super::wire_topic_name;
use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::broker::purgatory::{FetchItem, FetchJob, Fetcher, Found};
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::offset::NO_BROKER_EPOCH;
use crate::replica::{FetchPosition, Isolation};
use crate::time::Now;

impl Broker {
    pub(super) fn handle_fetch(
        &mut self,
        now: Now,
        request: RequestId,
        version: i16,
        body: FetchRequest,
    ) {
        if body.session_id != 0 && body.session_epoch > 0 {
            let code = ErrorCode::FetchSessionIdNotFound.code();
            return self.respond(request, FetchResponse::default().with_error_code(code));
        }
        let mut job = FetchJob::new(request, version, fetcher(&body, version));
        let wait = Duration::from_millis(u64::try_from(body.max_wait_ms).unwrap_or(0));
        job.deadline = now.time + wait;
        job.min_bytes = usize::try_from(body.min_bytes).unwrap_or(0);
        let max_bytes = body.max_bytes.min(self.settings.int("fetch.max.bytes"));
        job.max_bytes = usize::try_from(max_bytes).unwrap_or(0);
        for (index, topic) in body.topics.into_iter().enumerate() {
            let topic_id = TopicId(topic.topic_id);
            let (name, found) = self.fetch_topic(version, &topic.topic, topic_id);
            job.topics.push((name.to_string(), topic_id));
            for partition in topic.partitions {
                job.items.push(FetchItem {
                    topic: index,
                    name: TopicPartition::new(Arc::clone(&name), partition.partition),
                    topic_id: (version >= 13).then_some(topic_id),
                    position: position(&partition),
                    max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
                    found: found.clone(),
                });
            }
        }
        self.begin_fetch(now, job);
    }

    fn fetch_topic(&self, version: i16, name: &str, id: TopicId) -> (Arc<str>, Found) {
        let topics = self.image.topics();
        let image = if version >= 13 {
            topics.get(id)
        } else {
            topics.named(name)
        };
        match image {
            Some(image) => (Arc::clone(image.name()), Found::Nothing),
            None if version >= 13 => ("".into(), Found::Error(ErrorCode::UnknownTopicId)),
            None => (
                name.into(),
                Found::Error(ErrorCode::UnknownTopicOrPartition),
            ),
        }
    }

    pub(in crate::broker) fn answer_fetch(&mut self, job: FetchJob) {
        let version = job.version;
        let topics = job.topics.iter().map(|(name, id)| {
            let topic = fetch_response::FetchableTopicResponse::default();
            if version >= 13 {
                topic.with_topic_id(id.0)
            } else {
                topic.with_topic(wire_topic_name(name))
            }
        });
        let mut topics: Vec<_> = topics.collect();
        for item in job.items {
            if let Some(topic) = topics.get_mut(item.topic) {
                topic
                    .partitions
                    .push(partition_data(item, version, job.fetcher));
            }
        }
        self.respond(job.request, FetchResponse::default().with_responses(topics));
    }
}

fn fetcher(body: &FetchRequest, version: i16) -> Fetcher {
    let (id, epoch) = if version >= 15 {
        (
            body.replica_state.replica_id,
            body.replica_state.replica_epoch,
        )
    } else {
        (body.replica_id, NO_BROKER_EPOCH)
    };
    if id.0 >= 0 {
        Fetcher::Follower {
            id: BrokerId(id.0),
            epoch,
        }
    } else if body.isolation_level == 1 {
        Fetcher::Consumer(Isolation::ReadCommitted)
    } else {
        Fetcher::Consumer(Isolation::ReadUncommitted)
    }
}

fn position(partition: &fetch_request::FetchPartition) -> FetchPosition {
    FetchPosition {
        current_leader_epoch: partition.current_leader_epoch,
        fetch_offset: partition.fetch_offset,
        last_fetched_epoch: partition.last_fetched_epoch,
        log_start_offset: partition.log_start_offset,
    }
}

fn partition_data(
    item: FetchItem,
    version: i16,
    fetcher: Fetcher,
) -> fetch_response::PartitionData {
    let data = fetch_response::PartitionData::default()
        .with_partition_index(item.name.partition)
        .with_high_watermark(-1)
        .with_records(Some(Bytes::new()));
    let (data, bounds) = match item.found {
        Found::Records { records, bounds } => (data.with_records(Some(records)), bounds),
        Found::Readable { bounds, .. } => (data, bounds),
        Found::Diverging { end, bounds } => {
            let (epoch, end_offset) = (end.epoch, end.end_offset);
            info!(partition = %item.name, epoch, end_offset, "a fetcher's log diverges");
            let diverging = fetch_response::EpochEndOffset::default()
                .with_epoch(end.epoch)
                .with_end_offset(end.end_offset);
            (data.with_diverging_epoch(diverging), bounds)
        }
        Found::Error(error) => return data.with_error_code(error.code()),
        Found::Nothing => return data.with_error_code(ErrorCode::UnknownServerError.code()),
    };
    let committed = fetcher == Fetcher::Consumer(Isolation::ReadCommitted);
    let data = data
        .with_high_watermark(bounds.high_watermark)
        .with_last_stable_offset(bounds.last_stable_offset)
        .with_aborted_transactions(committed.then(Vec::new));
    if version >= 5 {
        data.with_log_start_offset(bounds.log_start_offset)
    } else {
        data
    }
}
