//! Every action of a disk fault on a real process: the process sees it, the fault proves it, and it
//! heals. Beside each proof a near miss: a fault that cannot act says so.

use std::time::{Duration, Instant};

use harness::disk::rule::{
    DiskAction, DiskErrno, DiskPick, DiskRule, FileClass, OperationClass, Survival,
};
use harness::nemesis::{DirectoryPick, Effect, FaultSpec, Target, heal_everything, run_fault};
use libtest_mimic::Trial;
use nix::errno::Errno;

use crate::support::rig::{Rig, every, on_node_2};
use crate::support::{Cluster, N2, Outcome, ensure, soon, trial, until};

const EIO: DiskAction = DiskAction::Error {
    errno: DiskErrno::Eio,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "disks::without_a_faulty_disk_nothing_is_hurt_and_the_fault_says_why",
            without_disks,
        ),
        trial(
            "disks::a_stall_holds_until_it_is_lifted_and_nothing_else",
            stall,
        ),
        trial("disks::a_stalled_process_can_be_killed", stalled_kill),
        trial("disks::a_disk_goes_off_and_on", on_off),
        trial("disks::a_slow_disk_takes_its_time", slow),
        trial("disks::an_error_comes_once_or_for_ever", errors),
        trial("disks::a_full_disk_has_room_again", full),
        trial("disks::a_write_is_short_or_torn", short_and_torn),
        trial("disks::a_flipped_bit_is_not_stored", flip),
        trial(
            "disks::a_directory_is_hit_and_not_its_neighbour",
            directories,
        ),
        trial("disks::a_rule_that_hits_nothing_is_vacuous", vacuous),
        trial(
            "disks::a_node_whose_metadata_disk_fails_may_end_and_is_put_back",
            expected_end,
        ),
        trial(
            "disks::a_node_that_can_only_end_once_its_disk_is_back_is_started_again",
            late_end,
        ),
        trial(
            "disks::only_the_end_that_the_fault_explains_is_expected",
            unexpected_ends,
        ),
    ]
}

async fn without_disks() -> Outcome {
    let cluster = Cluster::start().await?;
    let before = cluster.arena.supervisor.pid(N2)?;
    let target = || Target::Node { id: 2 };
    for spec in [
        on_node_2(every(OperationClass::Write, DiskAction::Stall)),
        FaultSpec::PowerLoss {
            target: target(),
            survival: Survival::None,
            stagger_ms: 0,
        },
    ] {
        let report = run_fault(&cluster.arena, &spec, Duration::ZERO, 7, &|_| {}).await;
        let reason = match &report.effect {
            Effect::Vacuous(reason) => reason.as_str(),
            Effect::Seen(_) => "",
        };
        ensure(reason.contains("cluster.disk"), format!("{report:?}"))?;
    }
    let after = cluster.arena.supervisor.pid(N2)?;
    ensure(before == after, "the node was killed for nothing")
}

async fn stall() -> Outcome {
    let rig = Rig::start().await?;
    rig.expect(2, "append d0/before text", "ok 4").await?;
    let spec = on_node_2(every(OperationClass::Write, DiskAction::Stall));
    let mut fault = rig.inject(&spec).await?;
    let waits = rig.begin(2, "append d0/log late").await?;
    fault
        .until("a write is held", |disk| disk.held == 1)
        .await?;
    rig.expect(2, "read d0/before", "ok text").await?;
    rig.expect(2, "append d1/other text", "ok 4").await?;
    rig.expect(3, "append d0/log text", "ok 4").await?;
    ensure(
        !waits.is_finished(),
        "the write was answered while it stalls",
    )?;
    let evidence = fault.seen().await?;
    ensure(evidence.contains("1 held now"), &evidence)?;
    ensure(evidence.contains("first write of log"), &evidence)?;
    let detail = fault.heal().await?;
    ensure(detail["disks"][0]["held"] == 0, detail.to_string())?;
    let answer = soon("the write", waits).await???;
    ensure(answer == "ok 4", answer)?;
    rig.expect(2, "read d0/log", "ok late").await
}

async fn stalled_kill() -> Outcome {
    let rig = Rig::start().await?;
    let spec = on_node_2(every(OperationClass::Write, DiskAction::Stall));
    let mut fault = rig.inject(&spec).await?;
    let _waits = rig.begin(2, "append d0/log late").await?;
    fault
        .until("a write is held", |disk| disk.held == 1)
        .await?;
    let kill = FaultSpec::Kill {
        target: Target::Node { id: 2 },
    };
    let mut kill = rig.inject(&kill).await?;
    kill.seen().await?;
    kill.heal().await?;
    fault.heal().await?;
    rig.expect(2, "append d0/log text", "ok 4").await
}

async fn on_off() -> Outcome {
    let rig = Rig::start().await?;
    let action = DiskAction::OnOff {
        off_ms: 60,
        on_ms: 60,
    };
    let spec = on_node_2(every(OperationClass::Write, action));
    let mut fault = rig.inject(&spec).await?;
    soon("operations while it was off, and while it was on", async {
        loop {
            rig.expect(2, "append d0/log text", "ok 4").await?;
            let disk = fault.look()?;
            if disk.hits >= 2 && disk.matched > disk.hits {
                return Outcome::Ok(());
            }
        }
    })
    .await??;
    fault.seen().await?;
    fault.heal().await?;
    Ok(())
}

