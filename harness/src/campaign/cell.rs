//! From what a run says of a row to the state of a cell.
//!
//! In: a row's outcome, what the faults proved, how the run ended. Out: one [`CellResult`].
//! Invariant: pure; the rules are tried from the worst to the best and the first that holds
//! decides, so that nothing good hides anything bad.

use checkers::anomaly::{Class, Kind};
use checkers::history::Acks;
use checkers::verdict::{Validity, Verdict};

use crate::campaign::record::{CellResult, CellState, FaultSeen};
use crate::matrix::{self, COLUMNS, Row, RowOutcome};
use crate::run::summary::Liveness;

/// What is known of one row after a run.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The column of the run.
    pub column: &'a str,
    /// What the run says of the row.
    pub outcome: &'a RowOutcome,
    /// What became of the run's faults.
    pub faults: &'a [FaultSeen],
    /// A node that ended by itself, in a sentence.
    pub death: Option<&'a str>,
}

/// The cell of a row that a run judged.
pub fn judged(judged: Judged<'_>) -> CellResult {
    let (state, because) = state(judged);
    let outcome = judged.outcome;
    let verdict = &outcome.verdict;
    CellResult {
        row: outcome.row.clone(),
        column: judged.column.to_owned(),
        state,
        because,
        lost: count(verdict, &[Kind::LostWrite, Kind::GroupLost]),
        duplicated: count(verdict, &[Kind::Duplicate, Kind::GroupDuplicate]),
        reordered: count(verdict, REORDERED),
        refused: outcome.refused,
        unavailable_ms: outcome.unavailable_ms,
    }
}

/// The cell of a row that a run said nothing about.
pub fn unjudged(row: &str, column: &str, state: CellState, because: &str) -> CellResult {
    CellResult {
        row: row.to_owned(),
        column: column.to_owned(),
        state,
        because: because.to_owned(),
        lost: 0,
        duplicated: 0,
        reordered: 0,
        refused: 0,
        unavailable_ms: 0,
    }
}

/// What counts as out of order.
const REORDERED: &[Kind] = &[
    Kind::NonmonotonicSend,
    Kind::NonmonotonicPoll,
    Kind::IntNonmonotonicPoll,
];

fn state(judged: Judged<'_>) -> (CellState, String) {
    let outcome = judged.outcome;
    let verdict = &outcome.verdict;
    if let Some(words) = broken(verdict, Class::Safety) {
        return (CellState::Broken, words);
    }
    if let Some(death) = judged.death {
        return (CellState::Broken, death.to_owned());
    }
    if verdict.validity == Validity::HarnessError {
        return (CellState::InfrastructureError, verdict.sentence.clone());
    }
    if let Some(words) = broken(verdict, Class::Liveness) {
        return (CellState::Unavailable, words);
    }
    match &outcome.liveness {
        Liveness::NotRecovered { reason } if verdict.may_stay_silent().is_none() => {
            return (CellState::Unavailable, reason.clone());
        }
        Liveness::NotReached { reason } => return (CellState::Inconclusive, reason.clone()),
        Liveness::NotRecovered { .. } | Liveness::Recovered { .. } => {}
    }
    if verdict.validity != Validity::Valid {
        return (CellState::Inconclusive, verdict.sentence.clone());
    }
    exercised(judged)
}

/// The state of a cell in which nothing went wrong that must not.
fn exercised(judged: Judged<'_>) -> (CellState, String) {
    let verdict = &judged.outcome.verdict;
    let is_control = COLUMNS
        .first()
        .is_some_and(|control| control.name == judged.column);
    // A profile, which is no column, has no helpers.
    let column = matrix::column::find(judged.column);
    let is_own = |name: &str| column.is_none_or(|column| column.faults.contains(&name));
    let own = judged.faults.iter().filter(|fault| is_own(&fault.name));
    let struck = &judged.outcome.struck;
    if !is_control && !struck.iter().any(|name| is_own(name)) {
        return (
            CellState::NotExercised,
            untouched(own, &judged.outcome.topic),
        );
    }
    let (loss, repetition) = (allowed_loss(judged), allowed_repetition(judged));
    let allowed: Vec<&Allowed> = loss.iter().chain(&repetition).collect();
    if let Some(missing) = allowed.iter().find(|one| one.is_shown && !one.is_seen) {
        let (done, because) = (missing.done, &missing.because);
        let words = format!("nothing was {done}, although the plan is built to show it: {because}");
        return (CellState::AllowedNotSeen, words);
    }
    let seen = allowed.iter().filter(|one| one.is_seen);
    let seen: Vec<String> = seen
        .map(|one| format!("{}, as is allowed: {}", one.done, one.because))
        .collect();
    if !seen.is_empty() {
        return (CellState::AllowedSeen, seen.join("; "));
    }
    if let Some(Allowed { because, .. }) = loss.filter(|_| !is_control) {
        let words = format!("a loss is allowed, nothing here makes it lose: {because}");
        return (CellState::Kept, words);
    }
    let words = format!(
        "{} acknowledged records, {} of {} faults struck the topic",
        verdict.counts.acknowledged,
        struck.len(),
        judged.faults.len()
    );
    match refused(judged.outcome) {
        Some(why) => (CellState::Refused, format!("{words}; {why}")),
        None => (CellState::Kept, words),
    }
}

