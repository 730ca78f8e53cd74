//! The faults of each column of the matrix.
//!
//! In: a column, a plan without faults. Out: one or two faults, and what makes their effect
//! visible. Invariant: the last fault is healed half a second before the workload ends. Sources:
//! the families of `plan::schedule`; `faults.md` §1.8 for cutting a leader off before it goes.

use std::ops::Range;

use checkers::history::CommitMode;
use rand::{Rng, RngExt};

use crate::disk::rule::{DiskAction, DiskErrno, DiskPick, OperationClass, Survival};
use crate::link::{FrameAction, FramePick, FrameRule, FrameSide};
use crate::nemesis::{Damage, DirectoryPick, FaultSpec, PartitionShape, Target};
use crate::plan::{GroupPlan, Plan, ScheduledFault, damage, disk, schedule};

/// The first fault begins about here, in milliseconds.
const FIRST_MS: Range<u64> = 700..1_100;

/// How long a leader that is about to go is cut off from its followers, in milliseconds: shorter
/// than anybody takes to replace it.
const ALONE_MS: Range<u64> = 400..700;

/// The cut ends this long after the fault that it prepares has begun.
const OVERLAP_MS: u64 = 150;

/// Beyond the session of a broker: another leads by then.
const REPLACED_MS: Range<u64> = 1_700..2_200;

/// Produce and OffsetCommit on the wire.
const PRODUCE: i16 = 0;
const OFFSET_COMMIT: i16 = 8;

/// The faults of `column` for a run of `plan`, in any order.
pub(super) fn draw(rng: &mut impl Rng, column: &str, plan: &Plan) -> Vec<ScheduledFault> {
    let mut scene = Scene::new(rng, plan);
    let leader = scene.leader();
    let victim = scene.node();
    let is_group = plan.workload.group.is_some();
    match column {
        "client-kill" if is_group => scene.kill_members(),
        "client-kill" => scene.kill_producers(),
        "client-pause" => scene.freeze_owners(),
        "group-churn" => scene.churn(),
        "leader-kill" => scene.alone_then(leader.clone(), FaultSpec::Kill { target: leader }),
        "coordinator-kill" => scene.kill_coordinator(),
        "controller-kill" => scene.kill_controller(),
        "all-kill" => scene.replaced_then_all(FaultSpec::Kill {
            target: Target::All,
        }),
        "pause" => scene.alone_then(leader.clone(), FaultSpec::Pause { target: leader }),
        "partition" => scene.partitions(leader),
        "ack-lost" => scene.lose_answers(is_group),
        "min-isr-change" => scene.change_min_isr(leader),
        "disk-stall" => scene.stall(leader),
        "disk-error" => scene.fail_disk(leader),
        "disk-full" => scene.fill_disk(leader),
        "power-loss-one" => {
            let lost = scene.power_loss(victim.clone());
            scene.alone_then(victim, lost);
        }
        "power-loss-all" => {
            let lost = scene.power_loss(Target::All);
            scene.replaced_then_all(lost);
        }
        "corruption" => {
            let damage = damage::corrupt(scene.rng, victim.clone());
            scene.alone_then(victim, everywhere(damage::fit(damage, 0)));
        }
        _ => {}
    }
    let is_of_clients = ["none", "client-kill", "client-pause", "group-churn"];
    if plan.workload.group.as_ref().is_some_and(may_skip) && !is_of_clients.contains(&column) {
        scene.kill_owners_meanwhile();
    }
    scene.faults
}

/// Whether members commit what they have not processed: whoever dies then shows it.
fn may_skip(group: &GroupPlan) -> bool {
    matches!(group.mode, CommitMode::SyncBefore | CommitMode::AutoHandoff)
}

/// The same damage in every file that it could be in: those of a partition with one copy, too.
fn everywhere(mut what: FaultSpec) -> FaultSpec {
    if let FaultSpec::Damage {
        damage:
            Damage::FlipBits { files_max, .. }
            | Damage::Truncate { files_max, .. }
            | Damage::ZeroTail { files_max, .. },
        ..
    } = &mut what
    {
        *files_max = 500;
    }
    what
}

struct Scene<'a, R> {
    rng: &'a mut R,
    plan: &'a Plan,
    at_ms: u64,
    end_ms: u64,
    faults: Vec<ScheduledFault>,
}

