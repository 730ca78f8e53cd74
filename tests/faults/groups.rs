//! Groups of real consumer processes on real brokers: the modes without faults, and what becomes
//! of a member that is killed, frozen or sent away.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use checkers::history::{Action, CommitMode, History, Op, OpType, RebalanceEvent, ResumeSource};
use harness::cli::exit::Exit;
use harness::nemesis::{Effect, FaultSpec, Target};
use harness::plan::{Plan, ScheduledFault, profile};
use harness::run::summary::Summary;
use libtest_mimic::{Failed, Trial};

use crate::support::{self, Outcome, ensure};

/// Long enough for a fault, the session that it outlives, and the aftermath.
const WORKLOAD_MS: u64 = 5_000;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = CommitMode::ALL
        .into_iter()
        .map(|mode| {
            let name = mode.name().replace('-', "_");
            Trial::test(
                format!("groups::without_faults_{name}_keeps_every_promise"),
                move || keeps(mode),
            )
        })
        .collect();
    trials.extend([
        Trial::test(
            "groups::what_a_killed_member_owned_resumes_as_committed",
            killed,
        ),
        Trial::test("groups::a_member_that_left_comes_back_as_another", left),
        Trial::test("groups::a_zombie_owns_nothing_that_another_owns", frozen),
    ]);
    trials
}

/// The plan of a group whose members process fast, without faults.
fn plan(mode: CommitMode) -> Plan {
    let group = profile::find("group").expect("a profile");
    let mut plan = Plan::draw_with(1, group, WORKLOAD_MS);
    plan.faults.clear();
    plan.workload.consumers = 3;
    let members = plan.workload.group.as_mut().expect("a group");
    members.mode = mode;
    members.static_members = false;
    members.assignors = vec!["range".to_owned()];
    plan
}

/// The plan with one fault of the member that owns partition 0.
fn struck(mode: CommitMode, for_ms: u64, fault: impl Fn(Target) -> FaultSpec) -> Plan {
    let mut plan = plan(mode);
    let owner = Target::Owner {
        topic: plan.cluster.topic.clone(),
        partition: 0,
    };
    plan.faults = vec![ScheduledFault {
        at_ms: 1_500,
        for_ms,
        draw: 0,
        when: None,
        what: fault(owner),
    }];
    plan
}

/// Every record is processed exactly once when nothing goes wrong.
fn keeps(mode: CommitMode) -> Outcome {
    let results = tempfile::tempdir()?;
    let (summary, history) = run(plan(mode), results.path())?;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    ensure(summary.counts.acked > 100, "too little was sent")?;
    let mut processed = BTreeMap::<(String, i64), usize>::new();
    for op in history.ops.iter().filter(|op| op.kind == OpType::Ok) {
        let Action::Process(process) = &op.action else {
            continue;
        };
        for (key, records) in &process.records {
            for record in records {
                *processed
                    .entry((key.as_str().to_owned(), record.0))
                    .or_default() += 1;
            }
        }
    }
    ensure(
        processed.len() as u64 >= summary.counts.acked,
        format!("{} of {} processed", processed.len(), summary.counts.acked),
    )?;
    ensure(
        processed.values().all(|times| *times == 1),
        "something twice",
    )
}

fn killed() -> Outcome {
    let results = tempfile::tempdir()?;
    let plan = struck(CommitMode::SyncAfter, 2_000, |target| {
        FaultSpec::ClientKill { target }
    });
    let (summary, history) = run(plan, results.path())?;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    let crash =
        position(&history, |op| matches!(op.action, Action::Crash(_))).ok_or("nobody crashed")?;
    let before = history.ops.get(..crash).unwrap_or_default();
    let committed = before.iter().rev().find_map(committed_of_first);
    let after = history.ops.get(crash..).unwrap_or_default();
    let resumed = after.iter().find_map(|op| match &op.action {
        Action::Resume(resume) if resume.key.partition() == 0 => Some(resume),
        _ => None,
    });
    let resumed = resumed.ok_or("partition 0 has no new owner")?;
    let committed = committed.ok_or("partition 0 was never committed")?;
    // A commit that was on its way when the owner died may have been made.
    ensure(
        resumed.source == ResumeSource::Committed && resumed.offset >= committed,
        format!("resumed at {}, committed {committed}", resumed.offset),
    )?;
    let comes_back = after.iter().any(|op| match &op.action {
        Action::Subscribe(subscribe) => subscribe.consumer.ends_with(".2"),
        _ => false,
    });
    ensure(comes_back, "its client has no second life")
}

fn left() -> Outcome {
    let results = tempfile::tempdir()?;
    let plan = struck(CommitMode::AutoInLoop, 1_500, |target| {
        FaultSpec::ClientLeave { target }
    });
    let (summary, history) = run(plan, results.path())?;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    let leave =
        position(&history, |op| matches!(op.action, Action::Leave(_))).ok_or("nobody left")?;
    let after = history.ops.get(leave..).unwrap_or_default();
    let comes_back = after.iter().any(|op| match &op.action {
        Action::Subscribe(subscribe) => subscribe.consumer.ends_with(".2"),
        _ => false,
    });
    ensure(comes_back, "its client has no second life")?;
    let crashes = history
        .ops
        .iter()
        .any(|op| matches!(op.action, Action::Crash(_)));
    ensure(!crashes, "leaving is no crash")
}

fn frozen() -> Outcome {
    let results = tempfile::tempdir()?;
    let plan = struck(CommitMode::SyncAfter, 2_500, |target| {
        FaultSpec::ClientPause { target }
    });
    let (summary, history) = run(plan, results.path())?;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    let lost = history.ops.iter().any(|op| match &op.action {
        Action::Rebalance(event) => event.event == RebalanceEvent::Lost,
        _ => false,
    });
    ensure(
        lost,
        "the zombie was never told that it had lost its partitions",
    )
}

/// The offset of an acknowledged commit of partition 0.
fn committed_of_first(op: &Op) -> Option<i64> {
    let Action::Commit(commit) = &op.action else {
        return None;
    };
    let mut offsets = commit.offsets.iter();
    let first = offsets.find(|(key, _)| key.partition() == 0);
    first
        .map(|(_, offset)| *offset)
        .filter(|_| op.kind == OpType::Ok)
}

fn position(history: &History, fits: impl Fn(&Op) -> bool) -> Option<usize> {
    history.ops.iter().position(fits)
}

fn run(plan: Plan, results: &Path) -> Result<(Summary, History), Failed> {
    let (store, summary) = support::runs::run(plan, results)?;
    for fault in &summary.faults {
        let report = fault.report.as_ref();
        let is_proven = report.is_some_and(|report| {
            matches!(report.effect, Effect::Seen(_)) && report.not_recovered.is_none()
        });
        ensure(is_proven, format!("{}: {report:?}", fault.name))?;
    }
    let history = History::read(BufReader::new(File::open(store.history())?))?;
    Ok((summary, history))
}
