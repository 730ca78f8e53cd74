//! Canaries: for each planted bug, the incident that shows it and the anomalies that count as
//! caught. A campaign whose canaries are not caught says nothing about the bugs that it looks for.
//!
//! In: a planted bug and a seed. Out: the plan of a run, and after it whether the bug was caught.
//! Invariant: a run that ends in another way than by the canary's anomalies caught nothing, and
//! without the bug the plan keeps every promise (`control`).
//! Each canary has a plan of its own, because a mix of faults meets the moment in which a bug shows
//! only on some seeds; `README.md` has the seeds and times. Source: reference/jepsen.md §6.5.

use broker::config::sabotage::Sabotage;
use checkers::anomaly::Kind;
use checkers::history::CommitMode;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::plan::script::Script;
use crate::plan::{Plan, profile};
use crate::run::summary::Summary;

pub mod control;
mod disks;

/// Seeds that are tried before a bug counts as missed: most runs meet the moment in which it shows,
/// not all.
pub const TRIES: u64 = 5;

/// How long a cluster with a bug in groups gets to recover, and then its group to work off what is
/// left, in milliseconds: both may never. Without the bug they have the time of any run.
const WITH_BUG_MS: u64 = 8_000;

/// How often members in an auto mode are due to commit, in milliseconds.
const AUTO_COMMIT_MS: u64 = 500;

/// The last fault of a script ends this long before the workload, in milliseconds.
const AFTER_MS: u64 = 300;

/// A planted bug, and what finds it.
#[derive(Debug)]
pub struct Canary {
    /// The bug.
    pub bug: Sabotage,
    /// What happens to the cluster, in words.
    pub incident: &'static str,
    /// One of these must be found.
    pub anomalies: &'static [Kind],
    /// And each of these: no other canary is for them.
    pub also: &'static [Kind],
    scene: Scene,
}

/// What is planned.
#[derive(Clone, Copy, Debug)]
enum Scene {
    /// A script, played on a topic whose batches have one record each: then logs that parted have
    /// batches that begin at the same offsets, so a follower that nobody tells of its divergence
    /// goes on fetching and leads one day.
    Log(Script, u64),
    /// A script, played on a group.
    Group(Script, u64, Members),
    /// What a seed gives.
    Disk(fn(u64) -> Plan),
}

/// The members of a group.
#[derive(Clone, Copy, Debug)]
struct Members {
    mode: CommitMode,
    is_static: bool,
    /// That of the plan's seed if there is none.
    assignor: Option<&'static str>,
    /// How long they are at each record, in milliseconds: from, to.
    process_ms: [u64; 2],
    /// The most records that a poll gives out; that of the plan's seed if there is none.
    max_poll_records: Option<usize>,
}

/// Which part of the cluster a canary's bug sits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Replication.
    Logs,
    /// Consumer groups.
    Groups,
    /// Storage.
    Disks,
}

/// What a loss shows as.
const LOST: &[Kind] = &[
    Kind::LostWrite,
    Kind::InconsistentOffsets,
    Kind::Nonlinearizable,
];

/// What a forgotten commit shows as.
const FORGOTTEN: &[Kind] = &[
    Kind::CommitLost,
    Kind::ResumeWrong,
    Kind::NonlinearizableCommit,
];

const SYNC_AFTER: Members = Members {
    mode: CommitMode::SyncAfter,
    is_static: false,
    assignor: None,
    // Members that are mostly busy hold what they have not committed yet.
    process_ms: [2, 6],
    max_poll_records: None,
};

const SYNC_BEFORE: Members = Members {
    mode: CommitMode::SyncBefore,
    ..SYNC_AFTER
};

const STATIC: Members = Members {
    is_static: true,
    ..SYNC_AFTER
};

const COOPERATIVE: Members = Members {
    assignor: Some("cooperative-sticky"),
    ..SYNC_AFTER
};

/// Two of three cannot keep up, and polls give out little: what was fetched waits when it is given
/// up.
const OVERWORKED: Members = Members {
    process_ms: [6, 10],
    max_poll_records: Some(5),
    ..COOPERATIVE
};

const AUTO: Members = Members {
    mode: CommitMode::AutoInLoop,
    ..SYNC_AFTER
};