impl<'a, R: Rng> Scene<'a, R> {
    fn new(rng: &'a mut R, plan: &'a Plan) -> Self {
        let at_ms = rng.random_range(FIRST_MS);
        Self {
            rng,
            plan,
            at_ms,
            end_ms: plan.time.workload_ms - 500,
            faults: Vec::new(),
        }
    }

    fn partition(&mut self) -> i32 {
        self.rng.random_range(0..self.plan.cluster.partitions)
    }

    fn leader(&mut self) -> Target {
        let topic = self.plan.cluster.topic.clone();
        let partition = self.partition();
        Target::Leader { topic, partition }
    }

    fn owner(&mut self) -> Target {
        let topic = self.plan.cluster.topic.clone();
        let partition = self.partition();
        Target::Owner { topic, partition }
    }

    fn node(&mut self) -> Target {
        let id = self.rng.random_range(1..=self.plan.cluster.nodes as i32);
        Target::Node { id }
    }

    /// Adds a fault that ends before the scene does.
    fn add(&mut self, at_ms: u64, for_ms: u64, what: FaultSpec) {
        let for_ms = for_ms.min(self.end_ms.saturating_sub(at_ms));
        self.faults.push(ScheduledFault {
            at_ms,
            for_ms,
            draw: self.rng.random(),
            when: None,
            what,
        });
    }

    /// Cuts a node off from the others, though not from the clients, and then lets the fault act
    /// until another leads.
    fn alone_then(&mut self, target: Target, what: FaultSpec) {
        let (alone_ms, for_ms) = (
            self.rng.random_range(ALONE_MS),
            self.rng.random_range(REPLACED_MS),
        );
        let shape = PartitionShape::IsolateFromNodes;
        let cut = FaultSpec::Partition { target, shape };
        self.add(self.at_ms, alone_ms + OVERLAP_MS, cut);
        self.add(self.at_ms + alone_ms, for_ms, what);
    }

    /// A controller that is cut off for longer is replaced before it dies.
    fn kill_controller(&mut self) {
        let alone_ms = self.rng.random_range(300..400);
        let down_ms = self.rng.random_range(REPLACED_MS);
        let (target, shape) = (Target::Controller, PartitionShape::IsolateFromNodes);
        let cut = FaultSpec::Partition {
            target: target.clone(),
            shape,
        };
        self.add(self.at_ms, alone_ms + OVERLAP_MS, cut);
        self.add(self.at_ms + alone_ms, down_ms, FaultSpec::Kill { target });
    }

    /// Cuts a leader off until another leads, and then strikes all.
    fn replaced_then_all(&mut self, what: FaultSpec) {
        let (alone_ms, for_ms) = (
            self.rng.random_range(REPLACED_MS),
            self.rng.random_range(500..900),
        );
        let (target, shape) = (self.leader(), PartitionShape::IsolateFromNodes);
        let cut = FaultSpec::Partition { target, shape };
        self.add(self.at_ms, alone_ms + OVERLAP_MS, cut);
        self.add(self.at_ms + alone_ms, for_ms, what);
    }

    fn partitions(&mut self, target: Target) {
        let for_ms = self.rng.random_range(REPLACED_MS);
        let shape = PartitionShape::IsolateFromNodes;
        self.add(self.at_ms, for_ms, FaultSpec::Partition { target, shape });
        let at_ms = self.at_ms + for_ms + self.rng.random_range(300..600);
        let (target, shape) = (self.leader(), disk::pick(self.rng, schedule::NODE_SHAPES));
        self.add(at_ms, 1_500, FaultSpec::Partition { target, shape });
    }

    fn lose_answers(&mut self, is_group: bool) {
        let (target, api) = match is_group {
            true => (schedule::coordinator(), OFFSET_COMMIT),
            false => (Target::All, PRODUCE),
        };
        let for_ms = self.rng.random_range(2_000..3_000);
        let percent = self.rng.random_range(5..20);
        let rule = FrameRule {
            side: FrameSide::Response,
            api: Some(api),
            pick: FramePick::Probability(f64::from(percent) / 100.0),
            action: disk::pick(self.rng, &[FrameAction::Reset, FrameAction::Drop]),
        };
        self.add(self.at_ms, for_ms, FaultSpec::Frame { target, rule });
    }

    fn kill_producers(&mut self) {
        for at_ms in [0, 1_200, 2_400] {
            let kill = FaultSpec::ClientKill {
                target: Target::Producer,
            };
            self.add(self.at_ms + at_ms, 300, kill);
        }
    }

