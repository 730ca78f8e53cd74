//! OffsetCommit and what is read back.

use super::*;

#[test]
fn a_commit_is_answered_and_shown_when_it_is_stored() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    let id = desk.commit(&a, 1, 7);
    assert!(!desk.is_answered(id));
    assert_eq!(desk.committed(&t0()), None, "it is not stored yet");
    desk.settle(Ok(()));
    assert_eq!((desk.error(id), desk.committed(&t0())), (None, Some(7)));
    // No order is enforced: the last one counts.
    desk.commit(&a, 1, 3);
    desk.settle(Ok(()));
    assert_eq!(desk.committed(&t0()), Some(3));
}

#[test]
fn a_commit_that_is_not_stored_changes_nothing() {
    for (error, told) in [
        (
            ErrorCode::RequestTimedOut,
            ErrorCode::CoordinatorNotAvailable,
        ),
        (
            ErrorCode::NotEnoughReplicas,
            ErrorCode::CoordinatorNotAvailable,
        ),
        (
            ErrorCode::NotEnoughReplicasAfterAppend,
            ErrorCode::CoordinatorNotAvailable,
        ),
        (
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::CoordinatorNotAvailable,
        ),
        (ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator),
        (ErrorCode::KafkaStorageError, ErrorCode::NotCoordinator),
        (ErrorCode::MessageTooLarge, ErrorCode::UnknownServerError),
    ] {
        let mut desk = Desk::new();
        let id = desk.commit("", -1, 7);
        desk.settle(Err(error));
        assert_eq!(desk.error(id), Some(told), "{error:?}");
        assert_eq!((desk.committed(&t0()), desk.state()), (None, "Dead"));
    }
}

#[test]
fn members_commit_while_a_rebalance_is_prepared_and_not_while_it_completes() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    desk.enter();
    assert_eq!(desk.state(), "PreparingRebalance");
    let id = desk.commit(&a, 1, 7);
    desk.settle(Ok(()));
    assert_eq!(desk.error(id), None);
    desk.join(&a);
    assert_eq!(desk.state(), "CompletingRebalance");
    let id = desk.commit(&a, 2, 8);
    assert_eq!(desk.error(id), Some(ErrorCode::RebalanceInProgress));
    assert_eq!(desk.committed(&t0()), Some(7));
}

#[test]
fn a_commit_keeps_the_session_alive() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    for offset in 0..3 {
        desk.pass(SESSION - 1);
        desk.commit(&a, 1, offset);
        desk.settle(Ok(()));
    }
    assert_eq!(desk.members(), [a]);
}

#[test]
fn metadata_that_is_too_long_fails_its_partition_alone() {
    let mut desk = Desk::new();
    let mut request = commit(member("", -1), 7);
    let long = CommitOffset {
        offset: 9,
        leader_epoch: Some(3),
        metadata: "x".repeat(4_097),
        ..CommitOffset::default()
    };
    let t1 = TopicPartition::new("t", 1);
    request.offsets.push((t1.clone(), long));
    let id = desk.send(GroupRequest::Commit(request));
    desk.settle(Ok(()));
    let expected = vec![
        (t0(), None),
        (t1.clone(), Some(ErrorCode::OffsetMetadataTooLarge)),
    ];
    assert_eq!(desk.answers[&id], GroupResponse::Commit(expected));
    assert_eq!(
        (desk.committed(&t0()), desk.committed(&t1)),
        (Some(7), None)
    );
}
