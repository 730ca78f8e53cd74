//! What a fault waits for, so that an incident has its order whatever the cluster's pace.
//!
//! In: what a client sees of the cluster. Out: whether the condition of a fault holds.
//! Invariant: a pure function of the picture; whoever waits has a deadline.

use serde::{Deserialize, Serialize};

use crate::nemesis::ClusterState;

/// What a fault waits for. If it does not come in time, the fault is not injected and is vacuous.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// What must hold.
    pub holds: Condition,
    /// How long it is waited for, in milliseconds.
    pub within_ms: u64,
    /// How long after it was seen the fault is injected, in milliseconds.
    pub after_ms: u64,
}

/// Something that a client can see of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Condition {
    /// The ISR of a partition has this size.
    IsrHas {
        /// The partition's topic.
        topic: String,
        /// Its index.
        partition: i32,
        /// How many replicas.
        replicas: u32,
    },
}

impl Condition {
    /// Whether it holds in this picture.
    pub fn holds(&self, state: &ClusterState) -> bool {
        let Self::IsrHas {
            topic,
            partition,
            replicas,
        } = self;
        let mut partitions = state.partitions.iter();
        partitions.any(|held| {
            held.topic == *topic
                && held.partition == *partition
                && held.isr.len() == *replicas as usize
        })
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::IsrHas {
            topic,
            partition,
            replicas,
        } = self;
        let plural = if *replicas == 1 { "" } else { "s" };
        write!(
            f,
            "the ISR of {topic}-{partition} has {replicas} replica{plural}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::PartitionState;
    use broker::id::BrokerId;

    #[test]
    fn the_size_of_an_isr_is_that_of_its_own_partition() {
        let held = |topic: &str, partition, isr: &[i32]| PartitionState {
            topic: topic.into(),
            partition,
            leader: None,
            replicas: vec![],
            isr: isr.iter().copied().map(BrokerId).collect(),
            offline: vec![],
        };
        let state = ClusterState {
            partitions: vec![held("t", 0, &[1, 2]), held("t", 1, &[3]), held("u", 0, &[])],
            ..ClusterState::default()
        };
        let isr_has = |partition, replicas| Condition::IsrHas {
            topic: "t".into(),
            partition,
            replicas,
        };
        for (condition, wanted) in [
            (isr_has(0, 2), true),
            (isr_has(0, 1), false),
            (isr_has(1, 1), true),
            (isr_has(2, 0), false),
        ] {
            assert_eq!(condition.holds(&state), wanted, "{condition}");
        }
    }
}
