//! The part of a plan that puts log directories on a tmpfs, and faults that leave no room there.
//!
//! In: a seed and what a run may write, or a source of draws. Out: log directories of a size, and
//! quotas. Invariant: without a fault a run never fills them, and what it writes fits into memory.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::nemesis::{DirectoryPick, FaultSpec, Target};
use crate::plan::disk::pick;
use crate::plan::validate::{Complaint, Range, out_of_range, range};
use crate::plan::{ClusterPlan, Plan, WorkloadPlan, validate_disk};
use crate::tmpfs::{FILES_MAX, Left};

/// Plans with a tmpfs have draws of their own, so that they change no other plan.
const STREAM: u64 = 1 << 44;
/// The most that one log directory may need in a drawn plan, in MiB: it is memory.
const DRAWN_MIB_MAX: u64 = 256;
/// What a record takes beside its payload, in bytes, at most.
const RECORD_BYTES: u64 = 200;
/// The smallest log directory, in MiB: the logs of an idle cluster.
const MIB_MIN: u64 = 1;
/// The largest, in MiB.
const MIB_MAX: u64 = 1 << 20;

/// Puts the log directories of every other seed on a tmpfs, one or two a node.
pub(super) fn draw_into(
    seed: u64,
    cluster: &mut ClusterPlan,
    workload: &WorkloadPlan,
    workload_ms: u64,
) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    let (is_drawn, log_dirs) = (rng.random_ratio(1, 2), pick(&mut rng, &[1, 2]));
    let payload = workload.payload_bytes.iter().sum::<usize>() as u64 / 2;
    let records = u64::from(workload.sends_per_second) * workload_ms / 1_000;
    // Twice as much, for what else is stored.
    let mib = 32 + 2 * records * (payload + RECORD_BYTES) / (1 << 20);
    if is_drawn && mib <= DRAWN_MIB_MAX {
        (cluster.tmpfs_mib, cluster.log_dirs) = (Some(mib), log_dirs);
    }
}

/// Little room or none, mostly in bytes.
pub(super) fn fault(rng: &mut impl Rng, target: Target) -> FaultSpec {
    let directory = match rng.random_range(0..4) {
        0 => DirectoryPick::All,
        1 => DirectoryPick::Any,
        _ => DirectoryPick::Data,
    };
    let left = match rng.random_range(0..4) {
        0 => Left::Files(pick(rng, &[0, 0, 0, 1])),
        _ => Left::Bytes(pick(rng, &[0, 4_096, 20_000, 100_000])),
    };
    FaultSpec::DiskQuota {
        target,
        directory,
        left,
    }
}

/// The size of the log directories, if they are on a tmpfs.
pub(super) fn ranges(plan: &Plan) -> Vec<Range> {
    let mib = plan.cluster.tmpfs_mib.into_iter();
    mib.map(|mib| range("cluster.tmpfs_mib", mib, MIB_MIN, MIB_MAX))
        .collect()
}

/// Log directories that cannot be both.
pub(super) fn contradiction(plan: &Plan) -> Option<Complaint> {
    let (mib, _) = plan.cluster.tmpfs_mib.zip(plan.cluster.disk.as_ref())?;
    let remedy = "the log directories are on cluster.disk, where cluster.disk.quota_mib is the \
                  size; name one of the two";
    Some(Complaint::new("cluster.tmpfs_mib", mib, remedy))
}

