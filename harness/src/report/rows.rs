//! The rows of the matrix that one run covered: state, counts and sentence of each.
//!
//! In: the summary. Out: one row for each topic, with what was found in it.
//! Invariant: a row's state is that of its own topic by its own contract.

use checkers::verdict::{Validity, Verdict};

use crate::matrix::RowOutcome;
use crate::report::words::{millis, shortened, thousands};
use crate::run::summary::{Liveness, Summary};

/// One row.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) mark: &'static str,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) sentence: String,
    pub(super) numbers: [String; 5],
    pub(super) found: Vec<Found>,
}

/// One kind of anomaly that was found in a row.
pub(super) struct Found {
    pub(super) href: String,
    pub(super) text: String,
}

/// What the numbers of a row are.
pub(super) const NUMBERS: [&str; 5] = [
    "acknowledged",
    "refused",
    "in doubt",
    "read",
    "longest silence",
];

/// The rows; none for a run of one topic.
pub(super) fn rows(summary: &Summary) -> Vec<Row> {
    summary.rows.iter().map(row).collect()
}

fn row(outcome: &RowOutcome) -> Row {
    let (mark, state, tone) = state(outcome);
    let counts = &outcome.verdict.counts;
    Row {
        name: outcome.row.clone(),
        topic: outcome.topic.clone(),
        mark,
        state,
        tone,
        sentence: sentence(outcome),
        numbers: [
            thousands(counts.acknowledged),
            thousands(outcome.refused),
            thousands(counts.unknown),
            thousands(counts.read),
            millis(outcome.unavailable_ms),
        ],
        found: found(&outcome.verdict),
    }
}

fn state(outcome: &RowOutcome) -> (&'static str, &'static str, &'static str) {
    let verdict = &outcome.verdict;
    let seen = verdict.checks.iter().any(|check| check.count > 0);
    let may_lose = verdict.checks.iter().any(|check| {
        check.anomaly == checkers::anomaly::Kind::LostWrite && !check.promise.forbidden
    });
    match (verdict.validity, &outcome.liveness) {
        (Validity::Invalid, _) => ("✗", "broken", "broken"),
        (Validity::Valid, Liveness::NotRecovered { .. }) if verdict.may_stay_silent().is_none() => {
            ("✗", "unavailable", "broken")
        }
        (Validity::Valid, _) if seen => ("◐", "allowed, seen", "open"),
        (Validity::Valid, _) if may_lose => ("○", "allowed, not seen", "weak"),
        (Validity::Valid, _) => ("✓", "kept", "kept"),
        (Validity::Inconclusive, _) => ("?", "inconclusive", "open"),
        (Validity::HarnessError, _) => ("!", "harness failure", "open"),
    }
}

fn sentence(outcome: &RowOutcome) -> String {
    let said = shortened(&outcome.verdict.sentence, 300);
    match &outcome.liveness {
        Liveness::NotRecovered { reason } => {
            format!("{said} After healing: {}.", shortened(reason, 200))
        }
        Liveness::Recovered { .. } | Liveness::NotReached { .. } => said,
    }
}

fn found(verdict: &Verdict) -> Vec<Found> {
    let found = verdict.checks.iter().filter(|check| check.count > 0);
    let text = |check: &checkers::verdict::Check| {
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
