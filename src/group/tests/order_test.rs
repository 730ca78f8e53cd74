//! Which of several objections is raised: the order in which requests are validated.

use super::*;

fn static_member(member_id: &str, instance: &str, generation_id: i32) -> MemberRequest {
    MemberRequest {
        instance_id: Some(instance.into()),
        ..member(member_id, generation_id)
    }
}

#[test]
fn joins_are_refused_in_kafkas_order() {
    type Change = fn(&mut JoinRequest);
    let short: Change = |join| join.session_timeout = Duration::from_secs(5);
    let table: &[(&str, Change, ErrorCode)] = &[
        (
            "no group",
            |j| (j.group_id, j.session_timeout) = (String::new(), Duration::ZERO),
            ErrorCode::InvalidGroupId,
        ),
        ("too short", short, ErrorCode::InvalidSessionTimeout),
        (
            "too long",
            |j| j.session_timeout = Duration::from_secs(1_801),
            ErrorCode::InvalidSessionTimeout,
        ),
        (
            "unknown group",
            |j| (j.group_id, j.member_id) = ("new".into(), "m".into()),
            ErrorCode::UnknownMemberId,
        ),
        (
            "no protocols in a new group",
            |j| (j.group_id, j.protocols) = ("new".into(), Vec::new()),
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "other type before unknown member",
            |j| (j.protocol_type, j.member_id) = ("connect".into(), "m".into()),
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "no common protocol",
            |j| j.protocols = vec![("other".into(), Bytes::new())],
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "unknown member",
            |j| j.member_id = "m".into(),
            ErrorCode::UnknownMemberId,
        ),
        (
            "unknown instance",
            |j| (j.member_id, j.instance_id) = ("m".into(), Some("none".into())),
            ErrorCode::UnknownMemberId,
        ),
        (
            "a name that no record holds",
            |j| j.protocol_type = "x".repeat(40_000),
            ErrorCode::InvalidRequest,
        ),
    ];
    for (what, change, expected) in table {
        let mut desk = Desk::new();
        desk.stable(1);
        let mut request = join("");
        change(&mut request);
        let id = desk.send(GroupRequest::Join(request));
        assert_eq!(desk.error(id), Some(*expected), "{what}");
        assert_eq!(desk.state(), "Stable", "{what}");
    }
}

#[test]
fn members_are_refused_in_kafkas_order() {
    let (unknown, fenced, illegal) = (
        Some(ErrorCode::UnknownMemberId),
        Some(ErrorCode::FencedInstanceId),
        Some(ErrorCode::IllegalGeneration),
    );
    let mut desk = Desk::new();
    let id = desk.send(GroupRequest::Join(join_as("i", "")));
    let name = desk.joined(id).member_id.clone();
    desk.sync_all(std::slice::from_ref(&name));
    let table = [
        (member("", -1), unknown),
        (member("m", 1), unknown),
        (member("m", 9), unknown),
        (static_member("m", "none", 9), unknown),
        (static_member("m", "i", 9), fenced),
        (static_member(&name, "i", 0), illegal),
        (static_member(&name, "i", 2), illegal),
        (member(&name, 2), illegal),
        (static_member(&name, "i", 1), None),
    ];
    for (who, expected) in table {
        let heartbeat = desk.send(GroupRequest::Heartbeat(who.clone()));
        assert_eq!(desk.error(heartbeat), expected, "heartbeat of {who:?}");
        let sync = desk.send(GroupRequest::Sync(SyncRequest {
            member: who.clone(),
            ..SyncRequest::default()
        }));
        assert_eq!(desk.error(sync), expected, "sync of {who:?}");
        let commit = desk.send(GroupRequest::Commit(commit(who.clone(), 1)));
        desk.settle_all();
        assert_eq!(desk.error(commit), expected, "commit of {who:?}");
    }
}

#[test]
fn a_sync_with_another_protocol_is_refused() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    for (protocol_type, protocol_name, expected) in [
        (
            Some("connect"),
            Some("range"),
            Some(ErrorCode::InconsistentGroupProtocol),
        ),
        (
            Some("consumer"),
            Some("other"),
            Some(ErrorCode::InconsistentGroupProtocol),
        ),
        (Some("consumer"), Some("range"), None),
        (None, None, None),
    ] {
        let id = desk.send(GroupRequest::Sync(SyncRequest {
            member: member(&a, 1),
            protocol_type: protocol_type.map(str::to_owned),
            protocol_name: protocol_name.map(str::to_owned),
            assignments: Vec::new(),
        }));
        assert_eq!(desk.error(id), expected);
    }
}

#[test]
fn commits_to_groups_without_members() {
    let mut desk = Desk::new();
    let id = desk.commit("m", 3, 1);
    assert_eq!(desk.error(id), Some(ErrorCode::GroupIdNotFound));
    let mut old = commit(member("m", 3), 1);
    old.knows_group_id_not_found = false;
    let id = desk.send(GroupRequest::Commit(old));
    assert_eq!(desk.error(id), Some(ErrorCode::IllegalGeneration));
    let id = desk.commit("", -1, 1);
    desk.settle(Ok(()));
    assert_eq!((desk.error(id), desk.state()), (None, "Empty"));
    let id = desk.commit("m", 3, 1);
    assert_eq!(desk.error(id), Some(ErrorCode::UnknownMemberId));
}

#[test]
fn nobody_is_known_in_an_empty_or_absent_group() {
    let mut desk = Desk::new();
    assert_eq!(desk.heartbeat("m", 1), Some(ErrorCode::UnknownMemberId));
    let left = desk.leave("m", None);
    assert_eq!(desk.error(left), Some(ErrorCode::UnknownMemberId));
    let a = desk.stable(1).remove(0);
    desk.leave(&a, None);
    desk.settle_all();
    assert_eq!(desk.heartbeat(&a, 2), Some(ErrorCode::UnknownMemberId));
    let again = desk.join(&a);
    assert_eq!(desk.error(again), Some(ErrorCode::UnknownMemberId));
}

#[test]
fn a_rebalance_is_told_to_syncs_of_the_last_generation() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    desk.enter();
    let id = desk.sync(&a, &[]);
    assert_eq!(desk.error(id), Some(ErrorCode::RebalanceInProgress));
}
