//! The fault families on three stand-in nodes: each proves its effect and its healing.

use std::sync::Mutex;
use std::time::Duration;

use harness::link::{FrameAction, FramePick, FrameRule, FrameSide};
use harness::nemesis::{
    Effect, FaultReport, FaultSpec, PartitionShape, Step, Target, heal_everything, run_fault,
};
use harness::sandbox::{Endpoint, Exit};
use libtest_mimic::{Failed, Trial};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    C1, Cluster, N1, N2, N3, Outcome, ensure, expect, never, request, response, soon, trial,
};

const HOLD: Duration = Duration::from_millis(100);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "nemesis::every_fault_proves_its_effect_and_its_healing",
            every_fault,
        ),
        trial(
            "nemesis::faults_of_traffic_prove_themselves_by_traffic",
            traffic_faults,
        ),
        trial("nemesis::a_fault_without_effect_is_vacuous", vacuous),
        trial(
            "nemesis::sigkill_says_goodbye_through_the_links",
            kill_says_goodbye,
        ),
        trial("nemesis::a_machine_crash_says_nothing", crash_is_silent),
        trial("nemesis::a_pause_stops_answers_and_loses_none", pause_keeps),
        trial("nemesis::overlapping_faults_heal_one_by_one", overlap),
        trial(
            "nemesis::an_exit_nobody_asked_for_is_told_apart",
            unexpected_exit,
        ),
    ]
}

async fn run(cluster: &Cluster, spec: &FaultSpec) -> FaultReport {
    run_fault(&cluster.arena, spec, HOLD, 7, &|_| {}).await
}

fn node(id: i32) -> Target {
    Target::Node { id }
}

async fn every_fault() -> Outcome {
    let cluster = Cluster::start().await?;
    let target = || node(2);
    let shape = |shape| FaultSpec::Partition {
        target: node(2),
        shape,
    };
    for spec in [
        FaultSpec::Kill { target: target() },
        FaultSpec::Kill {
            target: Target::All,
        },
        FaultSpec::Terminate { target: target() },
        FaultSpec::Pause { target: target() },
        FaultSpec::Crash { target: target() },
        shape(PartitionShape::IsolateFromNodes),
        shape(PartitionShape::IsolateFromAll),
        shape(PartitionShape::IsolateFromClients),
        shape(PartitionShape::MuteTarget),
        shape(PartitionShape::DeafTarget),
        shape(PartitionShape::MinorityWithTarget),
        shape(PartitionShape::Partial),
        FaultSpec::Hold { target: target() },
        FaultSpec::Refuse { target: target() },
        FaultSpec::Mute { target: target() },
    ] {
        check(run(&cluster, &spec).await)?;
    }
    Ok(())
}

fn check(report: FaultReport) -> Outcome {
    println!("{report:?}");
    let seen = matches!(report.effect, Effect::Seen(_));
    ensure(
        seen && report.not_recovered.is_none(),
        format!("{report:?}"),
    )
}

async fn traffic_faults() -> Outcome {
    let cluster = Cluster::start().await?;
    let rule = FrameRule {
        side: FrameSide::Response,
        api: Some(18),
        pick: FramePick::Probability(0.5),
        action: FrameAction::Reset,
    };
    let specs = [
        FaultSpec::Delay {
            target: node(2),
            mean_ms: 5,
            jitter_ms: 2,
        },
        FaultSpec::Bandwidth {
            target: node(2),
            bytes_per_second: 1 << 20,
        },
        FaultSpec::Reset { target: node(2) },
        FaultSpec::Frame {
            target: node(2),
            rule,
        },
        FaultSpec::Partition {
            target: node(2),
            shape: PartitionShape::IsolateFromAll,
        },
    ];
    let faults = async {
        for spec in specs {
            check(run(&cluster, &spec).await)?;
        }
        Ok(())
    };
    tokio::select! {
        done = faults => done,
        failed = talk(&cluster) => failed,
    }
}

/// Client 1 asks node 2 for ever, connecting again whenever it must.
async fn talk(cluster: &Cluster) -> Outcome {
    loop {
        let mut stream = cluster.connect(C1, 2).await?;
        for correlation in 1.. {
            let sent = stream.write_all(&request(18, correlation, &[0; 100])).await;
            let mut answer = [0; 108];
            if sent.is_err() || stream.read_exact(&mut answer).await.is_err() {
                break;
            }
        }
    }
}

