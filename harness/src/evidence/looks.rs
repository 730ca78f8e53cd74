//! States of the ledger that show in what the nodes do.
//!
//! In: the looks at the nodes, four a second. Out: the first that shows a state.
//! Invariant: a look that the observer had before a change is not taken for a state: a leader is
//! who leads by the view of that look.

use std::collections::{BTreeMap, BTreeSet};

use crate::run::events::{Event, NodeSample, ProcessState, What};

/// One look at the nodes.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Nanoseconds since the start of the run.
    pub(super) time: u64,
    /// One entry for each node.
    pub(super) nodes: Vec<NodeSample>,
    /// Sends that were acknowledged in the quarter of a second that ended with it.
    pub(super) acked: u64,
}

impl Look {
    /// The looks among `events`.
    pub(super) fn all(events: &[Event]) -> Vec<Self> {
        let mut looks: Vec<Self> = Vec::new();
        for event in events {
            match &event.what {
                What::Nodes { nodes } => looks.push(Self {
                    time: event.time,
                    nodes: nodes.clone(),
                    acked: 0,
                }),
                What::Throughput { counts, .. } => {
                    if let Some(last) = looks.last_mut() {
                        last.acked = last.acked.max(counts.acked);
                    }
                }
                _ => {}
            }
        }
        looks
    }

    /// Who does what, for the proof.
    pub(super) fn words(&self) -> String {
        let word = |node: &NodeSample| {
            let process = match node.process {
                ProcessState::Running => "up",
                ProcessState::Paused => "frozen",
                ProcessState::Dead => "down",
            };
            let (leads, in_sync) = (node.leads.len(), node.in_sync.len());
            let controls = if node.is_controller { ", controls" } else { "" };
            format!(
                "n{} {process}{controls}, leads {leads}, in sync {in_sync}",
                node.node
            )
        };
        let words: Vec<String> = self.nodes.iter().map(word).collect();
        words.join("; ")
    }

    fn count(&self, process: ProcessState) -> usize {
        self.of(process).count()
    }

    fn of(&self, process: ProcessState) -> impl Iterator<Item = &NodeSample> {
        let nodes = self.nodes.iter();
        nodes.filter(move |node| node.process == process)
    }
}

/// How many replicas of each partition are in sync.
fn in_sync(nodes: &[NodeSample]) -> BTreeMap<i32, usize> {
    let mut counts = BTreeMap::new();
    for partition in nodes.iter().flat_map(|node| &node.in_sync) {
        *counts.entry(*partition).or_default() += 1;
    }
    counts
}

pub(super) fn isr_of_one_while_producing(looks: &[Look]) -> Option<usize> {
    let most = looks
        .iter()
        .flat_map(|look| in_sync(&look.nodes).into_values());
    // A topic with one copy has never more than one in sync.
    let has_copies = most.max().is_some_and(|most| most > 1);
    let one = |look: &Look| look.acked > 0 && in_sync(&look.nodes).into_values().any(|n| n == 1);
    looks.iter().position(|look| has_copies && one(look))
}

pub(super) fn partition_without_leader(looks: &[Look]) -> Option<usize> {
    let led = |look: &Look| -> BTreeSet<i32> {
        let nodes = look.nodes.iter();
        nodes.flat_map(|node| node.leads.iter().copied()).collect()
    };
    let all: BTreeSet<i32> = looks.iter().flat_map(&led).collect();
    looks.iter().position(|look| led(look) != all)
}

pub(super) fn leader_replaced_while_frozen(looks: &[Look]) -> Option<usize> {
    let mut led: BTreeMap<i32, &[i32]> = BTreeMap::new();
    for (place, look) in looks.iter().enumerate() {
        for node in &look.nodes {
            if node.process != ProcessState::Paused {
                led.insert(node.node, &node.leads);
            }
        }
        let mut frozen = look.of(ProcessState::Paused);
        let is_replaced = frozen.any(|node| {
            let had = led.get(&node.node).copied().unwrap_or_default();
            let mut others = look.nodes.iter().filter(|other| other.node != node.node);
            others.any(|other| other.leads.iter().any(|led| had.contains(led)))
        });
        if is_replaced {
            return Some(place);
        }
    }
    None
}

