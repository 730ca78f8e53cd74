//! Group administration against a scripted coordinator.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::{
    DeleteGroupsResponse, DescribeGroupsResponse, FindCoordinatorResponse, ListGroupsResponse,
    OffsetCommitResponse, OffsetFetchResponse, RequestKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::client::admin::groups::group_id;
use crate::client::admin::{Admin, AdminConfig, CommittedOffset, OffsetSpec, PartitionResults};
use crate::client::assignor::encode_assignment;
use crate::client::error::{ClientError, ErrorKind};
use crate::client::fake_broker::{FakeBroker, Received, TOPIC};
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicPartition};

/// Longer than any script takes.
const LONG: Duration = Duration::from_secs(20);
/// Long enough for a few attempts.
const SHORT: Duration = Duration::from_millis(400);

async fn admin(broker: &FakeBroker, request_timeout: Duration) -> Admin {
    let config = AdminConfig {
        bootstrap: vec![broker.address],
        client_id: "admin".to_owned(),
        request_timeout,
    };
    Admin::start(config).await.unwrap()
}

/// Answers that broker 1 coordinates every group.
async fn found(broker: &mut FakeBroker) {
    let request = broker.next().await;
    let RequestKind::FindCoordinator(body) = &request.body else {
        panic!("no search for the coordinator: {:?}", request.body);
    };
    assert_eq!((body.key.as_str(), body.key_type), ("g", 0));
    request.answer(FindCoordinatorResponse::default().with_node_id(1.into()));
}

/// The next request, once the coordinator is found.
async fn asked(broker: &mut FakeBroker) -> Received {
    found(broker).await;
    broker.next().await
}

fn partition(index: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, index)
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

fn committed(codes: &[i16]) -> OffsetCommitResponse {
    let partitions = codes.iter().enumerate().map(|(index, code)| {
        OffsetCommitResponsePartition::default()
            .with_partition_index(index as i32)
            .with_error_code(*code)
    });
    let topic = OffsetCommitResponseTopic::default()
        .with_name(topic())
        .with_partitions(partitions.collect());
    OffsetCommitResponse::default().with_topics(vec![topic])
}

fn code(code: ErrorCode) -> i16 {
    code.code()
}

fn only(results: Result<PartitionResults<()>, ClientError>) -> ClientError {
    match results {
        Err(error) => error,
        Ok(results) => {
            let mut errors = results.into_values().filter_map(Result::err);
            errors.next().expect("an error")
        }
    }
}

fn offsets() -> BTreeMap<TopicPartition, i64> {
    BTreeMap::from([(partition(0), 5), (partition(1), 7)])
}

#[tokio::test]
async fn a_request_follows_the_coordinator_and_waits_until_it_has_loaded() {
    let mut broker = FakeBroker::start().await;
    let admin = admin(&broker, LONG).await;
    let script = async {
        let moved = asked(&mut broker).await;
        moved.answer(committed(&[code(ErrorCode::NotCoordinator); 2]));
        let loading = asked(&mut broker).await;
        loading.answer(committed(&[code(ErrorCode::CoordinatorLoadInProgress); 2]));
        // It is still the coordinator, so nobody is asked who is.
        let ready = broker.next().await;
        let RequestKind::OffsetCommit(body) = &ready.body else {
            panic!("no commit: {:?}", ready.body);
        };
        assert_eq!(
            (body.generation_id_or_member_epoch, body.member_id.as_str()),
            (-1, "")
        );
        let sent: Vec<_> = body.topics[0]
            .partitions
            .iter()
            .map(|p| p.committed_offset)
            .collect();
        assert_eq!(sent, [5, 7]);
        ready.answer(committed(&[0, 0]));
    };
    let offsets = offsets();
    let (results, ()) = tokio::join!(admin.alter_group_offsets("g", &offsets), script);
    let expected = [(partition(0), Ok(())), (partition(1), Ok(()))];
    assert_eq!(results, Ok(BTreeMap::from(expected)));
}

