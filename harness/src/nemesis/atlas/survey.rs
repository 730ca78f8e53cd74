//! Which good copies a loss would leave: a pure function of what the cluster looks like.
//!
//! In: views of the cluster, what is about to be lost, and what was lost before. Out: for each
//! partition the nodes that keep a good copy, and the voters that keep theirs.
//! Invariant: a copy counts only if in every view all have it in the ISR, its node runs, and
//! nothing of it was lost since it was last in sync; a voter counts only if it runs and every view
//! has it registered. Source: TigerBeetle's `ClusterFaultAtlas`.

use std::collections::{BTreeMap, BTreeSet};

use broker::id::BrokerId;
use serde::Serialize;

use crate::nemesis::{ClusterState, PartitionState};

/// What one node loses, or has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The node.
    pub node: BrokerId,
    /// Its copies of which partitions.
    pub copies: Copies,
    /// Whether its vote, or its part of the metadata log.
    pub vote: bool,
}

/// The copies of some partitions on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copies {
    /// All that it has.
    All,
    /// Those of these partitions, as `topic-0`; perhaps none.
    Of(BTreeSet<String>),
}

/// What a loss leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The nodes with a good copy of each partition.
    pub copies: BTreeMap<String, Vec<i32>>,
    /// The nodes that keep what they know of the metadata, and know what was decided.
    pub voters: Vec<i32>,
    /// How many of them are a majority.
    #[serde(skip)]
    pub majority: usize,
    /// Whether the metadata loses anything by it.
    #[serde(skip)]
    pub touches_votes: bool,
}

/// What the cluster and the earlier losses look like.
#[derive(Clone, Debug)]
pub(crate) struct Picture<'a> {
    /// The cluster, seen before the loss and right after its nodes were stopped.
    pub(crate) views: &'a [ClusterState],
    /// The nodes whose processes run, and those that are about to lose something.
    pub(crate) running: &'a BTreeSet<BrokerId>,
    /// What was lost and has not come back.
    pub(crate) open: &'a [Loss],
}

impl Loss {
    fn takes(&self, partition: &str, node: BrokerId) -> bool {
        let takes_copy = match &self.copies {
            Copies::All => true,
            Copies::Of(partitions) => partitions.contains(partition),
        };
        self.node == node && takes_copy
    }

    /// Whether nothing at all is lost.
    pub fn is_nothing(&self) -> bool {
        let no_copies = matches!(&self.copies, Copies::Of(partitions) if partitions.is_empty());
        no_copies && !self.vote
    }
}

/// What `losses` would leave.
pub(crate) fn survey(picture: &Picture<'_>, losses: &[Loss]) -> Left {
    let lost = || picture.open.iter().chain(losses);
    let mut copies = BTreeMap::new();
    for held in picture.views.iter().flat_map(|view| &view.partitions) {
        let name = name_of(held);
        let is_good = |node: &BrokerId| {
            picture.running.contains(node)
                && is_surely_in_sync(picture.views, &name, *node)
                && !lost().any(|loss| loss.takes(&name, *node))
        };
        let good: Vec<i32> = held
            .sure
            .iter()
            .filter(|node| is_good(node))
            .map(|node| node.0)
            .collect();
        copies.insert(name, good);
    }
    let nodes = picture.views.first().map_or(&[][..], |view| &view.nodes);
    // Whoever is registered has replayed the metadata up to its registration.
    let keeps_vote = |node: &&BrokerId| {
        let mut views = picture.views.iter();
        picture.running.contains(node)
            && (losses.iter().any(|loss| loss.node == **node)
                || views.all(|view| view.registered.contains(node)))
            && !lost().any(|loss| loss.vote && loss.node == **node)
    };
    Left {
        copies,
        voters: nodes.iter().filter(keeps_vote).map(|node| node.0).collect(),
        majority: nodes.len() / 2 + 1,
        touches_votes: losses.iter().any(|loss| loss.vote),
    }
}

impl Left {
    /// Whether a good copy of everything acknowledged is left; if not, of what there is none.
    pub fn is_enough(&self) -> Result<(), String> {
        if self.copies.is_empty() {
            return Err("nothing is known of any partition".to_owned());
        }
        let bare = |(name, good): (&String, &Vec<i32>)| good.is_empty().then(|| name.clone());
        let bare: Vec<String> = self.copies.iter().filter_map(bare).collect();
        if !bare.is_empty() {
            return Err(format!("no good copy would be left of {}", bare.join(", ")));
        }
        if self.touches_votes && self.voters.len() < self.majority {
            return Err(format!(
                "of {} voters that would be left {} are needed",
                self.voters.len(),
                self.majority
            ));
        }
        Ok(())
    }
}

/// What is known to be left, and whether that is a good copy of everything acknowledged, if a
/// survey rests on the first `seen` of the `needed` views: as long as one is missing, who was in
/// sync may not be any longer, so that only what is not there is known.
///
/// # Errors
/// Of what there is none, or that it is not known.
pub(crate) fn known(left: Left, seen: usize, needed: usize) -> (Option<Left>, Result<(), String>) {
    let enough = left.is_enough();
    if seen >= needed {
        return (Some(left), enough);
    }
    let copies = left.copies.into_iter();
    let copies: BTreeMap<_, _> = copies.filter(|(_, good)| good.is_empty()).collect();
    if copies.is_empty() {
        let reason = "no majority told what the cluster looks like";
        return (None, Err(reason.to_owned()));
    }
    (Some(Left { copies, ..left }), enough)
}

/// Whether the node is out of sync with something that it lost.
pub(crate) fn is_out(loss: &Loss, view: &ClusterState) -> bool {
    view.partitions.iter().any(|held| {
        held.replicas.contains(&loss.node)
            && loss.takes(&name_of(held), loss.node)
            && !held.isr.contains(&loss.node)
    })
}

/// Whether the loss is made good: the node takes part again and is in sync with all it lost.
pub(crate) fn is_made_good(loss: &Loss, view: &ClusterState) -> bool {
    let mut lost = view
        .partitions
        .iter()
        .filter(|held| held.replicas.contains(&loss.node) && loss.takes(&name_of(held), loss.node));
    view.registered.contains(&loss.node) && lost.all(|held| held.sure.contains(&loss.node))
}

fn is_surely_in_sync(views: &[ClusterState], name: &str, node: BrokerId) -> bool {
    views.iter().all(|view| {
        let mut held = view.partitions.iter();
        held.any(|held| name_of(held) == name && held.sure.contains(&node))
    })
}

fn name_of(held: &PartitionState) -> String {
    format!("{}-{}", held.topic, held.partition)
}
