//! Losses of power on real processes: what was fsynced stays, what was not goes as the survival
//! says, and no peer hears a goodbye.

use std::time::{Duration, Instant};

use harness::disk::rule::{DiskAction, DiskErrno, DiskPick, DiskRule, OperationClass, Survival};
use harness::nemesis::{FaultSpec, Target};
use harness::sandbox::{ProcessError, Status};
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::rig::{Rig, every, on_node_2};
use crate::support::{N1, N2, N3, Outcome, ensure, never, soon, trial};

/// Appends after the last fsync, of [`LENGTH`] bytes each.
const UNSYNCED: usize = 8;
/// Two sectors, so that a write can be torn between them; four to a page, for the kernel passes on
/// what crosses the end of a page as two writes.
const LENGTH: usize = 1_024;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "power::what_was_not_fsynced_goes_and_nothing_else",
            survivals,
        ),
        trial("power::all_nodes_lose_it_at_once", all_at_once),
        trial("power::nodes_lose_it_one_after_the_other", staggered),
        trial("power::no_peer_hears_a_goodbye", silent),
        trial("power::an_idle_peer_learns_of_it_when_it_speaks", half_open),
        trial("power::nobody_starts_a_node_without_power", held_down),
        trial(
            "power::a_node_that_synced_everything_only_crashed",
            all_synced,
        ),
        trial("power::a_lying_fsync_is_found_out", lying),
        trial(
            "power::a_failed_fsync_loses_what_a_later_one_confirms",
            failed_sync,
        ),
    ]
}

fn power_loss(target: Target, survival: Survival) -> FaultSpec {
    FaultSpec::PowerLoss {
        target,
        survival,
        stagger_ms: 0,
    }
}

fn node_2() -> Target {
    Target::Node { id: 2 }
}

/// Writes what is fsynced, then [`UNSYNCED`] appends that are not; all bytes in order.
async fn write(rig: &Rig, node: i32) -> Result<Vec<u8>, libtest_mimic::Failed> {
    let mut written = Vec::new();
    for number in 0..=UNSYNCED {
        let letter = char::from(b'a' + number as u8);
        let text = letter.to_string().repeat(LENGTH);
        written.extend(text.as_bytes());
        let append = format!("append d0/log {text}");
        rig.expect(node, &append, &format!("ok {LENGTH}")).await?;
        if number == 0 {
            rig.expect(node, "sync d0/log", "ok").await?;
        }
    }
    Ok(written)
}

async fn survivals() -> Outcome {
    for survival in [
        Survival::None,
        Survival::Prefix,
        Survival::Subset(500),
        Survival::Torn,
    ] {
        let rig = Rig::start().await?;
        let written = write(&rig, 2).await?;
        let mut fault = rig.inject(&power_loss(node_2(), survival)).await?;
        let evidence = fault.seen().await?;
        let stored = rig
            .stored(2, "log")
            .ok_or("the file was fsynced and is gone")?;
        println!(
            "{survival:?}: {} of {} bytes; {evidence}",
            stored.len(),
            written.len()
        );
        check_survivors(survival, &written, &stored)?;
        let detail = fault.heal().await?;
        let lost = &detail["disks"][0];
        ensure(lost["unsynced"] == UNSYNCED, detail.to_string())?;
        let gone = UNSYNCED - whole_appends(&written, &stored);
        ensure(lost["lost"] == gone, format!("{gone} are gone: {detail}"))?;
        rig.expect(2, "append d0/log text", "ok 4").await?;
    }
    Ok(())
}

/// How many of the un-synced appends are there as they were written.
fn whole_appends(written: &[u8], stored: &[u8]) -> usize {
    let is_whole = |number: &usize| {
        let range = number * LENGTH..(number + 1) * LENGTH;
        stored.get(range.clone()) == written.get(range)
    };
    (1..=UNSYNCED).filter(is_whole).count()
}

