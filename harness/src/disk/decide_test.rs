//! Each rule, without a file system.

use super::*;

const WRITE: Call = Call {
    operation: OperationClass::Write,
    file: FileClass::Segment,
};
const SYNC: Call = Call {
    operation: OperationClass::Sync,
    file: FileClass::Segment,
};

const ALL: [OperationClass; 12] = {
    use OperationClass as O;
    [
        O::Open,
        O::Read,
        O::Write,
        O::SetLength,
        O::Sync,
        O::SyncDirectory,
        O::Create,
        O::Rename,
        O::Remove,
        O::GetAttributes,
        O::SetAttributes,
        O::ListDirectory,
    ]
};

fn rule(pick: DiskPick, action: DiskAction) -> DiskRule {
    DiskRule {
        operations: vec![],
        files: vec![],
        pick,
        action,
    }
}

fn at_work(rule: DiskRule) -> Active {
    Active::new(rule, RuleId(1), 7, Duration::from_secs(1), 100)
}

fn one(active: &mut Active, call: Call, now_ms: u64) -> Decision {
    let now = Duration::from_millis(now_ms);
    decide([(RuleId(1), active)].into_iter(), call, now, |_| {})
}

const EIO: DiskAction = DiskAction::Error {
    errno: DiskErrno::Eio,
};

/// The numbers of the calls, from 1, that a rule hits out of `count`.
fn hits(pick: DiskPick, count: u64) -> Vec<u64> {
    let mut active = at_work(rule(pick, EIO));
    let is_hit = |_: &u64| one(&mut active, WRITE, 1_000).act != Act::AsAsked;
    (1..=count).filter(is_hit).collect()
}

#[test]
fn a_pick_hits_the_calls_that_it_says() {
    assert_eq!(hits(DiskPick::Every, 3), [1, 2, 3]);
    assert_eq!(hits(DiskPick::Nth(2), 4), [2]);
    assert_eq!(hits(DiskPick::From(3), 4), [3, 4]);
    assert_eq!(hits(DiskPick::PerMille(0), 100), [0; 0]);
    assert_eq!(hits(DiskPick::PerMille(1000), 3), [1, 2, 3]);
    let by_chance = hits(DiskPick::PerMille(300), 10_000);
    assert!(
        (2_800..3_200).contains(&by_chance.len()),
        "{}",
        by_chance.len()
    );
    assert_eq!(by_chance, hits(DiskPick::PerMille(300), 10_000));
}

#[test]
fn operations_and_files_that_a_rule_does_not_name_are_neither_hit_nor_counted() {
    let mut only = rule(DiskPick::Every, EIO);
    only.operations = vec![OperationClass::Sync];
    only.files = vec![FileClass::Segment];
    let mut active = at_work(only);
    let index = Call {
        file: FileClass::Index,
        ..SYNC
    };
    let mut others = vec![WRITE, index];
    others.extend(ALL.map(|operation| Call { operation, ..SYNC }));
    others.retain(|call| *call != SYNC);
    for call in others {
        assert_eq!(one(&mut active, call, 1_000), Decision::PLAIN);
    }
    assert_eq!(
        one(&mut active, SYNC, 1_000).act,
        Act::Refuse(DiskErrno::Eio)
    );
    assert_eq!((active.effect.matched, active.effect.hits), (1, 1));
    active.is_lifted = true;
    assert_eq!(one(&mut active, SYNC, 1_000), Decision::PLAIN);
}

#[test]
fn a_rule_about_everything_leaves_nothing_out() {
    let mut active = at_work(rule(DiskPick::Every, DiskAction::Stall));
    for (count, operation) in (1..).zip(ALL) {
        let when = one(&mut active, Call { operation, ..SYNC }, 1_000).when;
        assert_eq!((when, active.effect.hits), (When::Lifted, count));
    }
}

#[test]
fn an_action_only_looks_at_operations_that_it_can_change() {
    for (action, call) in [
        (DiskAction::Lie, WRITE),
        (DiskAction::Short, SYNC),
        (DiskAction::Torn { bytes: 1 }, SYNC),
        (DiskAction::FlipOnRead, WRITE),
        (
            DiskAction::Full {
                left_bytes: 0,
                errno: DiskErrno::Enospc,
            },
            SYNC,
        ),
    ] {
        let mut active = at_work(rule(DiskPick::Every, action));
        assert_eq!(one(&mut active, call, 1_000), Decision::PLAIN, "{action:?}");
        assert_eq!(active.effect.matched, 0);
    }
}

#[test]
fn an_on_off_disk_is_off_first_and_holds_until_it_is_on() {
    let action = DiskAction::OnOff {
        off_ms: 100,
        on_ms: 50,
    };
    let mut active = at_work(rule(DiskPick::Every, action));
    for (now_ms, left_ms) in [
        (1_000, Some(100)),
        (1_099, Some(1)),
        (1_100, None),
        (1_149, None),
        (1_150, Some(100)),
    ] {
        let when = one(&mut active, WRITE, now_ms).when;
        let wanted = left_ms.map_or(When::Now, |ms| When::After(Duration::from_millis(ms)));
        assert_eq!(when, wanted, "at {now_ms}");
    }
    assert_eq!((active.effect.matched, active.effect.hits), (5, 3));
}

#[test]
fn a_slow_disk_stays_within_its_jitter() {
    let action = DiskAction::Slow {
        mean_ms: 20,
        jitter_ms: 5,
    };
    let mut active = at_work(rule(DiskPick::Every, action));
    for _ in 0..1_000 {
        let When::After(delay) = one(&mut active, WRITE, 0).when else {
            panic!("not delayed");
        };
        assert!((15_000..=25_000).contains(&delay.as_micros()), "{delay:?}");
    }
}

#[test]
fn a_full_disk_counts_from_what_was_in_use_and_leaves_the_counting_of_hits_to_the_writer() {
    let action = DiskAction::Full {
        left_bytes: 11,
        errno: DiskErrno::Edquot,
    };
    let mut active = at_work(rule(DiskPick::Every, action));
    let wanted = Act::Within {
        limit: 111,
        errno: DiskErrno::Edquot,
    };
    assert_eq!(one(&mut active, WRITE, 0).act, wanted);
    assert_eq!((active.effect.matched, active.effect.hits), (1, 0));
    assert_eq!(active.limit(), Some(111));
}

#[test]
fn one_rule_may_delay_what_another_changes() {
    let mut stall = at_work(rule(DiskPick::Every, DiskAction::Stall));
    let mut error = at_work(rule(DiskPick::Every, EIO));
    let mut later = at_work(rule(DiskPick::Every, DiskAction::Torn { bytes: 5 }));
    let rules = [
        (RuleId(1), &mut stall),
        (RuleId(2), &mut error),
        (RuleId(3), &mut later),
    ];
    let decision = decide(rules.into_iter(), WRITE, Duration::ZERO, |_| {});
    let wanted = Decision {
        when: When::Lifted,
        holder: Some(RuleId(1)),
        act: Act::Refuse(DiskErrno::Eio),
        actor: Some(RuleId(2)),
    };
    assert_eq!(decision, wanted);
}
