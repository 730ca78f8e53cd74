//! Every message of the quorum survives encoding and decoding, in the versions that are sent.

use bytes::Bytes;

use super::*;
use crate::protocol::{RequestHeader, codec, versions};
use crate::quorum::{Batch, BatchBody, FetchRequest, FetchResponse, Fetched};

const LEADERSHIP: Leadership = Leadership {
    epoch: 5,
    leader: Some(BrokerId(2)),
};
const SNAPSHOT: SnapshotId = SnapshotId {
    end_offset: 40,
    epoch: 3,
};

fn over_the_wire(request: &Request) -> Request {
    let (api, body) = encode_request(request, "c", BrokerId(2));
    let version = versions::newest(api);
    let header = RequestHeader {
        api,
        version,
        correlation_id: 1,
        client_id: None,
        peer: None,
    };
    let frame = codec::encode_request(&header, &body).unwrap().slice(4..);
    decode_request(codec::decode_request(frame).unwrap().body, "c").unwrap()
}

#[test]
fn requests_survive_the_wire() {
    let requests = [
        Request::Vote(VoteRequest {
            candidate: BrokerId(1),
            epoch: 4,
            last_epoch: 3,
            last_offset: 99,
            pre_vote: true,
        }),
        Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
            leader: BrokerId(1),
            epoch: 4,
        }),
        Request::EndQuorumEpoch(EndQuorumEpochRequest {
            leader: BrokerId(1),
            epoch: 4,
            preferred_successors: vec![BrokerId(3), BrokerId(2)],
        }),
        Request::Fetch(FetchRequest {
            replica: BrokerId(1),
            epoch: 4,
            fetch_offset: 12,
            last_fetched_epoch: 3,
            high_watermark: 11,
            max_wait_millis: 150,
        }),
        Request::FetchSnapshot(FetchSnapshotRequest {
            replica: BrokerId(1),
            epoch: 4,
            snapshot: SNAPSHOT,
            position: 7,
        }),
    ];
    for request in requests {
        assert_eq!(over_the_wire(&request), request);
    }
}

#[test]
fn responses_survive_the_wire() {
    let chunk = SnapshotChunk {
        snapshot: SNAPSHOT,
        size: 10,
        position: 4,
        bytes: Bytes::from_static(b"abc"),
    };
    let marker = Batch {
        base_offset: 0,
        record_count: 1,
        epoch: 5,
        body: BatchBody::LeaderChange {
            leader: BrokerId(2),
        },
    };
    let fetched = [
        Ok(Fetched::Batches {
            batches: vec![marker],
            high_watermark: 1,
        }),
        Ok(Fetched::Batches {
            batches: vec![],
            high_watermark: 0,
        }),
        Ok(Fetched::Diverging {
            epoch: 0,
            end_offset: 3,
        }),
        Ok(Fetched::Snapshot(SNAPSHOT)),
        Err(ErrorCode::FencedLeaderEpoch),
    ];
    let epoch = EpochResponse {
        error: Some(ErrorCode::FencedLeaderEpoch),
        leadership: LEADERSHIP,
    };
    let mut responses = vec![
        Response::Vote(VoteResponse {
            error: None,
            leadership: LEADERSHIP,
            vote_granted: true,
        }),
        Response::BeginQuorumEpoch(epoch),
        Response::EndQuorumEpoch(EpochResponse {
            error: None,
            leadership: Leadership::default(),
        }),
        Response::FetchSnapshot(FetchSnapshotResponse {
            leadership: LEADERSHIP,
            outcome: Ok(chunk),
        }),
        Response::FetchSnapshot(FetchSnapshotResponse {
            leadership: LEADERSHIP,
            outcome: Err(ErrorCode::SnapshotNotFound),
        }),
    ];
    responses.extend(fetched.map(|outcome| {
        Response::Fetch(FetchResponse {
            leadership: LEADERSHIP,
            outcome,
        })
    }));
    for response in responses {
        let api = match &response {
            Response::Vote(_) => ApiKey::Vote,
            Response::BeginQuorumEpoch(_) => ApiKey::BeginQuorumEpoch,
            Response::EndQuorumEpoch(_) => ApiKey::EndQuorumEpoch,
            Response::Fetch(_) => ApiKey::Fetch,
            Response::FetchSnapshot(_) => ApiKey::FetchSnapshot,
        };
        let version = versions::newest(api);
        let body = encode_response(response.clone());
        let bytes = codec::encode_response(api, version, 1, &body)
            .unwrap()
            .slice(4..);
        let (_, body) = codec::decode_response(api, version, bytes).unwrap();
        assert_eq!(decode_response(body).unwrap(), response);
    }
}

#[test]
fn another_cluster_or_partition_is_refused() {
    let vote = Request::Vote(VoteRequest {
        candidate: BrokerId(1),
        epoch: 4,
        last_epoch: 3,
        last_offset: 99,
        pre_vote: false,
    });
    let (_, body) = encode_request(&vote, "other", BrokerId(2));
    assert_eq!(
        decode_request(body, "c"),
        Err(ErrorCode::InconsistentClusterId)
    );
    let empty = RequestKind::Vote(wire::VoteRequest::default());
    assert_eq!(decode_request(empty, "c"), Err(ErrorCode::InvalidRequest));
}
