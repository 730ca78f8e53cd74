//! Quotas of log directories on a tmpfs: a process that meets one is refused, a fault that nobody
//! meets says so, and brokers bear it and write again by themselves.

use std::os::unix::fs::MetadataExt;

use harness::cli::exit::Exit;
use harness::disk::rule::DiskId;
use harness::nemesis::{DirectoryPick, Effect, FaultSpec, Target};
use harness::plan::{Plan, ScheduledFault, profile};
use harness::run::summary::FaultSummary;
use harness::tmpfs::Left;
use harness::worker::protocol::Compression;
use libtest_mimic::{Failed, Trial};
use nix::errno::Errno;

use crate::support::rig::Rig;
use crate::support::{self, Outcome, ensure, soon, trial};

/// The size of a stand-in's log directories.
const BYTES: u64 = 1 << 20;
/// The first log directory of node 2.
const D0: DiskId = DiskId {
    node: 2,
    directory: 0,
};
const MIB: u64 = 64;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "quotas::a_full_tmpfs_writes_what_fits_and_has_room_again",
            bytes,
        ),
        trial("quotas::a_tmpfs_may_run_out_of_files", files),
        trial("quotas::a_tmpfs_outlives_the_process_of_its_node", killed),
        trial(
            "quotas::a_node_that_does_not_write_again_has_not_recovered",
            silent,
        ),
        trial("quotas::one_that_nobody_meets_is_vacuous", vacuous),
        trial(
            "quotas::two_at_once_and_healing_everything_leave_none_behind",
            two_at_once,
        ),
    ]
}

pub(crate) fn runs() -> Vec<Trial> {
    vec![
        Trial::test(
            "quotas::brokers_without_room_refuse_and_serve_again_by_themselves",
            brokers,
        ),
        Trial::test(
            "quotas::a_broker_that_starts_without_room_waits_for_it",
            started_without_room,
        ),
    ]
}

fn quota(left: Left) -> FaultSpec {
    FaultSpec::DiskQuota {
        target: Target::Node { id: 2 },
        directory: DirectoryPick::Metadata,
        left,
    }
}

fn enospc() -> String {
    format!("error {}", Errno::ENOSPC as i32)
}

async fn bytes() -> Outcome {
    let rig = Rig::start_on_tmpfs(BYTES).await?;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    let root = rig.cluster.arena.tmpfs.path(D0).ok_or("a tmpfs")?;
    let page = std::fs::metadata(root.join("log"))?.blksize();
    let mut fault = rig.inject(&quota(Left::Bytes(page))).await?;
    let reason = fault.vacuous().await?;
    ensure(reason.contains("refused nothing"), reason)?;
    let much = "x".repeat(2 * page as usize);
    let append = |directory| format!("append d{directory}/new {much}");
    rig.expect(2, &append(0), &format!("ok {page}")).await?;
    rig.expect(2, &append(0), &enospc()).await?;
    for (node, directory) in [(2, 1), (3, 0)] {
        let all = format!("ok {}", much.len());
        rig.expect(node, &append(directory), &all).await?;
    }
    let evidence = fault.seen().await?;
    let used = 2 * page;
    let wanted =
        format!("{BYTES} bytes lowered to {used}, with {page} left and then 0 at the least");
    ensure(evidence.contains(&wanted), evidence)?;
    let (healed, written) = tokio::join!(fault.heal(), rig.expect(2, "append d0/log !", "ok 1"));
    written?;
    let told = healed?;
    let disk = &told["disks"][0];
    let is_told = disk["hits"] == 1 && disk["writes_again_ms"].is_u64();
    ensure(is_told, told.to_string())?;
    let all = format!("ok {}", much.len());
    rig.expect(2, &append(0), &all).await?;
    let now = rig.cluster.arena.tmpfs.space(D0)?;
    ensure(now.bytes == BYTES, format!("{now:?}"))
}

