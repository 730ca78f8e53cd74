//! SyncGroup and Heartbeat: the decision is stored before it is told, and who is silent goes.

use super::*;

#[test]
fn everybody_waits_for_the_leader_and_the_leader_for_the_log() {
    let mut desk = Desk::new();
    let (a, _) = desk.enter();
    let (b, _) = desk.enter();
    desk.join(&a);
    let follower = desk.sync(&b, &[]);
    let leader = desk.sync(&a, &[&a, &b]);
    assert_eq!(desk.writes.len(), 1);
    assert!(!desk.is_answered(follower) && !desk.is_answered(leader));
    assert_eq!(desk.state(), "CompletingRebalance");
    desk.settle(Ok(()));
    assert_eq!(desk.synced(follower).assignment, b.as_bytes());
    assert_eq!(desk.synced(leader).assignment, a.as_bytes());
    assert_eq!(desk.state(), "Stable");
    let again = desk.sync(&b, &[]);
    assert_eq!(desk.synced(again).assignment, b.as_bytes());
    assert!(desk.writes.is_empty());
}

#[test]
fn whom_the_leader_leaves_out_gets_nothing_and_strangers_are_ignored() {
    let mut desk = Desk::new();
    let (a, _) = desk.enter();
    let (b, _) = desk.enter();
    desk.join(&a);
    let follower = desk.sync(&b, &[]);
    desk.sync(&a, &[&a, "stranger"]);
    desk.settle(Ok(()));
    assert_eq!(desk.synced(follower).error, None);
    assert!(desk.synced(follower).assignment.is_empty());
}

#[test]
fn an_assignment_that_is_not_stored_is_not_told() {
    let mut desk = Desk::new();
    let (a, _) = desk.enter();
    let sync = desk.sync(&a, &[&a]);
    desk.settle(Err(ErrorCode::NotEnoughReplicas));
    assert_eq!(desk.error(sync), Some(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(desk.state(), "PreparingRebalance");
    let again = desk.join(&a);
    assert_eq!(desk.joined(again).generation_id, 2);
}

#[test]
fn an_assignment_of_a_generation_that_is_over_changes_nothing() {
    let mut desk = Desk::new();
    let (a, _) = desk.enter();
    let sync = desk.sync(&a, &[&a]);
    let (b, _) = desk.enter();
    assert_eq!(desk.error(sync), Some(ErrorCode::RebalanceInProgress));
    desk.settle(Ok(()));
    assert_eq!(desk.state(), "PreparingRebalance");
    desk.join(&a);
    let late = desk.sync(&b, &[]);
    assert!(!desk.is_answered(late), "the old decision is not for it");
}

#[test]
fn kafka12890_members_that_never_sync_are_removed() {
    let mut desk = Desk::new();
    let (a, _) = desk.enter();
    let (b, _) = desk.enter();
    desk.join(&a);
    let sync = desk.sync(&a, &[&a, &b]);
    desk.settle(Ok(()));
    assert_eq!(desk.error(sync), None);
    for _ in 0..REBALANCE / 5_000 {
        assert_eq!(desk.heartbeat(&a, 2), None);
        assert_eq!(desk.heartbeat(&b, 2), None);
        desk.pass(5_000);
    }
    assert_eq!(desk.members(), std::slice::from_ref(&a));
    assert_eq!(desk.heartbeat(&b, 2), Some(ErrorCode::UnknownMemberId));
    let next = desk.heartbeat(&a, 2);
    assert_eq!(next, Some(ErrorCode::RebalanceInProgress));
}

#[test]
fn a_silent_member_is_removed_and_a_heartbeat_keeps_it() {
    let mut desk = Desk::new();
    let members = desk.stable(2);
    let generation = desk.generation();
    desk.pass(SESSION - 1);
    assert_eq!(desk.heartbeat(&members[0], generation), None);
    assert_eq!(desk.state(), "Stable");
    desk.pass(1);
    assert_eq!(desk.members(), [members[0].clone()]);
    assert_eq!(desk.state(), "PreparingRebalance");
    desk.pass(SESSION);
    assert_eq!((desk.state(), desk.members()), ("Empty", vec![]));
    desk.settle_all();
    desk.move_away();
    assert_eq!((desk.state(), desk.members()), ("Empty", vec![]));
}

#[test]
fn a_member_that_waits_does_not_expire() {
    let mut desk = Desk::new();
    let members = desk.stable(2);
    desk.join(&members[0]);
    // The other lives and does not join again.
    for _ in 0..4 {
        desk.pass(SESSION - 1);
        desk.heartbeat(&members[1], 2);
    }
    assert_eq!(desk.members().len(), 2);
    desk.pass(SESSION);
    assert_eq!(desk.members(), [members[0].clone()]);
    assert_eq!(desk.state(), "CompletingRebalance");
}
