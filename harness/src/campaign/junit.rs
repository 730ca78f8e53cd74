//! A campaign as JUnit XML, for dashboards that know nothing of promises.
//!
//! In: what is stored and what it adds up to. Out: the text of `junit.xml`.
//! Invariant: a suite for each row with a case for each column, one for each other kind of unit and
//! one for what was found. Whatever could have been run is there: only what held while it was put
//! to the test is a success, and what was not put to it is skipped with the reason.
//! Source: reference/faults.md §4.7.

use std::collections::BTreeMap;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::campaign::canary::CANARIES;
use crate::campaign::directory::{Campaign, Stored};
use crate::campaign::outcome::{Canary, Outcome};
use crate::campaign::record::{CellState, RunRecord, UnitKind};
use crate::campaign::signature::Signature;
use crate::campaign::tally::Tally;
use crate::campaign::{found, summary_md};
use crate::cli::exit::Exit;
use crate::matrix::{COLUMNS, Row};
use crate::plan::profile::PROFILES;
use crate::plan::script::named::SCRIPTS;

/// The text of `junit.xml`.
pub fn text(stored: &Stored, outcome: &Outcome) -> String {
    let campaign = &stored.campaign;
    let mut report = Report::new("verdict");
    for row in Row::all() {
        let row = row.to_string();
        let mut suite = TestSuite::new(row.as_str());
        suite.add_property(("seed", campaign.base_seed.to_string().as_str()));
        suite.add_property(("binary", campaign.binary.as_str()));
        for column in COLUMNS.iter().map(|column| column.name) {
            let cell = outcome.cells.get(&(row.clone(), column.to_owned()));
            suite.add_test_case(match cell {
                Some(cell) => cell_case(&row, column, cell),
                None => case(&row, column, skipped(unrun(campaign, &row, column))),
            });
        }
        report.add_test_suite(suite);
    }
    if campaign.command == "campaign" {
        let profiles = PROFILES.iter().map(|profile| profile.name);
        let scripts = SCRIPTS.iter().map(|script| script.name);
        report.add_test_suite(kind_suite(UnitKind::Swarm, profiles, &stored.records));
        report.add_test_suite(kind_suite(UnitKind::Script, scripts, &stored.records));
        report.add_test_suite(canary_suite(campaign, outcome));
    }
    report.add_test_suites(findings_suite(stored));
    report
        .to_string()
        .expect("invariant: a report of plain text is XML")
}

/// Why nothing is known of a cell.
fn unrun(campaign: &Campaign, row: &str, column: &str) -> &'static str {
    let is_wanted = campaign.rows.iter().any(|wanted| wanted == row)
        && campaign.columns.iter().any(|wanted| wanted == column);
    if is_wanted {
        "not run yet"
    } else {
        "not asked for: --rows and --columns leave it out"
    }
}