#[tokio::test]
async fn what_would_mean_something_else_on_the_wire_is_never_sent() {
    let broker = FakeBroker::start().await;
    let admin = admin(&broker, LONG).await;
    let nowhere = BTreeMap::from([(partition(0), 5), (partition(1), -1)]);
    let error = admin.alter_group_offsets("g", &nowhere).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("offset -1 of t-1"), "{error}");
    for timestamp in [-1, -2, i64::MIN] {
        let before = OffsetSpec::Timestamp(timestamp);
        let reset = admin
            .reset_group_offsets("g", &[partition(0)], before)
            .await;
        let error = reset.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{timestamp}: {error}");
    }
}

#[tokio::test]
async fn a_refused_partition_leaves_the_others_their_success() {
    let mut broker = FakeBroker::start().await;
    let admin = admin(&broker, LONG).await;
    let script = async {
        let commit = asked(&mut broker).await;
        commit.answer(committed(&[0, code(ErrorCode::UnknownMemberId)]));
    };
    let offsets = offsets();
    let (results, ()) = tokio::join!(admin.alter_group_offsets("g", &offsets), script);
    let results = results.unwrap();
    assert_eq!(results[&partition(0)], Ok(()));
    let error = results[&partition(1)].clone().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("stop them first"), "{error}");
}

#[tokio::test]
async fn a_lost_answer_leaves_doubt_until_a_later_attempt_succeeds() {
    let mut broker = FakeBroker::start().await;
    let admin = admin(&broker, LONG).await;
    let offsets = offsets();
    let script = async {
        asked(&mut broker).await.lose();
        asked(&mut broker).await.answer(committed(&[0, 0]));
    };
    let (results, ()) = tokio::join!(admin.alter_group_offsets("g", &offsets), script);
    assert!(results.unwrap().values().all(Result::is_ok));
    // What is refused now may have been done before.
    let script = async {
        asked(&mut broker).await.lose();
        let refused = asked(&mut broker).await;
        refused.answer(committed(&[code(ErrorCode::UnknownMemberId); 2]));
    };
    let (results, ()) = tokio::join!(admin.alter_group_offsets("g", &offsets), script);
    assert!(only(results).is_unknown_outcome());
}

/// A coordinator answers so before its append, and after one that it will not see replicated.
#[tokio::test]
async fn a_code_that_is_also_told_after_an_append_leaves_doubt() {
    for (told, leaves_doubt) in [
        (ErrorCode::CoordinatorNotAvailable, true),
        (ErrorCode::NotCoordinator, true),
        (ErrorCode::CoordinatorLoadInProgress, false),
    ] {
        let mut broker = FakeBroker::start().await;
        let admin = admin(&broker, LONG).await;
        let script = async {
            let result = |error| {
                let result = DeletableGroupResult::default()
                    .with_group_id(group_id("g"))
                    .with_error_code(code(error));
                DeleteGroupsResponse::default().with_results(vec![result])
            };
            asked(&mut broker).await.answer(result(told));
            if leaves_doubt {
                found(&mut broker).await;
            }
            let again = broker.next().await;
            again.answer(result(ErrorCode::GroupIdNotFound));
        };
        let (results, ()) = tokio::join!(admin.delete_groups(&["g"]), script);
        let error = results["g"].clone().unwrap_err();
        assert_eq!(error.is_unknown_outcome(), leaves_doubt, "{told}: {error}");
    }
}

#[tokio::test]
async fn without_a_coordinator_nothing_happened() {
    let mut broker = FakeBroker::start().await;
    let admin = admin(&broker, SHORT).await;
    let offsets = offsets();
    let script = async {
        loop {
            let none = FindCoordinatorResponse::default()
                .with_error_code(code(ErrorCode::CoordinatorNotAvailable))
                .with_node_id((-1).into());
            broker.next().await.answer(none);
        }
    };
    tokio::select! {
        results = admin.alter_group_offsets("g", &offsets) => {
            let error = only(results);
            assert_eq!(error.kind, ErrorKind::Retriable);
            assert!(error.message.contains("coordinator of group g"), "{error}");
        }
        () = script => {}
    }
}

