//! Runs with a planted bug: how they ended, and by which anomalies.
//!
//! In: a bug, the plan of each seed, the anomalies that count. Out: a test that passes when one of
//! these anomalies breaks a promise. Invariant: a run that ends in another way is no finding.

use std::sync::Arc;

use broker::config::sabotage::Sabotage;
use checkers::anomaly::Kind;
use harness::cli::Keep;
use harness::cli::exit::Exit;
use harness::plan::Plan;
use harness::run::status::Status;
use harness::run::{RunRequest, launch};
use libtest_mimic::{Failed, Trial};

use super::{Outcome, ensure};

/// Seeds that are tried: the moment in which a bug shows is met by most incidents, not by all.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;

/// The test that `bug` is found by one of `anomalies`, under the plans that `draw` gives to seeds.
pub(crate) fn trial(
    group: &str,
    bug: Sabotage,
    anomalies: &'static [Kind],
    draw: impl Fn(u64) -> Plan + Send + 'static,
) -> Trial {
    let name = bug.name().replace('-', "_");
    Trial::test(format!("{group}::{name}_is_found"), move || {
        is_found(bug, anomalies, draw)
    })
}

/// The test that the plans by which `bug` is found are kept without it.
pub(crate) fn control(
    group: &str,
    bug: Sabotage,
    draw: impl Fn(u64) -> Plan + Send + 'static,
) -> Trial {
    let name = bug.name().replace('-', "_");
    Trial::test(format!("{group}::without_{name}_all_is_kept"), move || {
        let plan = draw(*SEEDS.start());
        let (exit, found) = run(plan.clone())?;
        let reproduce = reproduce(&plan)?;
        let end = format!("{exit:?} {found:?}\n{reproduce}");
        ensure(exit == Exit::Kept, end)
    })
}

fn is_found(bug: Sabotage, anomalies: &[Kind], draw: impl Fn(u64) -> Plan) -> Outcome {
    let planted = |seed| {
        let mut plan = draw(seed);
        plan.cluster.sabotage = Some(bug.name().to_owned());
        plan
    };
    let mut ends = Vec::new();
    for seed in SEEDS {
        let (exit, found) = run(planted(seed))?;
        if exit == Exit::Broken && found.iter().any(|kind| anomalies.contains(kind)) {
            return Ok(());
        }
        ends.push(format!("seed {seed}: {exit:?} {found:?}"));
    }
    let reproduce = reproduce(&planted(*SEEDS.start()))?;
    let end = format!("none of {anomalies:?} was found: {ends:?}\n{reproduce}");
    ensure(false, end)
}

/// How the run ended, and what it broke.
pub(crate) fn run(plan: Plan) -> Result<(Exit, Vec<Kind>), Failed> {
    let results = tempfile::tempdir()?;
    let request = RunRequest {
        plan,
        results: results.path().to_owned(),
        keep: Keep::Never,
    };
    let end = launch(&request, &Arc::new(Status::default()))?;
    let summary = end.summary.map_err(|failure| failure.to_string())?;
    let checks = summary.verdict.checks.iter();
    let broken = checks.filter(|check| check.count > 0 && check.promise.forbidden);
    Ok((summary.exit(), broken.map(|check| check.anomaly).collect()))
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
