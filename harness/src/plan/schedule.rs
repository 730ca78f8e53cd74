//! The fault schedule: which faults a profile brings, on whom, when, and for how long.
//!
//! In: a source of draws, a profile, and the length of the workload. Out: faults by time.
//! Invariant: the workload begins and ends without faults, so that a run knows a healthy cluster
//! before and after; every family of the profile comes up before one returns more often than its
//! weight says. Ideas from jepsen.md §7: warm-up, quiet windows, composed faults.

use rand::{Rng, RngExt};

use crate::link::{FrameAction, FramePick, FrameRule, FrameSide};
use crate::nemesis::{FaultSpec, PartitionShape, Target};
use crate::plan::group::GROUP;
use crate::plan::profile::{Family, Profile};
use crate::plan::promised::FREED_MS;
use crate::plan::{ClusterPlan, ScheduledFault, damage, disk, quota};

/// No fault before this, in milliseconds (or a quarter of a short workload).
const WARM_UP_MS: u64 = 1_000;

/// No fault after this much before the end, in milliseconds (or a sixth of a short workload).
const COOL_DOWN_MS: u64 = 800;

/// A fault shorter than this may pass unnoticed, in milliseconds.
const FAULT_MS_MIN: u64 = 500;

/// Whom the faults of a run may meet.
#[derive(Clone, Copy)]
struct Cast<'a> {
    cluster: &'a ClusterPlan,
    /// The node that families with a victim strike; 0 without such a family.
    victim: i32,
}

impl<'a> Cast<'a> {
    /// Draws only for profiles with a victim, so that it changes no plan of the others.
    fn draw(rng: &mut impl Rng, profile: &Profile, cluster: &'a ClusterPlan) -> Self {
        let mut families = profile.families.iter();
        let victim = if families.any(|(family, _)| family.has_victim()) {
            rng.random_range(1..=cluster.nodes as i32)
        } else {
            0
        };
        Self { cluster, victim }
    }

    fn victim(self) -> Target {
        Target::Node { id: self.victim }
    }
}

/// Draws the faults of a workload of `workload_ms` milliseconds.
pub fn draw(
    rng: &mut impl Rng,
    profile: &Profile,
    cluster: &ClusterPlan,
    workload_ms: u64,
) -> Vec<ScheduledFault> {
    let mut faults = Vec::new();
    if profile.families.is_empty() {
        return faults;
    }
    let cast = Cast::draw(rng, profile, cluster);
    let mut deck = Vec::new();
    let mut at_ms = WARM_UP_MS.min(workload_ms / 4);
    let end_ms = workload_ms - COOL_DOWN_MS.min(workload_ms / 6);
    let mut scripts = profile.scripts.to_vec();
    let mut is_scripted = false;
    while at_ms + FAULT_MS_MIN <= end_ms {
        // Scripts and random faults take turns, so that either meets the aftermath of the other.
        is_scripted = !is_scripted;
        if is_scripted && !scripts.is_empty() {
            let script = scripts.swap_remove(rng.random_range(0..scripts.len()));
            if let Some(scene) = script.draw(rng, cluster, at_ms, end_ms) {
                at_ms = scene
                    .iter()
                    .map(|fault| fault.at_ms + fault.for_ms)
                    .fold(at_ms, u64::max);
                at_ms += draw_quiet_ms(rng);
                faults.extend(scene);
                continue;
            }
        }
        let family = deal(rng, &mut deck, profile);
        let wanted_ms = rng.random_range(duration_ms(family));
        let for_ms = wanted_ms.min(end_ms - at_ms);
        let what = draw_fault(rng, family, cast);
        let what = damage::fit(what, end_ms - at_ms - for_ms);
        let fills_up = family == Family::DiskFull || matches!(what, FaultSpec::DiskQuota { .. });
        faults.push(ScheduledFault {
            at_ms,
            for_ms,
            draw: rng.random(),
            when: None,
            what,
        });
        faults.extend(disk::reread(rng, faults.last()));
        if rng.random_ratio(1, 4) {
            compose(rng, profile, cast, &mut faults);
        }
        at_ms += for_ms
            + if fills_up {
                // Long enough to see that everybody serves again.
                FREED_MS + rng.random_range(0..1_500)
            } else {
                draw_quiet_ms(rng)
            };
    }
    faults
}

