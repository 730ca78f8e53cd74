//! Which partitions may have no leader once all faults are healed.
//!
//! In: the nodes that faults struck. Out: whether a partition on given nodes is excused.
//! Invariant: a partition with enough copies that nothing has taken has to serve. Source: KIP-966.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::contract::Contract;
use crate::contract::disk::Durability;

/// The nodes on which so much was damaged that a partition may have no leader any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silenced {
    /// Those whose copies may be damaged, as `n2`.
    pub damaged: BTreeSet<String>,
    /// These, and those that stopped uncleanly and may not lead before all others are heard.
    pub struck: BTreeSet<String>,
    /// Copies without which nothing is committed.
    pub copies: usize,
}

impl Silenced {
    /// Whether a partition on these nodes may have no leader: one of its copies is damaged, and no
    /// other has to have everything.
    pub fn covers(&self, replicas: &[String]) -> bool {
        let among = |nodes: &BTreeSet<String>| {
            let here = replicas.iter().filter(|node| nodes.contains(*node));
            here.count()
        };
        among(&self.damaged) > 0 && among(&self.struck) >= self.copies
    }
}

impl Contract {
    /// Which partitions may have no leader once all faults are healed, if any.
    pub fn silenced(&self) -> Option<Silenced> {
        let log = Durability::of(&self.settings);
        let damaged = self.struck.silenced(log)?;
        let struck = self.struck.unclean().into_iter();
        let damaged: BTreeSet<String> = damaged.into_keys().map(str::to_owned).collect();
        Some(Silenced {
            struck: struck
                .map(str::to_owned)
                .chain(damaged.iter().cloned())
                .collect(),
            damaged,
            copies: log.copies(),
        })
    }
}
