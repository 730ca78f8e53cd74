//! Offsets that expire, or go with their topic.

use super::*;

const RETENTION: u64 = 100_000;

fn desk() -> Desk {
    Desk::with(GroupSettings {
        retention: Duration::from_millis(RETENTION),
        retention_check_interval: Duration::from_secs(1),
        ..settings()
    })
}

#[test]
fn kip211_offsets_without_a_group_expire_after_their_commit() {
    let mut desk = desk();
    desk.commit("", -1, 7);
    desk.settle(Ok(()));
    desk.pass(RETENTION - 1_000);
    assert!(desk.writes.is_empty());
    desk.pass(2_000);
    assert_eq!(
        desk.committed(&t0()),
        Some(7),
        "it stays until that is stored"
    );
    desk.settle_all();
    assert_eq!((desk.committed(&t0()), desk.state()), (None, "Dead"));
    desk.move_away();
    assert_eq!((desk.committed(&t0()), desk.state()), (None, "Dead"));
}

#[test]
fn kip211_offsets_of_a_group_expire_after_it_became_empty() {
    let mut desk = desk();
    let a = desk.stable(1).remove(0);
    desk.commit(&a, 1, 7);
    desk.settle(Ok(()));
    for _ in 0..2 * RETENTION / 5_000 {
        desk.pass(5_000);
        assert_eq!(desk.heartbeat(&a, 1), None);
    }
    assert!(desk.writes.is_empty(), "members subscribe to the topic");
    desk.leave(&a, None);
    desk.settle_all();
    desk.pass(RETENTION - 2_000);
    assert!(desk.writes.is_empty());
    desk.pass(4_000);
    desk.settle_all();
    assert_eq!((desk.committed(&t0()), desk.state()), (None, "Dead"));
}

#[test]
fn kip211_topics_without_subscribers_expire_under_members() {
    let mut desk = desk();
    let a = desk.stable(1).remove(0);
    let other = TopicPartition::new("other", 0);
    let mut request = commit(member(&a, 1), 7);
    request
        .offsets
        .push((other.clone(), CommitOffset::default()));
    desk.send(GroupRequest::Commit(request));
    desk.settle(Ok(()));
    for _ in 0..=RETENTION / 5_000 {
        desk.pass(5_000);
        desk.heartbeat(&a, 1);
        desk.settle_all();
    }
    assert_eq!(
        (desk.committed(&t0()), desk.committed(&other)),
        (Some(7), None)
    );
}

/// A client of OffsetCommit 2 to 4 says how long its offsets are to be kept.
#[test]
fn kip211_an_offset_with_an_expiry_of_its_own_goes_then() {
    let mut desk = desk();
    let mut request = commit(member("", -1), 7);
    request.offsets[0].1.expire_millis = Some(desk.now().wall_millis + 10_000);
    desk.send(GroupRequest::Commit(request));
    desk.settle(Ok(()));
    desk.pass(8_000);
    assert!(desk.writes.is_empty());
    desk.pass(4_000);
    desk.settle_all();
    assert_eq!((desk.committed(&t0()), desk.state()), (None, "Dead"));
}

#[test]
fn kafka13636_nothing_expires_amid_a_rebalance() {
    let mut desk = desk();
    let a = desk.stable(1).remove(0);
    let other = TopicPartition::new("other", 0);
    let mut request = commit(member(&a, 1), 7);
    request.offsets[0].0 = other.clone();
    desk.send(GroupRequest::Commit(request));
    desk.settle(Ok(()));
    let mut slow = join(&a);
    slow.rebalance_timeout = Duration::from_hours(1);
    desk.send(GroupRequest::Join(slow));
    desk.sync_all(std::slice::from_ref(&a));
    desk.enter();
    for _ in 0..=RETENTION / 5_000 {
        desk.pass(5_000);
        desk.heartbeat(&a, 2);
    }
    assert_eq!(desk.state(), "PreparingRebalance");
    assert!(desk.writes.is_empty());
    assert_eq!(desk.committed(&other), Some(7));
}

#[test]
fn kafka19154_a_topic_takes_its_offsets_along() {
    let mut desk = Desk::new();
    desk.commit("", -1, 7);
    desk.settle(Ok(()));
    desk.commit("", -1, 8); // on its way when the topic goes
    desk.coordinator.topics_deleted(&["t", "unknown"]);
    desk.pump();
    desk.settle_all();
    assert_eq!(desk.committed(&t0()), None);
    desk.move_away();
    assert_eq!(desk.committed(&t0()), None);
}

#[test]
fn kafka19154_a_topic_that_goes_during_a_load_takes_its_offsets_along() {
    let mut desk = Desk::new();
    desk.commit("", -1, 7);
    desk.settle(Ok(()));
    desk.leader_epoch += 1;
    let (epoch, batches, now) = (desk.leader_epoch, desk.batches(), desk.now());
    desk.coordinator.begin_load(0, epoch);
    desk.coordinator.load(0, epoch, batches).unwrap();
    desk.coordinator.topics_deleted(&["t"]);
    desk.coordinator.finish_load(now, 0, epoch);
    desk.pump();
    desk.settle_all();
    assert_eq!(desk.committed(&t0()), None);
}

#[test]
fn a_load_that_ends_leaves_the_offsets_of_other_partitions_alone() {
    let mut desk = Desk::new();
    let now = desk.now();
    desk.coordinator.begin_load(1, 0);
    desk.coordinator.topics_deleted(&["t"]);
    // The topic is there again by the time of this commit.
    desk.commit("", -1, 9);
    desk.settle_all();
    desk.coordinator.finish_load(now, 1, 0);
    desk.pump();
    assert!(desk.writes.is_empty(), "nothing of partition 0 is dropped");
    assert_eq!(desk.committed(&t0()), Some(9));
}

#[test]
fn what_is_being_committed_does_not_expire() {
    let mut desk = desk();
    let a = desk.stable(1).remove(0);
    let other = TopicPartition::new("other", 0);
    let commit_other = |offset| {
        let mut request = commit(member(&a, 1), offset);
        request.offsets[0].0 = other.clone();
        GroupRequest::Commit(request)
    };
    desk.send(commit_other(7));
    desk.settle(Ok(()));
    let steps = RETENTION / 5_000;
    for step in 0..=steps {
        if step == steps {
            desk.send(commit_other(8));
        }
        desk.pass(5_000);
        desk.heartbeat(&a, 1);
    }
    desk.settle_all();
    assert_eq!(desk.committed(&other), Some(8));
}
