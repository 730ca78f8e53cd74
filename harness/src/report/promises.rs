//! The promises, one row for each anomaly that was looked for.

use checkers::verdict::{Check, Verdict};

use crate::report::words::thousands;

/// One anomaly and what came of looking for it.
pub(super) struct Row {
    pub(super) mark: &'static str,
    pub(super) state: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) count: String,
    pub(super) because: String,
}

/// The rows of the table.
pub(super) fn rows(verdict: &Verdict) -> Vec<Row> {
    let nothing_ran = verdict.nothing_ran();
    let row = |check: &Check| {
        let (mark, state) = match (&check.problem, check.promise.forbidden, check.count) {
            (Some(_), _, _) => ("?", "not decided"),
            (None, true, 0) if nothing_ran => ("–", "not tested"),
            (None, true, 0) => ("✓", "kept"),
            (None, true, _) => ("✗", "broken"),
            (None, false, 0) => ("–", "allowed, not seen"),
            (None, false, _) => ("–", "allowed, seen"),
        };
        Row {
            mark,
            state,
            name: check.anomaly.name(),
            description: check.anomaly.description(),
            count: thousands(check.count),
            because: check
                .problem
                .clone()
                .unwrap_or_else(|| check.promise.because.clone()),
        }
    };
    verdict.checks.iter().map(row).collect()
}
