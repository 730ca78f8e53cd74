//! The part of a plan that puts log directories on faulty disks, and the faults drawn for them.
//!
//! In: a seed, or a source of draws. Out: two log directories a node, and faults of disks and
//! power. Invariant: what is drawn for a directory can act there; a stall lasts longer than the
//! brokers wait for a disk, so that they have to give it up.

use std::time::Duration;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::disk::journal::NameDurability;
use crate::disk::rule::{
    DiskAction, DiskErrno, DiskPick, DiskRule, FileClass, OperationClass, Survival,
};
use crate::nemesis::{DirectoryPick, FaultSpec, Target};
use crate::plan::promised::FLUSH;
use crate::plan::{ClusterPlan, DiskPlan, Plan, ScheduledFault};

/// Plans with faulty disks have draws of their own, so that they change no other plan.
const STREAM: u64 = 1 << 41;

/// How long a broker waits for an operation before it gives the directory up.
pub(super) const STALL_TIMEOUT: &str = "log.dir.stall.timeout.ms";

/// The same where the plan does not say.
pub(super) const STALL_MS_DEFAULT: u64 = 30_000;

/// Puts every node of `cluster` on two faulty disks. The first also holds the metadata log, and
/// the brokers spread the partitions over both.
pub(crate) fn draw_into(seed: u64, cluster: &mut ClusterPlan) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    cluster.log_dirs = 2;
    cluster.disk = Some(DiskPlan {
        fsync_ms: pick(&mut rng, &[0, 1, 2]),
        quota_mib: None,
        names: NameDurability::default(),
    });
}

/// Lets the brokers give up a directory that hangs soon. Only where directories shall hang: on a
/// busy machine every disk hangs a little.
pub(crate) fn make_impatient(seed: u64, cluster: &mut ClusterPlan) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM + 1);
    let timeout = pick(&mut rng, &["1500", "2000"]);
    let settings = &mut cluster.broker_settings;
    settings.insert(STALL_TIMEOUT.to_owned(), timeout.to_owned());
}

impl ClusterPlan {
    /// How long the brokers wait for an operation of a disk before they give the directory up.
    pub fn stall_timeout(&self) -> Duration {
        let millis = self
            .setting(STALL_TIMEOUT)
            .and_then(|value| value.parse().ok());
        Duration::from_millis(millis.unwrap_or(STALL_MS_DEFAULT))
    }
}

impl Plan {
    /// Lets the brokers fsync every message before it is acknowledged, or never.
    pub fn flush_every_message(&mut self, every: bool) {
        let settings = &mut self.cluster.broker_settings;
        if every {
            settings.insert(FLUSH.to_owned(), "1".to_owned());
        } else {
            settings.remove(FLUSH);
        }
    }
}

/// The directory of a leader or follower, mostly the one that holds the partition.
pub(super) fn stall(rng: &mut impl Rng, cluster: &ClusterPlan) -> FaultSpec {
    let topic = cluster.topic.clone();
    let partition = rng.random_range(0..cluster.partitions);
    let directory = match rng.random_range(0..4) {
        0 => DirectoryPick::Data,
        _ => DirectoryPick::Holding {
            topic: topic.clone(),
            partition,
        },
    };
    let target = match rng.random_range(0..3) {
        0 => Target::Follower { topic, partition },
        _ => Target::Leader { topic, partition },
    };
    let action = match rng.random_range(0..6) {
        0 => DiskAction::OnOff {
            off_ms: rng.random_range(200..900),
            on_ms: rng.random_range(50..300),
        },
        1 => {
            let mean_ms = rng.random_range(20..150);
            DiskAction::Slow {
                mean_ms,
                jitter_ms: mean_ms / 2,
            }
        }
        _ => DiskAction::Stall,
    };
    let operations = match rng.random_range(0..3) {
        0 => vec![OperationClass::Write],
        _ => vec![],
    };
    FaultSpec::Disk {
        target,
        directory,
        rule: rule(operations, vec![], DiskPick::Every, action),
    }
}

/// An error of the system, or a write that does not do all of its work.
pub(super) fn error(rng: &mut impl Rng, target: Target) -> FaultSpec {
    use OperationClass::{Create, Open, Read, Rename, Sync, Write};
    let directory = draw_directory(rng);
    let (operations, action) = match rng.random_range(0..8) {
        0 => (vec![Write], DiskAction::Short),
        1 => {
            let bytes = pick(rng, &[0, 1, 60, 512]);
            (vec![Write], DiskAction::Torn { bytes })
        }
        2 | 3 => (vec![Sync], eio()),
        4 => (vec![Read], eio()),
        5 => (vec![Create, Rename, Open], eio()),
        6 => {
            let errno = DiskErrno::Erofs;
            (vec![], DiskAction::Error { errno })
        }
        _ => (vec![Write], eio()),
    };
    let when = match rng.random_range(0..3) {
        0 => DiskPick::Nth(rng.random_range(1..20)),
        1 => DiskPick::From(rng.random_range(1..20)),
        _ => DiskPick::PerMille(rng.random_range(20..500)),
    };
    FaultSpec::Disk {
        target,
        directory,
        rule: rule(operations, vec![], when, action),
    }
}

