//! The verdict on a run: which promises held, and what broke the others.
//!
//! `Invalid > Inconclusive > HarnessError > Valid`: a violation that was found outranks every
//! trouble around it. A checker that panics makes its part inconclusive, never silent.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::anomaly::{Class, Kind};
use crate::contract::{Contract, Promise, Silenced};
use crate::history::{FaultClass, FinalReads, Key, Op, Settings};

/// How a run is judged, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validity {
    /// Every promise held.
    Valid,
    /// The harness failed; nothing is known to be broken.
    HarnessError,
    /// The history does not allow a judgement.
    Inconclusive,
    /// A promise was broken.
    Invalid,
}

/// The verdict on a run: `verdict.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The judgement.
    pub validity: Validity,
    /// The judgement in a sentence.
    pub sentence: String,
    /// Why it is not simply valid or invalid, if so.
    pub reasons: Vec<String>,
    /// What was configured.
    pub settings: Settings,
    /// What happened to it.
    pub faults: BTreeSet<FaultClass>,
    /// How much was judged.
    pub counts: Counts,
    /// One entry for each anomaly that was looked for.
    pub checks: Vec<Check>,
    /// Whether every partition had to serve again once all faults were healed; verdicts of before
    /// disks failed do not say, and it had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_after_heal: Option<Promise>,
    /// Which nodes' partitions need not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced: Option<Silenced>,
}

/// How much a history holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Lines.
    pub events: u64,
    /// Partitions that were touched.
    pub partitions: u64,
    /// Records acknowledged with an offset.
    pub acknowledged: u64,
    /// Records whose send failed for certain.
    pub failed: u64,
    /// Records whose send is in doubt.
    pub unknown: u64,
    /// Records returned by polls, with repetitions.
    pub read: u64,
    /// Reads of the end of a log.
    pub end_reads: u64,
    /// What consumer groups did.
    #[serde(default)]
    pub group: GroupCounts,
}

/// How much of a history is that of consumer groups; all zero without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCounts {
    /// Lives of consumers.
    pub consumers: u64,
    /// Those that crashed.
    pub crashed: u64,
    /// Records processed for certain, with repetitions.
    pub processed: u64,
    /// Records whose processing is in doubt.
    pub processed_unknown: u64,
    /// Commits acknowledged, counted for each partition.
    pub commits: u64,
    /// Commits that failed for certain.
    pub commits_failed: u64,
    /// Commits in doubt.
    pub commits_unknown: u64,
    /// Generations that were given out.
    pub generations: u64,
    /// Calls of rebalance listeners.
    pub rebalances: u64,
    /// Positions that new owners started from.
    pub resumes: u64,
    /// Records processed again.
    pub duplicates: u64,
    /// Records that the group skipped for ever.
    pub lost: u64,
}

impl GroupCounts {
    /// What a group did, in words; nothing without one.
    fn words(&self) -> String {
        let Self {
            processed,
            commits,
            generations,
            ..
        } = self;
        if *generations == 0 {
            return String::new();
        }
        format!(", {processed} processed, {commits} commits in {generations} generations")
    }
}

/// What came of looking for one anomaly.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What was looked for.
    pub anomaly: Kind,
    /// What it breaks.
    pub class: Class,
    /// Whether it may happen.
    pub promise: Promise,
    /// How often it was found.
    pub count: u64,
    /// Why the checker could not finish, if so.
    pub problem: Option<String>,
    /// The earliest of those found.
    pub examples: Vec<Anomaly>,
}

/// One anomaly and its proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The kind.
    pub kind: Kind,
    /// The partition.
    pub key: Key,
    /// The first and last offset in question, if it has any: see [`Anomaly::is_placed`].
    pub offsets: (i64, i64),
    /// A sentence for the morning.
    pub explanation: String,
    /// The operations that prove it, in the order of the proof.
    pub witness: Vec<Witness>,
}

