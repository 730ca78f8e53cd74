//! No false alarm: every history of a perfect group is valid in every mode, and what is broken in
//! one is found under its name.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod damage;
#[path = "simulate/group/mod.rs"]
mod simulate;
#[path = "simulate/splitmix.rs"]
mod splitmix;

use std::collections::BTreeSet;

use checkers::anomaly::Kind;
use checkers::contract::Contract;
use checkers::history::{
    Action, CommitMode, GROUP_DRAIN, History, Key, Op, OpType, RebalanceEvent, ResumeSource,
};
use checkers::verdict::{Validity, Verdict};
use damage::{damages, is_borne};
use proptest::prelude::*;
use simulate::GroupPlan;

const MODES: [CommitMode; 5] = [
    CommitMode::AutoInLoop,
    CommitMode::AutoHandoff,
    CommitMode::SyncAfter,
    CommitMode::AsyncAfter,
    CommitMode::SyncBefore,
];

fn plans() -> impl Strategy<Value = GroupPlan> {
    let shape = (1_usize..5, 1_usize..5, 1_usize..1_500);
    let faults = (0_u64..60, 0_u64..40);
    let members = (any::<bool>(), any::<bool>(), any::<bool>());
    let all = (any::<u64>(), 0_usize..5, shape, faults, members);
    all.prop_map(
        |(seed, mode, (clients, partitions, steps), (churn, doubtful), members)| GroupPlan {
            seed,
            mode: MODES[mode],
            clients,
            partitions,
            steps,
            churn,
            doubtful,
            asks: 10,
            cooperative: members.0,
            statics: members.1,
            stale: members.2,
        },
    )
}

fn judge(history: &History) -> Verdict {
    checkers::check(history, &Contract::of(history))
}

fn count(verdict: &Verdict, kind: Kind) -> u64 {
    let check = verdict.checks.iter().find(|check| check.anomaly == kind);
    check.map_or(0, |check| check.count)
}

