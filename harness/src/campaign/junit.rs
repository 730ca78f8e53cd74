//! A campaign as JUnit XML, for dashboards that know nothing of promises.
//!
//! In: what is stored and what it adds up to. Out: the text of `junit.xml`.
//! Invariant: a suite for each row with a case for each column, and one suite for each other kind
//! of unit; only what held while it was put to the test is a success.
//! Source: reference/faults.md §4.7.

use std::collections::BTreeMap;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::campaign::directory::Stored;
use crate::campaign::outcome::Outcome;
use crate::campaign::record::{CellState, RunRecord, UnitKind};
use crate::campaign::tally::Tally;
use crate::cli::exit::Exit;

/// The text of `junit.xml`.
pub fn text(stored: &Stored, outcome: &Outcome) -> String {
    let campaign = &stored.campaign;
    let mut report = Report::new("verdict");
    for row in &campaign.rows {
        let mut suite = TestSuite::new(row.as_str());
        suite.add_property(("seed", campaign.base_seed.to_string().as_str()));
        suite.add_property(("binary", campaign.binary.as_str()));
        for column in &campaign.columns {
            let cell = outcome.cells.get(&(row.clone(), column.clone()));
            suite.add_test_case(cell_case(row, column, cell));
        }
        report.add_test_suite(suite);
    }
    for kind in [UnitKind::Swarm, UnitKind::Script] {
        report.add_test_suites(kind_suite(kind, &stored.records));
    }
    report.add_test_suites(canary_suite(outcome));
    report
        .to_string()
        .expect("invariant: a report of plain text is XML")
}

fn cell_case(row: &str, column: &str, cell: Option<&Tally>) -> TestCase {
    let Some(cell) = cell else {
        return case(row, column, skipped("not run yet"));
    };
    let mut case = case(row, column, status(cell.state, &cell.because));
    for (name, value) in [
        ("runs", cell.runs),
        ("effective", cell.effective),
        ("broken", cell.broken),
        ("lost", cell.lost),
        ("duplicated", cell.duplicated),
        ("reordered", cell.reordered),
        ("refused", cell.refused),
        ("unavailable_ms", cell.unavailable_ms),
    ] {
        case.add_property((name, value.to_string().as_str()));
    }
    case
}

fn status(state: CellState, because: &str) -> TestCaseStatus {
    match state {
        CellState::Kept | CellState::AllowedSeen | CellState::Refused => TestCaseStatus::success(),
        CellState::Broken | CellState::Unavailable => {
            non_success(NonSuccessKind::Failure, state.words(), because)
        }
        CellState::Inconclusive | CellState::InfrastructureError => {
            non_success(NonSuccessKind::Error, state.words(), because)
        }
        CellState::AllowedNotSeen | CellState::NotExercised => {
            skipped(&format!("{}: {because}", state.words()))
        }
    }
}

/// The suite of a kind, with a case for each name; nothing if there was no such run.
fn kind_suite(kind: UnitKind, records: &[RunRecord]) -> Option<TestSuite> {
    let mut by_name: BTreeMap<&str, Vec<&RunRecord>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind == kind) {
        by_name.entry(&record.name).or_default().push(record);
    }
    let mut suite = TestSuite::new(kind.word());
    for (name, mut records) in by_name
        .iter()
        .map(|(name, records)| (name, records.clone()))
    {
        // What decides is the worst run; of equal ones that of the least id.
        records.sort_by(|a, b| a.unit.cmp(&b.unit));
        let exits = records
            .iter()
            .map(|r| Exit::from_code(i32::from(r.exit_code)));
        let effective = records
            .iter()
            .filter(|record| record.is_effective())
            .count();
        let worst = exits
            .filter(|exit| *exit != Exit::Vacuous)
            .reduce(Exit::worst);
        let worst = worst.unwrap_or(Exit::Vacuous);
        let words = records
            .iter()
            .find(|record| record.exit_code == worst.code());
        let words = words.map_or("", |record| record.sentence.as_str());
        let mut case = case(kind.word(), name, of_exit(worst, words));
        case.add_property(("runs", records.len().to_string().as_str()));
        case.add_property(("effective", effective.to_string().as_str()));
        suite.add_test_case(case);
    }
    (!by_name.is_empty()).then_some(suite)
}

fn of_exit(exit: Exit, words: &str) -> TestCaseStatus {
    match exit {
        Exit::Kept => TestCaseStatus::success(),
        Exit::Broken | Exit::Unavailable => {
            non_success(NonSuccessKind::Failure, exit.word(), words)
        }
        Exit::Vacuous | Exit::MachineCannot => skipped(words),
        _ => non_success(NonSuccessKind::Error, exit.word(), words),
    }
}

fn canary_suite(outcome: &Outcome) -> Option<TestSuite> {
    let mut suite = TestSuite::new(UnitKind::Canary.word());
    for (name, canary) in &outcome.canaries {
        let tries = format!("{} runs, none found it", canary.tries);
        let status = if canary.caught > 0 {
            TestCaseStatus::success()
        } else if canary.is_missed() {
            non_success(NonSuccessKind::Failure, "missed", &tries)
        } else {
            skipped(&format!("{tries} yet"))
        };
        let mut case = case(UnitKind::Canary.word(), name, status);
        case.add_property(("runs", canary.tries.to_string().as_str()));
        case.add_property(("caught", canary.caught.to_string().as_str()));
        suite.add_test_case(case);
    }
    (!outcome.canaries.is_empty()).then_some(suite)
}

fn case(suite: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(suite);
    case
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}

fn non_success(kind: NonSuccessKind, what: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(what).set_message(message);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::cell::unjudged;
    use crate::campaign::fixture::{self, record};
    use crate::campaign::outcome::outcome;

    #[test]
    fn a_suite_for_each_row_a_case_for_each_column_and_only_what_held_is_a_success() {
        let mut run = record(1, Exit::Broken);
        run.kind = UnitKind::Matrix;
        run.name = "leader-kill".to_owned();
        let states = CellState::ALL.iter().zip(fixture::campaign().rows);
        let cell = |(state, row): (&CellState, String)| {
            unjudged(&row, "leader-kill", *state, "lost <3> & \"more\"\u{1b}[0m")
        };
        run.cells = states.map(cell).collect();
        let mut canary = record(3, Exit::Kept);
        canary.kind = UnitKind::Canary;
        canary.caught = Some(false);
        let stored = fixture::stored(vec![run, record(2, Exit::Kept), canary]);
        let text = text(&stored, &outcome(&stored));
        let report = Report::deserialize_from_str(&text).expect("well-formed");
        let rows = stored.campaign.rows.len();
        assert_eq!(report.test_suites.len(), rows + 2, "a swarm and a canary");
        assert_eq!(report.tests, rows * stored.campaign.columns.len() + 2);
        assert_eq!((report.failures, report.errors), (2, 2), "{text}");
        let kept = report
            .test_suites
            .iter()
            .flat_map(|suite| &suite.test_cases);
        let kept = kept.filter(|case| matches!(case.status, TestCaseStatus::Success { .. }));
        assert_eq!(kept.count(), 4, "three states, and the swarm");
        assert!(text.contains("lost &lt;3&gt; &amp;"), "{text}");
    }
}
