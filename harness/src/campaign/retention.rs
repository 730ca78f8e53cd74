//! Which result directories a campaign keeps whole, so that its disk use is bounded.
//!
//! In: runs as they end, each with what it is kept for and how large it is. Out: what to keep and
//! what to remove.
//! Invariant: a passing run keeps its line only; for each reason the first three, the smallest and
//! the newest are kept, so that keeping shards apart and then merging them keeps the same.
//! Source: reference/faults.md §4.6.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;

use crate::campaign::record::{RunRecord, UnitKind};
use crate::cli::exit::Exit;

/// How many of the first of each reason are kept.
const FIRST: usize = 3;

/// What `--keep` chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeepRuns {
    /// For each failure signature the first three, the smallest and the newest.
    Findings,
    /// Every run; a night of them needs tens of gigabytes.
    All,
    /// None.
    None,
}

/// A run that may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its unit.
    pub unit: String,
    /// What it is kept for.
    pub reasons: Vec<String>,
    /// The length of its history in bytes: the smallest is the easiest to read.
    pub size: u64,
}

/// What is kept so far, oldest first.
#[derive(Debug)]
pub struct Retention {
    keep: KeepRuns,
    kept: Vec<Candidate>,
}

impl Retention {
    /// Nothing is kept yet.
    pub fn new(keep: KeepRuns) -> Self {
        let kept = Vec::new();
        Self { keep, kept }
    }

    /// A run ended. Whether it is kept, and which of those kept so far are not any more.
    pub fn offer(&mut self, candidate: Candidate) -> (bool, Vec<String>) {
        if self.keep == KeepRuns::None {
            return (false, Vec::new());
        }
        let unit = candidate.unit.clone();
        self.kept.push(candidate);
        if self.keep == KeepRuns::All {
            return (true, Vec::new());
        }
        let wanted = wanted(&self.kept);
        let (stay, go): (Vec<_>, Vec<_>) = self
            .kept
            .drain(..)
            .partition(|candidate| wanted.contains(&candidate.unit));
        self.kept = stay;
        let gone = go.into_iter().map(|candidate| candidate.unit);
        (
            wanted.contains(&unit),
            gone.filter(|other| *other != unit).collect(),
        )
    }
}

/// Of `candidates`, oldest first, the units that are kept.
pub fn wanted(candidates: &[Candidate]) -> BTreeSet<String> {
    let mut by_reason: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        for reason in &candidate.reasons {
            by_reason.entry(reason).or_default().push(candidate);
        }
    }
    let mut wanted = BTreeSet::new();
    for (reason, candidates) in by_reason {
        let first = if reason.starts_with(CANARY) { 1 } else { FIRST };
        let smallest = candidates.iter().min_by_key(|candidate| candidate.size);
        let others = smallest.into_iter().chain(candidates.last());
        let others = others.filter(|_| !reason.starts_with(CANARY));
        let chosen = candidates.iter().take(first).chain(others);
        wanted.extend(chosen.map(|candidate| candidate.unit.clone()));
    }
    wanted
}

/// Begins the reason to keep the run of a canary, of which one is enough.
const CANARY: &str = "canary ";

/// What a run is kept for; nothing if it passed.
pub fn reasons(record: &RunRecord) -> Vec<String> {
    if record.kind == UnitKind::Canary && record.caught == Some(true) {
        return vec![format!("{CANARY}{}", record.name)];
    }
    if record.exit_code == Exit::Kept.code() {
        return Vec::new();
    }
    if record.findings.is_empty() {
        return vec![format!("exit code {}", record.exit_code)];
    }
    record
        .findings
        .iter()
        .map(|signature| signature.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(unit: usize, reasons: &[&str], size: u64) -> Candidate {
        Candidate {
            unit: format!("u{unit}"),
            reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
            size,
        }
    }

    fn keep_all(keep: KeepRuns, candidates: &[Candidate]) -> BTreeSet<String> {
        let mut retention = Retention::new(keep);
        let mut disk = BTreeSet::new();
        for candidate in candidates {
            let (is_kept, gone) = retention.offer(candidate.clone());
            if is_kept {
                disk.insert(candidate.unit.clone());
            }
            for unit in gone {
                assert!(disk.remove(&unit), "{unit} was not there");
            }
        }
        disk
    }

    #[test]
    fn of_each_signature_the_first_three_the_smallest_and_the_newest_are_kept() {
        let sizes = [50, 40, 60, 70, 10, 80, 30];
        let mut runs: Vec<Candidate> = Vec::new();
        for (unit, size) in sizes.into_iter().enumerate() {
            runs.push(candidate(unit, &["a"], size));
        }
        runs.push(candidate(7, &[], 1));
        runs.push(candidate(8, &["b"], 99));
        let kept = keep_all(KeepRuns::Findings, &runs);
        let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
        assert_eq!(kept, ["u0", "u1", "u2", "u4", "u6", "u8"]);
        assert_eq!(keep_all(KeepRuns::All, &runs).len(), runs.len());
        assert!(keep_all(KeepRuns::None, &runs).is_empty());
        let canaries: Vec<_> = (0..5)
            .map(|unit| candidate(unit, &["canary x"], 1))
            .collect();
        assert_eq!(keep_all(KeepRuns::Findings, &canaries).len(), 1);
    }

    proptest! {
        /// One at a time or all at once, apart and then together: the same is kept.
        #[test]
        fn what_is_kept_does_not_depend_on_when_it_is_decided(
            drawn in proptest::collection::vec((0_usize..3, 0_u64..9, 0_usize..2), 0..40),
        ) {
            let names = ["a", "b", "c"];
            let all: Vec<Candidate> = drawn.iter().enumerate()
                .map(|(unit, (reason, size, _))| candidate(unit, &[names[*reason]], *size))
                .collect();
            let at_once = wanted(&all);
            prop_assert_eq!(&keep_all(KeepRuns::Findings, &all), &at_once);
            prop_assert!(at_once.len() <= names.len() * (FIRST + 2));
            let of_shard = |shard: usize| {
                let part = all.iter().zip(&drawn).filter(|(_, (.., s))| *s == shard);
                wanted(&part.map(|(candidate, _)| candidate.clone()).collect::<Vec<_>>())
            };
            let apart: BTreeSet<String> = of_shard(0).union(&of_shard(1)).cloned().collect();
            let left = all.iter().filter(|candidate| apart.contains(&candidate.unit));
            prop_assert_eq!(wanted(&left.cloned().collect::<Vec<_>>()), at_once);
        }
    }
}
