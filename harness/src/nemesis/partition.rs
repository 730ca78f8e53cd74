//! Partitions: sets of directed flows between endpoints that carry nothing.
//!
//! In: a shape and a target. Out: the flows to cut, each the way of packets from one endpoint to
//! another. Effect: the journal shows withheld bytes or connections, or a probe stays unanswered.
//! Source: `faults.md` §1.2 N1–N4; Alquraan et al., "An Analysis of Network-Partitioning Failures
//! in Cloud Systems" (OSDI 2018).

use std::collections::BTreeSet;

use crate::link::{AtHeal, Layer, LinkCounts, LinkId};
use crate::nemesis::link_faults::{prove_links_answer, prove_withheld};
use crate::nemesis::spec::PartitionShape;
use crate::nemesis::{Arena, BoxFuture, Effect, Fault};
use crate::sandbox::Endpoint;

/// A directed flow: what the first sends does not arrive at the second.
pub(crate) type Flow = (Endpoint, Endpoint);

/// The fault `partition`.
#[derive(Debug)]
pub(crate) struct Partition {
    shape: PartitionShape,
    flows: Vec<Flow>,
    links: Vec<LinkId>,
    before: LinkCounts,
    layer: Option<Layer>,
}

impl Partition {
    pub(crate) fn new(shape: PartitionShape) -> Self {
        let before = LinkCounts::default();
        Self {
            shape,
            flows: Vec::new(),
            links: Vec::new(),
            before,
            layer: None,
        }
    }
}

impl Fault for Partition {
    fn setup(&mut self, arena: &Arena, targets: &[Endpoint]) {
        let endpoints: Vec<_> = arena.sandbox.endpoints().collect();
        self.flows = flows(self.shape, targets, &endpoints);
        let carrying = |(from, to): &Flow| arena.links.carrying(*from, *to);
        let links: BTreeSet<_> = self.flows.iter().flat_map(carrying).collect();
        self.links = links.into_iter().collect();
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            if self.flows.is_empty() {
                return Err("the shape cuts nothing in a cluster of this size".into());
            }
            // Counted on the same links as the effect, or what others withheld would hide it.
            self.before = arena.links.sum(&self.links);
            let layer = arena.links.layer();
            self.layer = Some(layer);
            for (from, to) in &self.flows {
                arena.links.cut(layer, *from, *to, AtHeal::Release);
            }
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(prove_withheld(arena, &self.links, self.before))
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            if let Some(layer) = self.layer.take() {
                arena.links.lift(layer);
            }
            Ok(())
        })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(prove_links_answer(arena, &self.links))
    }
}

/// The flows that `shape` cuts around `targets`.
pub(crate) fn flows(shape: PartitionShape, targets: &[Endpoint], all: &[Endpoint]) -> Vec<Flow> {
    let nodes: Vec<Endpoint> = all.iter().copied().filter(|at| at.is_node()).collect();
    let clients: Vec<Endpoint> = all.iter().copied().filter(|at| !at.is_node()).collect();
    let is_target = |at: &Endpoint| targets.contains(at);
    let others: Vec<Endpoint> = nodes.iter().copied().filter(|at| !is_target(at)).collect();
    match shape {
        PartitionShape::IsolateFromNodes => both_ways(targets, &others),
        PartitionShape::IsolateFromAll => both_ways(targets, &[others, clients].concat()),
        PartitionShape::IsolateFromClients => both_ways(targets, &clients),
        PartitionShape::MuteTarget => one_way(targets, &others),
        PartitionShape::DeafTarget => one_way(&others, targets),
        PartitionShape::MinorityWithTarget => {
            let (minority, majority) = split_with(targets, &others, nodes.len());
            both_ways(&minority, &[majority, clients].concat())
        }
        PartitionShape::Partial => both_ways(targets, others.get(..1).unwrap_or_default()),
        PartitionShape::Ring => ring(&nodes),
    }
}

/// The largest minority that contains the targets, and the rest.
fn split_with(
    targets: &[Endpoint],
    others: &[Endpoint],
    nodes: usize,
) -> (Vec<Endpoint>, Vec<Endpoint>) {
    let joining = (nodes.saturating_sub(1) / 2)
        .saturating_sub(targets.len())
        .min(others.len());
    let (with, majority) = others.split_at(joining);
    ([targets, with].concat(), majority.to_vec())
}

/// Every pair of nodes that are not neighbours in a ring.
fn ring(nodes: &[Endpoint]) -> Vec<Flow> {
    let count = nodes.len();
    let far = |one: usize, two: usize| one.abs_diff(two) > 1 && one.abs_diff(two) + 1 < count;
    let pairs = nodes.iter().enumerate().flat_map(|(i, from)| {
        let to = nodes.iter().enumerate().filter(move |(j, _)| far(i, *j));
        to.map(move |(_, to)| (*from, *to))
    });
    pairs.collect()
}

fn one_way(from: &[Endpoint], to: &[Endpoint]) -> Vec<Flow> {
    from.iter()
        .flat_map(|from| to.iter().map(move |to| (*from, *to)))
        .collect()
}

fn both_ways(one: &[Endpoint], two: &[Endpoint]) -> Vec<Flow> {
    [one_way(one, two), one_way(two, one)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flows as `1>2` for nodes and `c1>2` for clients.
    fn check(shape: PartitionShape, nodes: i32, target: i32, expected: &str) {
        let all: Vec<_> = (1..=nodes)
            .map(Endpoint::Node)
            .chain([Endpoint::Client(1)])
            .collect();
        let name = |at: Endpoint| match at {
            Endpoint::Node(id) => id.to_string(),
            Endpoint::Client(id) => format!("c{id}"),
        };
        let mut found: Vec<_> = flows(shape, &[Endpoint::Node(target)], &all)
            .into_iter()
            .map(|(from, to)| format!("{}>{}", name(from), name(to)))
            .collect();
        found.sort();
        assert_eq!(found.join(" "), expected, "{shape:?}");
    }

    #[test]
    fn shapes_cut_the_flows_they_name() {
        check(PartitionShape::IsolateFromNodes, 3, 2, "1>2 2>1 2>3 3>2");
        check(
            PartitionShape::IsolateFromAll,
            3,
            2,
            "1>2 2>1 2>3 2>c1 3>2 c1>2",
        );
        check(PartitionShape::IsolateFromClients, 3, 2, "2>c1 c1>2");
        check(PartitionShape::MuteTarget, 3, 2, "2>1 2>3");
        check(PartitionShape::DeafTarget, 3, 2, "1>2 3>2");
        check(PartitionShape::Partial, 3, 2, "1>2 2>1");
        check(
            PartitionShape::MinorityWithTarget,
            3,
            2,
            "1>2 2>1 2>3 2>c1 3>2 c1>2",
        );
        check(
            PartitionShape::MinorityWithTarget,
            5,
            3,
            "1>2 1>4 1>5 1>c1 2>1 2>3 3>2 3>4 3>5 3>c1 4>1 4>3 5>1 5>3 c1>1 c1>3",
        );
        check(PartitionShape::Ring, 4, 1, "1>3 2>4 3>1 4>2");
        check(PartitionShape::Ring, 3, 1, "");
    }
}