fn cell_case(row: &str, column: &str, cell: &Tally) -> TestCase {
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

/// The suite of a kind, with a case for each of `names`.
fn kind_suite(
    kind: UnitKind,
    names: impl Iterator<Item = &'static str>,
    records: &[RunRecord],
) -> TestSuite {
    let mut by_name: BTreeMap<&str, Vec<&RunRecord>> = BTreeMap::new();
    by_name.extend(names.map(|name| (name, Vec::new())));
    for record in records.iter().filter(|record| record.kind == kind) {
        by_name.entry(&record.name).or_default().push(record);
    }
    let mut suite = TestSuite::new(kind.word());
    for (name, records) in by_name {
        suite.add_test_case(match records.is_empty() {
            true => case(kind.word(), name, skipped("not run yet")),
            false => runs_case(kind, name, records),
        });
    }
    suite
}

/// What decides is the worst run; of equal ones that of the least id.
fn runs_case(kind: UnitKind, name: &str, mut records: Vec<&RunRecord>) -> TestCase {
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
    case
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

/// A case for each planted bug that there is, and for each other that was tried.
fn canary_suite(campaign: &Campaign, outcome: &Outcome) -> TestSuite {
    let mut suite = TestSuite::new(UnitKind::Canary.word());
    let mut canaries: BTreeMap<&str, Canary> = BTreeMap::new();
    canaries.extend(
        CANARIES
            .iter()
            .map(|known| (known.bug.name(), Canary::default())),
    );
    canaries.extend(
        outcome
            .canaries
            .iter()
            .map(|(name, canary)| (name.as_str(), *canary)),
    );
    for (name, canary) in canaries {
        let tries = format!("{} runs, none found it", canary.tries);
        let status = if canary.caught > 0 {
            TestCaseStatus::success()
        } else if canary.is_missed() {
            non_success(NonSuccessKind::Failure, "missed", &tries)
        } else if !campaign.has_sabotage {
            skipped(summary_md::NO_SABOTAGE)
        } else if canary.tries == 0 {
            skipped("no run of it came to a verdict yet")
        } else {
            skipped(&format!("{tries} yet"))
        };
        let mut case = case(UnitKind::Canary.word(), name, status);
        case.add_property(("runs", canary.tries.to_string().as_str()));
        case.add_property(("caught", canary.caught.to_string().as_str()));
        suite.add_test_case(case);
    }
    suite
}

/// A failure for each signature, with what it takes to see it again; nothing if there is none.
fn findings_suite(stored: &Stored) -> Option<TestSuite> {
    let findings = found::findings(stored);
    let mut suite = TestSuite::new("findings");
    for found in &findings {
        let Signature { id, anomaly, .. } = found.signature;
        let (command, rate) = (found.first.command(), found.rate());
        let message = format!("{rate}; {}; {command}", found.what());
        let status = non_success(NonSuccessKind::Failure, anomaly, &message);
        suite.add_test_case(case("findings", id, status));
    }
    (!findings.is_empty()).then_some(suite)
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
    use crate::campaign::canary::TRIES;
    use crate::campaign::cell::unjudged;
    use crate::campaign::fixture::{self, record, signature};
    use crate::campaign::outcome::outcome;

    fn cases(report: &Report, suite: &str) -> Vec<(String, TestCaseStatus)> {
        let mut suites = report.test_suites.iter();
        let suite = suites.find(|found| found.name.as_str() == suite);
        let cases = suite.into_iter().flat_map(|suite| &suite.test_cases);
        cases
            .map(|case| (case.name.to_string(), case.status.clone()))
            .collect()
    }

    fn read(stored: &Stored) -> (String, Report) {
        let text = text(stored, &outcome(stored));
        let report = Report::deserialize_from_str(&text).expect("well-formed");
        (text, report)
    }

    fn is_skipped(status: &TestCaseStatus) -> bool {
        matches!(status, TestCaseStatus::Skipped { .. })
    }

    fn is_success(status: &TestCaseStatus) -> bool {
        matches!(status, TestCaseStatus::Success { .. })
    }

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
        let stored = fixture::stored(vec![run]);
        let (text, report) = read(&stored);
        let rows = Row::all().len();
        assert_eq!(report.test_suites.len(), rows, "matrix plays nothing else");
        assert_eq!(report.tests, rows * COLUMNS.len());
        assert_eq!((report.failures, report.errors), (2, 2), "{text}");
        let all = report
            .test_suites
            .iter()
            .flat_map(|suite| &suite.test_cases);
        let kept = all.filter(|case| is_success(&case.status));
        assert_eq!(kept.count(), 3, "three states");
        assert!(text.contains("lost &lt;3&gt; &amp;"), "{text}");
    }

    #[test]
    fn what_was_left_out_or_not_exercised_is_skipped_and_a_break_there_is_a_failure() {
        let mut run = record(1, Exit::Broken);
        let mut stored = fixture::stored(Vec::new());
        let campaign = &mut stored.campaign;
        let (one, other) = (campaign.rows[0].clone(), campaign.rows[1].clone());
        campaign.rows = vec![one.clone()];
        campaign.columns = vec!["none".to_owned(), "leader-kill".to_owned()];
        run.cells = vec![unjudged(&other, "leader-kill", CellState::Broken, "lost 3")];
        stored.records = vec![run];
        let (text, report) = read(&stored);
        assert_eq!(report.tests, Row::all().len() * COLUMNS.len());
        assert_eq!(
            report.failures, 1,
            "the pack covers a row that was not asked for"
        );
        assert!(
            cases(&report, &one)
                .iter()
                .all(|(_, status)| is_skipped(status))
        );
        for words in [
            "not run yet",
            "not asked for: --rows and --columns leave it out",
        ] {
            assert!(text.contains(words), "{words}");
        }
    }

    #[test]
    fn every_kind_canary_and_finding_is_a_case_of_its_own() {
        let mut records = vec![record(2, Exit::Kept), record(3, Exit::Broken)];
        records[1].findings = vec![signature("0123456789ab")];
        let bug = CANARIES[0].bug.name();
        records.extend((0..TRIES).map(|number| RunRecord {
            kind: UnitKind::Canary,
            name: bug.to_owned(),
            caught: Some(false),
            ..record(10 + number, Exit::Kept)
        }));
        let mut stored = fixture::stored(records);
        stored.campaign.command = "campaign".to_owned();
        stored.campaign.has_sabotage = true;
        let (text, report) = read(&stored);
        let swarm = cases(&report, "swarm");
        assert_eq!(swarm.len(), PROFILES.len());
        let idle = swarm
            .iter()
            .filter(|(_, status)| is_skipped(status))
            .count();
        assert_eq!(idle, PROFILES.len() - 1);
        let scripts = cases(&report, "script");
        assert_eq!(scripts.len(), SCRIPTS.len());
        assert!(scripts.iter().all(|(_, status)| is_skipped(status)));
        let canaries = cases(&report, "canary");
        assert_eq!(canaries.len(), CANARIES.len());
        for (name, status) in &canaries {
            assert_eq!(is_skipped(status), name != bug, "{name}");
            assert!(!is_success(status), "{name}");
        }
        let found = cases(&report, "findings");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(text.contains("verdict run --swarm --seed 3"), "{text}");
        assert_eq!(report.failures, 3, "a profile, a canary, a finding");
        stored.campaign.has_sabotage = false;
        assert!(read(&stored).0.contains("CANARIES NOT EXERCISED"));
    }
}
