//! Crash images of real runs: every state of a loss of power comes up and keeps what is promised,
//! and damage that is done to the images is found.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker::config::sabotage::Sabotage;
use harness::cli::Keep;
use harness::cli::exit::Exit;
use harness::crash::Subject;
use harness::crash::result::{CrashSummary, Finding};
use harness::disk::journal::NameDurability;
use harness::disk::rule::Survival;
use harness::nemesis::{FaultSpec, Target};
use harness::plan::{DiskPlan, Plan, ScheduledFault, profile};
use harness::run::store::Store;
use libtest_mimic::{Failed, Trial};

use crate::support::runs::end_of;
use crate::support::{Outcome, ensure};

/// One of ten is one of the whole cluster.
const STATES: usize = 10;
/// The whole cluster and each node alone.
const DAMAGED_STATES: usize = 4;
/// A cluster that cannot come up takes all of it.
const DAMAGED_LIMIT: Duration = Duration::from_secs(5);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test(
            "crash_images::flushed_is_kept_until_images_are_damaged",
            flushed,
        ),
        Trial::test("crash_images::a_loss_that_is_allowed_is_told", allowed),
        Trial::test(
            "crash_images::kills_during_recovery_change_nothing",
            killed_recoveries,
        ),
    ]
}

/// The planted bugs that only some of the states that a disk could have left show.
pub(crate) fn planted() -> Vec<Trial> {
    if !cfg!(feature = "sabotage") {
        return Vec::new();
    }
    vec![
        Trial::test(
            "crash_images::crash_during_recovery_counted_as_clean_is_found",
            recoveries_that_pass_as_clean,
        ),
        Trial::test("crash_images::vote_not_fsynced_is_found", forgotten_votes),
    ]
}

/// A run whose nodes all lose their power once, and its directory.
fn run(flush_every_message: bool, results: &Path) -> Result<Store, Failed> {
    let profile = profile::find("power-loss-all").expect("a profile");
    let mut plan = Plan::draw_with(5, profile, 3_000);
    plan.flush_every_message(flush_every_message);
    plan.faults = vec![all_lose_their_power(Survival::Prefix)];
    run_plan(plan, results)
}

fn all_lose_their_power(survival: Survival) -> ScheduledFault {
    ScheduledFault {
        at_ms: 1_500,
        for_ms: 500,
        draw: 1,
        when: None,
        what: FaultSpec::PowerLoss {
            target: Target::All,
            survival,
            stagger_ms: 0,
        },
    }
}

fn run_plan(plan: Plan, results: &Path) -> Result<Store, Failed> {
    Ok(end_of(plan, results, Keep::Always)?.store)
}

fn check(store: &Store) -> Result<CrashSummary, Failed> {
    let scratch = tempfile::tempdir()?;
    let subject = Subject::open(store)?;
    Ok(subject.check(scratch.path(), STATES, 2, |_, _| ())?)
}

fn check_damaged(store: &Store) -> Result<CrashSummary, Failed> {
    let scratch = tempfile::tempdir()?;
    let mut subject = Subject::open(store)?;
    subject.give_up_after(DAMAGED_LIMIT);
    Ok(subject.check(scratch.path(), DAMAGED_STATES, 2, |_, _| ())?)
}

fn flushed() -> Outcome {
    let results = tempfile::tempdir()?;
    let store = run(true, results.path())?;
    let good = check(&store)?;
    ensure(good.exit() == Exit::Kept, format!("{good:?}"))?;
    ensure(
        good.whole > 0 && good.checked > good.whole,
        format!("{good:?}"),
    )?;
    ensure(good.killed > 0, "no recovery was killed while it went on")?;

    let logs = topic_logs(&store)?;
    ensure(!logs.is_empty(), "the topic has logs in the images")?;
    for log in logs {
        let length = fs::metadata(&log)?.len();
        let file = OpenOptions::new().write(true).open(&log)?;
        file.set_len(length / 2)?;
    }
    let cut = check_damaged(&store)?;
    let of_whole = |state: &&_| is_of_all_nodes(state) && !state_is_good(state);
    ensure(cut.exit() == Exit::Broken, format!("{cut:?}"))?;
    ensure(
        cut.states.iter().any(|state| of_whole(&state)),
        format!("the cluster lost what was acknowledged: {cut:?}"),
    )?;

    fs::remove_file(image(&store, 2).join("quorum-state"))?;
    let forgotten = check_damaged(&store)?;
    let is_told = |finding: &Finding| match finding {
        Finding::NotRecovered(reason) => reason.contains("quorum-state"),
        _ => false,
    };
    let mut findings = forgotten.states.iter().flat_map(|state| &state.findings);
    ensure(findings.any(is_told), format!("{forgotten:?}"))
}

