//! Limits of resources on real processes: each proves its effect and is lifted.

use std::time::Duration;

use broker::id::BrokerId;
use harness::nemesis::{Effect, FaultSpec, Step, Target, run_fault};
use harness::sandbox::Endpoint;
use libtest_mimic::Trial;
use tokio::sync::Notify;

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
            "resources::two_limits_at_once_leave_none_behind",
            two_at_once,
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

/// The second one would take the limit of the first for the node's own.
async fn two_at_once() -> Outcome {
    let cluster = Cluster::start_brokers().await?;
    let pid = cluster.arena.supervisor.pid(Endpoint::of(BrokerId(2)))?;
    let limits = || std::fs::read_to_string(format!("/proc/{pid}/limits"));
    let before = limits()?;
    let spec = FaultSpec::FileLimit {
        target: node(),
        files: 2,
    };
    let began = Notify::new();
    let on_step = |step| {
        if step == Step::Acting {
            began.notify_one();
        }
    };
    let hold = Duration::from_millis(300);
    let first = run_fault(&cluster.arena, &spec, hold, 7, &on_step);
    let second = async {
        began.notified().await;
        run_fault(&cluster.arena, &spec, hold, 7, &|_| {}).await
    };
    let (_, second) = tokio::join!(first, second);
    ensure(
        matches!(second.effect, Effect::Vacuous(_)),
        format!("{second:?}"),
    )?;
    ensure(limits()? == before, "a limit is left behind")
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
