//! Runs of real brokers on faulty disks: what a fault does to them is proven, they bear it, and
//! what they may not lose is not lost.

use harness::cli::exit::Exit;
use harness::disk::journal::NameDurability;
use harness::disk::rule::{DiskAction, DiskErrno, DiskPick, DiskRule, OperationClass, Survival};
use harness::nemesis::{DirectoryPick, Effect, FaultSpec, Target};
use harness::plan::{DiskPlan, Plan, ScheduledFault, profile};
use harness::run::summary::Summary;
use libtest_mimic::{Failed, Trial};

use crate::support::{self, Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test(
            "disk_runs::brokers_bear_a_disk_that_stalls_and_one_that_fails",
            || {
                bears(&[
                    (DirectoryPick::Data, every(DiskAction::Stall)),
                    (DirectoryPick::Data, every(eio())),
                    (DirectoryPick::Metadata, every(eio())),
                ])
            },
        ),
        Trial::test(
            "disk_runs::flushed_records_outlive_the_power_of_all_nodes",
            all_lose_power,
        ),
    ]
}

fn eio() -> DiskAction {
    DiskAction::Error {
        errno: DiskErrno::Eio,
    }
}

fn every(action: DiskAction) -> DiskRule {
    DiskRule {
        operations: vec![OperationClass::Write],
        files: vec![],
        pick: DiskPick::Every,
        action,
    }
}

fn bears(rules: &[(DirectoryPick, DiskRule)]) -> Outcome {
    let faults = rules.iter().map(|(directory, rule)| FaultSpec::Disk {
        target: Target::Node { id: 2 },
        directory: directory.clone(),
        rule: rule.clone(),
    });
    run(faults.collect())?;
    Ok(())
}

fn all_lose_power() -> Outcome {
    let faults = [Survival::None, Survival::Torn].map(|survival| FaultSpec::PowerLoss {
        target: Target::All,
        survival,
        stagger_ms: 0,
    });
    let summary = run(faults.into())?;
    let lost = |fault: &harness::run::summary::FaultSummary| match &fault.report {
        Some(report) => format!("{:?}", report.effect).contains("operations and"),
        None => false,
    };
    ensure(
        summary.faults.iter().any(lost),
        "nothing was un-synced: it proves nothing",
    )
}

/// One fault after the other on three brokers that flush every message; all are seen, all heal,
/// and every promise is kept.
fn run(faults: Vec<FaultSpec>) -> Result<Summary, Failed> {
    let results = tempfile::tempdir()?;
    let (length_ms, pause_ms) = (1_200, 1_800);
    let turn_ms = length_ms + pause_ms;
    let profile = profile::find("none").ok_or("a profile")?;
    let mut plan = Plan::draw_with(1, profile, faults.len() as u64 * turn_ms + 500);
    plan.cluster.log_dirs = 2;
    // At any moment some write then waits for its fsync.
    plan.cluster.disk = Some(DiskPlan {
        fsync_ms: 10,
        quota_mib: None,
        names: NameDurability::default(),
    });
    let flush = ("log.flush.interval.messages".to_owned(), "1".to_owned());
    plan.cluster.broker_settings.extend([flush]);
    let fault = |(number, what): (usize, FaultSpec)| ScheduledFault {
        at_ms: 500 + number as u64 * turn_ms,
        for_ms: length_ms,
        draw: 7,
        when: None,
        what,
    };
    plan.faults = faults.into_iter().enumerate().map(fault).collect();
    let (_, summary) = support::runs::run(plan, results.path())?;
    for fault in &summary.faults {
        println!("{:?}", fault.report);
        let report = fault.report.as_ref().ok_or("a fault left no report")?;
        let is_over = report.not_recovered.is_none();
        ensure(
            matches!(report.effect, Effect::Seen(_)) && is_over,
            format!("{report:?}"),
        )?;
    }
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    Ok(summary)
}
