//! The quorum's messages on Kafka's wire: Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch and
//! FetchSnapshot for `__cluster_metadata-0`.
//!
//! In and out: values of `quorum` and of the protocol crate. Invariant: a message of another
//! partition, another cluster or without its one partition is an error, never a guess.

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{
    self as wire, ApiKey, RequestKind, ResponseKind, begin_quorum_epoch_request as begin_request,
    begin_quorum_epoch_response as begin_response, end_quorum_epoch_request as end_request,
    end_quorum_epoch_response as end_response, fetch_snapshot_request as snapshot_request,
    fetch_snapshot_response as snapshot_response, vote_request, vote_response,
};
use kafka_protocol::protocol::StrBytes;

use super::quorum_fetch_wire as fetch;
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::quorum::{
    BeginQuorumEpochRequest, EndQuorumEpochRequest, EpochResponse, FetchSnapshotRequest,
    FetchSnapshotResponse, Leadership, Request, Response, SnapshotChunk, SnapshotId, VoteRequest,
    VoteResponse,
};

/// The name of the metadata log's topic.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Why a message is not one of this quorum: the code that answers it.
pub(super) type NotForUs = ErrorCode;

pub(super) fn topic_name() -> wire::TopicName {
    wire::TopicName(StrBytes::from_static_str(METADATA_TOPIC))
}

pub(super) fn code(error: Option<ErrorCode>) -> i16 {
    error.map_or(0, |error| error.code())
}

pub(super) fn leader_id(leader: Option<BrokerId>) -> wire::BrokerId {
    wire::BrokerId(leader.map_or(-1, |leader| leader.0))
}

pub(super) fn leadership(leader: wire::BrokerId, epoch: i32) -> Leadership {
    Leadership {
        epoch,
        leader: (leader.0 >= 0).then_some(BrokerId(leader.0)),
    }
}