/// The history with other lines.
fn with(history: &History, change: impl FnOnce(&mut Vec<Op>)) -> History {
    let mut ops = history.ops.clone();
    change(&mut ops);
    for (index, op) in ops.iter_mut().enumerate() {
        op.index = index as u64;
    }
    History::from_ops(history.header.clone(), ops).expect("still well formed")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_perfect_group_is_never_accused(plan in plans()) {
        let history = simulate::history(plan);
        let verdict = judge(&history);
        for check in &verdict.checks {
            let allowed = !check.promise.forbidden && check.problem.is_none();
            prop_assert!(check.count == 0 || allowed, "{plan:?} {:#?}", check.examples);
        }
        prop_assert!(verdict.validity == Validity::Valid || verdict.nothing_ran());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn damaged_histories_are_refused_or_judged_without_panic(
        plan in plans(),
        damages in damages(),
    ) {
        is_borne(&simulate::history(GroupPlan { steps: plan.steps % 200, ..plan }), damages)?;
    }
}

/// Histories of many seeds, so that what is rare happens.
fn histories(mode: CommitMode) -> impl Iterator<Item = History> {
    (0..24).map(move |seed| {
        let (clients, partitions, steps) = (3, 3, 1_200);
        let (churn, doubtful) = (15, 10);
        let cooperative = seed % 2 == 1;
        simulate::history(GroupPlan {
            seed,
            mode,
            clients,
            partitions,
            steps,
            cooperative,
            churn,
            doubtful,
            asks: 10,
            statics: seed % 3 == 2,
            stale: seed % 4 == 3,
        })
    })
}

#[test]
fn what_a_mode_allows_is_seen_and_nothing_else() {
    for mode in MODES {
        let (mut lost, mut repeated, mut refused, mut in_doubt) = (0, 0, 0, 0);
        for history in histories(mode) {
            let counts = judge(&history).counts.group;
            lost += counts.lost;
            repeated += counts.duplicates;
            refused += counts.commits_failed;
            in_doubt += counts.commits_unknown;
            let drained = |op: &&Op| op.action == Action::Admin(GROUP_DRAIN.into());
            let end = history.ops.iter().rfind(drained).expect("a drain");
            assert_eq!(
                end.kind,
                OpType::Ok,
                "{mode:?}: the simulated group gets to the end"
            );
        }
        let may_lose = matches!(mode, CommitMode::AutoHandoff | CommitMode::SyncBefore);
        assert_eq!(lost > 0, may_lose, "{mode:?} lost {lost}");
        assert_eq!(
            repeated > 0,
            mode != CommitMode::SyncBefore,
            "{mode:?} repeated {repeated}"
        );
        assert!(
            refused > 5 && in_doubt > 20,
            "{mode:?}: {refused} refused, {in_doubt} in doubt"
        );
    }
}

#[test]
fn the_verdict_says_what_was_allowed_and_seen() {
    let mut verdicts = histories(CommitMode::SyncBefore).map(|history| judge(&history));
    let verdict = verdicts.find(|v| v.counts.group.lost > 0);
    let verdict = verdict.expect("a loss is allowed, and seen");
    let lost = format!(
        "; allowed and seen: {} group-lost.",
        verdict.counts.group.lost
    );
    assert!(verdict.sentence.ends_with(&lost), "{}", verdict.sentence);
    assert!(
        verdict.sentence.contains(" processed, "),
        "{}",
        verdict.sentence
    );
    let check = verdict
        .checks
        .iter()
        .find(|check| check.anomaly == Kind::GroupLost);
    let story = &check.expect("looked for").examples[0].explanation;
    for word in ["received", "committed", "in the end"] {
        assert!(story.contains(word), "{story}");
    }
}

/// Breaks the history of every seed where it can be broken so, and expects the name each time.
fn assert_found(mode: CommitMode, kind: Kind, mutate: impl Fn(&mut Vec<Op>) -> bool) {
    let mut broken = 0;
    for (seed, history) in histories(mode).enumerate() {
        let mut changed = false;
        let mutant = with(&history, |ops| changed = mutate(ops));
        if changed {
            broken += 1;
            let verdict = judge(&mutant);
            assert!(
                count(&verdict, kind) > 0,
                "{mode:?} seed {seed}: no {}",
                kind.name()
            );
            assert_eq!(verdict.validity, Validity::Invalid, "{mode:?} seed {seed}");
        }
    }
    assert!(
        broken > 0,
        "{mode:?}: {} was tried on {broken} histories",
        kind.name()
    );
}

/// Places of operations of this kind.
fn places(ops: &[Op], is: impl Fn(&Op) -> bool) -> Vec<usize> {
    (0..ops.len()).filter(|place| is(&ops[*place])).collect()
}

/// One of the later ones: there the group has a past.
fn late(places: &[usize]) -> Option<usize> {
    places.get(places.len() * 3 / 4).copied()
}

#[test]
fn a_record_that_nobody_processed_is_lost_and_was_committed_too_early() {
    let forget = |ops: &mut Vec<Op>| {
        let records = |op: &Op| match &op.action {
            Action::Process(process) => Some(process.records.clone()),
            _ => None,
        };
        let processed = places(ops, |op| op.kind == OpType::Ok && records(op).is_some());
        let Some(place) = late(&processed) else {
            return false;
        };
        let gone = records(&ops[place]);
        ops.retain(|op| records(op) != gone);
        true
    };
    assert_found(CommitMode::SyncAfter, Kind::GroupLost, forget);
    assert_found(CommitMode::AsyncAfter, Kind::CommitAhead, forget);
    assert_found(CommitMode::AutoInLoop, Kind::GroupLost, forget);
}

#[test]
fn a_second_owner_and_a_foreign_partition_are_found() {
    let assigned = |op: &Op| match &op.action {
        Action::Rebalance(told) => {
            told.event == RebalanceEvent::Assigned && !told.partitions.is_empty()
        }
        _ => false,
    };
    let second = |ops: &mut Vec<Op>| {
        let Some(place) = late(&places(ops, assigned)) else {
            return false;
        };
        let mut twin = ops[place].clone();
        if let Action::Rebalance(told) = &mut twin.action {
            told.consumer = "intruder".into();
        }
        ops.insert(place + 1, twin);
        true
    };
    let foreign = |ops: &mut Vec<Op>| {
        let Some(place) = late(&places(ops, assigned)) else {
            return false;
        };
        if let Action::Rebalance(told) = &mut ops[place].action {
            told.partitions.push(Key::new("other", 0));
        }
        true
    };
    for mode in MODES {
        assert_found(mode, Kind::DualOwner, second);
        assert_found(mode, Kind::SurplusOwner, foreign);
    }
}

#[test]
fn who_is_given_records_after_a_revocation_is_found() {
    let revoke = |ops: &mut Vec<Op>| {
        let records = |op: &Op| match &op.action {
            Action::Poll(poll) if op.kind == OpType::Ok => Some(poll.records.clone()),
            _ => None,
        };
        let told = ops
            .iter()
            .filter(|op| matches!(op.action, Action::Rebalance(_)));
        let members: BTreeSet<u64> = told.map(|op| op.process).collect();
        let polls = places(ops, |op| {
            let has_any = records(op).is_some_and(|records| !records.is_empty());
            has_any && members.contains(&op.process)
        });
        let Some(place) = late(&polls) else {
            return false;
        };
        let given = records(&ops[place]).expect("a poll").into_keys().collect();
        let own = |op: &&Op| op.process == ops[place].process;
        let told = ops[..place]
            .iter()
            .filter(own)
            .rfind(|op| matches!(op.action, Action::Rebalance(_)));
        let Some(mut told) = told.cloned() else {
            return false;
        };
        if let Action::Rebalance(event) = &mut told.action {
            (event.event, event.partitions) = (RebalanceEvent::Revoked, given);
        }
        ops.insert(place, told);
        true
    };
    for mode in MODES {
        assert_found(mode, Kind::DualOwner, revoke);
    }
}

#[test]
fn a_client_that_never_commits_by_itself_repeats_too_much() {
    for mode in [CommitMode::AutoInLoop, CommitMode::AutoHandoff] {
        let found = histories(mode).map(|history| {
            let mutant = with(&history, |ops| {
                ops.retain(|op| !matches!(op.action, Action::Commit(_)));
            });
            let verdict = judge(&mutant);
            let found = count(&verdict, Kind::UnboundedDuplicate);
            assert!(found == 0 || verdict.validity == Validity::Invalid);
            found
        });
        assert!(found.filter(|found| *found > 0).count() > 5, "{mode:?}");
    }
}

#[test]
fn an_accepted_commit_of_an_old_generation_is_found() {
    let accept = |ops: &mut Vec<Op>| {
        let mut generation = 0;
        let mut late = Vec::new();
        for (place, op) in ops.iter().enumerate() {
            match &op.action {
                Action::Rebalance(told) if told.event == RebalanceEvent::Assigned => {
                    generation = generation.max(told.generation);
                }
                Action::Commit(commit) if op.kind == OpType::Invoke => {
                    late.extend((commit.generation < generation).then_some(place));
                }
                _ => {}
            }
        }
        let refused = late.into_iter().find_map(|invoked| {
            let answers = |op: &&Op| op.process == ops[invoked].process;
            let answer = ops.iter().skip(invoked + 1).find(answers)?;
            (answer.kind == OpType::Fail).then_some(answer.index as usize)
        });
        let Some(answer) = refused.and_then(|place| ops.get_mut(place)) else {
            return false;
        };
        (answer.kind, answer.error) = (OpType::Ok, None);
        true
    };
    for mode in MODES {
        assert_found(mode, Kind::ZombieCommit, accept);
    }
}

#[test]
fn offsets_that_nobody_committed_are_found() {
    let resume = |ops: &mut Vec<Op>| {
        let committed = |op: &Op| match &op.action {
            Action::Resume(resume) => resume.source == ResumeSource::Committed,
            _ => false,
        };
        let place = late(&places(ops, committed));
        let Some(Action::Resume(resume)) = place.map(|place| &mut ops[place].action) else {
            return false;
        };
        resume.offset += 1_000_000;
        true
    };
    let reset = |ops: &mut Vec<Op>| {
        let reset = |op: &Op| match &op.action {
            Action::Resume(resume) => resume.source == ResumeSource::Reset,
            _ => false,
        };
        let place = late(&places(ops, reset));
        let Some(Action::Resume(resume)) = place.map(|place| &mut ops[place].action) else {
            return false;
        };
        resume.offset += 1;
        true
    };
    let commit = |ops: &mut Vec<Op>| {
        let acked = |op: &Op| op.kind == OpType::Ok && matches!(op.action, Action::Commit(_));
        let process = late(&places(ops, acked)).map(|place| ops[place].process);
        // The checkers read what was asked.
        let asked = ops.iter_mut().find(|op| Some(op.process) == process);
        let Some(Action::Commit(commit)) = asked.map(|op| &mut op.action) else {
            return false;
        };
        commit
            .offsets
            .values_mut()
            .for_each(|offset| *offset += 1_000_000);
        true
    };
    for mode in MODES {
        assert_found(mode, Kind::ResumeWrong, resume);
        assert_found(mode, Kind::ResetWrong, reset);
        assert_found(mode, Kind::CommitAhead, commit);
    }
}

/// The keys of the last answer about the committed offsets for which a commit was acknowledged.
fn forget_committed(ops: &mut [Op], forget: impl Fn(&mut Option<i64>)) -> bool {
    let acked = |op: &Op| op.kind == OpType::Ok && matches!(op.action, Action::Commit(_));
    let acked = places(ops, acked).into_iter();
    let keys: Vec<Key> = acked
        .flat_map(|place| match &ops[place].action {
            Action::Commit(commit) => commit.offsets.keys().cloned().collect(),
            _ => Vec::new(),
        })
        .collect();
    let answer = ops
        .iter_mut()
        .rfind(|op| matches!(op.action, Action::Committed(_)));
    let Some(Action::Committed(answer)) = answer.map(|op| &mut op.action) else {
        return false;
    };
    let known = answer
        .offsets
        .iter_mut()
        .find(|(key, _)| keys.contains(key));
    known.is_some_and(|(_, offset)| {
        forget(offset);
        true
    })
}

#[test]
fn committed_offsets_that_vanish_or_are_invented_are_found() {
    for mode in MODES {
        assert_found(mode, Kind::CommitLost, |ops| {
            forget_committed(ops, |offset| *offset = None)
        });
        assert_found(mode, Kind::NonlinearizableCommit, |ops| {
            forget_committed(ops, |offset| *offset = Some(1_000_000))
        });
    }
}
