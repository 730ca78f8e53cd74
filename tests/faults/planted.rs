//! The planted bugs: each is found by its canary, by the name of an anomaly that it causes; and on
//! faulty disks, which break more than they are asked to, the same plan without it is kept.
//!
//! In: the canaries that campaigns run. Out: a test for each that passes when one of its anomalies
//! breaks a promise. Invariant: a run that ends in another way is no finding.

use std::sync::Arc;

use checkers::verdict::Check;
use harness::campaign::canary::{CANARIES, Canary, Part, TRIES};
use harness::cli::Keep;
use harness::cli::exit::Exit;
use harness::plan::Plan;
use harness::run::status::Status;
use harness::run::summary::Summary;
use harness::run::{RunRequest, launch};
use libtest_mimic::{Failed, Trial};

use crate::support::ensure;

pub(crate) fn trials() -> Vec<Trial> {
    if !cfg!(feature = "sabotage") {
        return Vec::new();
    }
    let mut trials: Vec<Trial> = CANARIES.iter().map(found).collect();
    let on_disks = CANARIES
        .iter()
        .filter(|canary| canary.part() == Part::Disks);
    trials.extend(on_disks.map(kept));
    trials
}

/// The test that the canary's bug is found.
fn found(canary: &'static Canary) -> Trial {
    Trial::test(format!("{}_is_found", name(canary)), move || {
        let mut ends = Vec::new();
        for seed in 1..=TRIES {
            let summary = run(canary.plan(seed))?;
            if canary.is_caught(&summary) {
                return Ok(());
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
        let summary = run(plan.clone())?;
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

/// How the run ended.
fn run(plan: Plan) -> Result<Summary, Failed> {
    let results = tempfile::tempdir()?;
    let request = RunRequest {
        plan,
        results: results.path().to_owned(),
        keep: Keep::Never,
    };
    let end = launch(&request, &Arc::new(Status::default()))?;
    Ok(end.summary.map_err(|failure| failure.to_string())?)
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
