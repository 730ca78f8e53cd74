//! Crash images of real runs: every state of a loss of power comes up and keeps what is promised,
//! and damage that is done to the images is found.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harness::cli::Keep;
use harness::cli::exit::Exit;
use harness::crash::Subject;
use harness::crash::result::{CrashSummary, Finding};
use harness::disk::rule::Survival;
use harness::nemesis::{FaultSpec, Target};
use harness::plan::{Plan, ScheduledFault, profile};
use harness::run::status::Status;
use harness::run::store::Store;
use harness::run::{RunRequest, launch};
use libtest_mimic::{Failed, Trial};

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
    ]
}

/// A run whose nodes all lose their power once, and its directory.
fn run(flush_every_message: bool, results: &Path) -> Result<Store, Failed> {
    let profile = profile::find("power-loss-all").expect("a profile");
    let mut plan = Plan::draw_with(5, profile, 3_000);
    plan.flush_every_message(flush_every_message);
    plan.faults = vec![ScheduledFault {
        at_ms: 1_500,
        for_ms: 500,
        draw: 1,
        when: None,
        what: FaultSpec::PowerLoss {
            target: Target::All,
            survival: Survival::Prefix,
            stagger_ms: 0,
        },
    }];
    let request = RunRequest {
        plan,
        results: results.to_owned(),
        keep: Keep::Always,
    };
    Ok(launch(&request, &Arc::new(Status::default()))?.store)
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
