//! The scripts of disks and power: incidents whose order decides what is lost.
//!
//! In: a source of draws and the cluster. Out: faults, some of which wait until the cluster is
//! where the incident needs it. Invariant: of nodes that are named, each plays one part.
//! Source: `faults.md` §1.8, S1 to S3, S8, S9, S13 to S15.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::disk::rule::{DiskAction, DiskErrno, DiskPick, OperationClass, Survival};
use crate::nemesis::{Damage, DirectoryPick, FaultSpec, FileKind, PartitionShape, Place, Target};
use crate::plan::disk::{STALL_MS_DEFAULT, STALL_TIMEOUT, lie, rule};
use crate::plan::script::{Script, fault, number};
use crate::plan::{ClusterPlan, Condition, ScheduledFault, When};

/// `replica.lag.time.max.ms` where the plan does not say (Kafka's).
const LAG_MS_DEFAULT: u64 = 30_000;

/// How many recoveries `fault-during-recovery` ends.
const RECOVERIES_MET: u32 = 4;

/// The faults of a script of disks or power from `at_ms` on.
pub(super) fn scene(
    script: Script,
    rng: &mut impl Rng,
    cluster: &ClusterPlan,
    at_ms: u64,
) -> Vec<ScheduledFault> {
    let stage = Stage {
        cluster,
        partition: rng.random_range(0..cluster.partitions),
        at_ms,
    };
    // Brokers give partitions to their directories by turns, the second one to the second: where
    // the metadata log hangs on two nodes, nobody could take anybody out of an ISR.
    let apart_from_metadata = Stage {
        partition: stage.partition | 1,
        ..stage
    };
    match script {
        Script::LastReplicaStanding => apart_from_metadata.last_replica_standing(rng),
        Script::UnavoidableLoss | Script::PartKill => stage.hidden_majority(rng),
        Script::WipeAndRejoin => stage.wipe_and_rejoin(rng),
        Script::WipeMajority => stage.wipe_majority(rng),
        Script::CorruptFollowerThenElect => stage.corrupt_follower(rng),
        Script::GrayLeader => stage.gray_leader(rng, 3_500),
        Script::LongStall => stage.gray_leader(rng, 30_000),
        Script::DiskFullThenFree => stage.disk_full_then_free(rng),
        Script::FaultDuringRecovery => stage.fault_during_recovery(rng),
        Script::LyingDisks => stage.lying_disks(rng),
        _ => Vec::new(),
    }
}

/// Where a script plays.
#[derive(Clone, Copy)]
struct Stage<'a> {
    cluster: &'a ClusterPlan,
    partition: i32,
    at_ms: u64,
}

