//! Runs of real brokers on faulty disks: what a fault does to them is proven, they bear it, and
//! what they may not lose is not lost.

use harness::cli::exit::Exit;
use harness::disk::journal::NameDurability;
use harness::disk::rule::{
    DiskAction, DiskErrno, DiskPick, DiskRule, FileClass, OperationClass, Survival,
};
use harness::nemesis::{Damage, DirectoryPick, Effect, FaultSpec, Target};
use harness::plan::{Condition, DiskPlan, Plan, ScheduledFault, When, profile};
use harness::run::summary::{FaultSummary, Summary};
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
        Trial::test(
            "disk_runs::the_atlas_takes_what_is_left_elsewhere_and_nothing_else",
            atlas,
        ),
        Trial::test(
            "disk_runs::a_staggered_loss_that_is_refused_midway_tells_what_it_took",
            cut_short,
        ),
        Trial::test(
            "disk_runs::who_reads_flipped_bits_recovers_from_the_others",
            flipped_reads,
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
    borne(plan(faults.collect())?)?;
    Ok(())
}

/// Every loss is a bug: what one node loses the others have, and all must not lose at once.
fn atlas() -> Outcome {
    let power = |target| FaultSpec::PowerLoss {
        target,
        survival: Survival::None,
        stagger_ms: 0,
    };
    let node = |id| Target::Node { id };
    let wipe = FaultSpec::Damage {
        target: node(2),
        directory: DirectoryPick::All,
        damage: Damage::Wipe,
        clean: false,
    };
    let mut plan = plan(vec![
        wipe,
        power(Target::All),
        power(node(1)),
        power(node(3)),
    ])?;
    plan.atlas = true;
    plan.flush_every_message(false);
    let summary = end_of(plan)?;
    let effects: Vec<String> = summary
        .faults
        .iter()
        .map(|fault| format!("{:?}", fault.report.as_ref().map(|report| &report.effect)))
        .collect();
    let [wiped, all, first, last] = effects.as_slice() else {
        return Err(format!("{effects:?}").into());
    };
    for taken in [wiped, first, last] {
        let is_seen = taken.contains("Seen");
        let words = "a good copy of everything acknowledged is left";
        ensure(is_seen && taken.contains(words), taken)?;
    }
    let is_refused = all.contains("Vacuous") && all.contains("no good copy would be left");
    ensure(is_refused, all)?;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)
}

/// The second node of a loss that all suffer one after the other has nobody left to vouch for it.
fn cut_short() -> Outcome {
    let mut plan = plan(vec![FaultSpec::PowerLoss {
        target: Target::All,
        survival: Survival::None,
        stagger_ms: 100,
    }])?;
    plan.atlas = true;
    plan.flush_every_message(false);
    let summary = end_of(plan)?;
    let report = summary
        .faults
        .first()
        .and_then(|fault| fault.report.as_ref())
        .ok_or("a report")?;
    let told = match &report.effect {
        Effect::Seen(told) => told,
        Effect::Vacuous(told) => return Err(told.as_str().into()),
    };
    let is_of_one = told.contains("refused: node 1;") && !told.contains("of node 2");
    ensure(
        is_of_one && told.contains("it stopped before the rest"),
        told,
    )?;
    ensure(report.not_recovered.is_none(), format!("{report:?}"))?;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)
}

fn flipped_reads() -> Outcome {
    let rule = DiskRule {
        operations: vec![OperationClass::Read],
        files: vec![FileClass::Segment],
        pick: DiskPick::Every,
        action: DiskAction::FlipOnRead,
    };
    let target = Target::Node { id: 2 };
    let mut plan = plan(vec![FaultSpec::Disk {
        target: target.clone(),
        directory: DirectoryPick::All,
        rule,
    }])?;
    let flips = plan.faults.first().ok_or("a fault")?.clone();
    plan.faults.push(ScheduledFault {
        at_ms: flips.at_ms + 100,
        for_ms: flips.for_ms / 3,
        what: FaultSpec::Kill { target },
        ..flips
    });
    let summary = end_of(plan)?;
    let effect = summary
        .faults
        .first()
        .and_then(|fault| fault.report.as_ref());
    let told = format!("{effect:?}");
    ensure(told.contains("Seen") && told.contains("flipped bit"), &told)?;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)
}