/// How long a fault of `family` acts: from barely beyond the timeouts of a planned cluster to
/// well beyond them.
fn duration_ms(family: Family) -> std::ops::Range<u64> {
    match family {
        Family::Kill => 500..2_500,
        Family::Pause => 600..3_000,
        Family::Partition => 800..3_000,
        Family::ClientPartition | Family::MemberLeave => 500..2_000,
        Family::SlowLink | Family::Coordinator => 600..2_500,
        Family::MemberKill => 300..2_000,
        Family::MemberPause => 1_800..4_000,
        Family::LossyCoordinator => 1_500..4_000,
        // Beyond the stall timeout and the two seconds after it.
        Family::DiskStall => 3_000..5_500,
        Family::DiskError | Family::Resources => 800..2_500,
        Family::DiskFull => 1_000..3_000,
        Family::PowerLossOne | Family::PowerLossAll | Family::Loss => 500..1_500,
        Family::Corruption | Family::Wipe => 400..1_200,
    }
}

/// Between two faults: mostly short, so that one begins in the aftermath of another; every fourth
/// time long enough for all to settle.
fn draw_quiet_ms(rng: &mut impl Rng) -> u64 {
    if rng.random_ratio(1, 4) {
        rng.random_range(1_500..2_500)
    } else {
        rng.random_range(200..1_000)
    }
}

/// Adds a fault of another kind in the middle of the last one: links while a process is down, or
/// the other way round. Two faults of processes never overlap, for both might mean one node.
fn compose(
    rng: &mut impl Rng,
    profile: &Profile,
    cast: Cast<'_>,
    faults: &mut Vec<ScheduledFault>,
) {
    let Some(last) = faults.last().filter(|last| last.for_ms >= 2 * FAULT_MS_MIN) else {
        return;
    };
    let (at_ms, for_ms) = (last.at_ms + last.for_ms / 2, last.for_ms - last.for_ms / 2);
    let is_process = touches_process(&last.what);
    let others: Vec<Family> = profile
        .families
        .iter()
        .map(|(family, _)| *family)
        .filter(|family| family.touches_node() != is_process)
        .collect();
    if others.is_empty() {
        return;
    }
    let family = pick(rng, &others);
    let what = damage::fit(draw_fault(rng, family, cast), 0);
    faults.push(ScheduledFault {
        at_ms,
        for_ms,
        draw: rng.random(),
        when: None,
        what,
    });
}

fn touches_process(fault: &FaultSpec) -> bool {
    matches!(
        fault,
        FaultSpec::Kill { .. }
            | FaultSpec::Terminate { .. }
            | FaultSpec::Pause { .. }
            | FaultSpec::Crash { .. }
            | FaultSpec::Disk { .. }
            | FaultSpec::PowerLoss { .. }
            | FaultSpec::Damage { .. }
            | FaultSpec::FileLimit { .. }
            | FaultSpec::AddressSpace { .. }
            | FaultSpec::Cpu { .. }
            | FaultSpec::DiskQuota { .. }
    )
}

/// The next family, from a deck that holds each as often as its weight says.
fn deal(rng: &mut impl Rng, deck: &mut Vec<Family>, profile: &Profile) -> Family {
    if deck.is_empty() {
        for (family, weight) in profile.families {
            deck.extend(std::iter::repeat_n(*family, *weight as usize));
        }
    }
    let index = rng.random_range(0..deck.len());
    deck.swap_remove(index)
}

fn draw_fault(rng: &mut impl Rng, family: Family, cast: Cast<'_>) -> FaultSpec {
    let cluster = cast.cluster;
    let target = draw_target(rng, cluster);
    match family {
        Family::Kill => match rng.random_range(0..6) {
            0 => FaultSpec::Terminate { target },
            1 => FaultSpec::Crash { target },
            _ => FaultSpec::Kill { target },
        },
        Family::Pause => FaultSpec::Pause { target },
        Family::Partition => FaultSpec::Partition {
            target,
            shape: pick(rng, NODE_SHAPES),
        },
        Family::ClientPartition => FaultSpec::Partition {
            target,
            shape: PartitionShape::IsolateFromClients,
        },
        Family::SlowLink => draw_slow_link(rng, target),
        Family::MemberKill => FaultSpec::ClientKill {
            target: draw_member(rng, cluster),
        },
        Family::MemberPause => FaultSpec::ClientPause {
            target: draw_member(rng, cluster),
        },
        Family::MemberLeave => FaultSpec::ClientLeave {
            target: draw_member(rng, cluster),
        },
        Family::Coordinator => draw_coordinator_fault(rng),
        Family::LossyCoordinator => FaultSpec::Frame {
            target: coordinator(),
            rule: draw_lost_answer(rng),
        },
        Family::DiskStall => disk::stall(rng, cluster),
        Family::DiskError => disk::error(rng, target),
        Family::DiskFull => disk::full(rng, target),
        Family::PowerLossOne => disk::power_loss(rng, cast.victim()),
        Family::Corruption => match rng.random_range(0..4) {
            0 => disk::flip_on_read(rng, cast.victim()),
            _ => damage::corrupt(rng, cast.victim()),
        },
        Family::Wipe => damage::replace(rng, cast.victim()),
        Family::PowerLossAll => disk::power_loss(rng, Target::All),
        Family::Loss => draw_loss(rng, target),
        Family::Resources => draw_shortage(rng, cluster, target),
    }
}