async fn files() -> Outcome {
    let rig = Rig::start_on_tmpfs(BYTES).await?;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    let mut fault = rig.inject(&quota(Left::Files(1))).await?;
    rig.expect(2, "make d0/one", "ok").await?;
    rig.expect(2, "make d0/two", &enospc()).await?;
    rig.expect(2, "append d0/log more", "ok 4").await?;
    let evidence = fault.seen().await?;
    let wanted = "65536 files lowered to 3, with 1 left and then 0 at the least";
    ensure(evidence.contains(wanted), evidence)?;
    fault.lift().await?;
    rig.expect(2, "make d0/two", "ok").await
}

async fn killed() -> Outcome {
    let rig = Rig::start_on_tmpfs(BYTES).await?;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    let fault = rig.inject(&quota(Left::Bytes(0))).await?;
    let kill = FaultSpec::Kill {
        target: Target::Node { id: 2 },
    };
    let mut kill = rig.inject(&kill).await?;
    kill.seen().await?;
    kill.heal().await?;
    rig.expect(2, "read d0/log", "ok text").await?;
    rig.expect(2, "append d0/new text", &enospc()).await?;
    fault.heal().await?;
    rig.expect(2, "append d0/new text", "ok 4").await
}

/// It serves, but what was refused is never written.
async fn silent() -> Outcome {
    let rig = Rig::start_on_tmpfs(BYTES).await?;
    let mut fault = rig.inject(&quota(Left::Bytes(1))).await?;
    let much = "x".repeat(1 << 18);
    rig.ask(2, &format!("append d0/new {much}")).await?;
    fault.seen().await?;
    let healed = fault.heal().await;
    let reason = healed
        .err()
        .and_then(|failed| failed.message().map(str::to_owned));
    let reason = reason.ok_or("it has recovered, as is said")?;
    ensure(
        reason.contains("node 2 does not write to") && reason.contains("again 5s after"),
        reason,
    )
}

async fn vacuous() -> Outcome {
    let rig = Rig::start_on_tmpfs(BYTES).await?;
    rig.expect(2, "append d0/log text", "ok 4").await?;
    for (left, words) in [
        (Left::Bytes(100_000), "the node was refused nothing"),
        // None is left, but nobody asks for any.
        (
            Left::Bytes(0),
            "and then 0 at the least; the node was refused nothing",
        ),
        (
            Left::Files(0),
            "and then 0 at the least; the node was refused nothing",
        ),
    ] {
        let mut fault = rig.inject(&quota(left)).await?;
        let reason = fault.vacuous().await?;
        ensure(reason.contains(words), reason)?;
        fault.heal().await?;
    }
    let plain = Rig::start().await?;
    let refused = plain.inject(&quota(Left::Bytes(0))).await;
    let reason = refused
        .err()
        .and_then(|failed| failed.message().map(str::to_owned));
    let reason = reason.ok_or("a quota on the machine's own disk")?;
    ensure(reason.contains("cluster.tmpfs_mib"), reason)
}

/// The second one would take the limit of the first for the directory's own.
async fn two_at_once() -> Outcome {
    let rig = Rig::start_on_tmpfs(BYTES).await?;
    let arena = &rig.cluster.arena;
    let before = arena.tmpfs.space(D0)?;
    let first = rig.inject(&quota(Left::Bytes(0))).await?;
    let second = rig.inject(&quota(Left::Files(0))).await;
    ensure(second.is_err(), "two faults at once on one node")?;
    first.lift().await?;
    ensure(arena.tmpfs.space(D0)? == before, "a limit is left behind")?;
    let _dropped = rig.inject(&quota(Left::Files(0))).await?;
    soon("healing", harness::nemesis::heal_everything(arena)).await??;
    ensure(arena.tmpfs.space(D0)? == before, "a limit is left behind")
}

