//! What a fault waits for, so that an incident has its order whatever the cluster's pace.
//!
//! In: what a client sees of the cluster. Out: whether the condition of a fault holds.
//! Invariant: a pure function of the picture; whoever waits has a deadline.

use serde::{Deserialize, Serialize};

use crate::nemesis::{ClusterState, PartitionState};

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
    /// Whether the plan is about what follows, so that a run in which it does not come is vacuous.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_needed: bool,
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
    /// The ISR of a partition consists of these nodes.
    IsrIs {
        /// The partition's topic.
        topic: String,
        /// Its index.
        partition: i32,
        /// The nodes, in order.
        nodes: Vec<i32>,
    },
    /// A node has been started so often, and still recovers its logs.
    Recovers {
        /// The node.
        node: i32,
        /// Which of its lives it is in, from 1.
        life: u32,
    },
}

/// What a broker prints first in each of its lives, and when it has recovered its logs.
const FIRST_WORDS: &str = "setting key=\"node.id\"";
const RECOVERED: &str = ": recovered logs=";

/// Whether the node that printed `log` recovers its logs in this life.
fn recovers(log: &str, life: u32) -> bool {
    let lives = log.matches(FIRST_WORDS).count();
    let last = log.rsplit(FIRST_WORDS).next().unwrap_or_default();
    lives == life as usize && !last.contains(RECOVERED)
}

impl Condition {
    /// Whether it holds in this picture of the cluster; nothing if a picture cannot show it.
    pub fn holds(&self, state: &ClusterState) -> Option<bool> {
        let is_so = |topic: &str, partition: i32, is_so: &dyn Fn(&PartitionState) -> bool| {
            let mut partitions = state.partitions.iter();
            partitions.any(|held| held.topic == topic && held.partition == partition && is_so(held))
        };
        match self {
            Self::IsrHas {
                topic,
                partition,
                replicas,
            } => Some(is_so(topic, *partition, &|held| {
                held.isr.len() == *replicas as usize
            })),
            Self::IsrIs {
                topic,
                partition,
                nodes,
            } => Some(is_so(topic, *partition, &|held| {
                let mut isr: Vec<i32> = held.isr.iter().map(|node| node.0).collect();
                isr.sort_unstable();
                isr == *nodes
            })),
            Self::Recovers { .. } => None,
        }
    }

    /// Whether it holds by what the nodes have printed; nothing if that cannot show it.
    pub fn is_printed(&self, printed: impl Fn(i32) -> String) -> Option<bool> {
        match self {
            Self::Recovers { node, life } => Some(recovers(&printed(*node), *life)),
            Self::IsrHas { .. } | Self::IsrIs { .. } => None,
        }
    }

    /// The partition that it is about, if it is about one.
    pub(crate) fn partition(&self) -> Option<(&str, i32)> {
        match self {
            Self::IsrHas {
                topic, partition, ..
            }
            | Self::IsrIs {
                topic, partition, ..
            } => Some((topic, *partition)),
            Self::Recovers { .. } => None,
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::IsrHas {
                topic,
                partition,
                replicas,
            } => {
                let plural = if *replicas == 1 { "" } else { "s" };
                write!(
                    f,
                    "the ISR of {topic}-{partition} has {replicas} replica{plural}"
                )
            }
            Self::IsrIs {
                topic,
                partition,
                nodes,
            } => write!(f, "the ISR of {topic}-{partition} is {nodes:?}"),
            Self::Recovers { node, life } => {
                write!(f, "node {node} recovers its logs in its life {life}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::id::BrokerId;

    #[test]
    fn the_size_of_an_isr_is_that_of_its_own_partition() {
        let held = |topic: &str, partition, isr: &[i32]| PartitionState {
            topic: topic.into(),
            partition,
            leader: None,
            replicas: vec![],
            isr: isr.iter().copied().map(BrokerId).collect(),
            sure: vec![],
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
            assert_eq!(condition.holds(&state), Some(wanted), "{condition}");
        }
    }

    #[test]
    fn an_isr_is_compared_as_a_set() {
        let state = ClusterState {
            partitions: vec![PartitionState {
                topic: "t".into(),
                partition: 0,
                leader: Some(BrokerId(3)),
                replicas: vec![],
                isr: vec![BrokerId(3), BrokerId(1)],
                sure: vec![BrokerId(3)],
                offline: vec![],
            }],
            ..ClusterState::default()
        };
        let isr_is = |nodes: &[i32]| Condition::IsrIs {
            topic: "t".into(),
            partition: 0,
            nodes: nodes.to_vec(),
        };
        for (condition, wanted) in [
            (isr_is(&[1, 3]), true),
            (isr_is(&[1, 2]), false),
            (isr_is(&[1]), false),
        ] {
            assert_eq!(condition.holds(&state), Some(wanted), "{condition}");
        }
    }

    #[test]
    fn a_node_recovers_from_its_first_words_until_it_says_so() {
        let start = "INFO broker::shell::node: setting key=\"node.id\" value=\"1\"\n";
        let end = "INFO broker::shell::open: recovered logs=3 batches=0\n";
        let whole = format!("{start}{end}");
        for (log, life, wanted) in [
            (start.to_owned(), 1, true),
            (whole.clone(), 1, false),
            (format!("{whole}{start}"), 2, true),
            (format!("{whole}{start}"), 1, false),
            (format!("{whole}{whole}"), 2, false),
            (format!("{whole}{start}{start}"), 3, true),
        ] {
            let condition = Condition::Recovers { node: 1, life };
            let printed = condition.is_printed(|_| log.clone());
            assert_eq!(printed, Some(wanted), "{condition}: {log}");
        }
    }
}
