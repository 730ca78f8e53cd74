//! The planted bugs of groups: each is found, by the name of an anomaly that it causes.
//!
//! Each has a plan of its own, the incident that shows it, because a mix of faults finds one or
//! the other only on some seeds; `results/README.md` has those.

use broker::config::sabotage::Sabotage;
use checkers::anomaly::Kind;
use checkers::history::CommitMode;
use harness::plan::script::Script;
use harness::plan::{Plan, profile};
use libtest_mimic::Trial;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::planted;

/// A planted bug, and the incident that shows it.
struct Planted {
    bug: Sabotage,
    mode: CommitMode,
    script: Script,
    is_static: bool,
    workload_ms: u64,
    /// One of these must be found.
    anomalies: &'static [Kind],
}

const FORGOTTEN: &[Kind] = &[
    Kind::CommitLost,
    Kind::ResumeWrong,
    Kind::NonlinearizableCommit,
];

#[rustfmt::skip]
const PLANTED: &[Planted] = &[
    row(Sabotage::CommitAnsweredBeforeReplication, Script::CoordinatorAlone, 5_000, FORGOTTEN),
    row(Sabotage::StaleCacheKeptOnLoad, Script::CoordinatorReturns, 7_500, FORGOTTEN),
    row(Sabotage::GenerationNotCheckedOnCommit, Script::Zombie, 6_500, &[Kind::ZombieCommit]),
    Planted { is_static: true, ..row(Sabotage::StaticMemberIdNotPersisted, Script::QuickReturn,
        5_000, &[Kind::WronglyFenced]) },
    row(Sabotage::TwoOwnersAfterMissedRebalance, Script::QuickReturn, 5_000, &[Kind::DualOwner]),
    row(Sabotage::RebalanceCompletesWithoutWaiting, Script::QuickReturn, 5_000,
        &[Kind::DualOwner]),
    row(Sabotage::TombstoneIgnoredOnLoad, Script::EverybodyDown, 5_000, FORGOTTEN),
    row(Sabotage::LoadStopsAtHighWatermark, Script::EverybodyDown, 4_000, FORGOTTEN),
    row(Sabotage::OffByOneCommittedOffset, Script::EverybodyDown, 4_000,
        &[Kind::GroupLost, Kind::CommitAhead, Kind::ResumeWrong, Kind::NonlinearizableCommit]),
    Planted { mode: CommitMode::AutoInLoop, ..row(Sabotage::AutoCommitOfCurrentPoll,
        Script::EverybodyDown, 4_000, &[Kind::CommitAhead, Kind::GroupLost]) },
];

const fn row(
    bug: Sabotage,
    script: Script,
    workload_ms: u64,
    anomalies: &'static [Kind],
) -> Planted {
    Planted {
        bug,
        mode: CommitMode::SyncAfter,
        script,
        is_static: false,
        workload_ms,
        anomalies,
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    if !cfg!(feature = "sabotage") {
        return Vec::new();
    }
    let trial = |planted: &'static Planted| {
        let draw = |seed| plan(planted, seed);
        planted::trial("planted_groups", planted.bug, planted.anomalies, draw)
    };
    PLANTED.iter().map(trial).collect()
}

fn plan(planted: &Planted, seed: u64) -> Plan {
    let profile = profile::find("group-none").expect("a profile");
    let mut plan = Plan::draw_with(seed, profile, planted.workload_ms);
    plan.time.recovery_deadline_ms = 8_000;
    plan.workload.consumers = 3;
    plan.workload.sends_per_second = 300;
    let members = plan.workload.group.as_mut().expect("a group");
    members.mode = planted.mode;
    members.static_members = planted.is_static;
    // Members that are mostly busy hold what they have not committed yet.
    members.process_ms = [2, 6];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let end_ms = planted.workload_ms - 300;
    let scene = planted.script.draw(&mut rng, &plan.cluster, 1_200, end_ms);
    plan.faults = scene.expect("the workload is long enough for its incident");
    plan
}