impl Stage<'_> {
    fn last_replica_standing(&self, rng: &mut impl Rng) -> Vec<ScheduledFault> {
        let hang = FaultSpec::Disk {
            target: self.followers(),
            directory: DirectoryPick::Data,
            rule: rule(vec![], vec![], DiskPick::Every, DiskAction::Stall),
        };
        let alone = self.when_isr_has(1, rng.random_range(800..1_500));
        let off_ms = rng.random_range(600..1_200);
        let hang_ms = alone.within_ms + alone.after_ms + off_ms + 300;
        let power = lose(self.leader(), rng);
        vec![
            fault(rng, self.at_ms, hang_ms, hang),
            ScheduledFault {
                when: Some(alone),
                ..fault(rng, self.at_ms + 100, off_ms, power)
            },
        ]
    }

    /// Some fall behind, one of those that went on loses its power, its companions are hidden:
    /// those who fell behind and the one that forgot are a majority of the nodes.
    fn hidden_majority(&self, rng: &mut impl Rng) -> Vec<ScheduledFault> {
        let nodes = self.cluster.nodes as usize;
        let mut ids: Vec<i32> = (1..=nodes as i32).collect();
        ids.shuffle(rng);
        let behind = nodes / 2;
        let ahead = (nodes - behind) as u32;
        let (behind, rest) = ids.split_at(behind);
        let behind_ms = 2 * self.lag_ms() + 1_500;
        let mut faults: Vec<ScheduledFault> = behind
            .iter()
            .map(|id| fault(rng, self.at_ms, behind_ms, isolate(*id)))
            .collect();
        let went_on = self.when_isr_has(ahead, 1_000);
        for (position, id) in rest.iter().enumerate() {
            let what = match position {
                0 => lose(Target::Node { id: *id }, rng),
                _ => isolate(*id),
            };
            let for_ms = if position == 0 {
                800
            } else {
                behind_ms + 2_000
            };
            faults.push(ScheduledFault {
                when: Some(went_on.clone()),
                ..fault(rng, self.at_ms + 100, for_ms, what)
            });
        }
        faults
    }

    /// In every other run the first time takes the metadata log and the vote with it.
    fn wipe_and_rejoin(&self, rng: &mut impl Rng) -> Vec<ScheduledFault> {
        let id = rng.random_range(1..=self.cluster.nodes as i32);
        let mut twice = Vec::new();
        let first = match rng.random_range(0..2) {
            0 => DirectoryPick::All,
            _ => DirectoryPick::Data,
        };
        let directories = [(0, first), (4_000, DirectoryPick::Data)];
        for (after_ms, directory) in directories {
            twice.push(fault(rng, self.at_ms + after_ms, 600, wipe(id, directory)));
        }
        twice
    }

    /// What the two others acknowledged without the first is on nobody's disk any more.
    fn wipe_majority(&self, rng: &mut impl Rng) -> Vec<ScheduledFault> {
        let mut ids: Vec<i32> = (1..=self.cluster.nodes as i32).collect();
        ids.shuffle(rng);
        let behind_ms = 2 * self.lag_ms() + 2_500;
        let went_on = self.when_isr_has(2, 1_000);
        let mut faults = Vec::new();
        for (position, id) in ids.into_iter().enumerate() {
            faults.push(match position {
                0 => fault(rng, self.at_ms, behind_ms, isolate(id)),
                _ => ScheduledFault {
                    when: Some(went_on.clone()),
                    ..fault(rng, self.at_ms + 100, 600, wipe(id, DirectoryPick::Data))
                },
            });
        }
        faults
    }

    /// The damaged node is in sync again; then one of the others is hidden until it has left the
    /// ISR, and the last one hands over to the only one that is left. Nobody else stops uncleanly,
    /// so that the damaged node is no excuse.
    fn corrupt_follower(&self, rng: &mut impl Rng) -> Vec<ScheduledFault> {
        let mut ids: Vec<i32> = (1..=self.cluster.nodes as i32).collect();
        ids.shuffle(rng);
        let &[damaged, last, hidden] = ids.as_slice() else {
            return Vec::new();
        };
        let flip = FaultSpec::Damage {
            target: Target::Node { id: damaged },
            directory: self.holding(),
            damage: Damage::FlipBits {
                files: FileKind::Segment,
                files_max: 8,
                bits: rng.random_range(1..4),
                place: Place::Middle,
            },
            clean: rng.random_ratio(3, 4),
        };
        let whole = self.when_isr_has(self.cluster.replication_factor as u32, 500);
        let alone_ms = 2 * self.lag_ms() + 2_500;
        let latest_ms = whole.within_ms + whole.after_ms + alone_ms;
        let without = |nodes: &[i32], after_ms| When {
            within_ms: latest_ms,
            ..self.when_isr_is(nodes, after_ms)
        };
        let stop = FaultSpec::Terminate {
            target: Target::Node { id: last },
        };
        // Clients come back to whoever leads, and read what it has.
        let leads = FaultSpec::Reset {
            target: Target::Node { id: damaged },
        };
        let at_ms = self.at_ms + 1_500;
        let when = |when, fault| ScheduledFault {
            when: Some(when),
            ..fault
        };
        vec![
            fault(rng, self.at_ms, 500, flip),
            when(whole, fault(rng, at_ms, alone_ms, isolate(hidden))),
            when(
                without(&[damaged, last], 300),
                fault(rng, at_ms, 4_000, stop),
            ),
            when(without(&[damaged], 0), fault(rng, at_ms, 100, leads)),
        ]
    }

    /// Until brokers have given the directory up, and `longer_ms`.
    fn gray_leader(&self, rng: &mut impl Rng, longer_ms: u64) -> Vec<ScheduledFault> {
        let hang = FaultSpec::Disk {
            target: self.leader(),
            directory: self.holding(),
            rule: rule(vec![], vec![], DiskPick::Every, DiskAction::Stall),
        };
        let patience_ms = number(self.cluster, STALL_TIMEOUT, STALL_MS_DEFAULT);
        vec![fault(
            rng,
            self.at_ms,
            patience_ms.min(4_000) + longer_ms,
            hang,
        )]
    }

    fn disk_full_then_free(&self, rng: &mut impl Rng) -> Vec<ScheduledFault> {
        let errno = DiskErrno::Enospc;
        let left_bytes = rng.random_range(0..20_000);
        let fill = FaultSpec::Disk {
            target: self.leader(),
            directory: self.holding(),
            rule: rule(
                vec![],
                vec![],
                DiskPick::Every,
                DiskAction::Full { left_bytes, errno },
            ),
        };
        let for_ms = rng.random_range(2_000..4_000);
        vec![fault(rng, self.at_ms, for_ms, fill)]
    }

    /// Reads are slow, so that recovery takes long enough to be met by the next fault, which waits
    /// for it.
    fn fault_during_recovery(&self, rng: &mut impl Rng) -> Vec<ScheduledFault> {
        let id = rng.random_range(1..=self.cluster.nodes as i32);
        let target = || Target::Node { id };
        let slow = DiskAction::Slow {
            mean_ms: 25,
            jitter_ms: 15,
        };
        let slow_reads = FaultSpec::Disk {
            target: target(),
            directory: DirectoryPick::All,
            rule: rule(vec![OperationClass::Read], vec![], DiskPick::Every, slow),
        };
        let begin_ms = self.at_ms + 2_000;
        let power = lose(target(), rng);
        let mut faults = vec![fault(rng, begin_ms, 300, power)];
        for life in 2..=RECOVERIES_MET + 1 {
            let what = match rng.random_range(0..2) {
                0 => lose(target(), rng),
                _ => FaultSpec::Kill { target: target() },
            };
            let when = When {
                holds: Condition::Recovers { node: id, life },
                within_ms: 3_000 * u64::from(life),
                after_ms: rng.random_range(0..40),
                is_needed: life == 2,
            };
            faults.push(ScheduledFault {
                when: Some(when),
                ..fault(rng, begin_ms, 300, what)
            });
        }
        let heal_ms = |fault: &ScheduledFault| fault.heal_ms(self.cluster);
        let end_ms = faults.iter().filter_map(heal_ms).max().unwrap_or(begin_ms);
        faults.push(fault(rng, self.at_ms, end_ms - self.at_ms, slow_reads));
        faults
    }

    fn lying_disks(&self, rng: &mut impl Rng) -> Vec<ScheduledFault> {
        let lie_ms = rng.random_range(4_000..6_000);
        let off_ms = rng.random_range(600..1_200);
        let power = lose(Target::All, rng);
        vec![
            fault(rng, self.at_ms, lie_ms + off_ms, lie()),
            fault(rng, self.at_ms + lie_ms, off_ms, power),
        ]
    }

    fn leader(&self) -> Target {
        Target::Leader {
            topic: self.cluster.topic.clone(),
            partition: self.partition,
        }
    }

    fn followers(&self) -> Target {
        Target::Followers {
            topic: self.cluster.topic.clone(),
            partition: self.partition,
        }
    }

    fn holding(&self) -> DirectoryPick {
        DirectoryPick::Holding {
            topic: self.cluster.topic.clone(),
            partition: self.partition,
        }
    }

    fn when_isr_has(&self, replicas: u32, after_ms: u64) -> When {
        When {
            holds: Condition::IsrHas {
                topic: self.cluster.topic.clone(),
                partition: self.partition,
                replicas,
            },
            within_ms: 2 * self.lag_ms() + 1_000,
            after_ms,
            is_needed: true,
        }
    }

    fn when_isr_is(&self, nodes: &[i32], after_ms: u64) -> When {
        let mut nodes = nodes.to_vec();
        nodes.sort_unstable();
        When {
            holds: Condition::IsrIs {
                topic: self.cluster.topic.clone(),
                partition: self.partition,
                nodes,
            },
            ..self.when_isr_has(0, after_ms)
        }
    }

    fn lag_ms(&self) -> u64 {
        number(self.cluster, "replica.lag.time.max.ms", LAG_MS_DEFAULT)
    }
}

fn isolate(id: i32) -> FaultSpec {
    FaultSpec::Partition {
        target: Target::Node { id },
        shape: PartitionShape::IsolateFromNodes,
    }
}

fn wipe(id: i32, directory: DirectoryPick) -> FaultSpec {
    FaultSpec::Damage {
        target: Target::Node { id },
        directory,
        damage: Damage::Wipe,
        clean: false,
    }
}

/// The power of `target` goes, all at once; what most disks leave is drawn most often.
fn lose(target: Target, rng: &mut impl Rng) -> FaultSpec {
    let survival = match rng.random_range(0..3) {
        0 => Survival::None,
        _ => Survival::Prefix,
    };
    FaultSpec::PowerLoss {
        target,
        survival,
        stagger_ms: 0,
    }
}
