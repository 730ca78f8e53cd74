//! Every checker: what it looked for, what it examined, what it found, and by which promise.
//!
//! In: the verdict. Out: a row for each anomaly, and a sentence on linearizability.
//! Invariant: a checker that did not finish is said to have decided nothing.

use checkers::anomaly::Kind;
use checkers::verdict::{Check, Verdict};

use crate::report::examined::examined;
use crate::report::words::{count, shortened, thousands};

/// One anomaly and what came of looking for it.
pub(super) struct Row {
    pub(super) mark: &'static str,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) examined: String,
    pub(super) count: String,
    pub(super) because: String,
}

/// A sign that needs no colour, a word, and the tone of one check.
pub(super) fn state(
    check: &Check,
    nothing_ran: bool,
) -> (&'static str, &'static str, &'static str) {
    match (&check.problem, check.promise.forbidden, check.count) {
        (Some(_), _, _) => ("?", "not decided", "open"),
        (None, true, 0) if nothing_ran => ("∅", "not tested", "open"),
        (None, true, 0) => ("✓", "kept", "kept"),
        (None, true, _) => ("✗", "broken", "broken"),
        (None, false, 0) => ("○", "allowed, not seen", "weak"),
        (None, false, _) => ("◐", "allowed, seen", "open"),
    }
}

/// The rows of the table.
pub(super) fn rows(verdict: &Verdict) -> Vec<Row> {
    let nothing_ran = verdict.nothing_ran();
    let row = |check: &Check| {
        let (mark, state, tone) = state(check, nothing_ran);
        let because = check.problem.as_ref().unwrap_or(&check.promise.because);
        Row {
            mark,
            state,
            tone,
            name: check.anomaly.name(),
            description: check.anomaly.description(),
            examined: examined(check.anomaly, &verdict.counts),
            count: thousands(check.count),
            because: shortened(because, 400),
        }
    };
    verdict.checks.iter().map(row).collect()
}

/// Whether each partition's log, and the committed offsets, behave as one copy that changes at
/// one moment between the begin and the end of each operation.
pub(super) fn linearizability(verdict: &Verdict) -> Vec<String> {
    let sentence = |check: &Check| {
        let what = match check.anomaly {
            Kind::Nonlinearizable => "The log of every partition",
            Kind::NonlinearizableCommit => "The committed offset of every partition",
            _ => return None,
        };
        let examined = examined(check.anomaly, &verdict.counts);
        Some(match (&check.problem, check.count) {
            (Some(problem), _) => format!(
                "{what}: not decided whether it is linearizable, {}.",
                shortened(problem, 300)
            ),
            (None, 0) if verdict.nothing_ran() => format!("{what}: nothing ran."),
            (None, 0) => format!("{what} is linearizable: {examined}."),
            (None, found) => format!(
                "{what} is not linearizable: {} among {examined}.",
                count(found, "contradiction")
            ),
        })
    };
    verdict.checks.iter().filter_map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use checkers::contract::Contract;
    use checkers::history::History;

    fn verdict(history: &str) -> Verdict {
        let history = History::read(history.as_bytes()).expect("a history");
        checkers::check(&history, &Contract::of(&history))
    }

    #[test]
    fn a_checker_says_what_it_examined_and_one_that_failed_decides_nothing() {
        let mut verdict = verdict(include_str!(
            "../../../checkers/testdata/nonlinearizable/minimal.jsonl"
        ));
        let rows_of = |verdict: &Verdict| {
            let rows = rows(verdict).into_iter();
            let mut found = rows.filter(|row| row.name == "nonlinearizable");
            found.next().expect("a row")
        };
        let row = rows_of(&verdict);
        assert_eq!((row.mark, row.state), ("✗", "broken"));
        assert!(row.examined.contains("acknowledged"), "{}", row.examined);
        let said = linearizability(&verdict);
        assert!(said[0].contains("is not linearizable: "), "{said:?}");
        for check in &mut verdict.checks {
            check.problem = Some("it panicked".to_owned());
        }
        let row = rows_of(&verdict);
        assert_eq!((row.mark, &*row.because), ("?", "it panicked"));
        assert!(linearizability(&verdict)[0].contains("not decided"));
    }
}