async fn vacuous() -> Outcome {
    let cluster = Cluster::start().await?;
    let rule = FrameRule {
        side: FrameSide::Request,
        api: Some(9),
        pick: FramePick::All,
        action: FrameAction::Drop,
    };
    let specs = [
        FaultSpec::Frame {
            target: node(2),
            rule,
        },
        FaultSpec::Reset { target: node(2) },
        FaultSpec::Delay {
            target: node(2),
            mean_ms: 5,
            jitter_ms: 0,
        },
        FaultSpec::Bandwidth {
            target: node(2),
            bytes_per_second: 1 << 20,
        },
        FaultSpec::Partition {
            target: node(2),
            shape: PartitionShape::Ring,
        },
        FaultSpec::Kill { target: node(9) },
        FaultSpec::Pause {
            target: Target::Controller,
        },
    ];
    for spec in specs {
        let report = run(&cluster, &spec).await;
        println!("{report:?}");
        ensure(
            matches!(report.effect, Effect::Vacuous(_)),
            format!("{report:?}"),
        )?;
    }
    Ok(())
}

async fn kill_says_goodbye() -> Outcome {
    let cluster = Cluster::start().await?;
    let mut client = cluster.connect(C1, 1).await?;
    client.write_all(&request(18, 1, b"")).await?;
    expect(&mut client, &response(1, b"")).await?;
    cluster.arena.supervisor.kill(N1).await?;
    let ended = soon("FIN or RST", client.read(&mut [0; 8])).await?;
    ensure(!matches!(ended, Ok(1..)), format!("got {ended:?}"))
}

async fn crash_is_silent() -> Outcome {
    let cluster = Cluster::start().await?;
    let mut client = cluster.connect(C1, 1).await?;
    client.write_all(&request(18, 1, b"")).await?;
    expect(&mut client, &response(1, b"")).await?;
    let spec = FaultSpec::Crash { target: node(1) };
    let hold = Duration::from_millis(600);
    let fault = run_fault(&cluster.arena, &spec, hold, 0, &|_| {});
    let silent = async {
        // Until well within the hold: nothing, although the process is dead.
        let read = never("a goodbye", client.read(&mut [0; 8])).await;
        let ended = soon("RST after heal", client.read(&mut [0; 8])).await?;
        ensure(ended.is_err(), format!("got {ended:?}"))?;
        read
    };
    let (report, silent) = tokio::join!(fault, silent);
    silent?;
    check(report)
}

async fn pause_keeps() -> Outcome {
    let cluster = Cluster::start().await?;
    let mut client = cluster.connect(C1, 1).await?;
    client.write_all(&request(18, 1, b"")).await?;
    expect(&mut client, &response(1, b"")).await?;
    cluster.arena.supervisor.pause(N1)?;
    client.write_all(&request(18, 2, b"late")).await?;
    never("an answer", client.read(&mut [0; 1])).await?;
    cluster.arena.supervisor.resume(N1)?;
    expect(&mut client, &response(2, b"late")).await
}

async fn overlap() -> Outcome {
    let cluster = Cluster::start().await?;
    let steps = Mutex::new(Vec::new());
    let spec = FaultSpec::Partition {
        target: node(1),
        shape: PartitionShape::IsolateFromAll,
    };
    let note = |step: Step| steps.lock().expect("steps").push(step);
    let long = run_fault(&cluster.arena, &spec, HOLD * 5, 0, &note);
    let kill = FaultSpec::Kill { target: node(1) };
    let (partition, kill) = tokio::join!(long, run(&cluster, &kill));
    check(partition)?;
    check(kill)?;
    let steps = steps.into_inner().map_err(|_| Failed::from("steps"))?;
    ensure(steps.len() == 5, format!("{steps:?}"))?;
    heal_everything(&cluster.arena).await?;
    ensure(
        cluster.arena.supervisor.unexpected_exits().is_empty(),
        "an unexpected exit",
    )
}

async fn unexpected_exit() -> Outcome {
    let cluster = Cluster::start().await?;
    let supervisor = &cluster.arena.supervisor;
    let pid = nix::unistd::Pid::from_raw(supervisor.pid(N2)?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGABRT)?;
    let exit = supervisor.wait(N2, crate::support::SOON).await?;
    ensure(
        exit == Exit {
            code: None,
            signal: Some(6),
            asked: false,
        },
        format!("{exit:?}"),
    )?;
    supervisor.kill(N3).await?;
    let unexpected: Vec<Endpoint> = supervisor
        .unexpected_exits()
        .into_iter()
        .map(|(at, _)| at)
        .collect();
    ensure(unexpected == [N2], format!("{unexpected:?}"))
}
