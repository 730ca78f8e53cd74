//! How a campaign ends: one sentence, one exit code.
//!
//! In: everything that is stored. Out: the exit and why.
//! Invariant: a violation outranks everything; a campaign in which nothing had an effect, or which
//! missed a planted bug, is never a success. A single run that proved nothing is no failure of the
//! night: it does not count. Source: reference/faults.md §4.5, §4.7.

use std::collections::BTreeMap;

use crate::campaign::canary::TRIES;
use crate::campaign::directory::{Campaign, Stored};
use crate::campaign::record::{CellState, RunRecord, UnitKind};
use crate::campaign::tally::{self, CellKey, Tally};
use crate::cli::exit::Exit;

/// What a campaign adds up to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How the program ends.
    pub exit: Exit,
    /// The verdict in a sentence.
    pub sentence: String,
    /// Every cell that is known.
    pub cells: BTreeMap<CellKey, Tally>,
    /// What was counted.
    pub counts: Counts,
    /// The planted bugs that were tried, by name.
    pub canaries: BTreeMap<String, Canary>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs that ended.
    pub runs: u64,
    /// Runs that proved something.
    pub effective: u64,
    /// Runs that were to have faults, whatever came of them.
    pub with_faults: u64,
    /// Those of them that proved something.
    pub effective_with_faults: u64,
    /// Runs that broke a promise.
    pub violations: u64,
    /// Runs after which the cluster was not available again.
    pub unavailable: u64,
    /// Runs that the checkers could not decide.
    pub inconclusive: u64,
    /// Runs that left no verdict.
    pub infrastructure: u64,
    /// Cells of the selection.
    pub cells: u64,
    /// Cells of which a run proved something.
    pub covered: u64,
    /// Different findings.
    pub findings: u64,
}

/// What became of a planted bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Canary {
    /// Runs with it that came to a verdict.
    pub tries: u64,
    /// Runs that found it.
    pub caught: u64,
}

impl Canary {
    /// Whether it counts as missed.
    pub fn is_missed(self) -> bool {
        self.caught == 0 && self.tries >= TRIES
    }
}

/// What `stored` adds up to.
pub fn outcome(stored: &Stored) -> Outcome {
    let cells = tally::tally(stored);
    let canaries = canaries(&stored.records);
    let campaign = &stored.campaign;
    let counts = Counts {
        cells: (campaign.rows.len() * campaign.columns.len()) as u64,
        covered: covered(&stored.campaign, &cells),
        ..count(&stored.records)
    };
    let missed: Vec<&str> = canaries
        .iter()
        .filter(|(_, canary)| canary.is_missed())
        .map(|(name, _)| name.as_str())
        .collect();
    let exit = exit(counts, missed.is_empty());
    let sentence = sentence(exit, counts, &missed, &cells);
    Outcome {
        exit,
        sentence,
        cells,
        counts,
        canaries,
    }
}

/// How a campaign of these runs ends.
pub fn exit_of(records: &[RunRecord]) -> Exit {
    let missed = canaries(records).into_values().any(Canary::is_missed);
    exit(count(records), !missed)
}

/// The first of the following that holds. The control alone proves nothing about faults.
fn exit(counts: Counts, all_caught: bool) -> Exit {
    let is_vacuous = counts.effective == 0
        || (counts.with_faults > 0 && counts.effective_with_faults == 0)
        || !all_caught;
    let has_failed = counts.infrastructure > 0;
    [
        (counts.violations > 0, Exit::Broken),
        (counts.unavailable > 0, Exit::Unavailable),
        (counts.effective == 0 && has_failed, Exit::HarnessFault),
        (is_vacuous, Exit::Vacuous),
        (counts.inconclusive > 0, Exit::Inconclusive),
        (has_failed, Exit::HarnessFault),
    ]
    .into_iter()
    .find_map(|(holds, exit)| holds.then_some(exit))
    .unwrap_or(Exit::Kept)
}

/// Cells of the selection of which a run proved something: a run covers its whole pack.
fn covered(campaign: &Campaign, cells: &BTreeMap<CellKey, Tally>) -> u64 {
    let is_wanted =
        |(row, column): &CellKey| campaign.rows.contains(row) && campaign.columns.contains(column);
    let cells = cells
        .iter()
        .filter(|(key, cell)| cell.effective > 0 && is_wanted(key));
    cells.count() as u64
}

