//! LeaveGroup.

use super::*;

#[test]
fn who_leaves_is_gone_at_once_and_the_last_one_empties_the_group() {
    let mut desk = Desk::new();
    let members = desk.stable(2);
    let left = desk.leave(&members[0], None);
    assert_eq!(desk.error(left), None);
    assert_eq!(desk.members(), [members[1].clone()]);
    assert_eq!(desk.state(), "PreparingRebalance");
    let again = desk.join(&members[1]);
    assert_eq!(desk.joined(again).leader, members[1]);
    desk.leave(&members[1], None);
    assert_eq!(desk.state(), "Empty");
    assert_eq!(desk.writes.len(), 1, "that it is empty is stored");
}

#[test]
fn the_last_one_missing_leaves_and_the_rebalance_ends() {
    let mut desk = Desk::new();
    let members = desk.stable(2);
    let waiting = desk.join(&members[0]);
    assert!(!desk.is_answered(waiting));
    desk.leave(&members[1], None);
    assert_eq!(desk.joined(waiting).generation_id, 3);
}

#[test]
fn a_pending_member_can_leave() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    let pending = desk.join("");
    let pending = desk.joined(pending).member_id.clone();
    desk.enter();
    let waiting = desk.join(&a);
    assert!(!desk.is_answered(waiting));
    let left = desk.leave(&pending, None);
    assert_eq!(desk.error(left), None);
    assert_eq!(desk.joined(waiting).generation_id, 2);
}

#[test]
fn kip345_a_static_member_is_removed_by_its_instance() {
    let mut desk = Desk::new();
    let id = desk.send(GroupRequest::Join(join_as("i", "")));
    let name = desk.joined(id).member_id.clone();
    desk.sync_all(std::slice::from_ref(&name));
    for (member_id, instance, expected) in [
        ("", Some("other"), Some(ErrorCode::UnknownMemberId)),
        ("other", Some("i"), Some(ErrorCode::FencedInstanceId)),
        ("other", None, Some(ErrorCode::UnknownMemberId)),
        ("", Some("i"), None),
        ("", Some("i"), Some(ErrorCode::UnknownMemberId)),
    ] {
        let left = desk.leave(member_id, instance);
        assert_eq!(desk.error(left), expected, "{member_id:?} {instance:?}");
    }
    assert_eq!(desk.members(), Vec::<String>::new());
}
