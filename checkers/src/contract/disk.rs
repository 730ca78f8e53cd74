//! What power, disks and emptied directories may take from a log, as a table.
//!
//! In: the faults of a run, and what the durability of one topic depends on. Out: which nodes may
//! have come back with less than they had stored, for the conditions of the table of promises.
//! Invariant: a node counts only for what was really done to it; what is counted is never more
//! than what a correct broker may lose. Source: KIP-966. A commit needs min.insync.replicas
//! copies, a node that stopped uncleanly leads again only if nobody else may, so committed records
//! survive as long as fewer nodes stop uncleanly; and only stored records can be taken away.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::effect::{done_to, takes_metadata, told_of};
use crate::history::{Action, FaultClass, History, NemesisEvent, Phase, Settings};

/// What the durability of one topic's log depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Durability {
    pub(super) replication_factor: u32,
    pub(super) min_insync_replicas: u32,
    pub(super) flush_every_message: bool,
}

impl Durability {
    /// That of the topic of the run.
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            replication_factor: settings.replication_factor,
            min_insync_replicas: settings.min_insync_replicas,
            flush_every_message: settings.flush_every_message,
        }
    }

    /// Copies without which nothing is committed.
    pub(super) fn copies(self) -> usize {
        self.min_insync_replicas.min(self.replication_factor).max(1) as usize
    }
}

/// A way in which a node comes back without what it had stored.
struct Taking {
    /// The fault that does it.
    by: FaultClass,
    /// The fault without which it does nothing, on the same node.
    once: Option<FaultClass>,
    /// Whether what was flushed before it was acknowledged is safe from it.
    stopped_by_flush: bool,
    /// What it does to a node, as the end of a sentence about nodes.
    words: &'static str,
}

/// Every way, the one that explains most first.
const TAKINGS: [Taking; 4] = [
    Taking {
        by: FaultClass::Wipe,
        once: None,
        stopped_by_flush: false,
        words: "lost a log directory",
    },
    Taking {
        by: FaultClass::Corruption,
        once: None,
        stopped_by_flush: false,
        words: "had stored bytes damaged",
    },
    Taking {
        by: FaultClass::LyingDisk,
        once: Some(FaultClass::PowerLoss),
        stopped_by_flush: false,
        words: "lost power after an fsync that lied",
    },
    Taking {
        by: FaultClass::PowerLoss,
        once: None,
        stopped_by_flush: true,
        words: "lost power with what was not flushed",
    },
];

/// Faults after which a node may come back without a clean shutdown. It cannot know what it lost,
/// so it leaves the ISR and the eligible leader replicas, whether it lost anything or not.
const UNCLEAN: [FaultClass; 7] = [
    FaultClass::ProcessCrash,
    FaultClass::Disk,
    FaultClass::DiskFull,
    FaultClass::PowerLoss,
    FaultClass::Corruption,
    FaultClass::Wipe,
    FaultClass::Resource,
];

/// What each class of fault did to which nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Struck {
    by: Nodes,
    /// Those whose damage left a good copy of everything acknowledged, as things were then.
    spared: Nodes,
    /// Those that may have lost what they knew of the metadata.
    forgetful: BTreeSet<String>,
}

/// The nodes that faults of each class struck.
type Nodes = BTreeMap<FaultClass, BTreeSet<String>>;

impl Struck {
    /// What the nemesis of a run did.
    pub(super) fn of(history: &History) -> Self {
        let events = history.ops.iter().filter_map(|op| match &op.action {
            Action::Nemesis(event) => Some(&**event),
            _ => None,
        });
        let events: Vec<&NemesisEvent> = events.collect();
        let mut struck = Self::default();
        for (position, event) in events.iter().enumerate() {
            if event.phase != Phase::Inject {
                continue;
            }
            let told = told_of(event, events.get(position..).unwrap_or_default());
            let is_spared = told.iter().any(|event| event.is_atlas());
            for node in event.nodes() {
                let Some(class) = done_to(node, event.class, &told) else {
                    continue;
                };
                if class == event.class && takes_metadata(node, class, &told) {
                    struck.forgetful.insert(node.to_owned());
                }
                let node = node.to_owned();
                let kind = if is_spared && class == event.class {
                    &mut struck.spared
                } else {
                    &mut struck.by
                };
                kind.entry(class).or_default().insert(node);
            }
        }
        struck
    }

    /// A fault of this class struck these nodes.
    pub(super) fn add(&mut self, class: FaultClass, nodes: impl Iterator<Item = String>) {
        self.by.entry(class).or_default().extend(nodes);
    }