/// The one element of a list that must have exactly one.
pub(super) fn only<T>(mut items: Vec<T>) -> Result<T, NotForUs> {
    match (items.pop(), items.is_empty()) {
        (Some(item), true) => Ok(item),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

fn check_cluster(sent: Option<&StrBytes>, cluster_id: &str) -> Result<(), NotForUs> {
    match sent {
        Some(id) if id.as_str() != cluster_id => Err(ErrorCode::InconsistentClusterId),
        _ => Ok(()),
    }
}

fn check_partition(topic: &str, partition: i32) -> Result<(), NotForUs> {
    if topic == METADATA_TOPIC && partition == 0 {
        Ok(())
    } else {
        Err(ErrorCode::UnknownTopicOrPartition)
    }
}

/// The API and the body that carry `request` to voter `to`.
pub(super) fn encode_request(
    request: &Request,
    cluster_id: &str,
    to: BrokerId,
) -> (ApiKey, RequestKind) {
    let cluster = Some(StrBytes::from_string(cluster_id.to_owned()));
    let voter = wire::BrokerId(to.0);
    match request {
        Request::Vote(vote) => {
            let topic = vote_request::TopicData::default()
                .with_topic_name(topic_name())
                .with_partitions(vec![encode_vote(vote)]);
            let body = wire::VoteRequest::default()
                .with_cluster_id(cluster)
                .with_voter_id(voter)
                .with_topics(vec![topic]);
            (ApiKey::Vote, body.into())
        }
        Request::BeginQuorumEpoch(begin) => {
            let partition = begin_request::PartitionData::default()
                .with_leader_id(wire::BrokerId(begin.leader.0))
                .with_leader_epoch(begin.epoch);
            let topic = begin_request::TopicData::default()
                .with_topic_name(topic_name())
                .with_partitions(vec![partition]);
            let body = wire::BeginQuorumEpochRequest::default()
                .with_cluster_id(cluster)
                .with_voter_id(voter)
                .with_topics(vec![topic]);
            (ApiKey::BeginQuorumEpoch, body.into())
        }
        Request::EndQuorumEpoch(end) => {
            let topic = end_request::TopicData::default()
                .with_topic_name(topic_name())
                .with_partitions(vec![encode_end(end)]);
            let body = wire::EndQuorumEpochRequest::default()
                .with_cluster_id(cluster)
                .with_topics(vec![topic]);
            (ApiKey::EndQuorumEpoch, body.into())
        }
        Request::Fetch(request) => (
            ApiKey::Fetch,
            fetch::encode_request(request, cluster).into(),
        ),
        Request::FetchSnapshot(request) => (
            ApiKey::FetchSnapshot,
            encode_fetch_snapshot(request, cluster).into(),
        ),
    }
}

fn encode_vote(vote: &VoteRequest) -> vote_request::PartitionData {
    vote_request::PartitionData::default()
        .with_replica_epoch(vote.epoch)
        .with_replica_id(wire::BrokerId(vote.candidate.0))
        .with_last_offset_epoch(vote.last_epoch)
        .with_last_offset(vote.last_offset)
        .with_pre_vote(vote.pre_vote)
}

fn encode_end(end: &EndQuorumEpochRequest) -> end_request::PartitionData {
    let candidate =
        |id: &BrokerId| end_request::ReplicaInfo::default().with_candidate_id(wire::BrokerId(id.0));
    end_request::PartitionData::default()
        .with_leader_id(wire::BrokerId(end.leader.0))
        .with_leader_epoch(end.epoch)
        .with_preferred_candidates(end.preferred_successors.iter().map(candidate).collect())
}

fn encode_fetch_snapshot(
    request: &FetchSnapshotRequest,
    cluster: Option<StrBytes>,
) -> wire::FetchSnapshotRequest {
    let id = snapshot_request::SnapshotId::default()
        .with_end_offset(request.snapshot.end_offset)
        .with_epoch(request.snapshot.epoch);
    let partition = snapshot_request::PartitionSnapshot::default()
        .with_current_leader_epoch(request.epoch)
        .with_snapshot_id(id)
        .with_position(i64::try_from(request.position).unwrap_or(i64::MAX));
    let topic = snapshot_request::TopicSnapshot::default()
        .with_name(topic_name())
        .with_partitions(vec![partition]);
    wire::FetchSnapshotRequest::default()
        .with_cluster_id(cluster)
        .with_replica_id(wire::BrokerId(request.replica.0))
        .with_topics(vec![topic])
}

/// The quorum's request that `body` carries.
pub(super) fn decode_request(body: RequestKind, cluster_id: &str) -> Result<Request, NotForUs> {
    match body {
        RequestKind::Vote(body) => {
            check_cluster(body.cluster_id.as_ref(), cluster_id)?;
            let topic = only(body.topics)?;
            let vote = only(topic.partitions)?;
            check_partition(&topic.topic_name, vote.partition_index)?;
            Ok(Request::Vote(VoteRequest {
                candidate: BrokerId(vote.replica_id.0),
                epoch: vote.replica_epoch,
                last_epoch: vote.last_offset_epoch,
                last_offset: vote.last_offset,
                pre_vote: vote.pre_vote,
            }))
        }
        RequestKind::BeginQuorumEpoch(body) => {
            check_cluster(body.cluster_id.as_ref(), cluster_id)?;
            let topic = only(body.topics)?;
            let begin = only(topic.partitions)?;
            check_partition(&topic.topic_name, begin.partition_index)?;
            let leader = BrokerId(begin.leader_id.0);
            let epoch = begin.leader_epoch;
            Ok(Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
                leader,
                epoch,
            }))
        }
        RequestKind::EndQuorumEpoch(body) => {
            check_cluster(body.cluster_id.as_ref(), cluster_id)?;
            let topic = only(body.topics)?;
            let end = only(topic.partitions)?;
            check_partition(&topic.topic_name, end.partition_index)?;
            let candidates = end.preferred_candidates.iter();
            Ok(Request::EndQuorumEpoch(EndQuorumEpochRequest {
                leader: BrokerId(end.leader_id.0),
                epoch: end.leader_epoch,
                preferred_successors: candidates.map(|c| BrokerId(c.candidate_id.0)).collect(),
            }))
        }
        RequestKind::Fetch(body) => {
            check_cluster(body.cluster_id.as_ref(), cluster_id)?;
            fetch::decode_request(body).map(Request::Fetch)
        }
        RequestKind::FetchSnapshot(body) => {
            check_cluster(body.cluster_id.as_ref(), cluster_id)?;
            decode_fetch_snapshot(body).map(Request::FetchSnapshot)
        }
        _ => Err(ErrorCode::InvalidRequest),
    }
}