/// One operation of a proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Witness {
    /// What it shows.
    pub shows: String,
    /// Its invocation.
    pub invocation: Option<Op>,
    /// Its completion, if it came.
    pub completion: Option<Op>,
    /// Records of its polls that have no part in the proof and are left out here.
    pub records_left_out: u64,
}

impl Anomaly {
    /// The offsets of what was sent without an offset in return, as Kafka writes it.
    pub(crate) const NOWHERE: (i64, i64) = (-1, -1);

    /// Whether it lies at offsets that are known.
    pub fn is_placed(&self) -> bool {
        self.kind.has_offsets() && self.offsets != Self::NOWHERE
    }
}

impl Check {
    /// Whether a promise was broken.
    pub fn is_broken(&self) -> bool {
        self.count > 0 && self.promise.forbidden
    }
}

impl Verdict {
    /// Judges finished checks.
    pub(crate) fn of(
        contract: &Contract,
        counts: Counts,
        checks: Vec<Check>,
        final_reads: FinalReads,
    ) -> Self {
        let (validity, sentence) = (Validity::Valid, String::new());
        let reasons = Vec::new();
        let mut verdict = Self {
            validity,
            sentence,
            reasons,
            settings: contract.settings.clone(),
            faults: contract.faults.clone(),
            counts,
            checks,
            available_after_heal: Some(contract.availability_after_heal()),
            silenced: contract.silenced(),
        };
        verdict.judge(final_reads);
        verdict.sentence = verdict.say();
        verdict
    }

    /// Makes the verdict at least this bad, for a reason outside the history.
    pub fn raise(&mut self, validity: Validity, reason: impl Into<String>) {
        self.validity = self.validity.max(validity);
        self.reasons.push(reason.into());
        self.sentence = self.say();
    }

    /// Whether a record was there and is not any more: missing, replaced at its offset, or behind
    /// the end of a log that went back.
    pub fn shows_loss(&self) -> bool {
        let shows = |check: &Check| {
            let of_loss = [
                Kind::LostWrite,
                Kind::InconsistentOffsets,
                Kind::Nonlinearizable,
            ];
            check.count > 0 && of_loss.contains(&check.anomaly)
        };
        self.checks.iter().any(shows)
    }

    /// Why a partition may stay silent after everything was healed, if it may.
    pub fn may_stay_silent(&self) -> Option<&str> {
        let promise = self.available_after_heal.as_ref()?;
        (!promise.forbidden).then_some(promise.because.as_str())
    }

    /// What a cluster that did not recover makes of that leave: it holds only if all that was
    /// missing is the leaders of partitions that need none. `silent` are the nodes of each
    /// partition without a leader, and nothing if anything else was missing.
    pub fn weigh_silence(&mut self, silent: &[Vec<String>]) {
        let is_covered = |replicas: &Vec<String>| {
            let silenced = self.silenced.as_ref();
            silenced.is_some_and(|silenced| silenced.covers(replicas))
        };
        if silent.is_empty() || !silent.iter().all(is_covered) {
            self.available_after_heal = Some(Promise {
                forbidden: true,
                because: "all faults are healed, and only a partition whose copies may be damaged \
                          may have no leader"
                    .to_owned(),
            });
        }
    }

    /// Whether the run proves nothing because nothing was acknowledged or read.
    pub fn nothing_ran(&self) -> bool {
        self.counts.acknowledged + self.counts.unknown == 0 || self.counts.read == 0
    }

    /// 0 kept, 10 broken, 11 not available again, 12 nothing ran, 13 inconclusive, 21 fault of
    /// the harness.
    pub fn exit_code(&self) -> u8 {
        let broken = |class: Class| {
            self.checks
                .iter()
                .any(|c| c.is_broken() && c.class == class)
        };
        match self.validity {
            Validity::Valid => 0,
            Validity::HarnessError => 21,
            Validity::Inconclusive if self.nothing_ran() => 12,
            Validity::Inconclusive => 13,
            Validity::Invalid if !broken(Class::Safety) && broken(Class::Liveness) => 11,
            Validity::Invalid => 10,
        }
    }

