//! Limits of resources on real processes: each proves its effect and is lifted.

use std::time::Duration;

use harness::nemesis::{Effect, FaultSpec, Target, run_fault};
use libtest_mimic::Trial;

use crate::support::{Cluster, Outcome, ensure, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("resources::without_a_process_they_are_vacuous", vacuous),
        trial("resources::descriptors_run_out_and_come_back", descriptors),
        trial("resources::processor_time_is_what_it_should_be", processor),
        trial(
            "resources::address_space_runs_out_and_comes_back",
            address_space,
        ),
        trial(
            "resources::a_limit_that_nobody_meets_is_vacuous",
            no_pressure,
        ),
    ]
}

fn node() -> Target {
    Target::Node { id: 2 }
}

async fn check(cluster: &Cluster, spec: &FaultSpec, hold: u64) -> Outcome {
    let hold = Duration::from_millis(hold);
    let report = run_fault(&cluster.arena, spec, hold, 7, &|_| {}).await;
    println!("{report:?}");
    let is_seen = matches!(report.effect, Effect::Seen(_)) && report.not_recovered.is_none();
    ensure(is_seen, format!("{report:?}"))?;
    let unexpected = cluster.arena.supervisor.unexpected_exits();
    ensure(unexpected.is_empty(), format!("{unexpected:?}"))
}

async fn descriptors() -> Outcome {
    let cluster = Cluster::start_brokers().await?;
    for files in [0, 5] {
        let target = node();
        check(&cluster, &FaultSpec::FileLimit { target, files }, 500).await?;
    }
    Ok(())
}

async fn processor() -> Outcome {
    let cluster = Cluster::start_brokers().await?;
    for percent in [20, 60] {
        let target = node();
        check(&cluster, &FaultSpec::Cpu { target, percent }, 1_000).await?;
    }
    Ok(())
}

async fn address_space() -> Outcome {
    let cluster = Cluster::start_brokers().await?;
    let (target, mebibytes) = (node(), 0);
    check(
        &cluster,
        &FaultSpec::AddressSpace { target, mebibytes },
        500,
    )
    .await
}

async fn no_pressure() -> Outcome {
    let cluster = Cluster::start_brokers().await?;
    let (target, mebibytes) = (node(), 1 << 20);
    let spec = FaultSpec::AddressSpace { target, mebibytes };
    let report = run_fault(&cluster.arena, &spec, Duration::ZERO, 7, &|_| {}).await;
    println!("{report:?}");
    ensure(
        matches!(report.effect, Effect::Vacuous(_)) && report.not_recovered.is_none(),
        format!("{report:?}"),
    )
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