fn decode_fetch_snapshot(
    body: wire::FetchSnapshotRequest,
) -> Result<FetchSnapshotRequest, NotForUs> {
    let topic = only(body.topics)?;
    let partition = only(topic.partitions)?;
    check_partition(&topic.name, partition.partition)?;
    let position = u64::try_from(partition.position).map_err(|_| ErrorCode::InvalidRequest)?;
    Ok(FetchSnapshotRequest {
        replica: BrokerId(body.replica_id.0),
        epoch: partition.current_leader_epoch,
        snapshot: SnapshotId {
            end_offset: partition.snapshot_id.end_offset,
            epoch: partition.snapshot_id.epoch,
        },
        position,
    })
}

/// The body that carries `response`.
pub(super) fn encode_response(response: Response) -> ResponseKind {
    match response {
        Response::Vote(vote) => {
            let partition = vote_response::PartitionData::default()
                .with_error_code(code(vote.error))
                .with_leader_id(leader_id(vote.leadership.leader))
                .with_leader_epoch(vote.leadership.epoch)
                .with_vote_granted(vote.vote_granted);
            let topic = vote_response::TopicData::default()
                .with_topic_name(topic_name())
                .with_partitions(vec![partition]);
            wire::VoteResponse::default()
                .with_topics(vec![topic])
                .into()
        }
        Response::BeginQuorumEpoch(begin) => {
            let partition = begin_response::PartitionData::default()
                .with_error_code(code(begin.error))
                .with_leader_id(leader_id(begin.leadership.leader))
                .with_leader_epoch(begin.leadership.epoch);
            let topic = begin_response::TopicData::default()
                .with_topic_name(topic_name())
                .with_partitions(vec![partition]);
            wire::BeginQuorumEpochResponse::default()
                .with_topics(vec![topic])
                .into()
        }
        Response::EndQuorumEpoch(end) => {
            let partition = end_response::PartitionData::default()
                .with_error_code(code(end.error))
                .with_leader_id(leader_id(end.leadership.leader))
                .with_leader_epoch(end.leadership.epoch);
            let topic = end_response::TopicData::default()
                .with_topic_name(topic_name())
                .with_partitions(vec![partition]);
            wire::EndQuorumEpochResponse::default()
                .with_topics(vec![topic])
                .into()
        }
        Response::Fetch(response) => fetch::encode_response(response).into(),
        Response::FetchSnapshot(response) => encode_snapshot_response(response).into(),
    }
}

fn encode_snapshot_response(response: FetchSnapshotResponse) -> wire::FetchSnapshotResponse {
    let leader = snapshot_response::LeaderIdAndEpoch::default()
        .with_leader_id(leader_id(response.leadership.leader))
        .with_leader_epoch(response.leadership.epoch);
    let partition = snapshot_response::PartitionSnapshot::default().with_current_leader(leader);
    let partition = match response.outcome {
        Ok(chunk) => partition
            .with_snapshot_id(
                snapshot_response::SnapshotId::default()
                    .with_end_offset(chunk.snapshot.end_offset)
                    .with_epoch(chunk.snapshot.epoch),
            )
            .with_size(i64::try_from(chunk.size).unwrap_or(i64::MAX))
            .with_position(i64::try_from(chunk.position).unwrap_or(i64::MAX))
            .with_unaligned_records(chunk.bytes),
        Err(error) => partition.with_error_code(error.code()),
    };
    let topic = snapshot_response::TopicSnapshot::default()
        .with_name(topic_name())
        .with_partitions(vec![partition]);
    wire::FetchSnapshotResponse::default().with_topics(vec![topic])
}

