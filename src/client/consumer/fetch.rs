//! One fetch from one broker, and what its answer means for each partition.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::client::cluster::{Cluster, error_code};
use crate::client::consumer::ConsumerConfig;
use crate::client::consumer::batch_reader::read_batches;
use crate::client::consumer::offsets::{EpochAnswer, check_epoch};
use crate::client::error::{ClientError, ErrorKind};
use crate::client::types::ConsumerRecord;
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicPartition};
use crate::offset::{LeaderEpoch, NO_LEADER_EPOCH, Offset};

/// `Fetch` by topic name: 13 and above would want topic ids.
const FETCH_VERSION_MAX: i16 = 12;

/// A partition to fetch.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) partition: TopicPartition,
    pub(super) offset: Offset,
    /// The epoch of the leader that the fetch is meant for; another one refuses it.
    pub(super) leader_epoch: LeaderEpoch,
    /// The epoch of the record before `offset`, if one was read: a newer leader must have it.
    pub(super) position_epoch: Option<LeaderEpoch>,
}

/// What a fetch brought for one partition.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Records, and the offset to fetch next.
    Records {
        records: Vec<ConsumerRecord>,
        next_offset: Offset,
    },
    /// The broker is not the leader of that epoch, or cannot serve now: ask for metadata.
    StaleLeader,
    /// The offset lies outside the log.
    OutOfRange,
    /// The log ends before the position in the position's own epoch (KIP-320); `None` if it knows
    /// no end of that epoch.
    Truncated { end_offset: Option<Offset> },
    /// The records cannot be read.
    Corrupt(ClientError),
}

/// The result of a fetch.
#[derive(Debug)]
pub(super) struct FetchResult {
    pub(super) broker: BrokerId,
    /// The broker did not answer.
    pub(super) failed: bool,
    pub(super) partitions: Vec<(Wish, Fetched)>,
}

/// Fetches `wishes` from `broker`.
pub(super) async fn fetch(
    cluster: Arc<Cluster>,
    config: ConsumerConfig,
    broker: BrokerId,
    wishes: Vec<Wish>,
) -> FetchResult {
    let mut partitions = Vec::new();
    let mut confirmed = Vec::new();
    for wish in wishes {
        match check_epoch(&cluster, broker, &wish).await {
            EpochAnswer::Confirmed => confirmed.push(wish),
            EpochAnswer::Truncated(end_offset) => {
                let end_offset = Some(end_offset);
                partitions.push((wish, Fetched::Truncated { end_offset }));
            }
            EpochAnswer::Unknown => {
                partitions.push((wish, Fetched::Truncated { end_offset: None }));
            }
            EpochAnswer::Stale => partitions.push((wish, Fetched::StaleLeader)),
        }
    }
    if confirmed.is_empty() {
        return FetchResult {
            broker,
            failed: false,
            partitions,
        };
    }
    let request = request(&config, &confirmed);
    let limit = config.request_timeout + config.fetch_max_wait;
    match cluster
        .call(broker, &request, FETCH_VERSION_MAX, limit)
        .await
    {
        Ok(response) => {
            let failed = error_code(response.error_code).is_some();
            partitions.extend(confirmed.into_iter().map(|wish| {
                let fetched = interpret(&wish, &response);
                (wish, fetched)
            }));
            FetchResult {
                broker,
                failed,
                partitions,
            }
        }
        Err(error) => {
            tracing::debug!(%broker, %error, "fetch failed");
            FetchResult {
                broker,
                failed: true,
                partitions,
            }
        }
    }
}

fn request(config: &ConsumerConfig, wishes: &[Wish]) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for wish in wishes {
        let partition = FetchPartition::default()
            .with_partition(wish.partition.partition)
            .with_current_leader_epoch(wish.leader_epoch)
            .with_fetch_offset(wish.offset)
            .with_last_fetched_epoch(NO_LEADER_EPOCH)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(config.partition_fetch_bytes);
        match topics.last_mut() {
            Some(topic) if topic.topic.as_str() == &*wish.partition.topic => {
                topic.partitions.push(partition);
            }
            _ => topics.push(
                FetchTopic::default()
                    .with_topic(TopicName(StrBytes::from(wish.partition.topic.to_string())))
                    .with_partitions(vec![partition]),
            ),
        }
    }
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(millis(config.fetch_max_wait))
        .with_min_bytes(config.fetch_min_bytes)
        .with_max_bytes(config.fetch_max_bytes)
        .with_isolation_level(0)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(topics)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn interpret(wish: &Wish, response: &FetchResponse) -> Fetched {
    let data = response
        .responses
        .iter()
        .filter(|topic| topic.topic.as_str() == &*wish.partition.topic)
        .flat_map(|topic| &topic.partitions)
        .find(|data| data.partition_index == wish.partition.partition);
    let Some(data) = data else {
        return Fetched::StaleLeader;
    };
    match error_code(data.error_code) {
        None => records(wish, data),
        Some(ErrorCode::OffsetOutOfRange) => Fetched::OutOfRange,
        Some(code) => {
            tracing::debug!(partition = %wish.partition, %code, "fetch refused");
            Fetched::StaleLeader
        }
    }
}

fn records(wish: &Wish, data: &PartitionData) -> Fetched {
    let bytes = data.records.clone().unwrap_or_default();
    match read_batches(&wish.partition, bytes, wish.offset) {
        Ok((records, next_offset)) => Fetched::Records {
            records,
            next_offset,
        },
        Err(error) => Fetched::Corrupt(ClientError {
            kind: ErrorKind::Retriable,
            code: Some(ErrorCode::CorruptMessage),
            message: format!("{} at offset {}: {error}", wish.partition, wish.offset),
        }),
    }
}
