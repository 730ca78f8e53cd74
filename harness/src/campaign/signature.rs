//! The signature of a failure: what makes two findings the same.
//!
//! In: what a run found broken. Out: an id that depends on the anomaly, the promise, the shape of
//! the witness by role and the classes of faults, and on no id, offset, node or seed.
//! Source: reference/faults.md §4.3.

use std::collections::BTreeSet;
use std::fmt::Write;

use checkers::anomaly::{Class, Kind};
use checkers::history::{FaultClass, OpType};
use checkers::verdict::{Anomaly, Check, Verdict, Witness};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::run::summary::{Liveness, Summary};

/// The anomaly of a cluster that did not serve again.
pub const UNAVAILABLE_AFTER_HEAL: &str = "unavailable-after-heal";

/// The anomaly of a node that ended although nobody asked for it.
pub const UNEXPECTED_EXIT: &str = "unexpected-exit";

/// Bytes of the hash that make an id.
const ID_BYTES: usize = 6;

/// Words of a sentence that count: what follows in a node's last words is of that run.
const WORDS_MAX: usize = 24;

/// What makes two findings the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// 12 hex digits of a hash over the rest.
    pub id: String,
    /// The anomaly, or `unavailable-after-heal`, or `unexpected-exit`.
    pub anomaly: String,
    /// What was promised, in words, each number and name as `#`.
    pub promise: String,
    /// The witness by role, such as `send ok: # is acknowledged at offset # → poll ok: …`.
    pub shape: String,
    /// What the faults did, in the classes that promises tell apart, sorted: `failover`, `disk`,
    /// `power-loss`, `lying-disk`, `corruption`, `wipe`, `client`.
    pub faults: Vec<String>,
}

/// The signatures of all that a run found broken, each once, in the order of a report.
pub fn signatures(summary: &Summary) -> Vec<Signature> {
    let (mut found, mut whole): (Vec<Signature>, Vec<Signature>) = Default::default();
    for row in &summary.rows {
        of_verdict(&row.verdict, &mut found);
        of_liveness(&row.liveness, &row.verdict, &mut found);
    }
    of_verdict(&summary.verdict, &mut whole);
    of_liveness(&summary.liveness, &summary.verdict, &mut whole);
    // Of several topics the whole repeats what its rows say, in other words.
    let said: BTreeSet<String> = found.iter().map(|row| row.anomaly.clone()).collect();
    whole.retain(|signature| !said.contains(&signature.anomaly));
    found.extend(whole);
    for death in &summary.deaths {
        let faults = classes(&summary.verdict, true);
        let promise = "a node ends when it is told to";
        found.push(Signature::new(
            UNEXPECTED_EXIT,
            promise,
            anonymous(death),
            faults,
        ));
    }
    let mut known = BTreeSet::new();
    found.retain(|signature| known.insert(signature.id.clone()));
    found
}

impl Signature {
    fn new(anomaly: &str, promise: &str, shape: String, faults: Vec<String>) -> Self {
        let mut signature = Self {
            id: String::new(),
            anomaly: anomaly.to_owned(),
            promise: promise.to_owned(),
            shape,
            faults,
        };
        signature.id = signature.hash();
        signature
    }

    /// Whether it is that something was not served, rather than that something was wrong.
    pub fn is_of_liveness(&self) -> bool {
        let mut kinds = Kind::ALL.iter();
        self.anomaly == UNAVAILABLE_AFTER_HEAL
            || kinds.any(|kind| kind.name() == self.anomaly && kind.class() == Class::Liveness)
    }

    /// Whether both are of one failure as far as a plan with fewer faults can tell: everything but
    /// the classes of faults is the same.
    pub fn is_same_failure(&self, other: &Self) -> bool {
        (&self.anomaly, &self.promise, &self.shape)
            == (&other.anomaly, &other.promise, &other.shape)
    }

