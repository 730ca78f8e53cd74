//! The quorum's Fetch on Kafka's wire, and its batches as record batches.
//!
//! In and out: values of `quorum` and of the protocol crate. Invariant: a batch that is not intact
//! is never handed to the quorum. Source: KIP-595.

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{self as wire, fetch_request, fetch_response};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::metadata_log;
use super::quorum_wire::{NotForUs, leader_id, leadership, only};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::quorum::{FetchRequest, FetchResponse, Fetched, SnapshotId};

/// The id of the metadata log's topic, Kafka's `Uuid.METADATA_TOPIC_ID`.
pub(super) const METADATA_TOPIC_ID: Uuid = Uuid::from_u128(1);

pub(super) fn encode_request(
    request: &FetchRequest,
    cluster: Option<StrBytes>,
) -> wire::FetchRequest {
    let partition = fetch_request::FetchPartition::default()
        .with_current_leader_epoch(request.epoch)
        .with_fetch_offset(request.fetch_offset)
        .with_last_fetched_epoch(request.last_fetched_epoch)
        .with_high_watermark(request.high_watermark)
        .with_partition_max_bytes(i32::MAX);
    let topic = fetch_request::FetchTopic::default()
        .with_topic_id(METADATA_TOPIC_ID)
        .with_partitions(vec![partition]);
    let replica =
        fetch_request::ReplicaState::default().with_replica_id(wire::BrokerId(request.replica.0));
    wire::FetchRequest::default()
        .with_cluster_id(cluster)
        .with_replica_state(replica)
        .with_max_wait_ms(i32::try_from(request.max_wait_millis).unwrap_or(i32::MAX))
        .with_min_bytes(0)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// Whether a fetch is one of the metadata log, which the quorum answers.
pub(super) fn is_quorum_fetch(body: &wire::FetchRequest) -> bool {
    let is_metadata = |topic: &fetch_request::FetchTopic| topic.topic_id == METADATA_TOPIC_ID;
    body.topics.first().is_some_and(is_metadata)
}

pub(super) fn decode_request(body: wire::FetchRequest) -> Result<FetchRequest, NotForUs> {
    let partition = only(only(body.topics)?.partitions)?;
    if partition.partition != 0 {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    Ok(FetchRequest {
        replica: BrokerId(body.replica_state.replica_id.0),
        epoch: partition.current_leader_epoch,
        fetch_offset: partition.fetch_offset,
        last_fetched_epoch: partition.last_fetched_epoch,
        high_watermark: partition.high_watermark,
        max_wait_millis: u32::try_from(body.max_wait_ms).unwrap_or(0),
    })
}

pub(super) fn encode_response(response: FetchResponse) -> wire::FetchResponse {
    let leader = fetch_response::LeaderIdAndEpoch::default()
        .with_leader_id(leader_id(response.leadership.leader))
        .with_leader_epoch(response.leadership.epoch);
    let partition = fetch_response::PartitionData::default()
        .with_high_watermark(-1)
        .with_current_leader(leader)
        .with_records(Some(Bytes::new()));
    let partition = match response.outcome {
        Ok(Fetched::Batches {
            batches,
            high_watermark,
        }) => {
            let mut records = BytesMut::new();
            for batch in batches {
                records.extend_from_slice(&metadata_log::to_record_batch(batch));
            }
            partition
                .with_high_watermark(high_watermark)
                .with_records(Some(records.freeze()))
        }
        Ok(Fetched::Diverging { epoch, end_offset }) => partition.with_diverging_epoch(
            fetch_response::EpochEndOffset::default()
                .with_epoch(epoch)
                .with_end_offset(end_offset),
        ),
        Ok(Fetched::Snapshot(id)) => partition.with_snapshot_id(
            fetch_response::SnapshotId::default()
                .with_end_offset(id.end_offset)
                .with_epoch(id.epoch),
        ),
        Err(error) => partition.with_error_code(error.code()),
    };
    let topic = fetch_response::FetchableTopicResponse::default()
        .with_topic_id(METADATA_TOPIC_ID)
        .with_partitions(vec![partition]);
    wire::FetchResponse::default().with_responses(vec![topic])
}

pub(super) fn decode_response(body: wire::FetchResponse) -> Result<FetchResponse, NotForUs> {
    let partition = only(only(body.responses)?.partitions)?;
    let leader = partition.current_leader;
    let outcome = if let Some(error) = partition.error_code.err() {
        Err(error)
    } else if partition.diverging_epoch.epoch >= 0 {
        Ok(Fetched::Diverging {
            epoch: partition.diverging_epoch.epoch,
            end_offset: partition.diverging_epoch.end_offset,
        })
    } else if partition.snapshot_id.epoch >= 0 {
        Ok(Fetched::Snapshot(SnapshotId {
            end_offset: partition.snapshot_id.end_offset,
            epoch: partition.snapshot_id.epoch,
        }))
    } else {
        let records = partition.records.unwrap_or_default();
        let batches =
            metadata_log::from_record_batches(records).map_err(|_| ErrorCode::CorruptMessage)?;
        Ok(Fetched::Batches {
            batches,
            high_watermark: partition.high_watermark,
        })
    };
    Ok(FetchResponse {
        leadership: leadership(leader.leader_id, leader.leader_epoch),
        outcome,
    })
}