const RETURN_TO_LEAD: &str = "a leader cut off from its followers comes back and leads again";
const ALL_DOWN: &str = "all nodes are killed at once";
const ALONE: &str = "a coordinator cut off from its followers, then the members are killed";
const RETURNS: &str =
    "a coordinator freezes while members ask another, is back, and that one and all members die";
const ZOMBIE: &str = "a member freezes until others own what it had, and wakes";
const QUICK_RETURN: &str = "a member dies and is back unnoticed, then the coordinator dies";
const EVERYBODY_DOWN: &str = "all members and the coordinator are killed";

/// Every canary, in the order of the planted bugs.
#[rustfmt::skip]
pub const CANARIES: &[Canary] = &[
    row(Sabotage::AckBeforeReplication, RETURN_TO_LEAD,
        Scene::Log(Script::ReturnToLead, 7_500),
        &[Kind::LostWrite, Kind::InconsistentOffsets]),
    row(Sabotage::RefuseBelowFullIsr, "as many replicas are down as are tolerated",
        Scene::Log(Script::WithinTolerance, 10_000),
        &[Kind::Unavailable]),
    row(Sabotage::TruncateToHighWatermarkOnRestart, ALL_DOWN,
        Scene::Log(Script::AllDown, 3_000),
        &[Kind::LostWrite, Kind::InconsistentOffsets]),
    row(Sabotage::IgnoreLeaderEpochInFetch, RETURN_TO_LEAD,
        Scene::Log(Script::ReturnToLead, 7_500),
        &[Kind::InconsistentOffsets, Kind::Duplicate]),
    row(Sabotage::NoDuplicateWindowAfterFailover, RETURN_TO_LEAD,
        Scene::Log(Script::ReturnToLead, 7_500),
        &[Kind::Duplicate]),
    row(Sabotage::CommitAnsweredBeforeReplication, ALONE,
        Scene::Group(Script::CoordinatorAlone, 5_000, SYNC_AFTER),
        FORGOTTEN),
    row(Sabotage::StaleCacheKeptOnLoad, RETURNS,
        Scene::Group(Script::CoordinatorReturns, 8_500, SYNC_AFTER),
        FORGOTTEN)
        .and(&[Kind::CommitRegressed]),
    row(Sabotage::GenerationNotCheckedOnCommit, ZOMBIE,
        Scene::Group(Script::Zombie, 6_500, SYNC_AFTER),
        &[Kind::ZombieCommit]),
    row(Sabotage::StaticMemberIdNotPersisted, QUICK_RETURN,
        Scene::Group(Script::QuickReturn, 5_000, STATIC),
        &[Kind::WronglyFenced]),
    row(Sabotage::TwoOwnersAfterMissedRebalance, QUICK_RETURN,
        Scene::Group(Script::QuickReturn, 5_000, SYNC_AFTER),
        &[Kind::DualOwner]),
    row(Sabotage::RebalanceCompletesWithoutWaiting, QUICK_RETURN,
        Scene::Group(Script::QuickReturn, 5_000, SYNC_AFTER),
        &[Kind::DualOwner]),
    row(Sabotage::TombstoneIgnoredOnLoad, EVERYBODY_DOWN,
        Scene::Group(Script::EverybodyDown, 4_000, SYNC_AFTER),
        FORGOTTEN),
    row(Sabotage::LoadStopsAtHighWatermark, EVERYBODY_DOWN,
        Scene::Group(Script::EverybodyDown, 4_000, SYNC_AFTER),
        FORGOTTEN),
    row(Sabotage::OffByOneCommittedOffset, EVERYBODY_DOWN,
        Scene::Group(Script::EverybodyDown, 4_000, SYNC_AFTER),
        &[Kind::GroupLost, Kind::CommitAhead, Kind::ResumeWrong, Kind::NonlinearizableCommit]),
    row(Sabotage::AutoCommitOfCurrentPoll, EVERYBODY_DOWN,
        Scene::Group(Script::EverybodyDown, 4_000, AUTO),
        &[Kind::CommitAhead, Kind::GroupLost]),
    row(Sabotage::AutoCommitNeverDue, EVERYBODY_DOWN,
        Scene::Group(Script::EverybodyDown, 4_000, AUTO),
        &[Kind::UnboundedDuplicate]),
    row(Sabotage::BufferKeptAfterRevocation, ZOMBIE,
        Scene::Group(Script::Zombie, 6_500, OVERWORKED),
        &[Kind::DualOwner]),
    row(Sabotage::NoRejoinAfterRevocation, ZOMBIE,
        Scene::Group(Script::Zombie, 6_500, COOPERATIVE),
        &[Kind::UnownedPartition])
        .and(&[Kind::StuckGroup]),
    row(Sabotage::StickyAssignorIgnoresQuota, ZOMBIE,
        Scene::Group(Script::Zombie, 6_500, COOPERATIVE),
        &[Kind::SurplusOwner]),
    row(Sabotage::UnansweredOffsetFetchMeansNone,
        "all members are killed, and those who come back hear nothing of their offsets",
        Scene::Group(Script::OffsetsUnanswered, 6_000, SYNC_BEFORE),
        &[Kind::ResetWrong])
        .and(&[Kind::GroupDuplicate]),
    row(Sabotage::AckBeforeFsync, "one node flushes every message and loses its power",
        Scene::Disk(disks::power_goes),
        LOST),
    row(Sabotage::FsyncErrorIgnored, "fsyncs of segments fail, then the power goes",
        Scene::Disk(disks::power_goes_after_failed_fsyncs),
        LOST),
    row(Sabotage::RecoverySkipsCrc, "the last record on a disk turns to zeroes in part",
        Scene::Disk(disks::the_last_record_changes),
        &[Kind::Phantom]),
    row(Sabotage::RecoveryPointAheadOfFsync,
        "a leader loses its power and a part of its last segments, comes back and leads again",
        Scene::Disk(disks::a_replica_with_gaps_leads),
        &[Kind::LostWrite, Kind::PollSkip]),
    row(Sabotage::EpochCheckpointNotFsynced,
        "a leader alone, a loss of power of all, and it leads again",
        Scene::Disk(disks::a_diverged_replica_leads_after_power_loss),
        LOST),
    row(Sabotage::ProducerSnapshotNotFsynced,
        "answers to producers get lost, then the power goes",
        Scene::Disk(disks::retries_after_power_loss),
        &[Kind::Duplicate]),
    row(Sabotage::AppendsGoOnAfterFailedWrite, "a torn write, then a kill",
        Scene::Disk(disks::a_write_fails),
        LOST),
    row(Sabotage::VoteNotFsynced,
        "all nodes lose their power: without what it voted none starts again",
        Scene::Disk(disks::power_of_all_goes),
        &[Kind::Unseen]),
    row(Sabotage::DirectoryEntryNotFsyncedAfterRoll,
        "the power goes on a disk that keeps names only with their directory",
        Scene::Disk(disks::power_goes_after_rolls),
        LOST),
];

