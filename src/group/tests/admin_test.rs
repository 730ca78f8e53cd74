//! Describe, list, and deletions with what comes in between.

use super::*;
use crate::group::DeleteOffsetsRequest;

fn delete_offsets(desk: &mut Desk, names: &[TopicPartition]) -> RequestId {
    desk.send(GroupRequest::DeleteOffsets(DeleteOffsetsRequest {
        group_id: GROUP.into(),
        partitions: names.to_vec(),
    }))
}

fn delete_group(desk: &mut Desk) -> RequestId {
    let group_id = GROUP.into();
    desk.send(GroupRequest::DeleteGroup { group_id })
}

#[test]
fn groups_are_described_and_listed() {
    let mut desk = Desk::new();
    assert_eq!(desk.state(), "Dead");
    let a = desk.stable(1).remove(0);
    let group = desk.coordinator.describe(0, GROUP).unwrap();
    assert_eq!((group.state, group.protocol.as_str()), ("Stable", "range"));
    assert_eq!(group.members.len(), 1);
    assert_eq!(group.members[0].assignment, a.as_bytes());
    assert_eq!(group.members[0].metadata, subscription());
    assert_eq!(group.members[0].client_host, "/127.0.0.1");
    let listed = desk.coordinator.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].protocol_type, "consumer");
    desk.coordinator.begin_load(1, 1);
    let listed = desk.coordinator.list();
    assert_eq!(listed, Err(ErrorCode::CoordinatorLoadInProgress));
}

#[test]
fn kip496_offsets_of_subscribed_topics_stay() {
    let mut desk = Desk::new();
    let id = delete_offsets(&mut desk, &[t0()]);
    assert_eq!(desk.error(id), Some(ErrorCode::GroupIdNotFound));
    let a = desk.stable(1).remove(0);
    let other = TopicPartition::new("other", 0);
    let mut request = commit(member(&a, 1), 7);
    request
        .offsets
        .push((other.clone(), CommitOffset::default()));
    desk.send(GroupRequest::Commit(request));
    desk.settle(Ok(()));
    let id = delete_offsets(&mut desk, &[t0(), other.clone()]);
    desk.settle(Ok(()));
    let subscribed = Some(ErrorCode::GroupSubscribedToTopic);
    let expected = vec![(t0(), subscribed), (other.clone(), None)];
    assert_eq!(
        desk.answers[&id],
        GroupResponse::DeleteOffsets(Ok(expected))
    );
    assert_eq!(
        (desk.committed(&t0()), desk.committed(&other)),
        (Some(7), None)
    );
    desk.move_away();
    assert_eq!(
        (desk.committed(&t0()), desk.committed(&other)),
        (Some(7), None)
    );
}

#[test]
fn only_an_empty_group_is_deleted_and_for_good() {
    let mut desk = Desk::new();
    let id = delete_group(&mut desk);
    assert_eq!(desk.error(id), Some(ErrorCode::GroupIdNotFound));
    let a = desk.stable(1).remove(0);
    desk.commit(&a, 1, 7);
    desk.settle(Ok(()));
    let id = delete_group(&mut desk);
    assert_eq!(desk.error(id), Some(ErrorCode::NonEmptyGroup));
    desk.leave(&a, None);
    desk.settle_all();
    let id = delete_group(&mut desk);
    assert!(!desk.is_answered(id));
    desk.settle(Ok(()));
    assert_eq!((desk.error(id), desk.state()), (None, "Dead"));
    desk.move_away();
    assert_eq!((desk.state(), desk.committed(&t0())), ("Dead", None));
}

#[test]
fn whoever_joins_while_the_group_is_deleted_is_answered() {
    let mut desk = Desk::with(GroupSettings {
        initial_rebalance_delay: Duration::from_secs(3),
        ..settings()
    });
    desk.commit("", -1, 7);
    desk.settle(Ok(()));
    delete_group(&mut desk);
    let (_, waiting) = desk.enter();
    desk.settle(Ok(()));
    assert_eq!(desk.committed(&t0()), None);
    desk.pass(10_000);
    assert_eq!(desk.joined(waiting).generation_id, 1);
}

#[test]
fn what_is_shown_after_a_deletion_is_what_a_takeover_finds() {
    for commit_first in [true, false] {
        let mut desk = Desk::new();
        desk.commit("", -1, 1);
        desk.settle(Ok(()));
        if commit_first {
            desk.commit("", -1, 7);
            delete_group(&mut desk);
        } else {
            delete_group(&mut desk);
            desk.commit("", -1, 7);
        }
        desk.settle_all();
        let expected = (!commit_first).then_some(7);
        assert_eq!(desk.committed(&t0()), expected);
        desk.move_away();
        assert_eq!(desk.committed(&t0()), expected);
    }
}
