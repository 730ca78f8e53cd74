//! JoinGroup: names, waiting, generations, votes, limits.

use super::*;

#[test]
fn kip394_a_member_learns_its_name_before_it_joins() {
    let mut desk = Desk::new();
    let first = desk.join("");
    assert_eq!(desk.error(first), Some(ErrorCode::MemberIdRequired));
    assert_eq!((desk.state(), desk.members()), ("Empty", vec![]));
    let name = desk.joined(first).member_id.clone();
    assert!(name.starts_with("client-"), "{name}");
    let second = desk.join(&name);
    let answer = desk.joined(second);
    assert_eq!((answer.error, answer.generation_id), (None, 1));
    assert_eq!((&answer.leader, &answer.member_id), (&name, &name));
    assert_eq!(answer.members.len(), 1);
    assert_eq!(answer.protocol_name.as_deref(), Some("range"));
}

#[test]
fn kip394_an_old_client_joins_at_once() {
    let mut desk = Desk::new();
    let mut old = join("");
    old.can_be_told_member_id = false;
    let id = desk.send(GroupRequest::Join(old));
    assert_eq!(desk.error(id), None);
    assert_eq!(desk.members().len(), 1);
}

#[test]
fn a_rebalance_waits_for_all_and_only_the_leader_sees_them() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    let (b, waiting) = desk.enter();
    assert_eq!(desk.state(), "PreparingRebalance");
    assert!(!desk.is_answered(waiting));
    let rejoined = desk.join(&a);
    assert_eq!(desk.joined(waiting).generation_id, 2);
    assert_eq!(desk.joined(waiting).members, vec![]);
    assert_eq!(desk.joined(waiting).leader, a);
    let seen = desk.joined(rejoined).members.iter();
    let seen: Vec<_> = seen.map(|member| member.member_id.clone()).collect();
    assert_eq!(seen, [a, b]);
    assert_eq!(desk.state(), "CompletingRebalance");
}

#[test]
fn whoever_does_not_come_back_is_left_behind() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    let (b, waiting) = desk.enter();
    // It lives, but does not join again.
    for _ in 0..REBALANCE / 5_000 - 1 {
        desk.pass(5_000);
        let beat = desk.heartbeat(&a, 1);
        assert_eq!(beat, Some(ErrorCode::RebalanceInProgress));
        assert!(!desk.is_answered(waiting));
    }
    desk.pass(5_000);
    assert_eq!(desk.joined(waiting).generation_id, 2);
    assert_eq!(desk.joined(waiting).leader, b);
    assert_eq!(desk.members(), [b]);
    assert_eq!(desk.heartbeat(&a, 1), Some(ErrorCode::UnknownMemberId));
}

#[test]
fn a_pending_member_is_waited_for_until_it_is_forgotten() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    let pending = desk.join("");
    let (b, waiting) = desk.enter();
    desk.join(&a);
    assert!(!desk.is_answered(waiting), "the pending member may come");
    desk.pass(SESSION);
    assert_eq!(desk.joined(waiting).generation_id, 2);
    assert_eq!(desk.members().len(), 2);
    let late = desk.joined(pending).member_id.clone();
    let late = desk.join(&late);
    assert_eq!(desk.error(late), Some(ErrorCode::UnknownMemberId));
    assert!(desk.members().contains(&b));
}

#[test]
fn the_initial_delay_grows_with_newcomers_up_to_the_rebalance_timeout() {
    let mut desk = Desk::with(GroupSettings {
        initial_rebalance_delay: Duration::from_secs(3),
        ..settings()
    });
    let request = |member_id: &str| {
        let mut request = join(member_id);
        request.rebalance_timeout = Duration::from_secs(7);
        request.can_be_told_member_id = false;
        GroupRequest::Join(request)
    };
    let first = desk.send(request(""));
    desk.pass(2_999);
    assert!(!desk.is_answered(first));
    let second = desk.send(request(""));
    desk.pass(2_000); // 5 s: the delay was extended to 6 s
    assert!(!desk.is_answered(first));
    let third = desk.send(request(""));
    desk.pass(1_500); // 6.5 s: only one second was left to extend it
    assert!(!desk.is_answered(first));
    desk.pass(501);
    for id in [first, second, third] {
        assert_eq!(desk.joined(id).generation_id, 1);
    }
    assert_eq!(desk.joined(first).members.len(), 3);
}