/// The planted bugs that show only in states of a disk that a single run seldom meets: crash images
/// find them, not runs. A campaign must not claim that it looked for them.
pub const WITHOUT_CANARY: &[Sabotage] = &[Sabotage::CrashDuringRecoveryCountedAsClean];

const fn row(
    bug: Sabotage,
    incident: &'static str,
    scene: Scene,
    anomalies: &'static [Kind],
) -> Canary {
    Canary {
        bug,
        incident,
        anomalies,
        also: &[],
        scene,
    }
}

/// The canary of the planted bug called `name`.
pub fn find(name: &str) -> Option<&'static Canary> {
    CANARIES.iter().find(|canary| canary.bug.name() == name)
}

impl Canary {
    const fn and(self, also: &'static [Kind]) -> Self {
        Self { also, ..self }
    }

    /// Which part of the cluster its bug sits in.
    pub fn part(&self) -> Part {
        match self.scene {
            Scene::Log(..) => Part::Logs,
            Scene::Group(..) => Part::Groups,
            Scene::Disk(_) => Part::Disks,
        }
    }

    /// The plan of `seed` that shows the bug.
    pub fn plan(&self, seed: u64) -> Plan {
        let mut plan = self.control(seed);
        plan.cluster.sabotage = Some(self.bug.name().to_owned());
        if self.part() == Part::Groups {
            plan.time.recovery_deadline_ms = WITH_BUG_MS;
            plan.time.final_deadline_ms = WITH_BUG_MS;
        }
        plan
    }

    /// The same plan without the bug, which keeps every promise.
    pub fn control(&self, seed: u64) -> Plan {
        match self.scene {
            Scene::Log(script, workload_ms) => on_log(script, seed, workload_ms),
            Scene::Group(script, workload_ms, members) => {
                on_group(script, seed, workload_ms, members)
            }
            Scene::Disk(draw) => draw(seed),
        }
    }

