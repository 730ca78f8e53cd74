//! The planted bugs: each is found by its canary, by the name of an anomaly that it causes; and on
//! faulty disks, which break more than they are asked to, and with members that only their plan
//! keeps apart, the same plan without it is kept.
//!
//! In: the canaries that campaigns run. Out: a test for each that passes when one of its anomalies
//! breaks a promise, and the run's evidence says who had what was lost. Invariant: a run that ends
//! in another way is no finding.

use std::cmp::Reverse;

use broker::config::sabotage::Sabotage;
use checkers::anomaly::Kind;
use checkers::verdict::Check;
use harness::campaign::canary::{CANARIES, Canary, Part, TRIES};
use harness::cli::exit::Exit;
use harness::evidence::Evidence;
use harness::plan::Plan;
use harness::run::summary::Summary;
use libtest_mimic::{Failed, Trial};

use crate::support::{self, Outcome, ensure};

/// The tests that each planted bug is found.
pub(crate) fn trials() -> Vec<Trial> {
    longest_first(|_| true).into_iter().map(found).collect()
}

/// The tests that plans are kept without the bugs that they show.
pub(crate) fn controls() -> Vec<Trial> {
    let canaries =
        longest_first(|canary| canary.part() == Part::Disks || OF_MEMBERS.contains(&canary.bug));
    canaries.into_iter().map(kept).collect()
}

/// The canaries that are `wanted`, if this build has bugs to plant.
fn longest_first(wanted: impl Fn(&Canary) -> bool) -> Vec<&'static Canary> {
    let canaries = CANARIES.iter().filter(|_| cfg!(feature = "sabotage"));
    let mut canaries: Vec<_> = canaries.filter(|canary| wanted(canary)).collect();
    canaries.sort_by_key(|canary| Reverse(canary.control(1).time.workload_ms));
    canaries
}

/// Bugs of members whose plans are fitted to them.
const OF_MEMBERS: [Sabotage; 3] = [
    Sabotage::NoRejoinAfterRevocation,
    Sabotage::StickyAssignorIgnoresQuota,
    Sabotage::UnansweredOffsetFetchMeansNone,
];

/// The test that the canary's bug is found.
fn found(canary: &'static Canary) -> Trial {
    Trial::test(format!("{}_is_found", name(canary)), move || {
        let mut ends = Vec::new();
        for seed in 1..=TRIES {
            let (summary, evidence) = run(canary.plan(seed))?;
            if canary.is_caught(&summary) {
                return is_explained(&summary, &evidence);
            }
            ends.push(format!("seed {seed}: {}", end(&summary)));
        }
        let reproduce = reproduce(&canary.plan(1))?;
        let wanted = canary.anomalies;
        Err(format!("none of {wanted:?} was found: {ends:?}\n{reproduce}").into())
    })
}

/// The test that the plan by which the canary's bug is found is kept without it.
fn kept(canary: &'static Canary) -> Trial {
    Trial::test(format!("{}_is_kept_without", name(canary)), move || {
        let plan = canary.control(1);
        let (summary, _) = run(plan.clone())?;
        let end = format!("{}\n{}", end(&summary), reproduce(&plan)?);
        ensure(summary.exit() == Exit::Kept, end)
    })
}

fn name(canary: &Canary) -> String {
    let part = match canary.part() {
        Part::Logs => "logs",
        Part::Groups => "groups",
        Part::Disks => "disks",
    };
    format!("planted_{part}::{}", canary.bug.name().replace('-', "_"))
}

/// Of a lost record it is told what every node did, and whether it has it: not all have.
fn is_explained(summary: &Summary, evidence: &Evidence) -> Outcome {
    let problems = &evidence.problems;
    ensure(problems.is_empty(), format!("unread: {problems:?}"))?;
    let checks = summary.verdict.checks.iter();
    let lost = checks.filter(|check| check.anomaly == Kind::LostWrite);
    let Some(lost) = lost.flat_map(|check| &check.examples).next() else {
        return Ok(());
    };
    let is_reached = |name: &str| evidence.reached.iter().any(|state| state.name == name);
    ensure(
        is_reached("record-lost"),
        "record-lost is not in the ledger",
    )?;
    let place = format!("at offset {} of {}", lost.offsets.0, lost.key);
    let mut stories = evidence.stories.iter();
    let story = stories.find(|story| story.about.ends_with(&place));
    let story = story.ok_or_else(|| format!("no story of the record {place}"))?;
    let at_end: Vec<_> = story.holders.iter().map(|holder| holder.at_end).collect();
    let is_told = !at_end.is_empty() && at_end.iter().all(Option::is_some);
    let is_lacking = at_end.contains(&Some(false));
    let moves = story
        .holders
        .iter()
        .all(|holder| !holder.moments.is_empty());
    ensure(is_told && is_lacking && moves, format!("{story:?}"))
}

/// How the run ended, and what explains it.
fn run(plan: Plan) -> Result<(Summary, Evidence), Failed> {
    let results = tempfile::tempdir()?;
    let (store, summary) = support::runs::run(plan, results.path())?;
    let evidence = std::fs::read(store.evidence())?;
    Ok((summary, serde_json::from_slice(&evidence)?))
}

/// The exit, and what was broken.
fn end(summary: &Summary) -> String {
    let broken = summary.verdict.checks.iter().filter(|c| c.is_broken());
    let broken: Vec<&str> = broken.map(|check: &Check| check.anomaly.name()).collect();
    format!("{} {broken:?}", summary.outcome)
}

/// The command that runs `plan` by hand.
fn reproduce(plan: &Plan) -> Result<String, Failed> {
    let bug = plan.cluster.sabotage.as_deref().unwrap_or("control");
    let path = std::env::temp_dir().join(format!("verdict-{bug}-{}.json", plan.seed));
    std::fs::write(&path, plan.to_json())?;
    Ok(format!(
        "REPRODUCE: cargo verdict run --plan {}",
        path.display()
    ))
}