fn is_of_all_nodes(state: &harness::crash::result::StateResult) -> bool {
    state.nodes.len() == 3
}

fn state_is_good(state: &harness::crash::result::StateResult) -> bool {
    state.findings.is_empty()
}

fn allowed() -> Outcome {
    let results = tempfile::tempdir()?;
    let summary = check(&run(false, results.path())?)?;
    ensure(summary.exit() == Exit::Kept, format!("{summary:?}"))?;
    ensure(
        summary.allowed_losses > 0,
        format!("nothing was fsynced, and nothing was lost: {summary:?}"),
    )
}

/// In the run everything survives, so that it goes on as if nothing were wrong.
const ALL: Survival = Survival::Subset(1_000);

fn forgotten_votes() -> Outcome {
    let results = tempfile::tempdir()?;
    let profile = profile::find("power-loss-all").expect("a profile");
    let mut plan = Plan::draw_with(5, profile, 3_000);
    plan.flush_every_message(true);
    plan.faults = vec![all_lose_their_power(ALL)];
    plan.cluster.sabotage = Some(Sabotage::VoteNotFsynced.name().to_owned());
    let found = check_damaged(&run_plan(plan, results.path())?)?;
    let is_told = |finding: &Finding| match finding {
        Finding::NotRecovered(reason) => reason.contains("quorum-state"),
        _ => false,
    };
    let mut findings = found.states.iter().flat_map(|state| &state.findings);
    ensure(findings.any(is_told), format!("{found:?}"))
}

/// Nothing, half and all of the order of what was not flushed; half of it, most of it, torn writes.
const KILLED_STATES: usize = 6;
const KILLED_SEED: u64 = 1;

/// One node, every batch a segment of which nothing is flushed, and its power goes.
fn one_node_with_holes(seed: u64) -> Plan {
    let profile = profile::find("none").expect("a profile");
    let mut plan = Plan::draw_with(seed, profile, 3_000);
    let cluster = &mut plan.cluster;
    cluster.nodes = 1;
    cluster.replication_factor = 1;
    cluster.min_insync_replicas = 1;
    cluster.partitions = 1;
    cluster.disk = Some(DiskPlan {
        fsync_ms: 1,
        quota_mib: None,
        names: NameDurability::default(),
    });
    for (key, value) in [
        ("log.segment.bytes", "1024"),
        ("log.flush.interval.messages", "200"),
    ] {
        let settings = &mut cluster.broker_settings;
        settings.insert(key.to_owned(), value.to_owned());
    }
    plan.workload.payload_bytes = [300, 800];
    plan.workload.producer.linger_ms = 0;
    plan.faults = vec![all_lose_their_power(ALL)];
    plan
}

/// Whether kills during recovery changed a log, in one of the states; some recovery was killed.
fn is_changed_by_kills(plan: Plan) -> Result<bool, Failed> {
    let (results, scratch) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut subject = Subject::open(&run_plan(plan, results.path())?)?;
    subject.kill_every_recovery();
    let summary = subject.check(scratch.path(), KILLED_STATES, 2, |_, _| ())?;
    ensure(
        summary.killed > 0,
        format!("nothing was killed: {summary:?}"),
    )?;
    ensure(summary.harness_faults.is_empty(), format!("{summary:?}"))?;
    let mut findings = summary.states.iter().flat_map(|state| &state.findings);
    Ok(findings.any(|finding| matches!(finding, Finding::DiffersAfterKills { .. })))
}

fn killed_recoveries() -> Outcome {
    let is_changed = is_changed_by_kills(one_node_with_holes(KILLED_SEED))?;
    ensure(!is_changed, "kills changed a log")
}

fn recoveries_that_pass_as_clean() -> Outcome {
    let bug = Sabotage::CrashDuringRecoveryCountedAsClean;
    let mut plan = one_node_with_holes(KILLED_SEED);
    plan.cluster.sabotage = Some(bug.name().to_owned());
    ensure(is_changed_by_kills(plan)?, "kills changed no log")
}

/// The first disk of a node, as it was durable.
fn image(store: &Store, node: i32) -> PathBuf {
    store.node(node).join("crash-1/d0/durable")
}

/// The segments of the topic in the images of all nodes.
fn topic_logs(store: &Store) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    for node in 1..=3 {
        let crash = store.node(node).join("crash-1");
        for disk in fs::read_dir(crash)? {
            for partition in fs::read_dir(disk?.path().join("durable"))? {
                let partition = partition?;
                if !partition
                    .file_name()
                    .to_string_lossy()
                    .starts_with("verdict-")
                {
                    continue;
                }
                for file in fs::read_dir(partition.path())? {
                    let path = file?.path();
                    let is_log = path.extension().is_some_and(|extension| extension == "log");
                    found.extend(is_log.then_some(path));
                }
            }
        }
    }
    Ok(found)
}
