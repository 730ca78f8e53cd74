//! The scripts by name, with what each needs and what it promises.
//!
//! In: a name and a seed. Out: a plan that plays the script once.
//! Invariant: the promise of the table is what the contract says of the faults (a test compares
//! them), so that the table is documentation that cannot be wrong.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::plan::profile::Profile;
use crate::plan::script::Script;
use crate::plan::{ClusterPlan, Plan, disk, promised};

/// When the script begins, in milliseconds since the start of the workload: something should be
/// there to be lost.
const BEGIN_MS: u64 = 2_000;

/// What the clients go on after the last fault, in milliseconds.
const AFTER_MS: u64 = 2_000;

/// The same after a full disk: as long as it may take to serve again, and a second.
const AFTER_FULL_MS: u64 = promised::FREED_MS + 1_000;

/// A script that can be asked for by name.
#[derive(Debug)]
pub struct NamedScript {
    /// Its name, for `--script`.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// What happens.
    pub script: Script,
    /// On what.
    pub setup: Setup,
    /// What is promised of acknowledged records if nothing is flushed in time.
    pub flush_never: Keeps,
    /// The same if every message is flushed before it is acknowledged.
    pub flush_every: Keeps,
}

/// What a script plays on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Three nodes.
    Plain,
    /// Three nodes and a consumer group.
    Group,
    /// Three nodes, each with two faulty disks.
    Disks,
    /// The same, and `min.insync.replicas` is 1.
    DisksOneInSync,
    /// The same as `Disks`, and brokers that soon give up a disk that hangs.
    ImpatientDisks,
    /// Five nodes, so that two may be down and a majority still elects, and one partition.
    FiveBrokers,
    /// Five nodes, as many copies, three of which must be in sync.
    FiveNodes,
}

/// What is promised of acknowledged records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// None is lost.
    All,
    /// Some may be lost, and a run that shows none has shown nothing.
    Some,
}

const fn plain(
    name: &'static str,
    description: &'static str,
    script: Script,
    setup: Setup,
) -> NamedScript {
    NamedScript {
        name,
        description,
        script,
        setup,
        flush_never: Keeps::All,
        flush_every: Keeps::All,
    }
}

/// All scripts that can be asked for.
pub const SCRIPTS: &[NamedScript] = &[
    plain(
        "last-replica-standing",
        "S1: the only replica in sync loses its power; the eligible replicas have all of it",
        Script::LastReplicaStanding,
        Setup::Disks,
    ),
    NamedScript {
        flush_never: Keeps::Some,
        ..plain(
            "last-replica-standing-alone",
            "S1 with min.insync.replicas=1: what the last replica acknowledged alone",
            Script::LastReplicaStanding,
            Setup::DisksOneInSync,
        )
    },
    plain(
        "unavoidable-loss",
        "S2: one node behind, one forgets, the third is cut off: nobody may lead until it is back",
        Script::UnavoidableLoss,
        Setup::Disks,
    ),
    plain(
        "part-kill",
        "S3: two of five nodes behind, one forgets, the two others are hidden",
        Script::PartKill,
        Setup::FiveNodes,
    ),
    plain(
        "wipe-and-rejoin",
        "S8: a node comes back with an empty directory, at times all of them, twice",
        Script::WipeAndRejoin,
        Setup::Disks,
    ),
    NamedScript {
        flush_never: Keeps::Some,
        flush_every: Keeps::Some,
        ..plain(
            "wipe-majority",
            "S8, unrestricted: a node behind, and the two others come back with empty directories",
            Script::WipeMajority,
            Setup::Disks,
        )
    },
    plain(
        "gray-leader",
        "S9: the disk of a leader hangs while its network works: the leadership moves",
        Script::GrayLeader,
        Setup::ImpatientDisks,
    ),
    plain(
        "gray-leader-for-long",
        "S9 for 30 seconds: the node keeps its heartbeats, and its other directory serves",
        Script::LongStall,
        Setup::ImpatientDisks,
    ),
    plain(
        "disk-full-then-free",
        "S13: the disk of a leader fills up and is freed: it serves again by itself",
        Script::DiskFullThenFree,
        Setup::Disks,
    ),
    plain(
        "corrupt-follower-then-elect",
        "S14: a node comes back with flipped bits, is in sync again, and alone has to lead",
        Script::CorruptFollowerThenElect,
        Setup::Disks,
    ),
    plain(
        "fault-during-recovery",
        "S15: a node loses its power, and dies or loses it again while it recovers",
        Script::FaultDuringRecovery,
        Setup::Disks,
    ),
    NamedScript {
        flush_never: Keeps::Some,
        flush_every: Keeps::Some,
        ..plain(
            "lying-disks",
            "all fsyncs lie, then all nodes lose their power: the control that must lose",
            Script::LyingDisks,
            Setup::Disks,
        )
    },
    plain(
        "return-to-lead",
        "a leader cut off from its followers comes back, and has to lead again",
        Script::ReturnToLead,
        Setup::Plain,
    ),
    plain(
        "brokers-down-within-tolerance",
        "so many replicas are down as are tolerated: acks=all is served",
        Script::WithinTolerance,
        Setup::FiveBrokers,
    ),
    plain(
        "brokers-down-beyond-tolerance",
        "one more replica is down: acks=all is refused, and nothing is appended",
        Script::BeyondTolerance,
        Setup::FiveBrokers,
    ),
    plain(
        "all-down",
        "every node is killed at the same moment",
        Script::AllDown,
        Setup::Plain,
    ),
    plain(
        "zombie",
        "the owner of a partition freezes and wakes as a member of an old generation",
        Script::Zombie,
        Setup::Group,
    ),
    plain(
        "coordinator-returns",
        "the coordinator freezes, is replaced, and has to coordinate again",
        Script::CoordinatorReturns,
        Setup::Group,
    ),
    plain(
        "coordinator-alone",
        "the coordinator is cut off from its followers while members still reach it",
        Script::CoordinatorAlone,
        Setup::Group,
    ),
    plain(
        "everybody-down",
        "all members are killed, and the coordinator in the next moment",
        Script::EverybodyDown,
        Setup::Group,
    ),
    plain(
        "quick-return",
        "a member is back before anybody misses it, then the coordinator is killed",
        Script::QuickReturn,
        Setup::Group,
    ),
    plain(
        "offsets-unanswered",
        "all members are killed, and OffsetFetch of those who come back is not answered at first",
        Script::OffsetsUnanswered,
        Setup::Group,
    ),
];

