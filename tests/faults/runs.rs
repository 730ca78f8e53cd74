//! Whole runs on real brokers: short, but from the plan to the stored verdict.

use harness::cli::exit::Exit;
use harness::disk::journal::NameDurability;
use harness::disk::rule::DiskId;
use harness::nemesis::{Effect, FaultSpec, Target};
use harness::plan::profile::{self, Profile};
use harness::plan::{DiskPlan, Plan, ScheduledFault};
use harness::run::judge::judge;
use libtest_mimic::Trial;

use crate::support::runs::{run, run_and_keep};
use crate::support::{Outcome, ensure};

/// Long enough for a fault and its aftermath.
const WORKLOAD_MS: u64 = 3_000;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("runs::without_faults_every_promise_is_kept", || {
            keeps("none", 1)
        }),
        Trial::test("runs::the_default_mix_keeps_every_promise", || {
            keeps("default", 7)
        }),
        Trial::test(
            "runs::on_faulty_disks_without_faults_every_promise_is_kept",
            keeps_on_disks,
        ),
        Trial::test("runs::a_stored_run_replays_and_is_judged_again", replays),
        Trial::test(
            "runs::a_minimum_that_changes_is_told_and_changes_back",
            minimum_changes,
        ),
    ]
}

fn keeps(profile: &str, seed: u64) -> Outcome {
    let results = tempfile::tempdir()?;
    let plan = Plan::draw_with(seed, named(profile), WORKLOAD_MS);
    let summary = run(plan, results.path())?.1;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    ensure(
        summary.counts.acked > 100,
        format!("only {} acknowledged", summary.counts.acked),
    )
}

/// Two directories a node, each a mount; afterwards nothing is mounted, and the data can be read.
fn keeps_on_disks() -> Outcome {
    let results = tempfile::tempdir()?;
    let mut plan = Plan::draw_with(1, named("none"), WORKLOAD_MS);
    plan.cluster.log_dirs = 2;
    plan.cluster.disk = Some(DiskPlan {
        fsync_ms: 1,
        quota_mib: Some(512),
        names: NameDurability::default(),
    });
    let (store, summary) = run_and_keep(plan, results.path())?;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    let acked = summary.counts.acked;
    ensure(acked > 100, format!("only {acked} acknowledged"))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let root = store.root().display().to_string();
    ensure(
        !mounts.contains(&root),
        format!("a mount was left: {mounts}"),
    )?;
    let (mut segments, mut bytes) = ([0, 0], 0);
    for directory in [0, 1] {
        let backing = store.backing(DiskId { node: 1, directory });
        for log in std::fs::read_dir(&backing)? {
            let segment = log?.path().join("00000000000000000000.log");
            segments[directory as usize] += u32::from(segment.is_file());
            bytes += segment.metadata().map_or(0, |metadata| metadata.len());
        }
        ensure(backing.join("meta.properties").is_file(), "its identity")?;
    }
    ensure(
        segments.iter().all(|count| *count > 0) && bytes > 1_000,
        format!("{segments:?} segments of {bytes} bytes in the backing folders"),
    )
}

fn replays() -> Outcome {
    let results = tempfile::tempdir()?;
    let drawn = Plan::draw_with(3, named("none"), 1_000);
    let (store, first) = run(drawn.clone(), results.path())?;
    let stored = Plan::load(&store.plan())?;
    ensure(stored == drawn, "the stored plan is the drawn one")?;
    let again = judge(&store.history(), None)?;
    ensure(
        again.sentence == first.verdict.sentence,
        "the same history, the same verdict",
    )?;
    let (_, second) = run(stored, results.path())?;
    ensure(second.exit() == first.exit(), "the same plan, the same end")?;
    let runs = std::fs::read_dir(results.path())?.count();
    ensure(
        runs == 3,
        format!("two directories and the link to the newest, not {runs}"),
    )
}

/// One that takes the value from 2 to 1, and one that sets what is set.
fn minimum_changes() -> Outcome {
    let results = tempfile::tempdir()?;
    let mut plan = Plan::draw_with(1, named("none"), WORKLOAD_MS);
    let change = |at_ms, replicas| ScheduledFault {
        at_ms,
        for_ms: 700,
        draw: 0,
        when: None,
        what: FaultSpec::MinIsr {
            target: Target::All,
            replicas,
        },
    };
    plan.faults = vec![change(500, 1), change(1_700, 2)];
    let summary = run(plan, results.path())?.1;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    let reports: Vec<_> = summary.faults.iter().map(|fault| &fault.report).collect();
    let [Some(changed), Some(same)] = reports.as_slice() else {
        return Err(format!("a fault is not over: {reports:?}").into());
    };
    let is_seen = matches!(changed.effect, Effect::Seen(_));
    let is_back = [changed, same].map(|report| report.not_recovered.is_none());
    ensure(is_seen && is_back == [true, true], format!("{reports:?}"))?;
    let is_vacuous = matches!(same.effect, Effect::Vacuous(_));
    ensure(is_vacuous, format!("{same:?}"))
}

fn named(name: &str) -> &'static Profile {
    profile::find(name).expect("a profile")
}