/// Why the faults of the column say nothing of a topic that none of them struck.
fn untouched<'a>(own: impl Iterator<Item = &'a FaultSeen>, topic: &str) -> String {
    let own: Vec<&FaultSeen> = own.collect();
    let (planned, seen) = (own.len(), own.iter().filter(|fault| fault.seen).count());
    match seen {
        0 => format!("none of the {planned} planned faults of the column proved its effect"),
        _ => format!("{seen} of the {planned} faults of the column had an effect, none on {topic}"),
    }
}

/// What the contract of a row allows to happen to its records.
struct Allowed {
    /// The word for it.
    done: &'static str,
    because: String,
    is_seen: bool,
    /// Whether the plan of the cell is built to show it.
    is_shown: bool,
}

/// Whether records may be lost, and whether some were.
fn allowed_loss(judged: Judged<'_>) -> Option<Allowed> {
    let verdict = &judged.outcome.verdict;
    let is_seen = verdict.shows_loss() || count(verdict, &[Kind::GroupLost]) > 0;
    Some(Allowed {
        done: "lost",
        because: leave(verdict, &[Kind::LostWrite, Kind::GroupLost])?,
        is_seen,
        is_shown: shows(judged, matrix::control::shows_loss),
    })
}

/// Whether a group may process records twice, and whether it did.
fn allowed_repetition(judged: Judged<'_>) -> Option<Allowed> {
    let verdict = &judged.outcome.verdict;
    Some(Allowed {
        done: "repeated",
        because: leave(verdict, &[Kind::GroupDuplicate])?,
        is_seen: count(verdict, &[Kind::GroupDuplicate]) > 0,
        is_shown: shows(judged, matrix::control::shows_repetition),
    })
}

/// Why one of these may happen, if one may.
fn leave(verdict: &Verdict, kinds: &[Kind]) -> Option<String> {
    let checks = verdict.checks.iter();
    let mut may = checks.filter(|check| kinds.contains(&check.anomaly) && !check.promise.forbidden);
    may.next().map(|check| check.promise.because.clone())
}

fn shows(judged: Judged<'_>, is_control: fn(&str, Row) -> bool) -> bool {
    let row = judged.outcome.row.parse();
    row.is_ok_and(|row| is_control(judged.column, row))
}

/// That sends were refused, if they had to be: acks=all with no replica to spare, so that a promise
/// is kept by refusing.
fn refused(outcome: &RowOutcome) -> Option<String> {
    let settings = &outcome.verdict.settings;
    let (copies, least) = (settings.replication_factor, settings.min_insync_replicas);
    let has_none_to_spare = settings.acks == Acks::All && copies > 1 && least >= copies;
    (has_none_to_spare && outcome.refused > 0).then(|| {
        let refused = outcome.refused;
        format!("{refused} sends refused while not all {copies} replicas were in sync")
    })
}

/// What was broken of a class, in words.
fn broken(verdict: &Verdict, class: Class) -> Option<String> {
    let checks = verdict.checks.iter();
    let broken = checks.filter(|check| check.is_broken() && check.class == class);
    let words: Vec<String> = broken
        .map(|check| {
            format!(
                "{} {} ({})",
                check.count,
                check.anomaly.name(),
                check.promise.because
            )
        })
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}

fn count(verdict: &Verdict, kinds: &[Kind]) -> u64 {
    let checks = verdict.checks.iter();
    let counted = checks.filter(|check| kinds.contains(&check.anomaly));
    counted.map(|check| check.count).sum()
}

#[cfg(test)]
#[path = "cell_test.rs"]
mod cell_test;