async fn slow() -> Outcome {
    let rig = Rig::start().await?;
    let (mean_ms, jitter_ms) = (40, 10);
    let action = DiskAction::Slow { mean_ms, jitter_ms };
    let spec = on_node_2(every(OperationClass::Sync, action));
    let mut fault = rig.inject(&spec).await?;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    let begin = Instant::now();
    for _ in 0..3 {
        rig.expect(2, "sync d0/log", "ok").await?;
    }
    let least = Duration::from_millis(3 * (mean_ms - jitter_ms));
    ensure(begin.elapsed() >= least, format!("{:?}", begin.elapsed()))?;
    let evidence = fault.seen().await?;
    ensure(
        evidence.contains("3 of 3 operations slowed down"),
        &evidence,
    )?;
    fault.heal().await?;
    Ok(())
}

async fn errors() -> Outcome {
    let rig = Rig::start().await?;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    for (operation, command, healthy) in [
        (OperationClass::Write, "append d0/log more", "ok 4"),
        (OperationClass::Sync, "sync d0/log", "ok"),
        (OperationClass::Read, "read d0/log", "ok textmoremore"),
    ] {
        // The page cache asks for a page again that could not be read ahead, of any disk: a read
        // that fails once is noticed by nobody.
        let once = (operation != OperationClass::Read).then_some((DiskPick::Nth(1), healthy));
        for (pick, second) in once.into_iter().chain([(DiskPick::Every, "error 5")]) {
            let rule = DiskRule {
                pick,
                ..every(operation, EIO)
            };
            let mut fault = rig.inject(&on_node_2(rule)).await?;
            rig.expect(2, command, "error 5").await?;
            rig.expect(2, command, second).await?;
            fault.seen().await?;
            fault.lift().await?;
        }
        rig.expect(2, command, healthy).await?;
    }
    Ok(())
}

async fn full() -> Outcome {
    let rig = Rig::start().await?;
    for (errno, number) in [
        (DiskErrno::Enospc, Errno::ENOSPC),
        (DiskErrno::Edquot, Errno::EDQUOT),
    ] {
        let action = DiskAction::Full {
            left_bytes: 6,
            errno,
        };
        let name = format!("d0/{number:?}");
        let append = format!("append {name} 0123456789");
        let mut fault = rig
            .inject(&on_node_2(every(OperationClass::Write, action)))
            .await?;
        rig.expect(2, &append, "ok 6").await?;
        rig.expect(2, &append, &format!("error {}", number as i32))
            .await?;
        fault.seen().await?;
        fault.heal().await?;
        rig.expect(2, &append, "ok 10").await?;
        rig.expect(2, &format!("read {name}"), "ok 0123450123456789")
            .await?;
    }
    Ok(())
}

async fn short_and_torn() -> Outcome {
    let rig = Rig::start().await?;
    for (action, answer, stored) in [
        (DiskAction::Short, "ok 4", "0123"),
        (DiskAction::Torn { bytes: 3 }, "error 5", "012"),
    ] {
        let name = format!("d0/{stored}");
        let mut fault = rig
            .inject(&on_node_2(every(OperationClass::Write, action)))
            .await?;
        rig.expect(2, &format!("append {name} 01234567"), answer)
            .await?;
        fault.seen().await?;
        fault.heal().await?;
        rig.expect(2, &format!("read {name}"), &format!("ok {stored}"))
            .await?;
        rig.expect(2, &format!("append {name} 4567"), "ok 4")
            .await?;
    }
    Ok(())
}

async fn flip() -> Outcome {
    let rig = Rig::start().await?;
    rig.expect(2, "append d0/log 0123456789", "ok 10").await?;
    rig.expect(2, "read d0/log", "ok 0123456789").await?;
    let mut fault = rig
        .inject(&on_node_2(every(
            OperationClass::Read,
            DiskAction::FlipOnRead,
        )))
        .await?;
    let read = rig.ask(2, "read d0/log").await?;
    ensure(read.starts_with("ok ") && read != "ok 0123456789", &read)?;
    fault.seen().await?;
    fault.heal().await?;
    // The page that was read with the flip must not stay in the kernel's cache.
    rig.expect(2, "read d0/log", "ok 0123456789").await
}

async fn directories() -> Outcome {
    let rig = Rig::start().await?;
    rig.expect(2, "make d1/t-4", "ok").await?;
    let holding = DirectoryPick::Holding {
        topic: "t".to_owned(),
        partition: 4,
    };
    for (directory, first, second) in [
        (DirectoryPick::Metadata, "error 5", "ok 4"),
        (DirectoryPick::Data, "ok 4", "error 5"),
        (holding, "ok 4", "error 5"),
        (DirectoryPick::All, "error 5", "error 5"),
    ] {
        let spec = FaultSpec::Disk {
            target: Target::Node { id: 2 },
            directory,
            rule: every(OperationClass::Write, EIO),
        };
        let mut fault = rig.inject(&spec).await?;
        rig.expect(2, "append d0/log text", first).await?;
        rig.expect(2, "append d1/log text", second).await?;
        fault.seen().await?;
        fault.lift().await?;
    }
    Ok(())
}

