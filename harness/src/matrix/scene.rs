//! The faults of each column of the matrix.
//!
//! In: a column, a plan without faults. Out: one or two faults, and what makes their effect
//! visible. Invariant: the last fault is healed half a second before the workload ends. Sources:
//! the families of `plan::schedule`; `faults.md` §1.8 for cutting a leader off before it goes.

use std::ops::Range;

use rand::{Rng, RngExt};

use crate::disk::rule::{DiskAction, DiskErrno, DiskPick, FileClass, OperationClass, Survival};
use crate::link::{FrameAction, FramePick, FrameRule, FrameSide};
use crate::matrix::control::commits_first;
use crate::nemesis::{Damage, DirectoryPick, FaultSpec, FileKind, PartitionShape, Place, Target};
use crate::plan::{Plan, ScheduledFault, disk, schedule};

/// The first fault begins about here, in milliseconds.
const FIRST_MS: Range<u64> = 700..1_100;

/// How long a leader that is about to go is cut off from its followers, in milliseconds: shorter
/// than anybody takes to replace it.
const ALONE_MS: Range<u64> = 400..700;

/// The cut ends this long after the fault that it prepares has begun.
const OVERLAP_MS: u64 = 150;

/// How long a leader is cut off before its disk hangs, in milliseconds: it takes records that
/// nobody else has.
const BEFORE_STALL_MS: Range<u64> = 250..350;

/// Beyond the session of a broker: another leads by then.
const REPLACED_MS: Range<u64> = 1_700..2_200;

/// Beyond the election of a controller and then the session of a broker.
const FROZEN_MS: Range<u64> = 2_500..2_800;

/// By then a group has polled, committed on its own, and has work left, in milliseconds.
const AT_WORK_MS: u64 = 1_600;

/// How long killed members are down where that is not what the column is about.
const DOWN_MS: u64 = 300;

/// After the sessions of killed members have expired, and those that came after them work.
const MEANWHILE_MS: u64 = 2_100;

/// More files than a node has.
const FILES_MAX: u32 = 500;

/// Produce and OffsetCommit on the wire.
const PRODUCE: i16 = 0;
const OFFSET_COMMIT: i16 = 8;