fn check_survivors(survival: Survival, written: &[u8], stored: &[u8]) -> Outcome {
    ensure(stored.len() <= written.len(), "more than was written")?;
    let (synced, rest) = stored
        .split_at_checked(LENGTH)
        .ok_or("what was fsynced is gone")?;
    ensure(written.starts_with(synced), "what was fsynced has changed")?;
    let is_prefix = written.starts_with(stored) && rest.len() % LENGTH == 0;
    let mut bytes = stored.iter().zip(written);
    let has_only_holes = bytes.all(|(stored, written)| stored == written || *stored == 0);
    let fits = match survival {
        Survival::None => rest.is_empty(),
        Survival::Prefix => is_prefix,
        Survival::Subset(_) | Survival::Torn => has_only_holes,
    };
    ensure(fits, format!("{survival:?} left {} bytes", stored.len()))
}

async fn all_at_once() -> Outcome {
    let rig = Rig::start().await?;
    for node in 1..=3 {
        write(&rig, node).await?;
    }
    let mut fault = rig.inject(&power_loss(Target::All, Survival::None)).await?;
    let evidence = fault.seen().await?;
    for node in 1..=3 {
        ensure(
            evidence.contains(&format!("d0 of node {node} lost 8 of 8")),
            &evidence,
        )?;
        let stored = rig.stored(node, "log").unwrap_or_default();
        ensure(
            stored == b"a".repeat(LENGTH),
            format!("node {node}: {} bytes", stored.len()),
        )?;
    }
    fault.heal().await?;
    for node in 1..=3 {
        rig.expect(node, "append d0/log text", "ok 4").await?;
    }
    Ok(())
}

async fn staggered() -> Outcome {
    let rig = Rig::start().await?;
    for node in 1..=3 {
        rig.expect(node, "append d0/log text", "ok 4").await?;
    }
    let stagger_ms = 80;
    let spec = FaultSpec::PowerLoss {
        target: Target::All,
        survival: Survival::None,
        stagger_ms,
    };
    let mut ends = tokio::task::JoinSet::new();
    for node in [N1, N2, N3] {
        let mut status = rig.cluster.arena.supervisor.watch(node)?;
        ends.spawn(async move {
            let ended = status.wait_for(|status| matches!(status, Status::Exited(_)));
            ended.await.expect("the supervisor lives");
            Instant::now()
        });
    }
    let mut fault = rig.inject(&spec).await?;
    fault.seen().await?;
    let mut ends = soon("all ends", ends.join_all()).await?;
    ends.sort_unstable();
    let between = ends.windows(2).map(|pair| pair[1] - pair[0]);
    // What the test sees of an end may be late, but not by a whole stagger on one of two.
    let total: Duration = between.sum();
    ensure(
        total >= Duration::from_millis(stagger_ms),
        format!("{ends:?}"),
    )?;
    fault.heal().await?;
    Ok(())
}

async fn silent() -> Outcome {
    let rig = Rig::start().await?;
    let mut client = rig.connect(2).await?;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    let mut fault = rig.inject(&power_loss(node_2(), Survival::None)).await?;
    never("a goodbye", client.read(&mut [0; 8])).await?;
    let evidence = fault.seen().await?;
    ensure(evidence.contains("no peer heard a goodbye"), &evidence)?;
    // The near miss: a connection that is reset while the links should be silent.
    for link in rig.cluster.arena.links.of(N2) {
        rig.cluster.arena.links.reset(link);
    }
    let ended = soon("RST", client.read(&mut [0; 8])).await?;
    ensure(ended.is_err(), format!("{ended:?}"))?;
    let told = fault.vacuous().await?;
    ensure(told.contains("peers heard a goodbye"), told)?;
    fault.heal().await?;
    Ok(())
}