    fn judge(&mut self, final_reads: FinalReads) {
        let unread = match final_reads {
            FinalReads::Whole => None,
            FinalReads::CutShort(reason) => {
                self.excuse_liveness();
                Some(reason)
            }
            // Who need not serve need not be read; all others were asked, and did not answer.
            FinalReads::Unfinished(reason) => {
                let promise = self.available_after_heal.as_ref();
                promise
                    .is_none_or(|promise| promise.forbidden)
                    .then_some(reason)
            }
        };
        if self.checks.iter().any(Check::is_broken) {
            self.validity = Validity::Invalid;
        }
        let problems = self.checks.iter().filter_map(|check| {
            let problem = check.problem.as_ref()?;
            Some(format!(
                "the checker of {} failed: {problem}",
                check.anomaly.name()
            ))
        });
        let mut reasons: Vec<String> = problems.collect();
        reasons.extend(unread);
        if self.nothing_ran() {
            reasons.push("nothing ran: no record was sent, or none was read".into());
        }
        for reason in reasons {
            self.raise(Validity::Inconclusive, reason);
        }
    }

    /// Without final reads, what nobody has read yet says nothing.
    fn excuse_liveness(&mut self) {
        let live = |check: &&mut Check| check.class == Class::Liveness;
        for check in self.checks.iter_mut().filter(live) {
            check.promise = Promise {
                forbidden: false,
                because: "the final reads did not take place".to_owned(),
            };
        }
    }

    /// What was allowed to happen, in words: what did, and the losses and repetitions by groups
    /// that did not. A control that shows no loss has shown nothing about losses.
    fn allowed(&self) -> String {
        let allowed = self.checks.iter().filter(|check| !check.promise.forbidden);
        let (seen, unseen): (Vec<&Check>, Vec<&Check>) = allowed.partition(|check| check.count > 0);
        let seen: Vec<String> = seen
            .iter()
            .map(|check| format!("{} {}", check.count, check.anomaly.name()))
            .collect();
        let is_loss = |check: &&&Check| match check.anomaly {
            Kind::LostWrite => !self.shows_loss(),
            kind => matches!(kind, Kind::GroupLost | Kind::GroupDuplicate),
        };
        let unseen = unseen.iter().filter(is_loss);
        let unseen: Vec<&str> = unseen.map(|check| check.anomaly.name()).collect();
        let mut words = String::new();
        for (label, list) in [("seen", seen.join(", ")), ("not seen", unseen.join(", "))] {
            if !list.is_empty() {
                words = format!("{words}; allowed and {label}: {list}");
            }
        }
        words
    }

    /// The sentence of a verdict on several topics whose promises were all kept.
    pub(crate) fn kept_of(&self, topics: usize) -> String {
        self.kept(&format!(" of {topics} topics"))
    }

    fn kept(&self, of_topics: &str) -> String {
        let Counts {
            acknowledged,
            read,
            partitions,
            ..
        } = self.counts;
        format!(
            "Kept: {acknowledged} acknowledged records on {partitions} partitions{of_topics}, \
             {read} reads{}, no promise broken{}.",
            self.counts.group.words(),
            self.allowed(),
        )
    }

    fn say(&self) -> String {
        let reasons = self.reasons.join("; ");
        match self.validity {
            Validity::Valid => self.kept(""),
            Validity::HarnessError => format!("The harness failed: {reasons}."),
            Validity::Inconclusive => format!("Inconclusive: {reasons}."),
            Validity::Invalid => {
                let broken = self.checks.iter().filter(|check| check.is_broken());
                let broken =
                    broken.map(|check| format!("{} {}", check.count, check.anomaly.name()));
                let broken: Vec<String> = broken.collect();
                if broken.is_empty() {
                    return format!("Broken: {reasons}.");
                }
                format!("Broken: {}.", broken.join(", "))
            }
        }
    }
}
