//! Hand-worked tables for the sticky assignors: the examples of Kafka's documentation of
//! `StickyAssignor` (by the algorithm of quotas, which is younger than that text and hands out a
//! leaver's partitions in another order), generations in conflict, and what the cooperative assignor withholds.

use crate::client::assignor::AssignorKind::{CooperativeSticky, Sticky};
use crate::client::assignor::MemberSubscription;
use crate::client::assignor::testing::{again, check, member, partitions, with_claim};
use crate::config::sabotage::{Sabotage, plant_in_thread};

fn holding(id: &str, topics: &str, held: &str, generation_id: i32) -> MemberSubscription {
    with_claim(member(id, topics), &partitions(held), generation_id)
}

#[test]
fn a_member_that_leaves_moves_only_its_own() {
    let all = "t0 t1 t2 t3";
    let members = [member("c0", all), member("c1", all), member("c2", all)];
    let first = check(
        Sticky,
        &members,
        "t0:2 t1:2 t2:2 t3:2",
        &[
            ("c0", "t0-0 t1-1 t3-0"),
            ("c1", "t0-1 t2-0 t3-1"),
            ("c2", "t1-0 t2-1"),
        ],
    );
    let left = [again(&members[0], &first, 1), again(&members[2], &first, 1)];
    check(
        Sticky,
        &left,
        "t0:2 t1:2 t2:2 t3:2",
        &[("c0", "t0-0 t0-1 t1-1 t3-0"), ("c2", "t1-0 t2-0 t2-1 t3-1")],
    );
}

#[test]
fn different_subscriptions_balance_better_than_round_robin() {
    let members = [
        member("c0", "t0"),
        member("c1", "t0 t1"),
        member("c2", "t0 t1 t2"),
    ];
    let first = check(
        Sticky,
        &members,
        "t0:1 t1:2 t2:3",
        &[
            ("c0", "t0-0"),
            ("c1", "t1-0 t1-1"),
            ("c2", "t2-0 t2-1 t2-2"),
        ],
    );
    let left = [again(&members[1], &first, 1), again(&members[2], &first, 1)];
    check(
        Sticky,
        &left,
        "t0:1 t1:2 t2:3",
        &[("c1", "t0-0 t1-0 t1-1"), ("c2", "t2-0 t2-1 t2-2")],
    );
}

#[test]
fn who_reached_the_lower_quota_first_is_the_first_to_get_one_more() {
    // c has its share from the start, so it stands before a and b, who only come to theirs.
    let members = [
        member("a", "t"),
        member("b", "t"),
        holding("c", "t", "t-0 t-1", 4),
    ];
    check(
        Sticky,
        &members,
        "t:7",
        &[("a", "t-2 t-4"), ("b", "t-3 t-5"), ("c", "t-0 t-1 t-6")],
    );
}

#[test]
fn a_member_that_joins_takes_from_those_with_most() {
    let members = [
        holding("a", "t", "t-0 t-1 t-2", 4),
        holding("b", "t", "t-3 t-4", 4),
        member("c", "t"),
    ];
    let balanced = [("a", "t-0 t-1"), ("b", "t-3 t-4"), ("c", "t-2")];
    check(Sticky, &members, "t:5", &balanced);
    // What the newcomer is to have is still held, so it waits for the next generation.
    let now = [("a", "t-0 t-1"), ("b", "t-3 t-4"), ("c", "")];
    let assignments = check(CooperativeSticky, &members, "t:5", &now);
    let next = members
        .each_ref()
        .map(|member| again(member, &assignments, 5));
    check(CooperativeSticky, &next, "t:5", &balanced);
}

#[test]
fn the_newer_generation_has_what_two_members_claim() {
    // KAFKA-12984: b missed a rebalance and still believes in generation 3.
    let members = [
        holding("a", "t", "t-0 t-1", 4),
        holding("b", "t", "t-1 t-2", 3),
    ];
    for kind in [Sticky, CooperativeSticky] {
        check(kind, &members, "t:4", &[("a", "t-0 t-1"), ("b", "t-2 t-3")]);
    }
}