/// What the runs add up to, cells apart.
fn count(records: &[RunRecord]) -> Counts {
    let mut counts = Counts::default();
    let mut findings = Vec::new();
    for record in records {
        let exit = Exit::from_code(i32::from(record.exit_code));
        let cells = |state| record.cells.iter().any(|cell| cell.state == state);
        counts.runs += 1;
        counts.infrastructure += u64::from(exit == Exit::HarnessFault);
        if record.kind == UnitKind::Canary {
            continue;
        }
        counts.effective += u64::from(record.is_effective());
        if !record.is_control() {
            counts.with_faults += 1;
            counts.effective_with_faults += u64::from(record.is_effective());
        }
        counts.violations += u64::from(record.is_violation());
        let is_unavailable = exit == Exit::Unavailable || cells(CellState::Unavailable);
        counts.unavailable += u64::from(is_unavailable);
        counts.inconclusive += u64::from(exit == Exit::Inconclusive);
        findings.extend(record.findings.iter().map(|finding| &finding.id));
    }
    findings.sort();
    findings.dedup();
    counts.findings = findings.len() as u64;
    counts
}

/// The planted bugs that were tried, by name.
pub fn canaries<'a>(records: impl IntoIterator<Item = &'a RunRecord>) -> BTreeMap<String, Canary> {
    let mut canaries: BTreeMap<String, Canary> = BTreeMap::new();
    for record in records
        .into_iter()
        .filter(|record| record.kind == UnitKind::Canary)
    {
        let canary = canaries.entry(record.name.clone()).or_default();
        // A run that left no verdict is no try.
        // One whose faults had no effect, or that nobody could decide, gave the bug no chance.
        let is_try = record.caught == Some(true)
            || matches!(
                Exit::from_code(i32::from(record.exit_code)),
                Exit::Kept | Exit::Broken | Exit::Unavailable
            );
        canary.tries += u64::from(is_try);
        canary.caught += u64::from(record.caught == Some(true));
    }
    canaries
}

fn sentence(
    exit: Exit,
    counts: Counts,
    missed: &[&str],
    cells: &BTreeMap<CellKey, Tally>,
) -> String {
    let Counts {
        runs,
        effective,
        covered,
        ..
    } = counts;
    let size = format!(
        "{effective} effective of {runs} runs, {covered} of {} cells covered",
        counts.cells
    );
    let verdict = match exit {
        Exit::Broken => format!(
            "Broken: {}",
            worst(counts.violations, CellState::Broken, cells)
        ),
        Exit::Unavailable => format!(
            "Unavailable: {}",
            worst(counts.unavailable, CellState::Unavailable, cells)
        ),
        Exit::Vacuous if missed.is_empty() && effective > 0 => {
            "Vacuous: no run with faults had an effect".to_owned()
        }
        Exit::Vacuous if missed.is_empty() => "Vacuous: no run had an effect".to_owned(),
        Exit::Vacuous => format!("Vacuous: planted bugs were missed: {}", missed.join(", ")),
        Exit::Inconclusive => format!("Inconclusive: {} runs", counts.inconclusive),
        Exit::HarnessFault if effective == 0 => format!(
            "Nothing was proven: {} runs left no verdict",
            counts.infrastructure
        ),
        Exit::HarnessFault => format!(
            "Kept where there is a verdict, but {} runs left none",
            counts.infrastructure
        ),
        _ => "Kept: no promise was broken".to_owned(),
    };
    format!("{verdict}; {size}.")
}

/// How many runs, and the first cells of that state.
fn worst(runs: u64, state: CellState, cells: &BTreeMap<CellKey, Tally>) -> String {
    let named: Vec<String> = cells
        .iter()
        .filter(|(_, cell)| cell.state == state)
        .map(|((row, column), cell)| format!("{row} under {column}: {}", cell.because))
        .collect();
    let runs = if runs == 1 {
        "1 run".to_owned()
    } else {
        format!("{runs} runs")
    };
    match named.split_first() {
        None => runs,
        Some((first, [])) => format!("{runs}, {first}"),
        Some((first, rest)) => format!("{runs}, {first} (and {} more cells)", rest.len()),
    }
}

#[cfg(test)]
#[path = "outcome_test.rs"]
mod outcome_test;
