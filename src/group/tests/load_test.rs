//! Taking over and giving up a partition.

use super::*;
use crate::group::records::{group_metadata_key, offset_commit_key};

#[test]
fn members_offsets_and_generation_survive_a_takeover() {
    let mut desk = Desk::new();
    let members = desk.stable(2);
    let generation = desk.generation();
    desk.commit(&members[1], generation, 7);
    desk.settle(Ok(()));
    desk.move_away();
    assert_eq!((desk.state(), desk.generation()), ("Stable", generation));
    assert_eq!(desk.committed(&t0()), Some(7));
    for name in &members {
        assert_eq!(desk.heartbeat(name, generation), None);
        let sync = desk.sync(name, &[]);
        assert_eq!(desk.synced(sync).assignment, name.as_bytes());
    }
    // Their sessions began anew.
    desk.pass(SESSION - 1);
    assert_eq!(desk.members().len(), 2);
    desk.pass(1 + SESSION);
    assert_eq!(desk.members().len(), 0);
}

#[test]
fn the_last_record_of_a_key_counts_and_tombstones_delete() {
    let mut desk = Desk::new();
    for offset in [7, 8] {
        desk.commit("", -1, offset);
        desk.settle(Ok(()));
    }
    desk.move_away();
    assert_eq!(desk.committed(&t0()), Some(8));
    desk.log.push(vec![(offset_commit_key(GROUP, &t0()), None)]);
    desk.move_away();
    assert_eq!(desk.committed(&t0()), None);
    desk.commit("", -1, 9);
    desk.settle(Ok(()));
    desk.log.push(vec![(group_metadata_key(GROUP), None)]);
    desk.move_away();
    assert_eq!(desk.committed(&t0()), Some(9));
}

#[test]
fn records_that_do_not_read_are_skipped() {
    let mut desk = Desk::new();
    desk.commit("", -1, 7);
    desk.settle(Ok(()));
    let garbage = Some(Bytes::from_static(b"\0\x63"));
    desk.log.push(vec![
        (offset_commit_key(GROUP, &t0()), garbage.clone()),
        (Bytes::from_static(b"\0"), garbage.clone()),
        (Bytes::from_static(b"\0\x08\0\0"), garbage),
    ]);
    desk.move_away();
    assert_eq!(desk.committed(&t0()), Some(7));
    let mut damaged = desk.batches().to_vec();
    damaged[16] = 9; // no version of batches
    desk.coordinator.begin_load(0, 9);
    let error = desk.coordinator.load(0, 9, damaged.into()).unwrap_err();
    assert!(
        error.to_string().contains("__consumer_offsets-0"),
        "{error}"
    );
}

#[test]
fn kafka5600_nothing_known_before_survives_a_load() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    desk.commit(&a, 1, 7);
    desk.settle(Ok(()));
    desk.log.clear();
    desk.load();
    assert_eq!((desk.state(), desk.committed(&t0())), ("Dead", None));
}

#[test]
fn a_partition_is_not_served_before_its_end_is_read() {
    let mut desk = Desk::new();
    desk.coordinator.unload(0, 1);
    let id = desk.join("");
    assert_eq!(desk.error(id), Some(ErrorCode::NotCoordinator));
    desk.coordinator.begin_load(0, 2);
    let id = desk.join("");
    assert_eq!(desk.error(id), Some(ErrorCode::CoordinatorLoadInProgress));
    let read = desk.coordinator.committed(0, GROUP);
    assert_eq!(read, Err(ErrorCode::CoordinatorLoadInProgress));
    let now = desk.now();
    desk.coordinator.finish_load(now, 0, 1); // of an epoch that is over
    let id = desk.join("");
    assert_eq!(desk.error(id), Some(ErrorCode::CoordinatorLoadInProgress));
    desk.coordinator.finish_load(now, 0, 2);
    let id = desk.join("");
    assert_eq!(desk.error(id), Some(ErrorCode::MemberIdRequired));
}

#[test]
fn whoever_waits_is_sent_to_the_next_coordinator_and_late_events_do_nothing() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    let commit = desk.commit(&a, 1, 7);
    let (_, join) = desk.enter();
    desk.coordinator.unload(0, 0); // an epoch that is over
    desk.pump();
    assert!(!desk.is_answered(join));
    desk.coordinator.unload(0, 1);
    desk.pump();
    for id in [commit, join] {
        assert_eq!(desk.error(id), Some(ErrorCode::NotCoordinator));
    }
    desk.settle(Ok(())); // KAFKA-20634: the high watermark moved after all
    let id = desk.commit(&a, 1, 8);
    assert_eq!(desk.error(id), Some(ErrorCode::NotCoordinator));
    // What was in the log is found although its writer was told that it may not be.
    desk.load();
    assert_eq!(desk.committed(&t0()), Some(7));
    desk.pass(10 * SESSION);
}

#[test]
fn a_member_that_waits_for_its_assignment_or_its_name_is_answered_on_unload() {
    let mut desk = Desk::new();
    let id = desk.send(GroupRequest::Join(join_as("i", "")));
    let name = desk.joined(id).member_id.clone();
    desk.sync_all(std::slice::from_ref(&name));
    let back = desk.send(GroupRequest::Join(join_as("i", "")));
    desk.coordinator.unload(0, 1);
    desk.pump();
    assert_eq!(desk.error(back), Some(ErrorCode::NotCoordinator));
    desk.load();
    let (a, _) = desk.enter();
    let mut rejoin = join_as("i", &name);
    rejoin.session_timeout = Duration::from_mins(1);
    desk.send(GroupRequest::Join(rejoin));
    let sync = desk.sync(&a, &[]);
    desk.coordinator.unload(0, 2);
    desk.pump();
    assert_eq!(desk.error(sync), Some(ErrorCode::NotCoordinator));
}
