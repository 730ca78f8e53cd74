//! Static members: coming back without a rebalance, fencing, what a takeover remembers.

use super::*;

/// A stable group of the static member `i` and its name.
fn with_static() -> (Desk, String) {
    let mut desk = Desk::new();
    let id = desk.send(GroupRequest::Join(join_as("i", "")));
    let name = desk.joined(id).member_id.clone();
    assert!(name.starts_with("i-"), "{name}");
    desk.sync_all(std::slice::from_ref(&name));
    (desk, name)
}

fn heartbeat_as(desk: &mut Desk, member_id: &str) -> Option<ErrorCode> {
    let mut request = member(member_id, 1);
    request.instance_id = Some("i".into());
    let id = desk.send(GroupRequest::Heartbeat(request));
    desk.error(id)
}

#[test]
fn kip345_it_comes_back_without_a_rebalance_and_fences_its_past() {
    let (mut desk, old) = with_static();
    let back = desk.send(GroupRequest::Join(join_as("i", "")));
    assert!(!desk.is_answered(back), "the new name is stored first");
    desk.settle(Ok(()));
    let answer = desk.joined(back).clone();
    assert_eq!((answer.error, answer.generation_id), (None, 1));
    assert_ne!(answer.member_id, old);
    assert_eq!(desk.state(), "Stable");
    let error = heartbeat_as(&mut desk, &old);
    assert_eq!(error, Some(ErrorCode::FencedInstanceId));
    assert_eq!(heartbeat_as(&mut desk, &answer.member_id), None);
    let sync = desk.sync(&answer.member_id, &[]);
    assert_eq!(desk.synced(sync).assignment, old.as_bytes());
}

#[test]
fn kip814_a_leader_that_comes_back_is_told_to_skip_the_assignment() {
    let (mut desk, old) = with_static();
    let back = desk.send(GroupRequest::Join(join_as("i", "")));
    desk.settle(Ok(()));
    let answer = desk.joined(back).clone();
    assert!(answer.skip_assignment);
    assert_eq!(answer.leader, answer.member_id);
    let mut request = join_as("i", "");
    request.can_skip_assignment = false;
    let back = desk.send(GroupRequest::Join(request));
    desk.settle(Ok(()));
    let older = desk.joined(back);
    assert!(!older.skip_assignment && older.members.is_empty());
    assert_eq!(older.leader, answer.member_id);
    assert_ne!(older.leader, older.member_id);
    assert_ne!(old, older.member_id);
}

#[test]
fn kafka10284_the_next_coordinator_fences_the_past_too() {
    let (mut desk, old) = with_static();
    let back = desk.send(GroupRequest::Join(join_as("i", "")));
    desk.settle(Ok(()));
    let new = desk.joined(back).member_id.clone();
    desk.move_away();
    let error = heartbeat_as(&mut desk, &old);
    assert_eq!(error, Some(ErrorCode::FencedInstanceId));
    assert_eq!(heartbeat_as(&mut desk, &new), None);
}