async fn half_open() -> Outcome {
    let rig = Rig::start().await?;
    let mut peer = rig.connect(2).await?;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    let mut fault = rig.inject(&power_loss(node_2(), Survival::None)).await?;
    fault.seen().await?;
    fault.heal().await?;
    never("a goodbye", peer.read(&mut [0; 8])).await?;
    peer.write_all(b"read d0/log\n").await?;
    let ended = soon("RST", peer.read(&mut [0; 8])).await?;
    ensure(ended.is_err(), format!("{ended:?}"))
}

async fn held_down() -> Outcome {
    let rig = Rig::start().await?;
    let supervisor = &rig.cluster.arena.supervisor;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    let mut fault = rig.inject(&power_loss(node_2(), Survival::None)).await?;
    let refused = supervisor.restart(N2);
    ensure(
        matches!(refused, Err(ProcessError::HeldDown(_))),
        "a node started over a disk without power",
    )?;
    fault.seen().await?;
    fault.heal().await?;
    rig.expect(2, "append d0/log text", "ok 4").await
}

async fn all_synced() -> Outcome {
    let rig = Rig::start().await?;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    rig.expect(2, "sync d0/log", "ok").await?;
    let mut fault = rig.inject(&power_loss(node_2(), Survival::None)).await?;
    let evidence = fault.vacuous().await?;
    ensure(evidence.contains("no more than a crash"), &evidence)?;
    let detail = fault.heal().await?;
    ensure(detail["disks"][0]["unsynced"] == 0, detail.to_string())?;
    rig.expect(2, "read d0/log", "ok text").await?;
    // A broker does without its note of what was flushed, which it never syncs.
    rig.expect(2, "append d0/flushed-offset-note text", "ok 4")
        .await?;
    let mut fault = rig.inject(&power_loss(node_2(), Survival::None)).await?;
    let evidence = fault.vacuous().await?;
    ensure(evidence.contains("no more than a crash"), &evidence)?;
    let detail = fault.heal().await?;
    ensure(detail["disks"][0]["lost"] == 2, detail.to_string())?;
    ensure(detail["disks"][0]["missed"] == 0, detail.to_string())
}

async fn lying() -> Outcome {
    let rig = Rig::start().await?;
    rig.expect(2, "append d0/log true", "ok 4").await?;
    rig.expect(2, "sync d0/log", "ok").await?;
    let mut lie = rig
        .inject(&on_node_2(every(OperationClass::Sync, DiskAction::Lie)))
        .await?;
    rig.expect(2, "append d0/log false", "ok 5").await?;
    rig.expect(2, "sync d0/log", "ok").await?;
    let evidence = lie.seen().await?;
    ensure(evidence.contains("1 of 1 operations lied about"), &evidence)?;
    lie.heal().await?;
    let mut fault = rig.inject(&power_loss(node_2(), Survival::None)).await?;
    fault.seen().await?;
    fault.heal().await?;
    rig.expect(2, "read d0/log", "ok true").await
}

async fn failed_sync() -> Outcome {
    let rig = Rig::start().await?;
    rig.expect(2, "append d0/log true", "ok 4").await?;
    rig.expect(2, "sync d0/log", "ok").await?;
    let rule = DiskRule {
        pick: DiskPick::Nth(1),
        ..every(
            OperationClass::Sync,
            DiskAction::Error {
                errno: DiskErrno::Eio,
            },
        )
    };
    let mut failure = rig.inject(&on_node_2(rule)).await?;
    rig.expect(2, "append d0/log gone", "ok 4").await?;
    rig.expect(2, "sync d0/log", "error 5").await?;
    rig.expect(2, "sync d0/log", "ok").await?;
    failure.seen().await?;
    failure.heal().await?;
    let mut fault = rig.inject(&power_loss(node_2(), Survival::None)).await?;
    fault.seen().await?;
    fault.heal().await?;
    // The later fsync may have kept the length, as a file system's own log does.
    let read = rig.ask(2, "read d0/log").await?;
    let read = read.replace("\\x00", "");
    ensure(read == "ok true", read)
}