    /// What happened to these nodes alone; all of it where so many of the controllers may have
    /// forgotten what they decided that the others are no majority: then it may be forgotten who
    /// has which copies, and who was in sync.
    pub(super) fn among(&self, nodes: &BTreeSet<String>, controllers: Option<u32>) -> Self {
        if controllers.is_some_and(|all| 2 * self.forgetful.len() >= all as usize) {
            return self.clone();
        }
        let among = |all: &Nodes| {
            let of_class = all.iter().map(|(class, struck)| {
                let here = struck.intersection(nodes).cloned().collect();
                (*class, here)
            });
            of_class.collect()
        };
        Self {
            by: among(&self.by),
            spared: among(&self.spared),
            forgetful: self.forgetful.clone(),
        }
    }

    /// The nodes of all faults of this class.
    fn nodes(&self, class: FaultClass) -> impl Iterator<Item = &str> {
        [&self.by, &self.spared]
            .into_iter()
            .flat_map(move |nodes| of_class(nodes, class))
    }

    /// Which nodes may have come back with less than they had stored, each with the first reason.
    /// The good copy that one fault left may be what a later one takes: as soon as one takes
    /// anything without leaving a copy, all count.
    pub(super) fn taken(&self, log: Durability) -> BTreeMap<&str, &'static str> {
        if taken_by(log, |class| of_class(&self.by, class).collect()).is_empty() {
            return BTreeMap::new();
        }
        taken_by(log, |class| self.nodes(class).collect())
    }

    /// The nodes that stopped uncleanly, whatever that took from them.
    pub(super) fn unclean(&self) -> BTreeSet<&str> {
        self.of_classes(&UNCLEAN)
    }

    /// The nodes of all faults of these classes.
    pub(super) fn of_classes(&self, classes: &[FaultClass]) -> BTreeSet<&str> {
        classes
            .iter()
            .flat_map(|class| self.nodes(*class))
            .collect()
    }

    /// The nodes whose damage left a good copy of everything acknowledged.
    pub(super) fn spared(&self) -> BTreeSet<&str> {
        self.spared.values().flatten().map(String::as_str).collect()
    }

    /// The damaged nodes, if a partition of this log may stay without a leader: so many copies may
    /// be damaged that none is left to lead, and a damaged one must not.
    pub(super) fn silenced(&self, log: Durability) -> Option<BTreeMap<&str, &'static str>> {
        let damaged = self.taken(Durability {
            flush_every_message: true,
            ..log
        });
        let mut struck = self.unclean();
        struck.extend(damaged.keys());
        (!damaged.is_empty() && struck.len() >= log.copies()).then_some(damaged)
    }
}

fn of_class(nodes: &Nodes, class: FaultClass) -> impl Iterator<Item = &str> {
    let of_class = nodes.get(&class).into_iter().flatten();
    of_class.map(String::as_str)
}

/// Which of the nodes that faults struck may have come back with less than they had stored.
fn taken_by<'a>(
    log: Durability,
    struck: impl Fn(FaultClass) -> BTreeSet<&'a str>,
) -> BTreeMap<&'a str, &'static str> {
    let mut taken = BTreeMap::new();
    for taking in &TAKINGS {
        if taking.stopped_by_flush && log.flush_every_message {
            continue;
        }
        let once = taking.once.map(&struck);
        let counts = |node: &&str| once.as_ref().is_none_or(|once| once.contains(node));
        for node in struck(taking.by).into_iter().filter(counts) {
            taken.entry(node).or_insert(taking.words);
        }
    }
    taken
}

/// What happened to which nodes: `n1 and n2 lost power with what was not flushed`.
pub(super) fn told(taken: &BTreeMap<&str, &'static str>) -> String {
    let mut by_words: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (node, words) in taken {
        by_words.entry(words).or_default().insert(node);
    }
    let clauses = by_words.into_iter();
    let clauses: Vec<String> = clauses
        .map(|(words, nodes)| format!("{} {words}", list(nodes)))
        .collect();
    clauses.join(", ")
}

/// `n1`, `n1 and n2`, `n1, n2 and n3`.
pub(super) fn list(nodes: BTreeSet<&str>) -> String {
    let mut nodes: Vec<&str> = nodes.into_iter().collect();
    let Some(last) = nodes.pop() else {
        return "nobody".to_owned();
    };
    if nodes.is_empty() {
        return last.to_owned();
    }
    format!("{} and {last}", nodes.join(", "))
}

#[cfg(test)]
#[path = "disk_test.rs"]
mod disk_test;