    fn hash(&self) -> String {
        let faults = self.faults.iter();
        let parts = [&self.anomaly, &self.promise, &self.shape];
        let mut hasher = Sha256::new();
        for part in parts.into_iter().chain(faults) {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        let digest = hasher.finalize();
        let mut id = String::new();
        for byte in digest.iter().take(ID_BYTES) {
            // Writing to a text cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        id
    }
}

/// Whether the runs show a failure in common, whatever faults each of them still has.
pub fn is_same_failure(found: &[Signature], of: &[Signature]) -> bool {
    let mut found = found.iter();
    found.any(|a| of.iter().any(|b| a.is_same_failure(b)))
}

fn of_verdict(verdict: &Verdict, found: &mut Vec<Signature>) {
    for check in verdict.checks.iter().filter(|check| check.is_broken()) {
        let faults = classes(verdict, check.anomaly.is_of_groups());
        let promise = anonymous(&check.promise.because);
        found.push(Signature::new(
            check.anomaly.name(),
            &promise,
            shape(check),
            faults,
        ));
    }
}

fn of_liveness(liveness: &Liveness, verdict: &Verdict, found: &mut Vec<Signature>) {
    let Liveness::NotRecovered { reason } = liveness else {
        return;
    };
    if verdict.may_stay_silent().is_some() {
        return;
    }
    let promise = "every partition serves again once all faults are healed";
    let faults = classes(verdict, true);
    found.push(Signature::new(
        UNAVAILABLE_AFTER_HEAL,
        promise,
        anonymous(reason),
        faults,
    ));
}

/// The shape of the smallest witness: which of several was found first is chance.
fn shape(check: &Check) -> String {
    let shapes = check.examples.iter().map(shape_of);
    let smallest = shapes.min_by_key(|shape| (shape.len(), shape.clone()));
    smallest.unwrap_or_default()
}

fn shape_of(anomaly: &Anomaly) -> String {
    let roles: Vec<String> = anomaly.witness.iter().map(role).collect();
    roles.join(" → ")
}

/// What an operation of a witness was, and what it shows.
fn role(witness: &Witness) -> String {
    let op = witness.completion.as_ref().or(witness.invocation.as_ref());
    let shows = anonymous(&witness.shows);
    match op {
        Some(op) => format!("{} {}: {shows}", op.action.name(), word_of(op.kind)),
        None => shows,
    }
}

fn word_of(kind: OpType) -> &'static str {
    match kind {
        OpType::Invoke => "invoke",
        OpType::Ok => "ok",
        OpType::Fail => "fail",
        OpType::Info => "info",
    }
}

/// A sentence without what names this run: every word with a digit in it is a number or the name
/// of a node, a member or a partition, except for settings, and so is a list of such words.
fn anonymous(sentence: &str) -> String {
    let words = sentence.split_whitespace().take(WORDS_MAX).map(|word| {
        let is_name = word.contains(|c: char| c.is_ascii_digit()) && !word.contains('=');
        match (is_name, word.ends_with(',')) {
            (false, _) => word,
            (true, false) => "#",
            (true, true) => "#,",
        }
    });
    let mut text = words.collect::<Vec<_>>().join(" ");
    // `n1, n2 and n3` is as many as `n1`.
    loop {
        let shorter = text.replace("#, #", "#").replace("# and #", "#");
        if shorter == text {
            return text;
        }
        text = shorter;
    }
}

/// The classes of faults that make a difference to what is promised. Those of clients make none to
/// what a log promises, unless nothing else happened.
fn classes(verdict: &Verdict, clients_count: bool) -> Vec<String> {
    let words: BTreeSet<&str> = verdict
        .faults
        .iter()
        .map(|class| class_of(*class))
        .collect();
    let alone = words.len() == 1;
    let counts = |word: &&str| *word != CLIENT || clients_count || alone;
    words
        .into_iter()
        .filter(counts)
        .map(str::to_owned)
        .collect()
}

const CLIENT: &str = "client";

fn class_of(class: FaultClass) -> &'static str {
    match class {
        FaultClass::Stop
        | FaultClass::ProcessCrash
        | FaultClass::Pause
        | FaultClass::Network
        | FaultClass::Resource
        | FaultClass::Membership => "failover",
        FaultClass::Disk | FaultClass::DiskStall | FaultClass::DiskFull => "disk",
        FaultClass::PowerLoss => "power-loss",
        FaultClass::LyingDisk => "lying-disk",
        FaultClass::Corruption => "corruption",
        FaultClass::Wipe => "wipe",
        FaultClass::Client => CLIENT,
    }
}

#[cfg(test)]
#[path = "signature_test.rs"]
mod signature_test;
