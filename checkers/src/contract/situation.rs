//! The situation of a run: what was configured, what happened, and what that means for one log.
//!
//! In: a contract, and the log that is asked about. Out: facts for the conditions of the table,
//! and words for its sentences.
//! Invariant: a fact is a function of the contract alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::clause::decide;
use crate::contract::disk::{self, Durability, Struck};
use crate::contract::{Contract, Promise, table, tolerance};
use crate::history::{CommitMode, FaultClass, Settings};

/// Faults after which a node is not there for a while.
const DOWN: [FaultClass; 2] = [FaultClass::Stop, FaultClass::ProcessCrash];

/// What the table is asked about.
#[derive(Clone, Copy)]
pub(super) struct Situation<'a> {
    contract: &'a Contract,
    /// What happened to the nodes that have the log in question.
    struck: &'a Struck,
    /// That log: of the records, or of the commits.
    log: Durability,
}

impl<'a> Situation<'a> {
    /// That of the records of a partition, to whose nodes this happened.
    pub(super) fn of(contract: &'a Contract, struck: &'a Struck) -> Self {
        Self {
            contract,
            struck,
            log: Durability::of(&contract.settings),
        }
    }

    /// The same, asked about the log of the commits, which may be on any node.
    fn of_offsets(self) -> Self {
        let topic = self.contract.group.offsets_topic.as_ref();
        let log = topic.map_or(self.log, |topic| Durability {
            replication_factor: topic.replication_factor,
            min_insync_replicas: topic.min_insync_replicas,
            flush_every_message: topic.flush_every_message,
        });
        let struck = &self.contract.struck;
        Self {
            struck,
            log,
            ..self
        }
    }

    pub(super) fn settings(&self) -> &'a Settings {
        &self.contract.settings
    }

    pub(super) fn mode(&self) -> CommitMode {
        self.contract.group.mode
    }

    /// Whether anything happened that may have moved a leader.
    pub(super) fn was_disturbed(&self) -> bool {
        let mut faults = self.contract.faults.iter();
        faults.any(|fault| *fault != FaultClass::Client)
    }

    /// Whether nothing but these classes of faults happened.
    pub(super) fn had_only(&self, classes: &[FaultClass]) -> bool {
        let mut faults = self.contract.faults.iter();
        faults.all(|class| classes.contains(class))
    }

    /// Nodes that may have come back with less than they had stored.
    pub(super) fn taken(&self) -> BTreeMap<&'a str, &'static str> {
        self.struck.taken(self.log)
    }

    /// Nodes that stopped uncleanly, beside those.
    pub(super) fn unclean(&self) -> BTreeSet<&'a str> {
        let taken = self.taken();
        let mut nodes = self.struck.unclean();
        nodes.retain(|node| !taken.contains_key(node));
        nodes
    }

    /// Nodes whose damage left a good copy of everything acknowledged.
    pub(super) fn spared(&self) -> BTreeSet<&'a str> {
        self.struck.spared()
    }

    /// Nodes that lost their power, whatever they lost with it.
    pub(super) fn without_power(&self) -> BTreeSet<&'a str> {
        self.struck.of_classes(&[FaultClass::PowerLoss])
    }

    /// Nodes with a copy that were down.
    pub(super) fn down(&self) -> BTreeSet<&'a str> {
        self.struck.of_classes(&DOWN)
    }

    /// Whether so many of the nodes that vote were missing at once that the others may have had no
    /// majority, or would have had none.
    pub(super) fn may_lack_controller(&self) -> bool {
        let struck = &self.contract.struck;
        let down = struck.of_classes(&DOWN);
        let hung = !struck.of_classes(&[FaultClass::DiskStall]).is_empty();
        self.settings().controllers.is_some_and(|controllers| {
            let votes = |node: &&str| {
                let id = node.strip_prefix('n').and_then(|id| id.parse().ok());
                id.is_some_and(|id: u32| id <= controllers)
            };
            let missing = down.into_iter().filter(votes).count();
            // Those that hung one after the other were missed one at a time.
            2 * missing.max(usize::from(hung)) >= controllers as usize
        })
    }

    /// Why more happened than that one node's log directories hung at a time, if it did.
    pub(super) fn hung_together(&self) -> Option<&'a String> {
        self.contract.hung_together.as_ref()
    }

    /// Copies without which nothing is committed.
    pub(super) fn copies(&self) -> usize {
        self.log.copies()
    }

    /// Brokers that may be down while acks=all is served.
    pub(super) fn tolerated(&self) -> u32 {
        tolerance::tolerated(self.log.replication_factor, self.log.min_insync_replicas)
    }

    /// Nodes with damage, if so many copies may have it that none may lead.
    pub(super) fn silenced(&self) -> Option<BTreeMap<&'a str, &'static str>> {
        self.struck.silenced(self.log)
    }

    /// Whether a record that some reader has seen may vanish.
    pub(super) fn committed(&self) -> Promise {
        decide(table::COMMITTED, self)
    }

    /// Whether an acknowledged record may vanish.
    pub(super) fn acknowledged(&self) -> Promise {
        decide(table::ACKNOWLEDGED, self)
    }

    /// Whether a commit may vanish.
    pub(super) fn offsets(&self) -> Promise {
        self.of_offsets().committed()
    }

    /// A sentence of the table with the values of this situation.
    pub(super) fn fill(&self, sentence: &str) -> String {
        let mut parts = sentence.split(['{', '}']);
        let mut text = parts.next().unwrap_or_default().to_owned();
        while let (Some(name), Some(rest)) = (parts.next(), parts.next()) {
            text.push_str(&self.value(name));
            text.push_str(rest);
        }
        text
    }

    fn value(&self, name: &str) -> String {
        let settings = self.settings();
        match name {
            "committed" => self.committed().because,
            "acknowledged" => self.acknowledged().because,
            "offsets" => self.offsets().because,
            "taken" => disk::told(&self.taken()),
            "unclean" => disk::list(self.unclean()),
            "spared" => disk::list(self.spared()),
            "without power" => disk::list(self.without_power()),
            "damaged" => disk::told(&self.silenced().unwrap_or_default()),
            "down" => disk::list(self.contract.struck.of_classes(&DOWN)),
            "hung together" => self.hung_together().cloned().unwrap_or_default(),
            "tolerated" => self.tolerated().to_string(),
            "copies" => self.copies().to_string(),
            "controllers" => settings.controllers.unwrap_or_default().to_string(),
            "replication.factor" => settings.replication_factor.to_string(),
            "in flight" => settings.max_in_flight.to_string(),
            "within" => settings.available_within_ms.unwrap_or_default().to_string(),
            "auto.commit.interval.ms" => self.contract.group.auto_commit_interval_ms.to_string(),
            unknown => {
                unreachable!("invariant: a test fills every sentence, and {unknown} is none")
            }
        }
    }
}
