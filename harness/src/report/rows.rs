//! The rows of the matrix that one run covered: state, counts and sentence of each.
//!
//! In: the plan and the summary. Out: one row for each topic, with what was found in it.
//! Invariant: a row's state is that of its cell in a campaign, by the same rules.

use checkers::verdict::{Check, Verdict};

use crate::campaign::cell::{self, Judged};
use crate::campaign::record::{CellState, FaultSeen};
use crate::matrix::RowOutcome;
use crate::plan::Plan;
use crate::report::words::{seconds, shortened, thousands};
use crate::run::summary::{FaultSummary, Summary};

/// One row.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) mark: &'static str,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) because: String,
    pub(super) numbers: [String; 6],
    pub(super) found: Vec<Found>,
}

/// One kind of anomaly that was found in a row.
pub(super) struct Found {
    pub(super) href: String,
    pub(super) text: String,
}

/// What the numbers of a row are.
pub(super) const NUMBERS: [&str; 6] = [
    "acknowledged",
    "lost",
    "duplicated",
    "reordered",
    "refused",
    "longest silence",
];

/// The rows; none for a run of one topic, which the rest of the page is about.
pub(super) fn rows(plan: &Plan, summary: &Summary) -> Vec<Row> {
    if !has_several(summary) {
        return Vec::new();
    }
    let seen = |fault: &FaultSummary| FaultSeen {
        name: fault.name.clone(),
        seen: fault.was_seen(),
    };
    let faults: Vec<FaultSeen> = summary.faults.iter().map(seen).collect();
    let row = |outcome: &RowOutcome| {
        let judged = Judged {
            // The plans of the matrix are drawn from columns, and named after them.
            column: &plan.profile,
            outcome,
            faults: &faults,
            death: summary.deaths.first().map(String::as_str),
        };
        row(judged)
    };
    summary.rows.iter().map(row).collect()
}

/// Whether the run covered several rows, so that the page tells them apart.
pub(super) fn has_several(summary: &Summary) -> bool {
    summary.rows.len() > 1
}

fn row(judged: Judged<'_>) -> Row {
    let (outcome, cell) = (judged.outcome, cell::judged(judged));
    let (mark, tone) = look(cell.state);
    Row {
        name: outcome.row.clone(),
        topic: outcome.topic.clone(),
        mark,
        state: cell.state.words(),
        tone,
        because: shortened(&cell.because, 200),
        numbers: [
            thousands(outcome.verdict.counts.acknowledged),
            thousands(cell.lost),
            thousands(cell.duplicated),
            thousands(cell.reordered),
            thousands(cell.refused),
            seconds(cell.unavailable_ms * 1_000_000),
        ],
        found: found(&outcome.verdict),
    }
}

/// A sign that needs no colour, and the tone.
fn look(state: CellState) -> (&'static str, &'static str) {
    match state {
        CellState::Kept => ("✓", "kept"),
        CellState::AllowedSeen => ("◐", "open"),
        CellState::AllowedNotSeen => ("○", "weak"),
        CellState::Refused => ("⊘", "kept"),
        CellState::Unavailable | CellState::Broken => ("✗", "broken"),
        CellState::Inconclusive => ("?", "open"),
        CellState::NotExercised => ("∅", "weak"),
        CellState::InfrastructureError => ("!", "open"),
    }
}

fn found(verdict: &Verdict) -> Vec<Found> {
    let found = verdict.checks.iter().filter(|check| check.count > 0);
    let text = |check: &Check| {
        let judged = if check.is_broken() {
            "broken"
        } else {
            "allowed"
        };
        Found {
            href: format!("#{judged}-{}", check.anomaly.name()),
            text: format!("{} {}", check.count, check.anomaly.name()),
        }
    };
    found.map(text).collect()
}
