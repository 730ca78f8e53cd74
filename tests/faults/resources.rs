//! Limits of resources on real processes: each proves its effect and is lifted.

use std::time::Duration;

use harness::nemesis::{Effect, FaultSpec, Target, run_fault};
use libtest_mimic::Trial;

use crate::support::{Cluster, Outcome, ensure, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "resources::without_a_process_they_are_vacuous",
        vacuous,
    )]
}

async fn vacuous() -> Outcome {
    let cluster = Cluster::start().await?;
    let target = || Target::Node { id: 9 };
    for spec in [
        FaultSpec::FileLimit {
            target: target(),
            files: 0,
        },
        FaultSpec::AddressSpace {
            target: target(),
            mebibytes: 0,
        },
        FaultSpec::Cpu {
            target: target(),
            percent: 20,
        },
    ] {
        let report = run_fault(&cluster.arena, &spec, Duration::ZERO, 7, &|_| {}).await;
        ensure(
            matches!(report.effect, Effect::Vacuous(_)),
            format!("{report:?}"),
        )?;
    }
    Ok(())
}