/// The faults of `column` for a run of `plan`, in any order.
pub(super) fn draw(rng: &mut impl Rng, column: &str, plan: &Plan) -> Vec<ScheduledFault> {
    let mut scene = Scene::new(rng, plan);
    let leader = scene.leader();
    let victim = scene.node();
    let is_group = plan.workload.group.is_some();
    let is_of_clients = ["none", "client-kill", "client-pause", "group-churn"];
    let mode = plan.workload.group.as_ref().map(|group| group.mode);
    let shows_skips = mode.is_some_and(commits_first) && !is_of_clients.contains(&column);
    if shows_skips {
        scene.at_ms = scene.at_ms.max(AT_WORK_MS);
        scene.kill_members(0);
        scene.at_ms += DOWN_MS;
    }
    match column {
        "client-kill" if is_group => scene.kill_owner_and_all(),
        "client-kill" => scene.kill_producers(),
        "client-pause" => scene.freeze_owners(),
        "group-churn" => scene.churn(),
        "leader-kill" => scene.alone_then(leader.clone(), FaultSpec::Kill { target: leader }),
        "coordinator-kill" => scene.kill_coordinator(),
        "controller-kill" => scene.kill_controller(),
        "all-kill" => scene.replaced_then_all(FaultSpec::Kill {
            target: Target::All,
        }),
        "pause" => scene.freeze_leader(leader),
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
            // By then every partition has records.
            scene.at_ms += 700;
            let damage = scene.damage(victim.clone());
            scene.alone_then(victim, damage);
        }
        _ => {}
    }
    if shows_skips {
        scene.kill_members(MEANWHILE_MS);
    }
    scene.faults
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

    /// Longer than others go before they are replaced: it may be the controller, too, and whoever
    /// follows it as that gives every broker another session.
    fn freeze_leader(&mut self, target: Target) {
        self.alone_then(target.clone(), FaultSpec::Pause { target });
        if let Some(pause) = self.faults.last_mut() {
            pause.for_ms = self.rng.random_range(FROZEN_MS);
        }
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

    /// One of each way to send: producers take turns in them, and a draw counts through them.
    fn kill_producers(&mut self) {
        for (turn, at_ms) in [0, 1_200, 2_400].into_iter().enumerate() {
            let kill = FaultSpec::ClientKill {
                target: Target::Producer,
            };
            self.add(self.at_ms + at_ms, 300, kill);
            if let Some(fault) = self.faults.last_mut() {
                fault.draw = turn as u32;
            }
        }
    }

    fn kill_owner_and_all(&mut self) {
        let down_ms = self.rng.random_range(300..900);
        let target = match self.rng.random_range(0..2) {
            0 => Target::AllMembers,
            _ => self.owner(),
        };
        self.add(self.at_ms, down_ms, FaultSpec::ClientKill { target });
        let at_ms = self.at_ms + self.rng.random_range(2_400..3_000);
        let target = Target::AllMembers;
        self.add(at_ms, down_ms, FaultSpec::ClientKill { target });
    }

    fn freeze_owners(&mut self) {
        let target = self.owner();
        let frozen_ms = self.rng.random_range(2_200..2_900);
        self.add(self.at_ms, frozen_ms, FaultSpec::ClientPause { target });
    }

    /// Members come and go all the time, every second one without a word. The first dies before
    /// work has piled up, so that what it has not committed is done again; the last when much has,
    /// so that what it has committed is lost where another task was to do it.
    fn churn(&mut self) {
        let mut at_ms = self.at_ms;
        for turn in 0..5 {
            let target = self.owner();
            let what = match turn % 2 {
                0 => FaultSpec::ClientKill { target },
                _ => FaultSpec::ClientLeave { target },
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

    /// Lower than most topics have it and then higher, so that it changes for each, while a leader
    /// goes.
    fn change_min_isr(&mut self, leader: Target) {
        let mut values = [1, 3];
        if self.rng.random_ratio(1, 2) {
            values.reverse();
        }
        for (replicas, after_ms) in values.into_iter().zip([0, 1_600]) {
            let target = Target::All;
            self.add(
                self.at_ms + after_ms,
                1_200,
                FaultSpec::MinIsr { target, replicas },
            );
        }
        self.at_ms += self.rng.random_range(300..500);
        self.alone_then(leader.clone(), FaultSpec::Kill { target: leader });
    }

    /// All at once, so that whatever one of them has committed and not processed stays undone.
    fn kill_members(&mut self, after_ms: u64) {
        let target = Target::AllMembers;
        let kill = FaultSpec::ClientKill { target };
        self.add(self.at_ms + after_ms, DOWN_MS, kill);
    }

    /// Longer than brokers wait for a disk, and a second more; before that the leader is cut off,
    /// until another leads without what only it has.
    fn stall(&mut self, target: Target) {
        let rule = disk::rule(vec![], vec![], DiskPick::Every, DiskAction::Stall);
        let (alone_ms, cut_ms, for_ms) = (
            self.rng.random_range(BEFORE_STALL_MS),
            self.rng.random_range(REPLACED_MS),
            self.rng.random_range(3_000..3_200),
        );
        let cut = FaultSpec::Partition {
            target: target.clone(),
            shape: PartitionShape::IsolateFromNodes,
        };
        self.add(self.at_ms, cut_ms, cut);
        let what = FaultSpec::Disk {
            target,
            directory: DirectoryPick::Data,
            rule,
        };
        self.add(self.at_ms + alone_ms, for_ms, what);
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
            directory: DirectoryPick::Data,
            target: target.clone(),
            rule,
        };
        self.alone_then(target, what);
    }

    /// No topic can grow on a leader after it was alone for a moment; its metadata log can.
    fn fill_disk(&mut self, target: Target) {
        let action = DiskAction::Full {
            left_bytes: disk::pick(self.rng, &[0, 1_000, 5_000]),
            errno: DiskErrno::Enospc,
        };
        let what = FaultSpec::Disk {
            directory: DirectoryPick::All,
            target: target.clone(),
            rule: disk::rule(vec![], vec![FileClass::Segment], DiskPick::Every, action),
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

    /// Damage in every segment of a node, so that every topic has some.
    fn damage(&mut self, target: Target) -> FaultSpec {
        let (files, files_max) = (FileKind::Segment, FILES_MAX);
        let bytes = self.rng.random_range(100..3_000);
        let damage = match self.rng.random_range(0..6) {
            0..4 => Damage::FlipBits {
                files,
                files_max,
                bits: self.rng.random_range(1..4),
                place: disk::pick(self.rng, &[Place::Anywhere, Place::LastBatch]),
            },
            4 => Damage::Truncate {
                files,
                files_max,
                bytes,
            },
            _ => Damage::ZeroTail {
                files,
                files_max,
                bytes,
            },
        };
        FaultSpec::Damage {
            target,
            directory: DirectoryPick::All,
            damage,
            clean: self.rng.random_ratio(1, 3),
        }
    }
}