/// The quorum's response that `body` carries.
pub(super) fn decode_response(body: ResponseKind) -> Result<Response, NotForUs> {
    match body {
        ResponseKind::Vote(body) => {
            check_error(body.error_code)?;
            let vote = only(only(body.topics)?.partitions)?;
            Ok(Response::Vote(VoteResponse {
                error: vote.error_code.err(),
                leadership: leadership(vote.leader_id, vote.leader_epoch),
                vote_granted: vote.vote_granted,
            }))
        }
        ResponseKind::BeginQuorumEpoch(body) => {
            check_error(body.error_code)?;
            let begin = only(only(body.topics)?.partitions)?;
            Ok(Response::BeginQuorumEpoch(EpochResponse {
                error: begin.error_code.err(),
                leadership: leadership(begin.leader_id, begin.leader_epoch),
            }))
        }
        ResponseKind::EndQuorumEpoch(body) => {
            check_error(body.error_code)?;
            let end = only(only(body.topics)?.partitions)?;
            Ok(Response::EndQuorumEpoch(EpochResponse {
                error: end.error_code.err(),
                leadership: leadership(end.leader_id, end.leader_epoch),
            }))
        }
        ResponseKind::Fetch(body) => {
            check_error(body.error_code)?;
            fetch::decode_response(body).map(Response::Fetch)
        }
        ResponseKind::FetchSnapshot(body) => {
            check_error(body.error_code)?;
            decode_snapshot_response(body).map(Response::FetchSnapshot)
        }
        _ => Err(ErrorCode::InvalidRequest),
    }
}

fn decode_snapshot_response(
    body: wire::FetchSnapshotResponse,
) -> Result<FetchSnapshotResponse, NotForUs> {
    let partition = only(only(body.topics)?.partitions)?;
    let leader = partition.current_leader;
    let outcome = match partition.error_code.err() {
        Some(error) => Err(error),
        None => Ok(SnapshotChunk {
            snapshot: SnapshotId {
                end_offset: partition.snapshot_id.end_offset,
                epoch: partition.snapshot_id.epoch,
            },
            size: u64::try_from(partition.size).map_err(|_| ErrorCode::InvalidRequest)?,
            position: u64::try_from(partition.position).map_err(|_| ErrorCode::InvalidRequest)?,
            bytes: partition.unaligned_records,
        }),
    };
    Ok(FetchSnapshotResponse {
        leadership: leadership(leader.leader_id, leader.leader_epoch),
        outcome,
    })
}

fn check_error(error_code: i16) -> Result<(), NotForUs> {
    error_code.err().map_or(Ok(()), Err)
}

/// The answer to a request that is not for this quorum.
pub(super) fn refusal(api: ApiKey, error: NotForUs) -> ResponseKind {
    let error = error.code();
    match api {
        ApiKey::Vote => wire::VoteResponse::default().with_error_code(error).into(),
        ApiKey::BeginQuorumEpoch => wire::BeginQuorumEpochResponse::default()
            .with_error_code(error)
            .into(),
        ApiKey::EndQuorumEpoch => wire::EndQuorumEpochResponse::default()
            .with_error_code(error)
            .into(),
        ApiKey::FetchSnapshot => wire::FetchSnapshotResponse::default()
            .with_error_code(error)
            .into(),
        _ => wire::FetchResponse::default().with_error_code(error).into(),
    }
}

#[cfg(test)]
#[path = "quorum_wire_test.rs"]
mod tests;
