//! States of the ledger that show in what the nodes do.
//!
//! In: the looks at the nodes, four a second. Out: the first that shows a state.
//! Invariant: a look that the observer had before a change is not taken for a state: a leader is
//! who leads by the view of that look.

use std::collections::BTreeSet;

use crate::run::events::{Event, NodeSample, ProcessState, What};

/// One look at the nodes.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Nanoseconds since the start of the run.
    pub(super) time: u64,
    /// One entry for each node.
    pub(super) nodes: Vec<NodeSample>,
}

impl Look {
    /// The looks among `events`.
    pub(super) fn all(events: &[Event]) -> Vec<Self> {
        let look = |event: &Event| match &event.what {
            What::Nodes { nodes } => Some(Self {
                time: event.time,
                nodes: nodes.clone(),
            }),
            _ => None,
        };
        events.iter().filter_map(look).collect()
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

pub(super) fn partition_without_leader(looks: &[Look]) -> Option<usize> {
    let led = |look: &Look| -> BTreeSet<i32> {
        let nodes = look.nodes.iter();
        nodes.flat_map(|node| node.leads.iter().copied()).collect()
    };
    let all: BTreeSet<i32> = looks.iter().flat_map(&led).collect();
    looks.iter().position(|look| led(look) != all)
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

    fn look(nodes: &[Node<'_>]) -> Look {
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
        }
    }

    #[test]
    fn each_state_shows_in_the_look_that_has_it_and_in_no_other() {
        let whole = look(&[
            (Running, true, &[0], &[0, 1]),
            (Running, false, &[1], &[0, 1]),
            (Running, false, &[], &[0, 1]),
        ]);
        let headless = look(&[
            (Dead, true, &[], &[1]),
            (Running, false, &[1], &[0, 1]),
            (Running, false, &[], &[0, 1]),
        ]);
        let frozen = look(&[
            (Paused, false, &[], &[1]),
            (Running, true, &[0, 1], &[0, 1]),
            (Running, false, &[], &[0, 1]),
        ]);
        let two_down = look(&[
            (Dead, true, &[0], &[0, 1]),
            (Dead, false, &[1], &[0, 1]),
            (Running, false, &[], &[0, 1]),
        ]);
        let none = look(&[
            (Dead, true, &[0], &[0, 1]),
            (Dead, false, &[1], &[0, 1]),
            (Dead, false, &[], &[0, 1]),
        ]);
        let looks = [whole, frozen, headless, two_down, none];
        let found = |rule: fn(&[Look]) -> Option<usize>| rule(&looks);
        assert_eq!(found(partition_without_leader), Some(2));
        assert_eq!(found(controller_and_leader_down), Some(3));
        assert_eq!(found(minority_only), Some(3));
        assert_eq!(found(all_down), Some(4));
    }
}