/// The first field of a quota that cannot be carried out; its path begins after `what`.
pub(super) fn complaint(plan: &Plan, directory: &DirectoryPick, left: Left) -> Option<Complaint> {
    let Some(mib) = plan.cluster.tmpfs_mib else {
        let remedy = match plan.cluster.disk {
            Some(_) => {
                "it acts on log directories on a tmpfs only; on cluster.disk the fault disk with \
                 the action full does the same"
            }
            None => "it acts on log directories on a tmpfs only; add cluster.tmpfs_mib, as 256",
        };
        return Some(Complaint::new("fault", "disk-quota", remedy));
    };
    let range = match left {
        Left::Bytes(bytes) => range("left.bytes", bytes, 0, (mib << 20) - 1),
        Left::Files(files) => range("left.files", files, 0, FILES_MAX - 1),
    };
    out_of_range([range].into_iter()).or_else(|| validate_disk::holding(plan, directory))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::journal::NameDurability;
    use crate::plan::profile::{self, PROFILES};
    use crate::plan::{DiskPlan, ScheduledFault};

    fn plan(seed: u64) -> Plan {
        Plan::draw(seed, profile::find("resources").expect("a profile"))
    }

    fn with(tmpfs_mib: Option<u64>, left: Left) -> Plan {
        let mut plan = Plan::draw(1, profile::find("none").expect("a profile"));
        plan.cluster.tmpfs_mib = tmpfs_mib;
        plan.faults = vec![ScheduledFault {
            at_ms: 1_000,
            for_ms: 1_000,
            draw: 1,
            when: None,
            what: FaultSpec::DiskQuota {
                target: Target::Random,
                directory: DirectoryPick::All,
                left,
            },
        }];
        plan
    }

    fn refusal(plan: &Plan) -> String {
        let refused = plan.check(Path::new("p.json")).expect_err("refused");
        refused.to_string()
    }

    #[test]
    fn every_other_run_short_of_resources_is_on_a_tmpfs_and_some_of_its_faults_are_quotas() {
        let (mut on_tmpfs, mut quotas) = (0, 0);
        for seed in 1..=30 {
            let plan = plan(seed);
            let mut faults = plan.faults.iter();
            let is_quota = |fault: &ScheduledFault| fault.what.name() == "disk-quota";
            let count = faults.by_ref().filter(|fault| is_quota(fault)).count();
            on_tmpfs += u32::from(plan.cluster.tmpfs_mib.is_some());
            quotas += count;
            assert!(plan.cluster.tmpfs_mib.is_some() || count == 0, "{seed}");
            assert!(plan.cluster.tmpfs_mib.is_some() || plan.cluster.log_dirs == 1);
        }
        assert!((8..=22).contains(&on_tmpfs), "{on_tmpfs} of 30 plans");
        assert!(quotas >= on_tmpfs as usize, "{quotas} quotas");
    }

    #[test]
    fn only_runs_short_of_resources_are_on_a_tmpfs_and_long_ones_are_not() {
        for profile in PROFILES.iter().filter(|known| known.name != "resources") {
            for seed in 1..=6 {
                let cluster = Plan::draw(seed, profile).cluster;
                assert_eq!(cluster.tmpfs_mib, None, "{} {seed}", profile.name);
            }
        }
        let resources = profile::find("resources").expect("a profile");
        for seed in 1..=30 {
            let mib = Plan::draw_with(seed, resources, 3_600_000)
                .cluster
                .tmpfs_mib;
            assert!(
                mib.is_none_or(|mib| mib <= DRAWN_MIB_MAX),
                "{seed}: {mib:?}"
            );
        }
    }

    #[test]
    fn a_run_that_ends_a_quota_leaves_time_to_see_the_node_come_back() {
        for seed in 1..=30 {
            let plan = plan(seed);
            for pair in plan.faults.windows(2) {
                let end = pair[0].at_ms + pair[0].for_ms;
                let is_quota = pair[0].what.name() == "disk-quota";
                assert!(!is_quota || pair[1].at_ms >= end + 5_000, "{seed}");
            }
        }
    }

    #[test]
    fn what_no_tmpfs_can_do_is_refused_with_the_field_and_the_remedy() {
        let left = Left::Bytes(0);
        assert!(with(Some(64), left).check(Path::new("p.json")).is_ok());
        for (plan, wanted) in [
            (with(None, left), "add cluster.tmpfs_mib"),
            (
                with(Some(0), left),
                "cluster.tmpfs_mib is 0; it must be 1 to",
            ),
            (
                with(Some(1), Left::Bytes(1 << 20)),
                "faults[0].what.left.bytes is 1048576; it must be 0 to 1048575",
            ),
            (
                with(Some(1), Left::Files(FILES_MAX)),
                "faults[0].what.left.files is 65536; it must be 0 to 65535",
            ),
        ] {
            let refused = refusal(&plan);
            assert!(refused.contains(wanted), "{refused}");
        }
    }

    #[test]
    fn a_log_directory_is_on_a_tmpfs_or_on_a_faulty_disk_and_its_faults_are_of_one_kind() {
        let disk = DiskPlan {
            fsync_ms: 0,
            quota_mib: None,
            names: NameDurability::default(),
        };
        let mut both = with(Some(64), Left::Bytes(0));
        both.cluster.disk = Some(disk.clone());
        let refused = refusal(&both);
        assert!(refused.contains("cluster.tmpfs_mib is 64; "), "{refused}");
        assert!(refused.contains("name one of the two"), "{refused}");
        both.cluster.tmpfs_mib = None;
        let refused = refusal(&both);
        assert!(refused.contains("the action full"), "{refused}");
        for name in ["disk-full", "power-loss-one"] {
            let mut plan = Plan::draw(1, profile::find(name).expect("a profile"));
            (plan.cluster.disk, plan.cluster.tmpfs_mib) = (None, Some(64));
            let refused = refusal(&plan);
            assert!(refused.contains("faults[0].what.fault"), "{refused}");
            assert!(
                refused.contains("in the place of cluster.tmpfs_mib"),
                "{refused}"
            );
        }
    }
}