async fn vacuous() -> Outcome {
    let rig = Rig::start().await?;
    let rule = |operations: &[OperationClass], files: &[FileClass], pick| DiskRule {
        operations: operations.to_vec(),
        files: files.to_vec(),
        pick,
        action: EIO,
    };
    let write = [OperationClass::Write];
    for (rule, reason) in [
        (
            rule(&[OperationClass::Rename], &[], DiskPick::Every),
            "no such operation",
        ),
        (
            rule(&write, &[FileClass::QuorumState], DiskPick::Every),
            "no such operation",
        ),
        (
            rule(&write, &[], DiskPick::Nth(100)),
            "none of 1 operations",
        ),
    ] {
        let mut fault = rig.inject(&on_node_2(rule)).await?;
        rig.expect(2, "append d0/log text", "ok 4").await?;
        let told = fault.vacuous().await?;
        ensure(told.contains(reason), told)?;
        fault.heal().await?;
    }
    let action = DiskAction::Full {
        left_bytes: 1_000_000,
        errno: DiskErrno::Enospc,
    };
    let mut fault = rig
        .inject(&on_node_2(every(OperationClass::Write, action)))
        .await?;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    fault.vacuous().await?;
    fault.heal().await?;
    Ok(())
}

async fn expected_end() -> Outcome {
    let rig = Rig::start().await?;
    let supervisor = &rig.cluster.arena.supervisor;
    let mut fault = rig
        .inject(&on_node_2(every(OperationClass::Write, EIO)))
        .await?;
    let _ends = rig.begin(2, "strict append d0/log text").await?;
    let exit = supervisor.wait(N2, crate::support::SOON).await?;
    ensure(exit.code == Some(1) && exit.asked, format!("{exit:?}"))?;
    ensure(
        supervisor.unexpected_exits().is_empty(),
        "an unexpected exit",
    )?;
    fault.seen().await?;
    let detail = fault.heal().await?;
    let repaired = detail["repaired"][0].as_str().unwrap_or_default();
    ensure(repaired.contains("ended with code 1"), detail.to_string())?;
    rig.expect(2, "append d0/log text", "ok 4").await
}

/// A process that halts while an operation hangs is there until the disk answers.
async fn late_end() -> Outcome {
    let rig = Rig::start().await?;
    let before = rig.cluster.arena.supervisor.pid(N2)?;
    let spec = on_node_2(every(OperationClass::Write, DiskAction::Stall));
    let mut fault = rig.inject(&spec).await?;
    let _waits = rig.begin(2, "append d0/log late").await?;
    fault
        .until("a write is held", |disk| disk.held == 1)
        .await?;
    let _halts = rig.begin(2, "halt d0/log").await?;
    let is_ending = || {
        let stat = std::fs::read_to_string(format!("/proc/{before}/stat")).unwrap_or_default();
        stat.contains(") Z ")
    };
    until("its first thread has ended", is_ending).await?;
    let detail = fault.heal().await?;
    let repaired = detail["repaired"][0].as_str().unwrap_or_default();
    ensure(repaired.contains("ended with code 1"), detail.to_string())?;
    let after = rig.cluster.arena.supervisor.pid(N2)?;
    ensure(before != after, "the old process is still there")?;
    rig.expect(2, "append d0/log text", "ok 4").await
}

async fn unexpected_ends() -> Outcome {
    let rig = Rig::start().await?;
    let full = DiskAction::Full {
        left_bytes: 0,
        errno: DiskErrno::Enospc,
    };
    let supervisor = &rig.cluster.arena.supervisor;
    for (spec, command, why) in [
        (
            on_node_2(every(OperationClass::Write, EIO)),
            "strict sync d0/missing",
            "the rule had hit nothing",
        ),
        (
            on_node_2(every(OperationClass::Write, DiskAction::Lie)),
            "strict sync d0/missing",
            "nobody notices a lie",
        ),
        (
            on_node_2(every(OperationClass::Write, full)),
            "strict append d0/log text",
            "a full disk is waited for",
        ),
        (
            FaultSpec::Disk {
                target: Target::Node { id: 2 },
                directory: DirectoryPick::Data,
                rule: every(OperationClass::Write, EIO),
            },
            "strict append d1/log text",
            "a data directory is one of two",
        ),
        (
            on_node_2(every(OperationClass::Open, EIO)),
            "abort d0/log",
            "a signal is a crash",
        ),
    ] {
        let fault = rig.inject(&spec).await?;
        let _ends = rig.begin(2, command).await?;
        let exit = supervisor.wait(N2, crate::support::SOON).await?;
        ensure(!exit.asked, format!("{why}: {exit:?}"))?;
        fault.heal().await?;
        let deaths = supervisor.unexpected_exits();
        ensure(deaths.len() == 1, format!("{why}: the fault hid it"))?;
        heal_everything(&rig.cluster.arena).await?;
    }
    Ok(())
}