    fn kill_members(&mut self) {
        let owner = self.owner();
        let down_ms = self.rng.random_range(300..900);
        self.add(self.at_ms, down_ms, FaultSpec::ClientKill { target: owner });
        let target = match self.rng.random_range(0..2) {
            0 => Target::AllMembers,
            _ => self.owner(),
        };
        let at_ms = self.at_ms + self.rng.random_range(2_400..3_000);
        self.add(at_ms, down_ms, FaultSpec::ClientKill { target });
    }

    fn freeze_owners(&mut self) {
        let target = self.owner();
        let frozen_ms = self.rng.random_range(2_200..2_900);
        self.add(self.at_ms, frozen_ms, FaultSpec::ClientPause { target });
    }

    /// Members come and go all the time, every second one without a word.
    fn churn(&mut self) {
        let mut at_ms = self.at_ms;
        for turn in 0..4 {
            let target = self.owner();
            let what = match turn % 2 {
                0 => FaultSpec::ClientLeave { target },
                _ => FaultSpec::ClientKill { target },
            };
            let away_ms = self.rng.random_range(300..700);
            self.add(at_ms, away_ms, what);
            at_ms += self.rng.random_range(900..1_200);
        }
    }

    fn kill_coordinator(&mut self) {
        let target = schedule::coordinator();
        let for_ms = self.rng.random_range(REPLACED_MS);
        self.add(self.at_ms, for_ms, FaultSpec::Kill { target });
    }

    /// Lower or higher than most topics have it, while a leader goes.
    fn change_min_isr(&mut self, leader: Target) {
        let change = FaultSpec::MinIsr {
            target: Target::All,
            replicas: disk::pick(self.rng, &[1, 3]),
        };
        self.add(self.at_ms, 2_600, change);
        self.at_ms += self.rng.random_range(300..500);
        self.alone_then(leader.clone(), FaultSpec::Kill { target: leader });
    }

    fn kill_owners_meanwhile(&mut self) {
        for after_ms in [900, 2_300] {
            let kill = FaultSpec::ClientKill {
                target: self.owner(),
            };
            self.add(self.at_ms + after_ms, 300, kill);
        }
    }

    /// Longer than brokers wait for a disk, and a second more.
    fn stall(&mut self, target: Target) {
        let rule = disk::rule(vec![], vec![], DiskPick::Every, DiskAction::Stall);
        let directory = self.holding(&target);
        let for_ms = self.rng.random_range(3_000..3_400);
        let what = FaultSpec::Disk {
            target,
            directory,
            rule,
        };
        self.add(self.at_ms, for_ms, what);
    }

    /// All writes of a leader fail after it was alone for a moment.
    fn fail_disk(&mut self, target: Target) {
        let operations = disk::pick(
            self.rng,
            &[
                vec![OperationClass::Write],
                vec![OperationClass::Write, OperationClass::Sync],
                vec![],
            ],
        );
        let errno = DiskErrno::Eio;
        let rule = disk::rule(
            operations,
            vec![],
            DiskPick::Every,
            DiskAction::Error { errno },
        );
        let what = FaultSpec::Disk {
            directory: self.holding(&target),
            target: target.clone(),
            rule,
        };
        self.alone_then(target, what);
    }

    fn fill_disk(&mut self, target: Target) {
        let action = DiskAction::Full {
            left_bytes: disk::pick(self.rng, &[0, 5_000, 60_000]),
            errno: DiskErrno::Enospc,
        };
        let what = FaultSpec::Disk {
            directory: self.holding(&target),
            target: target.clone(),
            rule: disk::rule(vec![], vec![], DiskPick::Every, action),
        };
        self.alone_then(target, what);
    }

    fn power_loss(&mut self, target: Target) -> FaultSpec {
        FaultSpec::PowerLoss {
            target,
            survival: disk::pick(self.rng, &[Survival::None, Survival::Prefix]),
            stagger_ms: 0,
        }
    }

    /// The directory that holds the partition of the role.
    fn holding(&self, target: &Target) -> DirectoryPick {
        match target {
            Target::Leader { topic, partition } => DirectoryPick::Holding {
                topic: topic.clone(),
                partition: *partition,
            },
            _ => DirectoryPick::Data,
        }
    }
}