pub(super) fn controller_and_leader_down(looks: &[Look]) -> Option<usize> {
    looks.iter().position(|look| {
        let controls = look.of(ProcessState::Dead).any(|node| node.is_controller);
        let mut dead = look.of(ProcessState::Dead);
        controls && dead.any(|node| !node.is_controller && !node.leads.is_empty())
    })
}

pub(super) fn minority_only(looks: &[Look]) -> Option<usize> {
    looks.iter().position(|look| {
        let up = look.count(ProcessState::Running);
        up > 0 && up <= look.nodes.len() / 2
    })
}

pub(super) fn all_down(looks: &[Look]) -> Option<usize> {
    let is_down = |look: &Look| look.count(ProcessState::Dead) == look.nodes.len();
    looks
        .iter()
        .position(|look| !look.nodes.is_empty() && is_down(look))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProcessState::{Dead, Paused, Running};

    /// One node: its process, whether it is the controller, what it leads, what it has in sync.
    type Node<'a> = (ProcessState, bool, &'a [i32], &'a [i32]);

    fn look(acked: u64, nodes: &[Node<'_>]) -> Look {
        let sample = |(index, node): (usize, &Node<'_>)| NodeSample {
            node: index as i32 + 1,
            process: node.0,
            is_controller: node.1,
            leads: node.2.to_vec(),
            in_sync: node.3.to_vec(),
            epochs: Vec::new(),
        };
        Look {
            time: 0,
            nodes: nodes.iter().enumerate().map(sample).collect(),
            acked,
        }
    }

    #[test]
    fn each_state_shows_in_the_look_that_has_it_and_in_no_other() {
        let whole = look(
            9,
            &[
                (Running, true, &[0], &[0, 1]),
                (Running, false, &[1], &[0, 1]),
                (Running, false, &[], &[0, 1]),
            ],
        );
        let thin = look(
            1,
            &[
                (Running, true, &[0], &[0]),
                (Running, false, &[1], &[1]),
                (Running, false, &[], &[1]),
            ],
        );
        let idle = Look {
            acked: 0,
            ..thin.clone()
        };
        let headless = look(
            0,
            &[
                (Dead, true, &[], &[1]),
                (Running, false, &[1], &[0, 1]),
                (Running, false, &[], &[0, 1]),
            ],
        );
        let frozen = look(
            0,
            &[
                (Paused, false, &[], &[1]),
                (Running, true, &[0, 1], &[0, 1]),
                (Running, false, &[], &[0, 1]),
            ],
        );
        let two_down = look(
            0,
            &[
                (Dead, true, &[0], &[0, 1]),
                (Dead, false, &[1], &[0, 1]),
                (Running, false, &[], &[0, 1]),
            ],
        );
        let none = look(
            0,
            &[
                (Dead, true, &[0], &[0, 1]),
                (Dead, false, &[1], &[0, 1]),
                (Dead, false, &[], &[0, 1]),
            ],
        );
        let looks = [whole, idle, thin, frozen, headless, two_down, none];
        let found = |rule: fn(&[Look]) -> Option<usize>| rule(&looks);
        assert_eq!(found(isr_of_one_while_producing), Some(2));
        assert_eq!(found(partition_without_leader), Some(4));
        assert_eq!(found(leader_replaced_while_frozen), Some(3));
        assert_eq!(found(controller_and_leader_down), Some(5));
        assert_eq!(found(minority_only), Some(5));
        assert_eq!(found(all_down), Some(6));
    }

    #[test]
    fn a_topic_with_one_copy_is_always_of_one() {
        let single = look(
            5,
            &[(Running, true, &[0], &[0]), (Running, false, &[1], &[1])],
        );
        assert_eq!(isr_of_one_while_producing(&[single]), None);
    }
}