/// The script called `name`.
pub fn find(name: &str) -> Option<&'static NamedScript> {
    SCRIPTS.iter().find(|script| script.name == name)
}

/// The names, for messages.
pub fn names() -> String {
    let names: Vec<&str> = SCRIPTS.iter().map(|script| script.name).collect();
    names.join(", ")
}

impl Plan {
    /// The plan of `seed` that plays `named` once, and lasts as long as that takes.
    pub fn play(seed: u64, named: &NamedScript) -> Self {
        Self::play_on(seed, named, |_| {})
    }

    /// The same on a cluster that was changed.
    pub fn play_on(seed: u64, named: &NamedScript, change: impl FnOnce(&mut ClusterPlan)) -> Self {
        let profile = Profile {
            name: named.name,
            description: named.description,
            scripts: &[],
            is_group: named.setup == Setup::Group,
            has_disks: named.setup.has_disks(),
            is_atlas: false,
            families: &[],
        };
        let mut plan = Self::draw(seed, &profile);
        named.setup.fit(seed, &mut plan.cluster);
        change(&mut plan.cluster);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(STREAM);
        let drawn = named
            .script
            .draw(&mut rng, &plan.cluster, BEGIN_MS, u64::MAX);
        plan.faults = drawn.unwrap_or_default();
        let after_ms = match named.script {
            Script::DiskFullThenFree => AFTER_FULL_MS,
            _ => AFTER_MS,
        };
        plan.time.workload_ms = plan.last_heal_ms() + after_ms;
        plan
    }
}

/// The draws of scripts that are played alone.
const STREAM: u64 = 1 << 42;

impl Setup {
    fn has_disks(self) -> bool {
        !matches!(self, Self::Plain | Self::Group | Self::FiveBrokers)
    }

    fn fit(self, seed: u64, cluster: &mut ClusterPlan) {
        if self == Self::ImpatientDisks {
            disk::make_impatient(seed, cluster);
        }
        if self == Self::DisksOneInSync {
            cluster.min_insync_replicas = 1;
        }
        if self == Self::FiveBrokers {
            cluster.nodes = 5;
            cluster.partitions = 1;
        }
        if self == Self::FiveNodes {
            cluster.nodes = 5;
            cluster.replication_factor = 5;
            cluster.min_insync_replicas = 3;
        }
    }
}

#[cfg(test)]
#[path = "named_test.rs"]
mod named_test;
