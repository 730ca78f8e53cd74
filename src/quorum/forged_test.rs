//! Forged messages: whatever arrives, a member answers, ignores or halts, and never panics.

use bytes::Bytes;
use proptest::prelude::*;

use super::quorum_test::{ME, OTHER, at, batches, leader, persist, start};
use super::*;

fn any_broker() -> impl Strategy<Value = BrokerId> {
    (-1..5_i32).prop_map(BrokerId)
}

fn any_epoch() -> impl Strategy<Value = i32> {
    prop_oneof![8 => -1..6_i32, 1 => Just(i32::MAX), 1 => Just(i32::MIN)]
}

fn any_offset() -> impl Strategy<Value = Offset> {
    prop_oneof![8 => -1..6_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
}

fn any_leadership() -> impl Strategy<Value = Leadership> {
    (any_epoch(), proptest::option::of(any_broker()))
        .prop_map(|(epoch, leader)| Leadership { epoch, leader })
}

fn any_batch() -> impl Strategy<Value = Batch> {
    (any_offset(), 0..4_u32, any_epoch(), any::<bool>()).prop_map(|parts| {
        let (base_offset, record_count, epoch, is_marker) = parts;
        let body = if is_marker {
            BatchBody::LeaderChange { leader: OTHER }
        } else {
            BatchBody::Records(Bytes::from_static(b"x"))
        };
        Batch {
            base_offset,
            record_count,
            epoch,
            body,
        }
    })
}

fn any_request() -> impl Strategy<Value = Request> {
    (
        0..5,
        any_broker(),
        any_epoch(),
        any_epoch(),
        any_offset(),
        any::<bool>(),
    )
        .prop_map(|parts| {
            let (kind, sender, epoch, other_epoch, offset, flag) = parts;
            let snapshot = SnapshotId {
                end_offset: offset,
                epoch: other_epoch,
            };
            match kind {
                0 => Request::Vote(VoteRequest {
                    candidate: sender,
                    epoch,
                    last_epoch: other_epoch,
                    last_offset: offset,
                    pre_vote: flag,
                }),
                1 => Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
                    leader: sender,
                    epoch,
                }),
                2 => Request::EndQuorumEpoch(EndQuorumEpochRequest {
                    leader: sender,
                    epoch,
                    preferred_successors: if flag { vec![ME] } else { vec![] },
                }),
                3 => Request::Fetch(FetchRequest {
                    replica: sender,
                    epoch,
                    fetch_offset: offset,
                    last_fetched_epoch: other_epoch,
                    high_watermark: offset,
                    max_wait_millis: u32::MAX,
                }),
                _ => Request::FetchSnapshot(FetchSnapshotRequest {
                    replica: sender,
                    epoch,
                    snapshot,
                    position: offset as u64,
                }),
            }
        })
}

fn any_fetched() -> impl Strategy<Value = Fetched> {
    prop_oneof![
        3 => (proptest::collection::vec(any_batch(), 0..3), any_offset())
            .prop_map(|(fetched, high_watermark)| batches(fetched, high_watermark)),
        1 => (any_epoch(), any_offset()).prop_map(|(epoch, end_offset)| Fetched::Diverging { epoch, end_offset }),
        1 => (any_epoch(), any_offset()).prop_map(|(epoch, end_offset)| Fetched::Snapshot(SnapshotId {
            end_offset,
            epoch
        })),
    ]
}

fn any_response() -> impl Strategy<Value = Response> {
    let vote = (any_leadership(), any::<bool>()).prop_map(|(leadership, vote_granted)| {
        Response::Vote(VoteResponse {
            error: None,
            leadership,
            vote_granted,
        })
    });
    let fetch = (any_leadership(), any_fetched()).prop_map(|(leadership, fetched)| {
        Response::Fetch(FetchResponse {
            leadership,
            outcome: Ok(fetched),
        })
    });
    let parts = (
        any_leadership(),
        any_offset(),
        any_epoch(),
        0..3_u64,
        0..3_u64,
    );
    let chunk = parts.prop_map(|(leadership, end_offset, epoch, size, position)| {
        let snapshot = SnapshotId { end_offset, epoch };
        let chunk = SnapshotChunk {
            snapshot,
            size,
            position,
            bytes: Bytes::from_static(b"s"),
        };
        Response::FetchSnapshot(FetchSnapshotResponse {
            leadership,
            outcome: Ok(chunk),
        })
    });
    prop_oneof![vote, fetch, chunk]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Forged messages may end a leadership or halt the node; they never panic it.
    #[test]
    fn no_message_panics(
        events in proptest::collection::vec(
            prop_oneof![
                any_request().prop_map(Ok),
                (any_broker(), any_response()).prop_map(Err),
            ],
            1..60,
        ),
        as_leader in any::<bool>(),
    ) {
        let mut quorum = if as_leader { leader() } else { start(Recovered::default()) };
        let mut millis = 200;
        for event in events {
            millis += 20;
            match event {
                Ok(request) => quorum.handle_request(at(millis), millis, request),
                Err((from, response)) => {
                    let correlation = quorum.last_correlation;
                    quorum.handle_response(at(millis), from, correlation, response);
                }
            }
            quorum.handle_timeout(at(millis));
            let effects = quorum.take_effects();
            persist(&mut quorum, at(millis), effects);
        }
    }
}