#[test]
fn a_follower_that_asks_again_gets_its_generation_and_a_leader_begins_the_next() {
    let mut desk = Desk::new();
    let members = desk.stable(2);
    let generation = desk.generation();
    let again = desk.join(&members[1]);
    assert_eq!(desk.joined(again).generation_id, generation);
    assert_eq!(desk.state(), "Stable");
    let leader = desk.join(&members[0]);
    assert_eq!(desk.state(), "PreparingRebalance");
    assert!(!desk.is_answered(leader));
    desk.join(&members[1]);
    assert_eq!(desk.joined(leader).generation_id, generation + 1);
}

#[test]
fn a_retry_while_completing_gets_the_same_generation() {
    let mut desk = Desk::new();
    let (a, first) = desk.enter();
    let again = desk.join(&a);
    assert_eq!(desk.joined(again), desk.joined(first));
    let mut other = join(&a);
    other.protocols = vec![("range".into(), Bytes::from_static(b"other"))];
    let changed = desk.send(GroupRequest::Join(other));
    assert_eq!(desk.joined(changed).generation_id, 2);
}

#[test]
fn a_second_join_of_a_member_supersedes_the_first() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    let (b, first) = desk.enter();
    let second = desk.join(&b);
    assert_eq!(desk.error(first), Some(ErrorCode::RebalanceInProgress));
    desk.join(&a);
    assert_eq!(desk.joined(second).generation_id, 2);
}

#[test]
fn the_protocol_is_what_most_would_rather_have_and_ties_go_by_name() {
    let protocols = |names: &[&str]| {
        let pair = |name: &&str| ((*name).to_owned(), subscription());
        names.iter().map(pair).collect::<Vec<_>>()
    };
    for (wishes, expected) in [
        (vec![vec!["a", "b"], vec!["b", "a"]], "a"),
        (vec![vec!["a", "b"], vec!["b", "a"], vec!["b", "a"]], "b"),
        (vec![vec!["c", "b"], vec!["a", "b"]], "b"),
    ] {
        let mut desk = Desk::with(GroupSettings {
            initial_rebalance_delay: Duration::from_secs(3),
            ..settings()
        });
        let mut ids = Vec::new();
        for wish in &wishes {
            let mut request = join("");
            request.can_be_told_member_id = false;
            request.protocols = protocols(wish);
            ids.push(desk.send(GroupRequest::Join(request)));
        }
        desk.pass(10_000);
        for id in ids {
            let name = desk.joined(id).protocol_name.as_deref();
            assert_eq!(name, Some(expected), "{wishes:?}");
        }
    }
}

#[test]
fn a_full_group_refuses_and_does_not_wait_for_whom_it_refused() {
    let mut desk = Desk::with(GroupSettings {
        members_max: 2,
        ..settings()
    });
    let members = desk.stable(2);
    let third = desk.join("");
    assert_eq!(desk.error(third), Some(ErrorCode::GroupMaxSizeReached));
    assert_eq!((desk.state(), desk.members().len()), ("Stable", 2));
    let again = desk.join(&members[1]);
    assert_eq!(desk.error(again), None);
}

#[test]
fn a_new_member_whose_client_is_gone_is_not_kept_for_ever() {
    let mut desk = Desk::new();
    let a = desk.stable(1).remove(0);
    let mut slow = join(&a);
    slow.rebalance_timeout = Duration::from_hours(1);
    desk.send(GroupRequest::Join(slow));
    desk.sync_all(std::slice::from_ref(&a));
    let (b, waiting) = desk.enter();
    for _ in 0..299_000 / 5_000 {
        desk.pass(5_000);
        desk.heartbeat(&a, 2);
    }
    assert!(!desk.is_answered(waiting));
    desk.pass(5_000);
    assert_eq!(desk.error(waiting), Some(ErrorCode::UnknownMemberId));
    assert!(!desk.members().contains(&b));
}
