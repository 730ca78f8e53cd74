//! Every end of a campaign, and what must not hide it.

use super::*;
use crate::campaign::cell::unjudged;
use crate::campaign::fixture::{self, record};
use crate::campaign::record::CellResult;

fn exit_of(records: Vec<RunRecord>) -> Exit {
    let outcome = outcome(&fixture::stored(records));
    assert!(outcome.sentence.ends_with('.') && !outcome.sentence.contains('\n'));
    outcome.exit
}

fn cell(state: CellState) -> CellResult {
    unjudged("mode=sync-after", "none", state, "it is so")
}

#[test]
fn a_run_of_the_matrix_that_exercised_no_cell_is_no_success() {
    for (states, wanted) in [
        (
            &[CellState::NotExercised, CellState::NotExercised][..],
            Exit::Vacuous,
        ),
        (&[CellState::AllowedNotSeen], Exit::Vacuous),
        (&[], Exit::Vacuous),
        (&[CellState::NotExercised, CellState::Kept], Exit::Kept),
    ] {
        let run = RunRecord {
            kind: UnitKind::Matrix,
            name: "leader-kill".to_owned(),
            cells: states.iter().map(|state| cell(*state)).collect(),
            ..record(0, Exit::Kept)
        };
        assert_eq!(exit_of(vec![run]), wanted, "{states:?}");
    }
}

fn canary(number: u64, caught: bool) -> RunRecord {
    RunRecord {
        kind: UnitKind::Canary,
        name: "bug".to_owned(),
        caught: Some(caught),
        ..record(100 + number, Exit::Broken)
    }
}

#[test]
fn a_canary_whose_faults_had_no_effect_was_not_tried() {
    let ended = |exit: Exit| {
        let runs = (0..TRIES).map(|number| RunRecord {
            exit_code: exit.code(),
            ..canary(number, false)
        });
        let kept = record(99, Exit::Kept);
        exit_of(runs.chain([kept]).collect())
    };
    assert_eq!(ended(Exit::Kept), Exit::Vacuous, "it was missed");
    for exit in [Exit::Vacuous, Exit::Inconclusive, Exit::MachineCannot] {
        assert_eq!(ended(exit), Exit::Kept, "{exit:?}");
    }
}

#[test]
fn a_violation_outranks_everything_and_zero_effective_runs_are_no_success() {
    for (exits, wanted) in [
        (&[][..], Exit::Vacuous),
        (&[Exit::Vacuous, Exit::Vacuous], Exit::Vacuous),
        (&[Exit::MachineCannot], Exit::Vacuous),
        (&[Exit::HarnessFault], Exit::HarnessFault),
        (&[Exit::HarnessFault, Exit::Vacuous], Exit::HarnessFault),
        (&[Exit::Kept], Exit::Kept),
        (
            &[Exit::Kept, Exit::Vacuous, Exit::MachineCannot],
            Exit::Kept,
        ),
        (&[Exit::Kept, Exit::HarnessFault], Exit::HarnessFault),
        (
            &[Exit::Kept, Exit::HarnessFault, Exit::Inconclusive],
            Exit::Inconclusive,
        ),
        (
            &[Exit::Kept, Exit::HarnessFault, Exit::Unavailable],
            Exit::Unavailable,
        ),
        (
            &[
                Exit::HarnessFault,
                Exit::Unavailable,
                Exit::Broken,
                Exit::Kept,
            ],
            Exit::Broken,
        ),
    ] {
        let records = exits.iter().enumerate();
        let records = records.map(|(index, &exit)| record(index as u64, exit));
        assert_eq!(exit_of(records.collect()), wanted, "{exits:?}");
    }
}

#[test]
fn the_control_alone_is_no_success_if_there_were_runs_with_faults() {
    let control = RunRecord {
        kind: UnitKind::Matrix,
        name: "none".to_owned(),
        cells: vec![cell(CellState::Kept)],
        ..record(0, Exit::Kept)
    };
    assert_eq!(exit_of(vec![control.clone()]), Exit::Kept, "nothing else");
    let with = |exit| exit_of(vec![control.clone(), record(1, exit)]);
    assert_eq!(with(Exit::Vacuous), Exit::Vacuous);
    assert_eq!(with(Exit::MachineCannot), Exit::Vacuous);
    assert_eq!(with(Exit::Kept), Exit::Kept);
}

#[test]
fn a_planted_bug_that_nobody_finds_is_missed_and_one_that_is_found_is_no_violation() {
    let with = |canaries: Vec<RunRecord>| {
        exit_of(
            canaries
                .into_iter()
                .chain([record(0, Exit::Kept)])
                .collect(),
        )
    };
    assert_eq!(with(vec![canary(1, true)]), Exit::Kept);
    let missed = || (0..TRIES).map(|number| canary(number, false));
    assert_eq!(with(missed().collect()), Exit::Vacuous);
    assert_eq!(
        with(missed().skip(1).collect()),
        Exit::Kept,
        "one try is left"
    );
    assert_eq!(
        with(missed().chain([canary(9, true)]).collect()),
        Exit::Kept
    );
    let broken = record(1, Exit::Broken);
    assert_eq!(with(missed().chain([broken]).collect()), Exit::Broken);
    let only = exit_of(vec![canary(1, true)]);
    assert_eq!(only, Exit::Vacuous, "canaries say nothing about the broker");
}

#[test]
fn a_broken_cell_makes_a_broken_campaign_and_is_named() {
    let mut run = record(1, Exit::Kept);
    let cell = CellResult {
        row: "mode=sync-after".to_owned(),
        column: "leader-kill".to_owned(),
        ..unjudged("", "", CellState::Broken, "2 commit-lost")
    };
    run.cells = vec![cell];
    let outcome = outcome(&fixture::stored(vec![run]));
    assert_eq!(outcome.exit, Exit::Broken);
    let named = "Broken: 1 run, mode=sync-after under leader-kill: 2 commit-lost";
    assert!(outcome.sentence.starts_with(named), "{}", outcome.sentence);
    assert_eq!(outcome.counts.covered, 1);
}
