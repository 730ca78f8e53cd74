//! Scripts: faults that belong together, because it is their order that shows a bug.
//!
//! Random faults rarely hit a given order; a script is one incident replayed on a drawn partition
//! with drawn times. `named` has them by name, `disk` those of disks and power.
//! Source: jepsen.md §3 (the NATS suite's `part-kill`); `faults.md` §1.8.

use rand::{Rng, RngExt};

mod disk;
pub mod named;

use crate::link::{FrameAction, FramePick, FrameRule, FrameSide};
use crate::nemesis::{FaultSpec, PartitionShape, Target};
use crate::plan::{ClusterPlan, ScheduledFault, schedule, tolerance};

/// The session timeout of a broker whose settings do not name one, in milliseconds (Kafka's).
const SESSION_MS_DEFAULT: u64 = 9_000;

/// The API key of OffsetFetch.
const OFFSET_FETCH: i16 = 9;

/// An incident in several faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// A leader is cut off from its followers while clients still reach it, until another leads;
    /// it comes back and catches up; then its successor is killed, and it has to lead again. What
    /// it kept of its time alone then shows.
    ReturnToLead,
    /// Every node is killed at the same moment, and all come back: what was acknowledged must be
    /// found again in what the nodes had written.
    AllDown,
    /// The owner of a partition freezes until others own what it had, and wakes with what it had
    /// polled: what it commits then is of the past.
    Zombie,
    /// The coordinator freezes until another coordinates, whom members that were killed ask where
    /// to go on; it is back, and its successor is killed together with all members: who
    /// coordinates then has been away while others committed, and every member has to ask it again.
    CoordinatorReturns,
    /// The coordinator is cut off from its followers while the members still reach it; then the
    /// members are killed, and ask its successor where to go on.
    CoordinatorAlone,
    /// All members are killed, and the coordinator in the next moment: its successor has to know
    /// the last commits that it acknowledged.
    EverybodyDown,
    /// A member is killed and comes back before anybody misses it; then the coordinator is killed.
    /// A static member has a new name by then, which the next coordinator has to know.
    QuickReturn,
    /// All members are killed, and who comes back gets no answer about its committed offsets for
    /// a while: it has to wait.
    OffsetsUnanswered,
    /// The followers of a partition hang until its leader is the last replica in sync and has
    /// gone on alone, as far as it may; then the leader loses its power, and the others come back.
    LastReplicaStanding,
    /// One node is cut off until the others go on without it; one of those loses its power, the
    /// other is cut off; the first two meet, and only the third has everything.
    UnavoidableLoss,
    /// Two of five nodes fall behind; one of the others loses its power and the rest is hidden:
    /// a majority of nodes, none of which may lead.
    PartKill,
    /// A node comes back with an empty data directory.
    WipeAndRejoin,
    /// One node falls behind; then the two others come back with empty data directories.
    WipeMajority,
    /// The disk of a leader hangs while its network works.
    GrayLeader,
    /// The same for 30 seconds.
    LongStall,
    /// The disk of a leader fills up, and is freed.
    DiskFullThenFree,
    /// A follower comes back with flipped bits in the middle of its segments, is in sync again,
    /// and has to lead.
    CorruptFollowerThenElect,
    /// A node loses its power, and dies or loses its power again while it recovers.
    FaultDuringRecovery,
    /// As many replicas of a partition are killed as are tolerated: the others go on.
    WithinTolerance,
    /// One more is killed: acks=all is refused, and nothing is appended.
    BeyondTolerance,
    /// The fsyncs of all disks lie, and then all nodes lose their power.
    LyingDisks,
}

impl Script {
    /// The faults of the script from `at_ms` on; nothing if it does not fit before `end_ms`.
    pub fn draw(
        self,
        rng: &mut impl Rng,
        cluster: &ClusterPlan,
        at_ms: u64,
        end_ms: u64,
    ) -> Option<Vec<ScheduledFault>> {
        let mut scene = match self {
            Self::ReturnToLead => return_to_lead(rng, cluster, at_ms),
            Self::Zombie => {
                let topic = cluster.topic.clone();
                let partition = rng.random_range(0..cluster.partitions);
                let target = Target::Owner { topic, partition };
                let frozen_ms = rng.random_range(2_500..4_000);
                let freeze = FaultSpec::ClientPause { target };
                vec![fault(rng, at_ms, frozen_ms, freeze)]
            }
            Self::CoordinatorReturns => coordinator_returns(rng, cluster, at_ms),
            Self::CoordinatorAlone => coordinator_alone(rng, cluster, at_ms),
            Self::EverybodyDown => {
                let kill = FaultSpec::Kill {
                    target: schedule::coordinator(),
                };
                let down_ms = rng.random_range(600..1_200);
                vec![
                    fault(rng, at_ms, 300, kill_members()),
                    fault(rng, at_ms, down_ms, kill),
                ]
            }
            Self::QuickReturn => {
                let topic = cluster.topic.clone();
                let partition = rng.random_range(0..cluster.partitions);
                let target = Target::Owner { topic, partition };
                let kill = FaultSpec::Kill {
                    target: schedule::coordinator(),
                };
                let down_ms = rng.random_range(600..1_200);
                vec![
                    fault(rng, at_ms, 100, FaultSpec::ClientKill { target }),
                    fault(rng, at_ms + 900, down_ms, kill),
                ]
            }
            Self::OffsetsUnanswered => {
                let deaf_ms = rng.random_range(2_800..3_300);
                vec![
                    fault(rng, at_ms, deaf_ms, lose_answers(OFFSET_FETCH)),
                    fault(rng, at_ms + 100, 300, kill_members()),
                ]
            }
            Self::AllDown => {
                let down_ms = rng.random_range(500..900);
                vec![fault(
                    rng,
                    at_ms,
                    down_ms,
                    FaultSpec::Kill {
                        target: Target::All,
                    },
                )]
            }
            Self::WithinTolerance => tolerance::scene(rng, cluster, at_ms, false),
            Self::BeyondTolerance => tolerance::scene(rng, cluster, at_ms, true),
            _ => disk::scene(self, rng, cluster, at_ms),
        };
        scene.sort_by_key(|fault| fault.at_ms);
        let heal_ms = |fault: &ScheduledFault| fault.heal_ms(cluster);
        let fits = |fault: &ScheduledFault| heal_ms(fault).is_some_and(|heal| heal <= end_ms);
        scene.iter().all(fits).then_some(scene)
    }
}

