//! Damage at rest on real brokers: each proves what it changed, and the cluster comes back.

use std::time::Duration;

use harness::nemesis::{Damage, DirectoryPick, Effect, FaultSpec, FileKind, Target, run_fault};
use libtest_mimic::Trial;

use crate::support::{Cluster, Outcome, ensure, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "damage::without_files_to_damage_it_is_vacuous",
        vacuous,
    )]
}

async fn vacuous() -> Outcome {
    let cluster = Cluster::start().await?;
    let files = FileKind::Segment;
    for id in [2, 9] {
        let spec = FaultSpec::Damage {
            target: Target::Node { id },
            directory: DirectoryPick::All,
            damage: Damage::Delete { files },
            clean: false,
        };
        let report = run_fault(&cluster.arena, &spec, Duration::ZERO, 7, &|_| {}).await;
        ensure(
            matches!(report.effect, Effect::Vacuous(_)),
            format!("{report:?}"),
        )?;
    }
    Ok(())
}
