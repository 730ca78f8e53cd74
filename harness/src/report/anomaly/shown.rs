//! Which anomalies a page shows, and in which order: what evidence is gathered for.
//!
//! In: how a run ended. Out: its findings, those that break a promise first; of each a few
//! examples, over the whole page at most [`EXAMPLES_ON_PAGE_MAX`].
//! Invariant: a finding without an example on the page still has its line and its count.

use std::collections::BTreeMap;

use checkers::anomaly::Kind;
use checkers::verdict::{Anomaly, Check, Verdict};

use crate::report::rows::has_several;
use crate::run::summary::Summary;

/// Examples of a finding that breaks a promise.
const BROKEN_EXAMPLES_MAX: usize = 5;
/// Examples of one that is allowed.
const ALLOWED_EXAMPLES_MAX: usize = 3;
/// Examples over the whole page, so that the worst run has a page that opens.
const EXAMPLES_ON_PAGE_MAX: usize = 36;

/// One kind of anomaly that was found, judged one way.
#[derive(Debug)]
pub struct Finding<'a> {
    /// The kind.
    pub kind: Kind,
    /// Whether it breaks a promise.
    pub is_broken: bool,
    /// How often it was found.
    pub count: u64,
    /// Why it may or must not happen: the clause of the first row that has it.
    pub because: &'a str,
    /// The rows of the matrix in which it was found, with counts; none for a run of one topic.
    pub rows: Vec<(&'a str, u64)>,
    /// Those that are shown, each with its row if the run has rows.
    pub examples: Vec<(Option<&'a str>, &'a Anomaly)>,
}

/// The anomalies that the page of a run shows, in its order.
pub fn shown(summary: &Summary) -> Vec<&Anomaly> {
    let findings = findings(summary);
    let examples = findings.into_iter().flat_map(|finding| finding.examples);
    examples.map(|(_, anomaly)| anomaly).collect()
}

/// What was found in a row, and the row's name if there are several.
type OfRow<'a> = (Option<&'a str>, &'a Check);

/// What was found, broken promises first, each in the order of [`Kind::ALL`].
pub fn findings(summary: &Summary) -> Vec<Finding<'_>> {
    let mut grouped: BTreeMap<(bool, Kind), Vec<OfRow<'_>>> = BTreeMap::new();
    for (row, verdict) in judged(summary) {
        for check in verdict.checks.iter().filter(|check| check.count > 0) {
            let group = grouped.entry((!check.is_broken(), check.anomaly));
            group.or_default().push((row, check));
        }
    }
    let mut room = EXAMPLES_ON_PAGE_MAX;
    let mut findings = Vec::new();
    for ((is_allowed, kind), checks) in grouped {
        let max = if is_allowed {
            ALLOWED_EXAMPLES_MAX
        } else {
            BROKEN_EXAMPLES_MAX
        };
        let examples = in_turn(&checks, max.min(room));
        room -= examples.len();
        findings.push(Finding {
            kind,
            is_broken: !is_allowed,
            count: checks.iter().map(|(_, check)| check.count).sum(),
            because: checks
                .first()
                .map_or("", |(_, check)| &check.promise.because),
            rows: checks
                .iter()
                .filter_map(|(row, check)| Some(((*row)?, check.count)))
                .collect(),
            examples,
        });
    }
    findings
}

/// The verdicts that findings come from: those of the rows, or that of the whole run.
fn judged(summary: &Summary) -> Vec<(Option<&str>, &Verdict)> {
    if !has_several(summary) {
        return vec![(None, &summary.verdict)];
    }
    let rows = summary.rows.iter();
    rows.map(|row| (Some(&*row.row), &row.verdict)).collect()
}

/// The first example of each row, then the second of each, and so on.
fn in_turn<'a>(
    checks: &[(Option<&'a str>, &'a Check)],
    max: usize,
) -> Vec<(Option<&'a str>, &'a Anomaly)> {
    let longest = checks.iter().map(|(_, check)| check.examples.len()).max();
    let rounds = 0..longest.unwrap_or(0);
    let of_round = |round: usize| {
        let found = checks.iter();
        found.filter_map(move |(row, check)| Some((*row, check.examples.get(round)?)))
    };
    rounds.flat_map(of_round).take(max).collect()
}
