//! What a configuration promises under the faults that happened.
//!
//! In: the settings of the run and the classes of its faults. Out: for each anomaly, forbidden or
//! allowed, and the sentence that says why, from one table (`table`). The words are those of the
//! report and of `docs/contracts.md`.
//! Source: Kafka's replication protocol as in KIP-98, KIP-101, KIP-966.

mod clause;
mod disk;
mod effect;
mod hanging;
pub mod page;
mod silenced;
mod situation;
mod table;
pub mod tolerance;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::anomaly::Kind;
use crate::contract::clause::{Clause, Promised, decide, fitting};
use crate::contract::disk::Struck;
pub use crate::contract::silenced::Silenced;
use crate::contract::situation::Situation;
use crate::history::{Acks, Action, FaultClass, GroupSettings, History, Key, Phase, Settings};
use crate::log::Rules;

/// The promises that a run is judged by.
#[derive(Clone, Debug)]
pub struct Contract {
    /// What was configured.
    pub settings: Settings,
    /// What happened to it.
    pub faults: BTreeSet<FaultClass>,
    /// Which nodes they struck.
    struck: Struck,
    /// The nodes with copies of each partition, as far as the history says.
    replicas: BTreeMap<Key, BTreeSet<String>>,
    /// Why more happened than that one node's log directories hung at a time, if it did.
    hung_together: Option<String>,
    /// What the members of groups were configured with.
    pub(crate) group: GroupSettings,
    pub(crate) rules: Rules,
}

/// Whether an anomaly may happen, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Whether it breaks the contract.
    pub forbidden: bool,
    /// A clause that follows "because".
    pub because: String,
}

/// One promise of a contract, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The promise at its best.
    pub promise: &'static str,
    /// The anomalies that would break it.
    pub anomalies: Vec<&'static str>,
    /// Whether it holds under these settings and faults, and why.
    #[serde(flatten)]
    pub answer: Promise,
    /// Where that comes from.
    pub source: &'static str,
}

impl Contract {
    /// The contract of these settings when nothing goes wrong.
    pub fn new(settings: Settings) -> Self {
        let rules = Rules {
            duplicates_allowed: !settings.idempotence,
            gaps_allowed: settings.offset_gaps,
            acks_early: settings.acks != Acks::All,
            ends_strict_from: 0,
        };
        let group = settings.group.clone().unwrap_or_default();
        Self {
            settings,
            faults: BTreeSet::new(),
            struck: Struck::default(),
            replicas: BTreeMap::new(),
            hung_together: None,
            group,
            rules,
        }
    }

    /// The contract of a recorded run: its settings, and the faults that its nemesis injected.
    pub fn of(history: &History) -> Self {
        let mut contract = Self::new(history.header.settings.clone());
        contract.struck = Struck::of(history);
        let replicas = history.header.replicas.iter();
        contract.replicas = replicas
            .map(|(key, nodes)| (key.clone(), nodes.iter().cloned().collect()))
            .collect();
        contract.hung_together = hanging::together(history);
        for (position, op) in history.ops.iter().enumerate() {
            let Action::Nemesis(event) = &op.action else {
                continue;
            };
            if event.phase == Phase::Inject {
                contract.faults.insert(event.class);
            }
            if event.class != FaultClass::Client {
                // Until the last fault is over, a leader may not yet know of its successor.
                contract.rules.ends_strict_from = position as u32;
            }
        }
        contract
    }

    /// The same after a fault of this class on these nodes (`n1`), with everything that it can do.
    #[must_use]
    pub fn after(mut self, class: FaultClass, nodes: impl IntoIterator<Item = String>) -> Self {
        self.faults.insert(class);
        self.struck.add(class, nodes.into_iter());
        self
    }

    /// Whether this anomaly breaks the contract wherever it is found: not if there is a partition
    /// that may have it.
    pub fn promise(&self, kind: Kind) -> Promise {
        self.least(promised(kind).clauses).0
    }

    /// Whether this anomaly in this partition breaks the contract: nothing can take from a log but
    /// what happened to the nodes that have it.
    pub fn promise_in(&self, key: &Key, kind: Kind) -> Promise {
        let struck = match self.replicas.get(key) {
            Some(nodes) => self.struck.among(nodes, self.settings.controllers),
            None => self.struck.clone(),
        };
        decide(promised(kind).clauses, &Situation::of(self, &struck))
    }

    /// What the contract promises, in the order of the table; of groups only where there is one.
    pub fn lines(&self) -> Vec<Line> {
        let has_group = self.settings.group.is_some();
        let is_of_groups = |promised: &Promised| promised.kinds.iter().any(|k| k.is_of_groups());
        let promises = table::promises();
        let promises = promises.filter(|promised| has_group || !is_of_groups(promised));
        let line = |promise, anomalies: &[Kind], clauses| {
            let (answer, source) = self.least(clauses);
            Line {
                promise,
                anomalies: anomalies.iter().map(|kind| kind.name()).collect(),
                answer,
                source,
            }
        };
        let mut lines: Vec<Line> = promises
            .map(|promised| line(promised.words, promised.kinds, promised.clauses))
            .collect();
        lines.push(line(
            "Every partition serves again once all faults are healed",
            &[],
            table::AVAILABLE_AFTER_HEAL,
        ));
        lines
    }

    /// How many nodes may fail while the partitions stay available and durable:
    /// replication factor ≥ min.insync.replicas + tolerated failures.
    pub fn tolerated_failures(&self) -> u32 {
        Situation::of(self, &self.struck).tolerated()
    }

    /// Whether every partition must serve again once all faults are healed. More in-sync replicas
    /// than there are copies are never waited for (KIP-966: the effective minimum).
    pub fn availability_after_heal(&self) -> Promise {
        self.least(table::AVAILABLE_AFTER_HEAL).0
    }

    /// What these clauses say of the partition that is promised least, and where that comes from.
    fn least(&self, clauses: &'static [Clause]) -> (Promise, &'static str) {
        let placements: BTreeSet<&BTreeSet<String>> = self.replicas.values().collect();
        let among = |nodes| self.struck.among(nodes, self.settings.controllers);
        let struck = placements.into_iter().map(among);
        let mut struck: Vec<Struck> = struck.collect();
        if struck.is_empty() {
            struck.push(self.struck.clone());
        }
        let answers = struck.iter().map(|struck| {
            let situation = Situation::of(self, struck);
            let source = fitting(clauses, &situation).source;
            (decide(clauses, &situation), source)
        });
        let least = answers.min_by_key(|(promise, _)| promise.forbidden);
        least.expect("invariant: there is at least one placement")
    }
}

/// The promise about an anomaly.
fn promised(kind: Kind) -> &'static Promised {
    let mut promises = table::promises();
    let found = promises.find(|promised| promised.kinds.contains(&kind));
    found.expect("invariant: a test finds every kind in the table")
}

#[cfg(test)]
#[path = "contract/contract_test.rs"]
mod contract_test;

#[cfg(test)]
#[path = "contract/placement_test.rs"]
mod placement_test;

#[cfg(test)]
#[path = "contract/group_test.rs"]
mod group_test;