/// Reads of records that are not what is stored.
pub(super) fn flip_on_read(rng: &mut impl Rng, target: Target) -> FaultSpec {
    let when = match rng.random_range(0..3) {
        0 => DiskPick::Every,
        _ => DiskPick::PerMille(rng.random_range(100..600)),
    };
    FaultSpec::Disk {
        target,
        directory: pick(rng, &[DirectoryPick::All, DirectoryPick::Data]),
        rule: rule(
            vec![OperationClass::Read],
            vec![FileClass::Segment],
            when,
            DiskAction::FlipOnRead,
        ),
    }
}

/// Kills the node whose reads `last` spoils, for a third of the time: what it wrote since is in its
/// cache, and only a recovery asks the disk for all of it.
pub(super) fn reread(rng: &mut impl Rng, last: Option<&ScheduledFault>) -> Option<ScheduledFault> {
    let last = last?;
    match &last.what {
        FaultSpec::Disk { target, rule, .. } if rule.action == DiskAction::FlipOnRead => {
            Some(ScheduledFault {
                at_ms: last.at_ms + last.for_ms / 10,
                for_ms: last.for_ms / 3,
                draw: rng.random(),
                when: None,
                what: FaultSpec::Kill {
                    target: target.clone(),
                },
            })
        }
        _ => None,
    }
}

/// A disk that fills up: at once, or after some more writes.
pub(super) fn full(rng: &mut impl Rng, target: Target) -> FaultSpec {
    let errno = pick(
        rng,
        &[DiskErrno::Enospc, DiskErrno::Enospc, DiskErrno::Edquot],
    );
    let left_bytes = pick(rng, &[0, 100, 5_000, 60_000]);
    let target = match rng.random_range(0..4) {
        0 => Target::All,
        _ => target,
    };
    FaultSpec::Disk {
        target,
        directory: draw_directory(rng),
        rule: rule(
            vec![],
            vec![],
            DiskPick::Every,
            DiskAction::Full { left_bytes, errno },
        ),
    }
}

/// What most disks do is drawn most often.
pub(super) fn power_loss(rng: &mut impl Rng, target: Target) -> FaultSpec {
    let survival = match rng.random_range(0..6) {
        0 => Survival::None,
        1 => Survival::Subset(rng.random_range(200..900)),
        2 => Survival::Torn,
        _ => Survival::Prefix,
    };
    let stagger_ms = match target {
        Target::All => pick(rng, &[0, 0, 50, 200]),
        _ => 0,
    };
    FaultSpec::PowerLoss {
        target,
        survival,
        stagger_ms,
    }
}

/// What a disk lies about: all that belongs to topics, so that nothing is left by which a broker
/// could tell that something is gone. Votes and the metadata log are kept: a cluster that forgets
/// those would show less about records.
const LIED_ABOUT: [FileClass; 7] = [
    FileClass::Segment,
    FileClass::Index,
    FileClass::ProducerSnapshot,
    FileClass::EpochCheckpoint,
    FileClass::Checkpoint,
    FileClass::PartitionMetadata,
    FileClass::Directory,
];

/// Fsyncs that make nothing durable, on all disks of all nodes.
pub(super) fn lie() -> FaultSpec {
    FaultSpec::Disk {
        target: Target::All,
        directory: DirectoryPick::All,
        rule: rule(
            vec![OperationClass::Sync, OperationClass::SyncDirectory],
            LIED_ABOUT.to_vec(),
            DiskPick::Every,
            DiskAction::Lie,
        ),
    }
}

/// A rule from its parts.
pub(crate) fn rule(
    operations: Vec<OperationClass>,
    files: Vec<FileClass>,
    pick: DiskPick,
    action: DiskAction,
) -> DiskRule {
    DiskRule {
        operations,
        files,
        pick,
        action,
    }
}

fn eio() -> DiskAction {
    DiskAction::Error {
        errno: DiskErrno::Eio,
    }
}