/// Draws of torn survivals, until one has torn something: a write of one sector is there or not.
const DRAWS: std::ops::RangeInclusive<u32> = 1..=4;

/// Once of what was written only parts are left. And twice in one run, for what a recovery leaves
/// has to be as durable as what it found.
fn all_lose_power() -> Outcome {
    all_lose_power_but(Survival::None, 2, 7)?;
    for draw in DRAWS {
        if all_lose_power_but(Survival::Torn, 1, draw)?.contains("of them torn") {
            return Ok(());
        }
    }
    ensure(false, format!("nothing is torn by the draws {DRAWS:?}"))
}

/// What the losses told.
fn all_lose_power_but(survival: Survival, times: usize, draw: u32) -> Result<String, Failed> {
    let power = FaultSpec::PowerLoss {
        target: Target::All,
        survival,
        stagger_ms: 0,
    };
    let mut plan = plan(vec![power; times])?;
    // Clients that get little of the machine send seldom: an fsync has to outlast their pauses.
    plan.cluster.disk = plan.cluster.disk.map(|disk| DiskPlan {
        fsync_ms: 60,
        ..disk
    });
    // While a checkpoint is fsynced nothing is appended that could be lost.
    let checkpoints = "replica.high.watermark.checkpoint.interval.ms".to_owned();
    let settings = &mut plan.cluster.broker_settings;
    settings.insert(checkpoints, "60000".to_owned());
    if survival == Survival::Torn {
        // Of several sectors.
        plan.workload.payload_bytes = [2_000, 4_000];
    }
    // A cluster that is still on its way back has no majority to tell what copies are left.
    let whole = When {
        holds: Condition::IsrHas {
            topic: plan.cluster.topic.clone(),
            partition: plan.cluster.partitions - 1,
            replicas: 3,
        },
        within_ms: 20_000,
        after_ms: 800,
        is_needed: true,
    };
    for fault in &mut plan.faults {
        // By then the clients are at work.
        fault.at_ms += 1_000;
        fault.draw = draw;
    }
    for again in plan.faults.iter_mut().skip(1) {
        again.when = Some(whole.clone());
    }
    let healed_ms = plan.faults.iter().map(|fault| fault.heal_ms(&plan.cluster));
    plan.time.workload_ms = healed_ms.max().flatten().ok_or("a loss")?;
    let summary = borne(plan)?;
    let told = |fault: &FaultSummary| format!("{:?}", fault.report);
    let told: Vec<String> = summary.faults.iter().map(told).collect();
    ensure(
        told.iter().all(|told| told.contains("operations and")),
        "nothing was un-synced: it proves nothing",
    )?;
    let bare = "no good copy would be left of";
    ensure(
        told.iter().all(|told| told.contains(bare)),
        "it is not told of what no copy is left",
    )?;
    Ok(told.join("; "))
}

/// One fault after the other on three brokers that flush every message.
fn plan(faults: Vec<FaultSpec>) -> Result<Plan, Failed> {
    let (length_ms, pause_ms) = (1_200, 1_800);
    let turn_ms = length_ms + pause_ms;
    let profile = profile::find("none").ok_or("a profile")?;
    let mut plan = Plan::draw_with(1, profile, faults.len() as u64 * turn_ms + 500);
    plan.cluster.log_dirs = 2;
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
    Ok(plan)
}

fn end_of(plan: Plan) -> Result<Summary, Failed> {
    let results = tempfile::tempdir()?;
    let (_, summary) = support::runs::run(plan, results.path())?;
    Ok(summary)
}

/// How a run ends in which all faults are seen, all heal, and every promise is kept.
fn borne(plan: Plan) -> Result<Summary, Failed> {
    let summary = end_of(plan)?;
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
