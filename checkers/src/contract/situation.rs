//! The situation of a run: what was configured, what happened, and what that means for one log.
//!
//! In: a contract, and the log that is asked about. Out: facts for the conditions of the table,
//! and words for its sentences.
//! Invariant: a fact is a function of the contract alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::clause::decide;
use crate::contract::disk::{self, Durability};
use crate::contract::{Contract, Promise, table, tolerance};
use crate::history::{CommitMode, FaultClass, Settings};

/// What the table is asked about.
#[derive(Clone, Copy)]
pub(super) struct Situation<'a> {
    contract: &'a Contract,
    /// The log in question: that of the records, or that of the commits.
    log: Durability,
}

impl<'a> Situation<'a> {
    /// That of the records of a run.
    pub(super) fn of(contract: &'a Contract) -> Self {
        Self {
            contract,
            log: Durability::of(&contract.settings),
        }
    }

    /// The same, asked about the log of the commits.
    fn of_offsets(self) -> Self {
        let topic = self.contract.group.offsets_topic.as_ref();
        let log = topic.map_or(self.log, |topic| Durability {
            replication_factor: topic.replication_factor,
            min_insync_replicas: topic.min_insync_replicas,
            flush_every_message: topic.flush_every_message,
        });
        Self { log, ..self }
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
        self.contract.struck.taken(self.log)
    }

    /// Nodes that stopped uncleanly, beside those.
    pub(super) fn unclean(&self) -> BTreeSet<&'a str> {
        let taken = self.taken();
        let mut nodes = self.contract.struck.unclean();
        nodes.retain(|node| !taken.contains_key(node));
        nodes
    }

    /// Nodes whose damage left a good copy of everything acknowledged.
    pub(super) fn spared(&self) -> BTreeSet<&'a str> {
        self.contract.struck.spared()
    }

    /// Nodes that lost their power, whatever they lost with it.
    pub(super) fn without_power(&self) -> BTreeSet<&'a str> {
        self.contract.struck.of_classes(&[FaultClass::PowerLoss])
    }

    /// Nodes that were down.
    pub(super) fn down(&self) -> BTreeSet<&'a str> {
        let classes = [FaultClass::Stop, FaultClass::ProcessCrash];
        self.contract.struck.of_classes(&classes)
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
        self.contract.struck.silenced(self.log)
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
            "down" => disk::list(self.down()),
            "hung together" => self.hung_together().cloned().unwrap_or_default(),
            "tolerated" => self.tolerated().to_string(),
            "copies" => self.copies().to_string(),
            "enough copies" => match self.copies() {
                1 => "1 copy was enough".to_owned(),
                copies => format!("{copies} copies were enough"),
            },
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
