//! Questions about offsets: the ends of a log, and whether a newer leader still has what was read.

use std::time::Duration;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{ListOffsetsRequest, OffsetForLeaderEpochRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep};

use crate::client::cluster::{Cluster, error_code};
use crate::client::consumer::fetch::Wish;
use crate::client::error::ClientError;
use crate::id::{BrokerId, TopicPartition};
use crate::offset::{LeaderEpoch, Offset};

const LIST_OFFSETS_VERSION_MAX: i16 = 6;
const OFFSET_FOR_LEADER_EPOCH_VERSION_MAX: i16 = 4;

/// Which offset to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetQuery {
    /// The first offset of the log.
    Earliest,
    /// The offset behind the last readable record.
    Latest,
    /// The offset behind the last record of the leader's log, readable or not.
    LogEnd,
    /// The first record at or after this timestamp, in milliseconds since the Unix epoch.
    Timestamp(i64),
}

impl OffsetQuery {
    fn code(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest | Self::LogEnd => -1,
            Self::Timestamp(timestamp) => timestamp,
        }
    }

    /// A consumer, or a debugging consumer, which is told of what is not replicated yet.
    fn replica_id(self) -> i32 {
        match self {
            Self::LogEnd => -2,
            _ => -1,
        }
    }
}

/// An offset that was looked up; `-1` if no record fits a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundOffset {
    pub(crate) offset: Offset,
    pub(crate) leader_epoch: Option<LeaderEpoch>,
}

/// Asks the leader of `partition`, following it where it moves, until `deadline`.
///
/// # Errors
/// `Retriable` when the deadline passes, with the last reason.
pub(crate) async fn list_offset(
    cluster: &Cluster,
    partition: &TopicPartition,
    query: OffsetQuery,
    deadline: Instant,
    backoff: Duration,
) -> Result<FoundOffset, ClientError> {
    let topic = [partition.topic.to_string()];
    loop {
        let seen = cluster.generation();
        let error = match ask_leader(cluster, partition, query, deadline).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        if Instant::now() + backoff >= deadline {
            return Err(error);
        }
        if let Err(refresh) = cluster.refresh(Some(&topic), seen, false).await {
            tracing::debug!(%refresh, "no metadata");
        }
        sleep(backoff).await;
    }
}

async fn ask_leader(
    cluster: &Cluster,
    partition: &TopicPartition,
    query: OffsetQuery,
    deadline: Instant,
) -> Result<FoundOffset, ClientError> {
    let metadata = cluster.partition(&partition.topic, partition.partition);
    let leader = metadata.as_ref().and_then(|metadata| metadata.leader);
    let (Some(metadata), Some(leader)) = (metadata, leader) else {
        return Err(ClientError::retriable(format!("{partition} has no leader")));
    };
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition.partition)
        .with_current_leader_epoch(metadata.leader_epoch)
        .with_timestamp(query.code());
    let topic = ListOffsetsTopic::default()
        .with_name(TopicName(StrBytes::from(partition.topic.to_string())))
        .with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(query.replica_id().into())
        .with_isolation_level(0)
        .with_topics(vec![topic]);
    let limit = deadline
        .saturating_duration_since(Instant::now())
        .min(cluster.request_timeout());
    let response = cluster
        .call(leader, &request, LIST_OFFSETS_VERSION_MAX, limit)
        .await
        .map_err(|error| ClientError::retriable(format!("offset of {partition}: {error}")))?;
    let answers = response.topics.iter().flat_map(|topic| &topic.partitions);
    let answer = answers
        .into_iter()
        .find(|answer| answer.partition_index == partition.partition)
        .ok_or_else(|| ClientError::retriable(format!("the answer does not name {partition}")))?;
    match error_code(answer.error_code) {
        None => Ok(FoundOffset {
            offset: answer.offset,
            leader_epoch: (answer.leader_epoch >= 0).then_some(answer.leader_epoch),
        }),
        Some(code) => Err(ClientError::from_code(
            code,
            format!("offset of {partition}"),
        )),
    }
}

/// What the leader says of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EpochAnswer {
    /// The log holds the record before the position.
    Confirmed,
    /// In the position's epoch the log ends here, before the position.
    Truncated(Offset),
    /// The log knows neither the position's epoch nor an older one.
    Unknown,
    /// The broker could not say.
    Stale,
}

/// Asks a leader of a newer epoch whether it still has what was read before `wish.offset`.
/// Source: KIP-320, `OffsetForLeaderEpoch`.
pub(super) async fn check_epoch(cluster: &Cluster, broker: BrokerId, wish: &Wish) -> EpochAnswer {
    let Some(position_epoch) = wish
        .position_epoch
        .filter(|epoch| *epoch < wish.leader_epoch)
    else {
        return EpochAnswer::Confirmed;
    };
    let partition = OffsetForLeaderPartition::default()
        .with_partition(wish.partition.partition)
        .with_current_leader_epoch(wish.leader_epoch)
        .with_leader_epoch(position_epoch);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(TopicName(StrBytes::from(wish.partition.topic.to_string())))
        .with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic]);
    let limit = cluster.request_timeout();
    let answer = cluster
        .call(broker, &request, OFFSET_FOR_LEADER_EPOCH_VERSION_MAX, limit)
        .await;
    let Ok(response) = answer else {
        return EpochAnswer::Stale;
    };
    let mut answers = response.topics.iter().flat_map(|topic| &topic.partitions);
    match answers.find(|answer| answer.partition == wish.partition.partition) {
        Some(answer) if error_code(answer.error_code).is_some() => EpochAnswer::Stale,
        Some(answer) if answer.end_offset < 0 || answer.leader_epoch < 0 => EpochAnswer::Unknown,
        Some(answer) if answer.end_offset < wish.offset => {
            EpochAnswer::Truncated(answer.end_offset)
        }
        Some(_) => EpochAnswer::Confirmed,
        None => EpochAnswer::Stale,
    }
}