#[test]
fn kafka18263_a_name_that_is_not_stored_is_taken_back() {
    let (mut desk, old) = with_static();
    let back = desk.send(GroupRequest::Join(join_as("i", "")));
    desk.settle(Err(ErrorCode::RequestTimedOut));
    assert_eq!(desk.error(back), Some(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(desk.members(), std::slice::from_ref(&old));
    assert_eq!(heartbeat_as(&mut desk, &old), None);
    let group = &desk.coordinator.groups[GROUP];
    assert_eq!(group.leader.as_deref(), Some(old.as_str()));
    assert_eq!(group.members[&old].assignment, old.as_bytes());
}

#[test]
fn a_waiting_past_is_fenced_when_the_future_joins() {
    let (mut desk, old) = with_static();
    let (other, _) = desk.enter();
    let waiting = desk.join("");
    let pending = desk.joined(waiting).member_id.clone();
    let old_join = desk.send(GroupRequest::Join(join_as("i", &old)));
    let new_join = desk.send(GroupRequest::Join(join_as("i", "")));
    assert_eq!(desk.error(old_join), Some(ErrorCode::FencedInstanceId));
    assert!(!desk.is_answered(new_join));
    desk.leave(&pending, None);
    let answer = desk.joined(new_join).clone();
    assert_eq!(answer.generation_id, 2);
    assert_eq!(answer.members.len(), 2);
    let old_sync = desk.sync(&other, &[]);
    assert!(!desk.is_answered(old_sync));
}

/// As in Kafka: the client of a name that died with a coordinator has to come back without it.
#[test]
fn a_name_that_a_deposed_coordinator_told_is_unknown_to_the_next() {
    let (mut desk, old) = with_static();
    // It is cut off: nothing that it writes is stored, and it takes the member for dead.
    desk.pass(SESSION);
    assert_eq!((desk.state(), desk.members()), ("Empty", vec![]));
    let id = desk.send(GroupRequest::Join(join_as("i", "")));
    let told = desk.joined(id).member_id.clone();
    let sync = desk.sync(&told, &[&told]);
    assert!(!desk.is_answered(sync), "that is stored first");
    desk.move_away();
    assert_eq!(desk.members(), std::slice::from_ref(&old));
    let id = desk.send(GroupRequest::Join(join_as("i", &told)));
    assert_eq!(desk.error(id), Some(ErrorCode::FencedInstanceId));
    let id = desk.send(GroupRequest::Join(join_as("i", "")));
    desk.settle(Ok(()));
    assert_eq!((desk.error(id), desk.joined(id).generation_id), (None, 1));
    assert_ne!(desk.members(), [old]);
}

#[test]
fn it_keeps_its_place_while_it_is_away() {
    let (mut desk, old) = with_static();
    let mut patient = join_as("i", &old);
    patient.session_timeout = Duration::from_mins(10);
    desk.send(GroupRequest::Join(patient));
    desk.sync_all(std::slice::from_ref(&old));
    let (other, waiting) = desk.enter();
    desk.pass(REBALANCE);
    // It was late, but it stays a member; whoever joined leads.
    assert_eq!(desk.joined(waiting).leader, other);
    assert_eq!(desk.joined(waiting).members.len(), 2);
    assert!(desk.members().contains(&old));
}

#[test]
fn a_group_whose_members_are_all_away_waits_for_one_of_them() {
    let (mut desk, old) = with_static();
    let mut hasty = join_as("i", &old);
    hasty.rebalance_timeout = Duration::ZERO;
    let id = desk.send(GroupRequest::Join(hasty));
    let sync = desk.sync(&old, &[&old]);
    desk.settle(Err(ErrorCode::NotEnoughReplicas));
    assert_eq!(desk.error(id), None);
    assert_eq!(desk.error(sync), Some(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(desk.state(), "PreparingRebalance");
    desk.pass(SESSION - 1); // which asserts that the alarm does not ring for ever
    assert_eq!(desk.members(), [old]);
    desk.pass(1);
    assert_eq!((desk.state(), desk.members()), ("Empty", vec![]));
}

#[test]
fn other_protocols_of_the_returning_member_begin_a_rebalance() {
    let (mut desk, old) = with_static();
    let mut request = join_as("i", "");
    request.protocols = vec![("roundrobin".into(), subscription())];
    let back = desk.send(GroupRequest::Join(request));
    let answer = desk.joined(back);
    assert_eq!(answer.generation_id, 2);
    assert_eq!(answer.protocol_name.as_deref(), Some("roundrobin"));
    assert_ne!(answer.member_id, old);
}

/// Its earlier life's assignment would leave what it reads now without an owner.
#[test]
fn other_topics_of_the_returning_member_begin_a_rebalance() {
    let of = |topics: &[u8], owned: &[u8]| Bytes::from([b"\0\x01", topics, owned].concat());
    let t = &b"\0\0\0\x01\0\x01t\0\0\0\0"[..];
    let t_and_u = &b"\0\0\0\x02\0\x01t\0\x01u\0\0\0\0"[..];
    let u = &b"\0\0\0\x01\0\x01u\0\0\0\0"[..];
    let no_partitions = &b"\0\0\0\0"[..];
    let t_0 = &b"\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0"[..];
    for (metadata, generation_id) in [
        (of(t, no_partitions), 1),
        (of(t, t_0), 1),
        (of(t_and_u, no_partitions), 2),
        (of(u, no_partitions), 2),
    ] {
        let (mut desk, _) = with_static();
        let mut request = join_as("i", "");
        request.protocols = vec![("range".into(), metadata.clone())];
        let back = desk.send(GroupRequest::Join(request));
        if generation_id == 1 {
            desk.settle(Ok(()));
        }
        let answer = desk.joined(back);
        assert_eq!(answer.error, None, "{metadata:?}");
        assert_eq!(answer.generation_id, generation_id, "{metadata:?}");
    }
}