/// One node in its turn, and now and then all of them: the atlas must refuse that.
fn draw_loss(rng: &mut impl Rng, target: Target) -> FaultSpec {
    match rng.random_range(0..8) {
        0 => disk::power_loss(rng, Target::All),
        1..4 => disk::power_loss(rng, target),
        4..7 => damage::corrupt(rng, target),
        _ => damage::replace(rng, target),
    }
}

fn draw_shortage(rng: &mut impl Rng, cluster: &ClusterPlan, target: Target) -> FaultSpec {
    if cluster.tmpfs_mib.is_some() && rng.random_ratio(1, 2) {
        return quota::fault(rng, target);
    }
    match rng.random_range(0..4) {
        0 => FaultSpec::AddressSpace {
            target,
            mebibytes: pick(rng, &[0, 0, 1, 4]),
        },
        1 => FaultSpec::Cpu {
            target,
            percent: rng.random_range(5..60),
        },
        _ => FaultSpec::FileLimit {
            target,
            files: rng.random_range(0..6),
        },
    }
}

/// The ways to cut links between nodes, the likelier ones more than once.
pub(crate) const NODE_SHAPES: &[PartitionShape] = &[
    PartitionShape::IsolateFromNodes,
    PartitionShape::IsolateFromNodes,
    PartitionShape::IsolateFromNodes,
    PartitionShape::IsolateFromAll,
    PartitionShape::IsolateFromAll,
    PartitionShape::MuteTarget,
    PartitionShape::DeafTarget,
    PartitionShape::MinorityWithTarget,
    PartitionShape::Partial,
    PartitionShape::Partial,
];

fn draw_slow_link(rng: &mut impl Rng, target: Target) -> FaultSpec {
    match rng.random_range(0..6) {
        0 | 1 => {
            let mean_ms = rng.random_range(20..300);
            FaultSpec::Delay {
                target,
                mean_ms,
                jitter_ms: rng.random_range(0..=mean_ms),
            }
        }
        2 => {
            let bytes_per_second = rng.random_range(20_000..500_000);
            FaultSpec::Bandwidth {
                target,
                bytes_per_second,
            }
        }
        3 => FaultSpec::Hold { target },
        4 => FaultSpec::Refuse { target },
        _ => FaultSpec::Mute { target },
    }
}

/// Mostly whoever has something to lose: the owner of a partition.
fn draw_member(rng: &mut impl Rng, cluster: &ClusterPlan) -> Target {
    let topic = cluster.topic.clone();
    let partition = rng.random_range(0..cluster.partitions);
    match rng.random_range(0..4) {
        0 => Target::Member,
        _ => Target::Owner { topic, partition },
    }
}

/// The coordinator of the plan's group.
pub(crate) fn coordinator() -> Target {
    Target::Coordinator {
        group: GROUP.to_owned(),
    }
}

fn draw_coordinator_fault(rng: &mut impl Rng) -> FaultSpec {
    let target = coordinator();
    match rng.random_range(0..6) {
        0..3 => FaultSpec::Kill { target },
        3 => FaultSpec::Pause { target },
        4 => FaultSpec::Partition {
            target,
            shape: PartitionShape::IsolateFromNodes,
        },
        _ => FaultSpec::Partition {
            target,
            shape: PartitionShape::IsolateFromClients,
        },
    }
}

/// OffsetCommit, JoinGroup, Heartbeat, SyncGroup: the answers whose loss leaves a member in doubt.
const GROUP_APIS: &[i16] = &[8, 8, 11, 12, 14];

fn draw_lost_answer(rng: &mut impl Rng) -> FrameRule {
    let pick_frames = if rng.random_ratio(1, 2) {
        FramePick::Nth(rng.random_range(1..5))
    } else {
        FramePick::Probability(f64::from(rng.random_range(10..60)) / 100.0)
    };
    FrameRule {
        side: FrameSide::Response,
        api: Some(pick(rng, GROUP_APIS)),
        pick: pick_frames,
        action: pick(rng, &[FrameAction::Reset, FrameAction::Drop]),
    }
}

/// Mostly whoever matters most: the leader of a partition.
fn draw_target(rng: &mut impl Rng, cluster: &ClusterPlan) -> Target {
    let topic = cluster.topic.clone();
    let partition = rng.random_range(0..cluster.partitions);
    match rng.random_range(0..10) {
        0..6 => Target::Leader { topic, partition },
        6 | 7 => Target::Follower { topic, partition },
        8 => Target::Controller,
        _ => Target::Random,
    }
}

fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    let index = rng.random_range(0..from.len());
    *from
        .get(index)
        .expect("invariant: the range ends at the length")
}