fn draw_directory(rng: &mut impl Rng) -> DirectoryPick {
    match rng.random_range(0..6) {
        0 => DirectoryPick::All,
        1 => DirectoryPick::Metadata,
        2 => DirectoryPick::Any,
        _ => DirectoryPick::Data,
    }
}

pub(crate) fn pick<T: Clone>(rng: &mut impl Rng, from: &[T]) -> T {
    let index = rng.random_range(0..from.len());
    from.get(index)
        .cloned()
        .expect("invariant: the range ends at the length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::FaultSpec;
    use crate::plan::profile::{self, PROFILES};
    use crate::plan::promised::is_slow;

    fn plans(name: &str) -> Vec<Plan> {
        let profile = profile::find(name).expect("a profile");
        (1..=30).map(|seed| Plan::draw(seed, profile)).collect()
    }

    #[test]
    fn only_profiles_of_disks_have_faulty_disks() {
        for profile in PROFILES {
            let cluster = Plan::draw(7, profile).cluster;
            assert_eq!(
                cluster.disk.is_some(),
                profile.has_disks,
                "{}",
                profile.name
            );
            if cluster.tmpfs_mib.is_none() {
                let directories = if profile.has_disks { 2 } else { 1 };
                assert_eq!(cluster.log_dirs, directories, "{}", profile.name);
            }
        }
    }

    #[test]
    fn profiles_with_a_victim_take_from_one_node_only() {
        let profiles = ["power-loss-one", "corruption", "wipe"];
        for plan in profiles.into_iter().flat_map(plans) {
            let lost = plan.faults.iter().filter_map(|fault| match &fault.what {
                FaultSpec::PowerLoss { target, .. }
                | FaultSpec::Damage { target, .. }
                | FaultSpec::Disk { target, .. }
                | FaultSpec::Kill { target }
                | FaultSpec::Crash { target } => Some(target),
                _ => None,
            });
            let lost: Vec<_> = lost.collect();
            assert!(!lost.is_empty(), "seed {}", plan.seed);
            assert!(lost.windows(2).all(|pair| pair[0] == pair[1]), "{lost:?}");
        }
    }

    #[test]
    fn whoever_reads_flipped_bits_has_to_read_all_it_has() {
        let mut spoiled = 0;
        for plan in plans("corruption") {
            for (place, fault) in plan.faults.iter().enumerate() {
                let FaultSpec::Disk { target, rule, .. } = &fault.what else {
                    continue;
                };
                assert_eq!(rule.action, DiskAction::FlipOnRead);
                let kill = plan.faults.get(place + 1).expect("its restart");
                let meant = FaultSpec::Kill {
                    target: target.clone(),
                };
                assert_eq!(kill.what, meant, "seed {}", plan.seed);
                assert!(kill.at_ms + kill.for_ms < fault.at_ms + fault.for_ms);
                spoiled += 1;
            }
        }
        assert!(spoiled >= 10, "{spoiled}");
    }

    #[test]
    fn a_plan_of_the_atlas_takes_from_any_node() {
        for plan in plans("atlas") {
            assert!(plan.atlas && plan.takes_data(), "seed {}", plan.seed);
        }
    }

    #[test]
    fn resources_run_short_in_every_way() {
        let plans = plans("resources");
        let faults = || plans.iter().flat_map(|plan| &plan.faults);
        for name in ["file-limit", "address-space", "cpu"] {
            let count = faults().filter(|fault| fault.what.name() == name).count();
            assert!(count >= 10, "{name}: {count}");
        }
    }

    #[test]
    fn a_stall_outlives_the_patience_of_brokers_and_two_seconds() {
        let mut outlived = 0;
        for plan in plans("disk-stall") {
            let timeout = plan.cluster.setting(STALL_TIMEOUT).expect("drawn");
            let timeout: u64 = timeout.parse().expect("a number");
            let within = plan.settings().available_within_ms;
            let is_slow = plan.faults.iter().any(|fault| is_slow(&fault.what));
            let promised = (!is_slow).then_some(timeout + 2_000);
            assert_eq!(within, promised, "seed {}", plan.seed);
            let mut faults = plan.faults.iter();
            outlived += u32::from(faults.any(|fault| fault.for_ms >= timeout + 2_000));
        }
        assert!(outlived >= 25, "{outlived} of 30 plans");
    }

    #[test]
    fn the_flush_policy_is_a_setting_of_the_brokers() {
        let mut plan = plans("power-loss-all").remove(0);
        let never = plan.clone();
        assert!(!plan.settings().flush_every_message, "Kafka's default");
        plan.flush_every_message(true);
        assert!(plan.settings().flush_every_message);
        plan.flush_every_message(false);
        assert_eq!(plan, never);
    }
}
