//! Faults of log directories and of power, on real processes: each proves its effect and heals.

use std::time::Duration;

use harness::disk::rule::{DiskAction, DiskPick, DiskRule, Survival};
use harness::nemesis::{DirectoryPick, Effect, FaultSpec, Target, run_fault};
use libtest_mimic::Trial;

use crate::support::{Cluster, Outcome, ensure, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "disks::without_a_faulty_disk_nothing_is_hurt_and_the_fault_says_why",
        without_disks,
    )]
}

async fn without_disks() -> Outcome {
    let cluster = Cluster::start().await?;
    let before = cluster.arena.supervisor.pid(crate::support::N2)?;
    let target = || Target::Node { id: 2 };
    let rule = DiskRule {
        operations: vec![],
        files: vec![],
        pick: DiskPick::Every,
        action: DiskAction::Stall,
    };
    for spec in [
        FaultSpec::Disk {
            target: target(),
            directory: DirectoryPick::All,
            rule,
        },
        FaultSpec::PowerLoss {
            target: target(),
            survival: Survival::None,
            stagger_ms: 0,
        },
    ] {
        let report = run_fault(&cluster.arena, &spec, Duration::ZERO, 7, &|_| {}).await;
        println!("{report:?}");
        let reason = match &report.effect {
            Effect::Vacuous(reason) => reason.as_str(),
            Effect::Seen(_) => "",
        };
        ensure(reason.contains("cluster.disk"), format!("{report:?}"))?;
    }
    let after = cluster.arena.supervisor.pid(crate::support::N2)?;
    ensure(before == after, "the node was killed for nothing")
}