    /// Whether the run that ended so caught the bug, in every way that it is to show.
    pub fn is_caught(&self, summary: &Summary) -> bool {
        let checks = &summary.verdict.checks;
        let is_broken = |kind: &Kind| {
            let mut checks = checks.iter();
            checks.any(|check| check.is_broken() && check.anomaly == *kind)
        };
        self.anomalies.iter().any(is_broken) && self.also.iter().all(is_broken)
    }
}

fn on_log(script: Script, seed: u64, workload_ms: u64) -> Plan {
    let mut plan = drawn("none", seed, workload_ms);
    plan.cluster.partitions = 2;
    plan.workload.producers = 6;
    plan.workload.processes_per_producer = 1;
    plan.workload.producer.linger_ms = 0;
    play(script, 1_000, plan)
}

fn on_group(script: Script, seed: u64, workload_ms: u64, members: Members) -> Plan {
    let mut plan = drawn("group-none", seed, workload_ms);
    plan.workload.consumers = 3;
    plan.workload.sends_per_second = 300;
    if let Some(most) = members.max_poll_records {
        plan.workload.consumer.max_poll_records = most;
    }
    if let Some(group) = &mut plan.workload.group {
        group.mode = members.mode;
        group.static_members = members.is_static;
        // A poll is due to commit before the first fault.
        group.auto_commit_interval_ms = AUTO_COMMIT_MS;
        group.process_ms = members.process_ms;
        if let Some(assignor) = members.assignor {
            group.assignors = vec![assignor.to_owned()];
        }
    }
    if members.assignor.is_some() {
        gather(&mut plan);
    }
    play(script, 1_200, plan)
}

/// Lets the members begin together with equal shares, so that what they have later is the work of
/// the faults; and lets shares be unequal once a member is missing.
fn gather(plan: &mut Plan) {
    plan.cluster.partitions = 2 * plan.workload.consumers as i32;
    let settings = &mut plan.cluster.broker_settings;
    let delay = "group.initial.rebalance.delay.ms".to_owned();
    settings.insert(delay, "1000".to_owned());
}

/// The plan of `seed` under the profile of that name, which has no faults.
fn drawn(profile: &str, seed: u64, workload_ms: u64) -> Plan {
    let profile = profile::find(profile).expect("invariant: the controls have profiles");
    Plan::draw_with(seed, profile, workload_ms)
}

/// Adds the faults of `script` from `at_ms` on.
fn play(script: Script, at_ms: u64, mut plan: Plan) -> Plan {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let end_ms = plan.time.workload_ms - AFTER_MS;
    let scene = script.draw(&mut rng, &plan.cluster, at_ms, end_ms);
    plan.faults = scene.expect("invariant: a canary leaves its script the time");
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_planted_bug_has_a_canary_or_is_known_to_have_none() {
        for bug in Sabotage::ALL {
            let canaries = CANARIES.iter().filter(|canary| canary.bug == bug).count();
            let without = WITHOUT_CANARY.iter().filter(|other| **other == bug).count();
            assert_eq!(canaries + without, 1, "{}", bug.name());
            assert_eq!(find(bug.name()).is_some(), canaries == 1);
        }
    }

    #[test]
    fn every_anomaly_of_groups_is_what_some_canary_is_for() {
        let aims: Vec<Kind> = CANARIES
            .iter()
            .flat_map(|canary| canary.anomalies.iter().chain(canary.also))
            .copied()
            .collect();
        let without = Kind::ALL.iter().filter(|kind| kind.is_of_groups());
        let without: Vec<&Kind> = without.filter(|kind| !aims.contains(kind)).collect();
        assert_eq!(without, Vec::<&Kind>::new());
    }

    #[test]
    fn every_canary_has_plans_that_can_be_run_and_replayed() {
        for canary in CANARIES {
            for seed in 1..=TRIES {
                let plan = canary.plan(seed);
                let path = Path::new(canary.bug.name());
                assert_eq!(plan.check(path), Ok(()));
                let printed = Plan::parse(&plan.to_json(), path);
                assert_eq!(printed.as_ref(), Ok(&plan));
                assert!(!plan.faults.is_empty() && !canary.anomalies.is_empty());
                let control = canary.control(seed);
                assert_eq!(
                    (control.cluster.sabotage, control.faults),
                    (None, plan.faults)
                );
            }
        }
    }
}
