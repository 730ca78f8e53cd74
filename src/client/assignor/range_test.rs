//! Hand-worked tables for the range and the round-robin assignor: the examples of Kafka's own
//! documentation of `RangeAssignor` and `RoundRobinAssignor`, and static members.

use crate::client::assignor::AssignorKind::{Range, RoundRobin};
use crate::client::assignor::MemberSubscription;
use crate::client::assignor::testing::{check, member};

fn static_member(id: &str, instance: &str, topics: &str) -> MemberSubscription {
    MemberSubscription {
        instance_id: Some(instance.to_owned()),
        ..member(id, topics)
    }
}

#[test]
fn range_gives_runs_of_each_topic() {
    let two = [member("c0", "t0 t1"), member("c1", "t0 t1")];
    check(
        Range,
        &two,
        "t0:3 t1:3",
        &[("c0", "t0-0 t0-1 t1-0 t1-1"), ("c1", "t0-2 t1-2")],
    );
    let three = [member("c0", "t"), member("c1", "t"), member("c2", "t")];
    check(
        Range,
        &three,
        "t:2",
        &[("c0", "t-0"), ("c1", "t-1"), ("c2", "")],
    );
    let expected = [("c0", "t-0 t-1 t-2"), ("c1", "t-3 t-4"), ("c2", "t-5 t-6")];
    check(Range, &three, "t:7", &expected);
}

#[test]
fn range_asks_only_the_subscribers_of_a_topic() {
    let members = [
        member("c0", "a"),
        member("c1", "a b"),
        member("c2", "b nowhere"),
    ];
    let expected = [("c0", "a-0 a-1"), ("c1", "a-2 b-0"), ("c2", "b-1")];
    check(Range, &members, "a:3 b:2 unread:4", &expected);
}

#[test]
fn round_robin_deals_out_all_topics() {
    let two = [member("c0", "t0 t1"), member("c1", "t0 t1")];
    check(
        RoundRobin,
        &two,
        "t0:3 t1:3",
        &[("c0", "t0-0 t0-2 t1-1"), ("c1", "t0-1 t1-0 t1-2")],
    );
}

#[test]
fn round_robin_of_different_subscriptions_is_lopsided_as_in_kafka() {
    let members = [
        member("c0", "t0"),
        member("c1", "t0 t1"),
        member("c2", "t0 t1 t2"),
    ];
    let expected = [
        ("c0", "t0-0"),
        ("c1", "t1-0"),
        ("c2", "t1-1 t2-0 t2-1 t2-2"),
    ];
    check(RoundRobin, &members, "t0:1 t1:2 t2:3 unread:1", &expected);
}

#[test]
fn static_members_come_first_by_their_instance_ids() {
    for kind in [Range, RoundRobin] {
        let members = [
            member("a", "t"),
            static_member("z", "i1", "t"),
            static_member("b", "i2", "t"),
        ];
        check(
            kind,
            &members,
            "t:3",
            &[("a", "t-2"), ("b", "t-1"), ("z", "t-0")],
        );
        // The static members come back under other ids and get the same partitions.
        let members = [
            member("a", "t"),
            static_member("c", "i1", "t"),
            static_member("x", "i2", "t"),
        ];
        check(
            kind,
            &members,
            "t:3",
            &[("a", "t-2"), ("c", "t-0"), ("x", "t-1")],
        );
    }
}

#[test]
fn nobody_and_nothing_are_no_trouble() {
    for kind in super::AssignorKind::ALL {
        check(kind, &[], "t:3", &[]);
        check(
            kind,
            &[member("a", ""), member("b", "gone")],
            "t:3",
            &[("a", ""), ("b", "")],
        );
        check(kind, &[member("a", "t")], "t:0", &[("a", "")]);
        assert_eq!(super::AssignorKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(super::AssignorKind::from_name("RoundRobinAssigner"), None);
}
