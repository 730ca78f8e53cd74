//! The plan of a run: everything that is decided before it starts.
//!
//! In: a seed and a profile (`draw`), or a file (`load`). Out: a value that people can read in
//! `plan.json` and that is complete enough to replay: no parameter is drawn later.
//! Invariant: the same seed and profile give the same plan, byte for byte; `load(print(p)) == p`.
//! What a plan cannot fix is what resolves in the run itself: who leads a partition when a fault
//! fires. Those values are recorded in `events.jsonl`.

use std::collections::BTreeMap;

use checkers::history::FaultClass;
use serde::{Deserialize, Serialize};

use crate::disk::journal::NameDurability;
use crate::disk::rule::DiskId;
use crate::nemesis::FaultSpec;
use crate::run::faults::class;
use crate::worker::protocol::{ConsumerOptions, ProducerOptions};

pub(crate) mod damage;
pub mod disk;
pub mod draw;
pub mod group;
pub mod load;
pub mod profile;
pub(crate) mod promised;
mod quota;
pub mod schedule;
pub mod script;
mod tolerance;
pub mod topics;
mod validate;
mod validate_damage;
mod validate_disk;
mod validate_topics;
pub mod when;

#[cfg(test)]
mod draw_test;

pub use group::GroupPlan;
pub use topics::TopicPlan;
pub use when::{Condition, When};

/// The version of the format of `plan.json`.
pub const PLAN_FORMAT: u32 = 1;

/// All that is decided before a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// What the plan was drawn from; also the seed of the workload's choices.
    pub seed: u64,
    /// The name of the profile that it was drawn from.
    pub profile: String,
    /// The cluster under test.
    pub cluster: ClusterPlan,
    /// What the clients do.
    pub workload: WorkloadPlan,
    /// How long the phases may take.
    pub time: TimePlan,
    /// Whether faults that destroy data act only where a good copy of everything acknowledged is
    /// left, so that every loss is a bug.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub atlas: bool,
    /// The faults, by time of injection.
    pub faults: Vec<ScheduledFault>,
}

/// The cluster under test and its topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterPlan {
    /// Broker processes; their ids are 1 to `nodes`.
    pub nodes: u32,
    /// The topic's name.
    pub topic: String,
    /// Its partitions.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication_factor: i16,
    /// In-sync replicas without which acks=all is refused.
    pub min_insync_replicas: i16,
    /// Topics beside that one, each with settings and producers of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_topics: Vec<TopicPlan>,
    /// Settings of every broker beyond its identity and addresses, by Kafka's names.
    pub broker_settings: BTreeMap<String, String>,
    /// Log directories of each node; the first also holds the metadata log.
    #[serde(default = "one")]
    pub log_dirs: u32,
    /// Puts the log directories on faulty disks; without it they are on the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskPlan>,
    /// Puts each log directory on a tmpfs of this size in MiB, instead of faulty disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs_mib: Option<u64>,
    /// The planted bug that every broker runs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<String>,
}

/// The faulty disks, one for each log directory of each node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskPlan {
    /// How long an fsync takes, in milliseconds. What it makes durable is durable against the
    /// power losses of the run, which need no fsync of the machine's own disk.
    pub fsync_ms: u64,
    /// The size of each disk, in MiB; without it that of the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_mib: Option<u64>,
    /// What a file's fsync does to its name.
    #[serde(default)]
    pub names: NameDurability,
}

/// What the clients do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadPlan {
    /// Producer worker processes.
    pub producers: u32,
    /// Consumer worker processes.
    pub consumers: u32,
    /// Logical processes that share one producer worker; each has one send open at a time.
    pub processes_per_producer: u32,
    /// Sends a second over all producers, at most; 0 is as fast as they can.
    pub sends_per_second: u32,
    /// Payload sizes are drawn evenly from this inclusive range, in bytes.
    pub payload_bytes: [usize; 2],
    /// Settings of every producer.
    pub producer: ProducerOptions,
    /// Settings of every consumer.
    pub consumer: ConsumerOptions,
    /// How long one request to a broker may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// How long a poll waits for a first record, in milliseconds.
    pub poll_timeout_ms: u64,
    /// Polls between two changes of a consumer's assignment, on average.
    pub polls_per_assignment: u32,
    /// Polls between two reads of the ends of the partitions, on average.
    pub polls_per_end_read: u32,
    /// Makes the consumers members of a group until the final reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupPlan>,
}

/// How long the phases may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimePlan {
    /// From the start of the processes to a cluster that serves, in milliseconds.
    pub start_deadline_ms: u64,
    /// Length of the workload, in milliseconds; faults fall into it.
    pub workload_ms: u64,
    /// From the end of healing to a cluster with all nodes, all replicas in sync and progress, in
    /// milliseconds. Passing it makes the run *not available again*.
    pub recovery_deadline_ms: u64,
    /// For the final reads of fresh clients, in milliseconds.
    pub final_deadline_ms: u64,
}

/// One fault and when it acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduledFault {
    /// When it is injected, in milliseconds since the start of the workload.
    pub at_ms: u64,
    /// How long it acts before it is healed, in milliseconds.
    pub for_ms: u64,
    /// Picks one where several nodes fit the target.
    pub draw: u32,
    /// What it waits for from `at_ms` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// What it does, to whom.
    pub what: FaultSpec,
}

fn one() -> u32 {
    1
}

impl ClusterPlan {
    /// The log directories of node `node`, in the order of `log.dirs`.
    pub fn disks_of(&self, node: i32) -> impl Iterator<Item = DiskId> + use<> {
        (0..self.log_dirs).map(move |directory| DiskId { node, directory })
    }

    /// The log directories of all nodes.
    pub fn disks(&self) -> impl Iterator<Item = DiskId> + '_ {
        (1..=self.nodes as i32).flat_map(|node| self.disks_of(node))
    }
}

impl ScheduledFault {
    /// Whether it may take something that was stored.
    pub(crate) fn takes_data(&self) -> bool {
        let class = class(&self.what);
        matches!(
            class,
            FaultClass::PowerLoss
                | FaultClass::Corruption
                | FaultClass::Wipe
                | FaultClass::LyingDisk
        )
    }

    /// When it is healed at the latest on `cluster`, in milliseconds since the workload's start;
    /// nothing if no clock has such a time. What strikes node by node acts from the last one on.
    pub fn heal_ms(&self, cluster: &ClusterPlan) -> Option<u64> {
        let when = self.when.as_ref();
        let waits = when.map_or(Some(0), |when| when.within_ms.checked_add(when.after_ms));
        let staggered = match &self.what {
            FaultSpec::PowerLoss { stagger_ms, .. } => {
                let others = u64::from(cluster.nodes).saturating_sub(1);
                stagger_ms.checked_mul(others)
            }
            _ => Some(0),
        };
        let begins = self.at_ms.checked_add(waits?)?.checked_add(staggered?)?;
        begins.checked_add(self.for_ms)
    }
}

impl Plan {
    /// Whether a fault of it may take something that was stored.
    pub fn takes_data(&self) -> bool {
        self.faults.iter().any(ScheduledFault::takes_data)
    }

    /// When the last fault of the schedule is healed, in milliseconds since the workload's start.
    pub fn last_heal_ms(&self) -> u64 {
        self.faults
            .iter()
            .filter_map(|fault| fault.heal_ms(&self.cluster))
            .max()
            .unwrap_or(0)
    }

    /// The plan as the text of `plan.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("invariant: a plan is plain data");
        text.push('\n');
        text
    }
}