fn return_to_lead(rng: &mut impl Rng, cluster: &ClusterPlan, at_ms: u64) -> Vec<ScheduledFault> {
    let topic = cluster.topic.clone();
    let partition = rng.random_range(0..cluster.partitions);
    let target = Target::Leader { topic, partition };
    // Its successor needs time to write more than it wrote alone: then its tail stays unnoticed by
    // whoever compares lengths only.
    let alone_ms = session_ms(cluster) + rng.random_range(1_200..2_200);
    let kill_at_ms = at_ms + alone_ms + rng.random_range(700..1_500);
    let down_ms = rng.random_range(500..1_000);
    let shape = PartitionShape::IsolateFromNodes;
    let cut = FaultSpec::Partition {
        target: target.clone(),
        shape,
    };
    vec![
        fault(rng, at_ms, alone_ms, cut),
        fault(rng, kill_at_ms, down_ms, FaultSpec::Kill { target }),
    ]
}

fn coordinator_returns(
    rng: &mut impl Rng,
    cluster: &ClusterPlan,
    at_ms: u64,
) -> Vec<ScheduledFault> {
    let target = schedule::coordinator();
    let frozen_ms = session_ms(cluster) + rng.random_range(800..1_400);
    let ask_at_ms = at_ms + session_ms(cluster) + rng.random_range(400..700);
    // By then the dead have expired, and those that came after them work.
    let kill_at_ms = ask_at_ms + rng.random_range(2_300..2_700);
    let down_ms = rng.random_range(600..1_000);
    let freeze = FaultSpec::Pause {
        target: target.clone(),
    };
    vec![
        fault(rng, at_ms, frozen_ms, freeze),
        fault(rng, ask_at_ms, 300, kill_members()),
        fault(rng, kill_at_ms, 300, kill_members()),
        fault(rng, kill_at_ms, down_ms, FaultSpec::Kill { target }),
    ]
}

fn coordinator_alone(rng: &mut impl Rng, cluster: &ClusterPlan, at_ms: u64) -> Vec<ScheduledFault> {
    let alone_ms = session_ms(cluster) + rng.random_range(600..1_200);
    let kill_at_ms = at_ms + session_ms(cluster) / 2;
    let cut = FaultSpec::Partition {
        target: schedule::coordinator(),
        shape: PartitionShape::IsolateFromNodes,
    };
    let down_ms = kill_at_ms.abs_diff(at_ms + alone_ms);
    vec![
        fault(rng, at_ms, alone_ms, cut),
        fault(rng, kill_at_ms, down_ms, kill_members()),
    ]
}

fn kill_members() -> FaultSpec {
    FaultSpec::ClientKill {
        target: Target::AllMembers,
    }
}

/// Every answer of this kind from any node gets lost with its connection.
fn lose_answers(api: i16) -> FaultSpec {
    FaultSpec::Frame {
        target: Target::All,
        rule: FrameRule {
            side: FrameSide::Response,
            api: Some(api),
            pick: FramePick::All,
            action: FrameAction::Reset,
        },
    }
}

fn fault(rng: &mut impl Rng, at_ms: u64, for_ms: u64, what: FaultSpec) -> ScheduledFault {
    ScheduledFault {
        at_ms,
        for_ms,
        draw: rng.random(),
        when: None,
        what,
    }
}

/// How long the controller waits before it replaces a leader that is cut off.
fn session_ms(cluster: &ClusterPlan) -> u64 {
    number(cluster, "broker.session.timeout.ms", SESSION_MS_DEFAULT)
}

/// A setting of the brokers, or what Kafka says without it.
fn number(cluster: &ClusterPlan, key: &str, default: u64) -> u64 {
    let setting = cluster.setting(key);
    setting
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}