#[test]
fn what_two_members_of_one_generation_claim_belongs_to_neither() {
    // KAFKA-12984: each may still process t-1, so the cooperative assignor gives it to nobody.
    let members = [
        holding("a", "t", "t-0 t-1", 4),
        holding("b", "t", "t-1 t-2", 4),
    ];
    check(
        Sticky,
        &members,
        "t:4",
        &[("a", "t-0 t-1"), ("b", "t-2 t-3")],
    );
    let now = [("a", "t-0"), ("b", "t-2 t-3")];
    let assignments = check(CooperativeSticky, &members, "t:4", &now);
    let next = members
        .each_ref()
        .map(|member| again(member, &assignments, 5));
    check(
        CooperativeSticky,
        &next,
        "t:4",
        &[("a", "t-0 t-1"), ("b", "t-2 t-3")],
    );
}

#[test]
fn a_stale_holder_is_no_owner_while_the_newer_one_still_holds() {
    // b has more than its share; t-2 would go to the stale a, whom b may still overlap.
    let members = [
        holding("a", "t", "t-2", 3),
        holding("b", "t", "t-0 t-1 t-2", 4),
    ];
    check(Sticky, &members, "t:3", &[("a", "t-2"), ("b", "t-0 t-1")]);
    check(
        CooperativeSticky,
        &members,
        "t:3",
        &[("a", ""), ("b", "t-0 t-1")],
    );
}

#[test]
fn cooperative_withholding_with_different_subscriptions() {
    let members = [holding("a", "s t", "t-0 t-1 t-2 t-3", 4), member("b", "t")];
    let now = [("a", "s-0 t-2 t-3"), ("b", "")];
    let expected_next = [("a", "s-0 t-2 t-3"), ("b", "t-0 t-1")];
    let assignments = check(CooperativeSticky, &members, "s:1 t:4", &now);
    let next = members
        .each_ref()
        .map(|member| again(member, &assignments, 5));
    check(CooperativeSticky, &next, "s:1 t:4", &expected_next);
}

#[test]
fn a_topic_that_is_gone_or_no_longer_wanted_is_given_up() {
    let members = [
        holding("a", "t", "t-0 u-0 gone-0 t-9", 4),
        member("b", "t u"),
    ];
    check(
        Sticky,
        &members,
        "t:2 u:1",
        &[("a", "t-0 t-1"), ("b", "u-0")],
    );
    // a has not yet learned that it must give up u-0.
    check(
        CooperativeSticky,
        &members,
        "t:2 u:1",
        &[("a", "t-0 t-1"), ("b", "")],
    );
}

#[test]
fn unreadable_user_data_claims_nothing() {
    let mut broken = holding("a", "t", "t-0 t-1", 4);
    broken.subscription.user_data = Some(bytes::Bytes::from_static(b"\x7f\xff\xff\xff"));
    let members = [broken, holding("b", "t", "t-0", 3)];
    check(Sticky, &members, "t:2", &[("a", "t-1"), ("b", "t-0")]);
}

#[test]
fn user_data_without_a_generation_is_older_than_any() {
    // Version 0 of the sticky user data ends after the partitions.
    let mut old = holding("a", "t", "t-0 t-1", 4);
    let user_data = old.subscription.user_data.take().expect("user data");
    old.subscription.user_data = Some(user_data.slice(..user_data.len() - 4));
    check(
        Sticky,
        &[old.clone(), member("b", "t")],
        "t:2",
        &[("a", "t-0"), ("b", "t-1")],
    );
    let newer = holding("b", "t", "t-0", 0);
    check(Sticky, &[old, newer], "t:2", &[("a", "t-1"), ("b", "t-0")]);
}

#[test]
fn a_cooperative_member_of_an_old_version_tells_its_generation_in_user_data() {
    let mut a = holding("a", "t", "t-0 t-1", 0);
    a.subscription.generation_id = None;
    a.subscription.user_data = CooperativeSticky.user_data(Some((&[], 5)));
    let b = holding("b", "t", "t-1", 4);
    check(
        CooperativeSticky,
        &[a, b],
        "t:2",
        &[("a", "t-0"), ("b", "")],
    );
}

#[test]
fn the_planted_assignor_leaves_a_newcomer_nothing() {
    let members = [holding("c0", "t", "t-0 t-1 t-2", 1), member("c1", "t")];
    check(Sticky, &members, "t:3", &[("c0", "t-0 t-1"), ("c1", "t-2")]);
    plant_in_thread(Some(Sabotage::StickyAssignorIgnoresQuota));
    check(
        Sticky,
        &members,
        "t:3",
        &[("c0", "t-0 t-1 t-2"), ("c1", "")],
    );
    plant_in_thread(None);
}