#[tokio::test]
async fn only_what_was_committed_is_an_offset() {
    let mut broker = FakeBroker::start().await;
    let admin = admin(&broker, LONG).await;
    let script = async {
        let fetch = asked(&mut broker).await;
        let RequestKind::OffsetFetch(body) = &fetch.body else {
            panic!("no fetch of offsets: {:?}", fetch.body);
        };
        assert!(body.topics.is_none(), "all partitions are asked for");
        let partition = |index, offset| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(3)
                .with_metadata(Some(StrBytes::from_static_str("m")))
        };
        let topic = OffsetFetchResponseTopic::default()
            .with_name(topic())
            .with_partitions(vec![partition(0, 5), partition(1, -1)]);
        fetch.answer(OffsetFetchResponse::default().with_topics(vec![topic]));
    };
    let (offsets, ()) = tokio::join!(admin.group_offsets("g", None), script);
    let expected = CommittedOffset {
        offset: 5,
        leader_epoch: 3,
        metadata: "m".to_owned(),
    };
    assert_eq!(offsets, Ok(BTreeMap::from([(partition(0), expected)])));
}

#[tokio::test]
async fn a_description_tells_assignments_and_names_what_cannot_be_read() {
    let mut broker = FakeBroker::start().await;
    let admin = admin(&broker, LONG).await;
    let script = async {
        let member = |id: &'static str, assignment: Bytes| {
            DescribedGroupMember::default()
                .with_member_id(StrBytes::from_static_str(id))
                .with_member_assignment(assignment)
        };
        let assigned = encode_assignment(&[partition(1), partition(0)]);
        let group = DescribedGroup::default()
            .with_group_id(group_id("g"))
            .with_group_state(StrBytes::from_static_str("Stable"))
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocol_data(StrBytes::from_static_str("range"))
            .with_members(vec![
                member("a", assigned),
                member("b", Bytes::new()),
                member("c", Bytes::from_static(b"\0\x03garbage")),
            ]);
        let describe = asked(&mut broker).await;
        describe.answer(DescribeGroupsResponse::default().with_groups(vec![group]));
        let dead = DescribedGroup::default()
            .with_group_id(group_id("g"))
            .with_group_state(StrBytes::from_static_str("Dead"));
        let describe = asked(&mut broker).await;
        describe.answer(DescribeGroupsResponse::default().with_groups(vec![dead]));
    };
    let (groups, ()) = tokio::join!(admin.describe_groups(&["g", "g"]), script);
    let groups = groups.unwrap();
    assert_eq!(groups.len(), 1, "a dead group does not exist");
    let group = &groups[0];
    assert_eq!(
        (group.state.as_str(), group.assignor.as_str()),
        ("Stable", "range")
    );
    assert_eq!(group.coordinator, BrokerId(1));
    assert_eq!(
        group.members[0].assignment,
        Ok(vec![partition(0), partition(1)])
    );
    assert_eq!(group.members[1].assignment, Ok(Vec::new()));
    let error = group.members[2].assignment.clone().unwrap_err();
    assert_eq!(error.field, "assigned partitions");
}

#[tokio::test]
async fn a_list_waits_for_a_broker_that_still_loads() {
    let mut broker = FakeBroker::start().await;
    let admin = admin(&broker, LONG).await;
    let script = async {
        let loading = code(ErrorCode::CoordinatorLoadInProgress);
        let list = ListGroupsResponse::default().with_error_code(loading);
        broker.next().await.answer(list);
        let group = ListedGroup::default()
            .with_group_id(group_id("g"))
            .with_group_state(StrBytes::from_static_str("Empty"));
        let list = ListGroupsResponse::default().with_groups(vec![group]);
        broker.next().await.answer(list);
    };
    let (groups, ()) = tokio::join!(admin.list_groups(), script);
    let groups = groups.unwrap();
    assert_eq!(
        (groups[0].group_id.as_str(), groups[0].state.as_str()),
        ("g", "Empty")
    );
}

#[tokio::test]
async fn a_group_with_members_is_not_deleted() {
    let mut broker = FakeBroker::start().await;
    let admin = admin(&broker, LONG).await;
    let script = async {
        let result = DeletableGroupResult::default()
            .with_group_id(group_id("g"))
            .with_error_code(code(ErrorCode::NonEmptyGroup));
        let delete = asked(&mut broker).await;
        delete.answer(DeleteGroupsResponse::default().with_results(vec![result]));
    };
    let (results, ()) = tokio::join!(admin.delete_groups(&["g"]), script);
    let error = results["g"].clone().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("stop them first"), "{error}");
}
