//! The planted bugs: each is found by its canary, by the name of an anomaly that it causes; and the
//! same plan without it is kept, once for all canaries that share the plan.
//!
//! In: the canaries that campaigns run, and their controls. Out: for each canary a test that passes
//! when one of its anomalies breaks a promise, and the run's evidence says who had what was lost;
//! for each control a test that passes when nothing is broken. Invariant: a run that ends in
//! another way is no finding.

use std::cmp::Reverse;

use checkers::anomaly::Kind;
use checkers::verdict::Check;
use harness::campaign::canary::control::{self, Control};
use harness::campaign::canary::{CANARIES, Canary, Part, TRIES};
use harness::cli::exit::Exit;
use harness::evidence::Evidence;
use harness::plan::Plan;
use harness::run::summary::Summary;
use libtest_mimic::{Failed, Trial};

use crate::support::{self, Outcome, ensure};

/// The tests that each planted bug is found.
pub(crate) fn trials() -> Vec<Trial> {
    let mut canaries: Vec<_> = CANARIES.iter().filter(|_| PLANTS).collect();
    canaries.sort_by_key(|canary| Reverse(canary.control(1).time.workload_ms));
    canaries.into_iter().map(found).collect()
}

/// The tests that plans are kept without the bugs that they show.
pub(crate) fn controls() -> Vec<Trial> {
    let mut controls = control::controls(1);
    controls.retain(|_| PLANTS);
    controls.sort_by_key(|control| Reverse(control.plan.time.workload_ms));
    controls.into_iter().map(kept).collect()
}

/// Whether this build has bugs to plant.
const PLANTS: bool = cfg!(feature = "sabotage");

/// The test that the canary's bug is found.
fn found(canary: &'static Canary) -> Trial {
    let name = format!("planted_{}::{}_is_found", part(canary), test_name(canary));
    Trial::test(name, move || {
        let mut ends = Vec::new();
        for seed in 1..=TRIES {
            let (summary, evidence) = run(canary.plan(seed))?;
            if canary.is_caught(&summary) {
                return is_explained(&summary, &evidence);
            }
            ends.push(format!("seed {seed}: {}", end(&summary)));
        }
        let reproduce = reproduce(&canary.plan(1), canary.bug.name())?;
        let (one_of, each_of) = (canary.anomalies, canary.also);
        let wanted = format!("one of {one_of:?} and each of {each_of:?}");
        Err(format!("no run found {wanted}: {ends:?}\n{reproduce}").into())
    })
}

/// The test that the plan by which the canaries' bugs are found is kept without them.
fn kept(control: Control) -> Trial {
    let bugs = control.canaries.iter().map(|canary| test_name(canary));
    let bugs = bugs.collect::<Vec<_>>().join("_and_");
    let part = control.canaries.first().map_or("", |canary| part(canary));
    let name = format!("planted_{part}::without_{bugs}_all_is_kept");
    Trial::test(name, move || {
        let (summary, _) = run(control.plan.clone())?;
        let reproduce = reproduce(&control.plan, &format!("without-{bugs}"))?;
        let end = format!("{}\n{reproduce}", end(&summary));
        ensure(summary.exit() == Exit::Kept, end)
    })
}

fn part(canary: &Canary) -> &'static str {
    match canary.part() {
        Part::Logs => "logs",
        Part::Groups => "groups",
        Part::Disks => "disks",
    }
}

fn test_name(canary: &Canary) -> String {
    canary.bug.name().replace('-', "_")
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

/// The command that runs `plan` by hand, which is stored under `name`.
fn reproduce(plan: &Plan, name: &str) -> Result<String, Failed> {
    let path = std::env::temp_dir().join(format!("verdict-{name}-{}.json", plan.seed));
    std::fs::write(&path, plan.to_json())?;
    Ok(format!(
        "REPRODUCE: cargo verdict run --plan {}",
        path.display()
    ))
}
