//! Each planted bug changes the behaviour that its name says, and only when it is planted.

use super::*;
use crate::config::sabotage::{Sabotage, plant_in_thread};

/// What `scene` shows without the bug and with it.
fn without_and_with<T>(bug: Sabotage, scene: impl Fn() -> T) -> (T, T) {
    let without = scene();
    plant_in_thread(Some(bug));
    let with = scene();
    plant_in_thread(None);
    (without, with)
}

#[test]
fn a_stale_cache_hides_what_the_log_says() {
    let scene = || {
        let mut desk = Desk::new();
        desk.commit("", -1, 7);
        desk.settle(Ok(()));
        // Another coordinator took a later commit meanwhile.
        let kept = desk.log.clone();
        let mut other = Desk::new();
        other.log = kept;
        other.load();
        other.commit("", -1, 9);
        other.settle(Ok(()));
        desk.log = other.log;
        desk.load();
        desk.committed(&t0())
    };
    let seen = without_and_with(Sabotage::StaleCacheKeptOnLoad, scene);
    assert_eq!(seen, (Some(9), Some(7)));
}

#[test]
fn a_generation_that_is_not_checked_lets_zombies_commit() {
    let scene = || {
        let mut desk = Desk::new();
        desk.stable(1);
        let id = desk.commit("zombie", 0, 7);
        desk.settle_all();
        desk.error(id)
    };
    let seen = without_and_with(Sabotage::GenerationNotCheckedOnCommit, scene);
    assert_eq!(seen, (Some(ErrorCode::UnknownMemberId), None));
}

#[test]
fn a_name_that_is_not_stored_is_unknown_to_the_next_coordinator() {
    let scene = || {
        let mut desk = Desk::new();
        let id = desk.send(GroupRequest::Join(join_as("i", "")));
        let name = desk.joined(id).member_id.clone();
        desk.sync_all(std::slice::from_ref(&name));
        let back = desk.send(GroupRequest::Join(join_as("i", "")));
        desk.settle_all();
        let new = desk.joined(back).member_id.clone();
        desk.move_away();
        let mut request = member(&new, 1);
        request.instance_id = Some("i".into());
        let id = desk.send(GroupRequest::Heartbeat(request));
        desk.error(id)
    };
    let seen = without_and_with(Sabotage::StaticMemberIdNotPersisted, scene);
    assert_eq!(seen, (None, Some(ErrorCode::FencedInstanceId)));
}

#[test]
fn a_member_that_missed_a_rebalance_never_learns_of_it() {
    let scene = || {
        let mut desk = Desk::new();
        let a = desk.stable(1).remove(0);
        let (_, joined) = desk.enter();
        (desk.is_answered(joined), desk.heartbeat(&a, 1))
    };
    let seen = without_and_with(Sabotage::TwoOwnersAfterMissedRebalance, scene);
    let waits = (false, Some(ErrorCode::RebalanceInProgress));
    assert_eq!(seen, (waits, (true, None)));
}

#[test]
fn a_rebalance_that_does_not_wait_begins_a_generation_beside_the_last() {
    let scene = || {
        let mut desk = Desk::new();
        let a = desk.stable(1).remove(0);
        let (_, joined) = desk.enter();
        (desk.is_answered(joined), desk.members().contains(&a))
    };
    let seen = without_and_with(Sabotage::RebalanceCompletesWithoutWaiting, scene);
    assert_eq!(seen, ((false, true), (true, true)));
}

#[test]
fn an_ignored_tombstone_brings_offsets_back() {
    let scene = || {
        let mut desk = Desk::new();
        desk.commit("", -1, 7);
        desk.settle(Ok(()));
        desk.coordinator.topics_deleted(&["t"]);
        desk.pump();
        desk.settle_all();
        desk.move_away();
        desk.committed(&t0())
    };
    let seen = without_and_with(Sabotage::TombstoneIgnoredOnLoad, scene);
    assert_eq!(seen, (None, Some(7)));
}