/// Nothing that is acknowledged is lost, nothing of a refused batch is read, and every partition
/// acknowledges again five seconds after there is room at the latest: all that the checkers judge.
fn brokers() -> Outcome {
    let fault = |target, directory, left| FaultSpec::DiskQuota {
        target,
        directory,
        left,
    };
    let node = |id| Target::Node { id };
    let plan = plan(vec![
        fault(node(2), DirectoryPick::Data, Left::Bytes(0)),
        fault(Target::All, DirectoryPick::All, Left::Bytes(1)),
        fault(node(3), DirectoryPick::All, Left::Files(0)),
        fault(node(1), DirectoryPick::Data, Left::Bytes(40 << 20)),
    ])?;
    let promised = plan.settings().available_within_ms;
    ensure(promised == Some(3_000 + 5_000), format!("{promised:?}"))?;
    let results = tempfile::tempdir()?;
    let (store, summary) = support::runs::run_and_keep(plan, results.path())?;
    let [one, all, files, none] = summary.faults.as_slice() else {
        return Err("four faults".into());
    };
    for fault in [one, all, files] {
        ensure(
            effect(fault)?.contains("No space left on device"),
            effect(fault)?,
        )?;
        ensure(is_seen(fault), effect(fault)?)?;
    }
    ensure(!is_seen(none), effect(none)?)?;
    ensure(effect(none)?.contains("refused nothing"), effect(none)?)?;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    let acked = summary.counts.acked;
    ensure(acked > 100, format!("only {acked} acknowledged"))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let root = store.root().display().to_string();
    ensure(
        !mounts.contains(&root),
        format!("a mount was left: {mounts}"),
    )?;
    for directory in [0, 1] {
        let kept = store.backing(DiskId { node: 1, directory });
        let is_kept = kept.join("meta.properties").is_file();
        ensure(is_kept, format!("no files in {}", kept.display()))?;
    }
    Ok(())
}

/// It is killed while it has none, and there is room only after it is started again.
fn started_without_room() -> Outcome {
    let target = Target::Node { id: 2 };
    let mut plan = plan(vec![FaultSpec::DiskQuota {
        target: target.clone(),
        directory: DirectoryPick::All,
        left: Left::Bytes(0),
    }])?;
    let quota = plan.faults.first().ok_or("a fault")?.clone();
    plan.faults.push(ScheduledFault {
        at_ms: quota.at_ms + 500,
        for_ms: 300,
        what: FaultSpec::Kill { target },
        ..quota
    });
    let results = tempfile::tempdir()?;
    let (_, summary) = support::runs::run(plan, results.path())?;
    for fault in &summary.faults {
        ensure(is_seen(fault), effect(fault)?)?;
    }
    ensure(summary.exit() == Exit::Kept, &summary.sentence)
}

/// One fault after the other on three brokers with two log directories on a tmpfs each.
fn plan(faults: Vec<FaultSpec>) -> Result<Plan, Failed> {
    let (begin_ms, length_ms, pause_ms) = (1_500, 3_000, 5_200);
    let turn_ms = length_ms + pause_ms;
    let profile = profile::find("none").ok_or("a profile")?;
    let mut plan = Plan::draw_with(1, profile, begin_ms + faults.len() as u64 * turn_ms);
    (plan.cluster.log_dirs, plan.cluster.tmpfs_mib) = (2, Some(MIB));
    // Each record takes a page of its own: however few are sent, there is no room for them.
    plan.workload.payload_bytes = [8_192, 8_192];
    plan.workload.producer.compression = Compression::None;
    plan.workload.sends_per_second = 150;
    plan.workload.consumer.partition_fetch_bytes = 1 << 20;
    let fault = |(number, what): (usize, FaultSpec)| ScheduledFault {
        at_ms: begin_ms + number as u64 * turn_ms,
        for_ms: length_ms,
        draw: 7,
        when: None,
        what,
    };
    plan.faults = faults.into_iter().enumerate().map(fault).collect();
    Ok(plan)
}

/// Whether it was seen and is over.
fn is_seen(fault: &FaultSummary) -> bool {
    fault.report.as_ref().is_some_and(|report| {
        matches!(report.effect, Effect::Seen(_)) && report.not_recovered.is_none()
    })
}

fn effect(fault: &FaultSummary) -> Result<String, Failed> {
    let report = fault.report.as_ref().ok_or("a fault left no report")?;
    Ok(format!("{report:?}"))
}
