//! Every state of a cell, and what must not hide it.

use std::collections::BTreeSet;

use checkers::contract::Promise;
use checkers::history::Settings;
use checkers::verdict::{Check, Counts};

use super::*;

fn check(anomaly: Kind, forbidden: bool, count: u64) -> Check {
    Check {
        anomaly,
        class: anomaly.class(),
        promise: Promise {
            forbidden,
            because: "the contract says so".to_owned(),
        },
        count,
        problem: None,
        examples: Vec::new(),
    }
}

fn outcome(checks: Vec<Check>) -> RowOutcome {
    let counts = Counts {
        acknowledged: 100,
        ..Counts::default()
    };
    RowOutcome {
        row: "acks=all rf=3 min.isr=2 flush=never".to_owned(),
        topic: "t".to_owned(),
        verdict: Verdict {
            validity: Validity::Valid,
            sentence: "the sentence".to_owned(),
            reasons: Vec::new(),
            settings: Settings::default(),
            faults: BTreeSet::new(),
            counts,
            checks,
            available_after_heal: None,
            silenced: None,
        },
        liveness: Liveness::Recovered { after_ms: 1 },
        refused: 0,
        struck: Vec::new(),
        unavailable_ms: 0,
    }
}

/// The same row, struck by every fault that was seen.
fn struck_by(faults: &[FaultSeen], outcome: &RowOutcome) -> RowOutcome {
    let seen = faults.iter().filter(|fault| fault.seen);
    RowOutcome {
        struck: seen.map(|fault| fault.name.clone()).collect(),
        ..outcome.clone()
    }
}

fn stuck() -> Liveness {
    Liveness::NotRecovered {
        reason: "n2 is missing".to_owned(),
    }
}

/// The state under `leader-kill`, whose one fault was seen.
fn state_of(outcome: &RowOutcome) -> CellState {
    state_under("leader-kill", &[true], None, outcome)
}

fn state_under(
    column: &str,
    seen: &[bool],
    death: Option<&str>,
    outcome: &RowOutcome,
) -> CellState {
    let fault = |&seen: &bool| FaultSeen {
        name: "kill".to_owned(),
        seen,
    };
    let faults: Vec<FaultSeen> = seen.iter().map(fault).collect();
    let outcome = struck_by(&faults, outcome);
    let cell = judged(Judged {
        column,
        outcome: &outcome,
        faults: &faults,
        death,
    });
    assert!(!cell.because.is_empty());
    cell.state
}

#[test]
fn what_the_contract_says_of_losses_decides_between_kept_and_the_allowed_states() {
    for (forbidden, lost, wanted) in [
        (true, 0, CellState::Kept),
        (true, 1, CellState::Broken),
        (false, 0, CellState::AllowedNotSeen),
        (false, 3, CellState::AllowedSeen),
    ] {
        for kind in [Kind::LostWrite, Kind::GroupLost] {
            let mut outcome = outcome(vec![check(kind, forbidden, lost)]);
            outcome.row = "acks=1 rf=3 min.isr=2 flush=never".to_owned();
            assert_eq!(state_of(&outcome), wanted, "{kind:?} {forbidden} {lost}");
        }
    }
    let shown_otherwise = outcome(vec![
        check(Kind::LostWrite, false, 0),
        check(Kind::InconsistentOffsets, false, 2),
    ]);
    assert_eq!(state_of(&shown_otherwise), CellState::AllowedSeen);
}

#[test]
fn faults_without_effect_prove_nothing_and_the_control_needs_none() {
    let kept = outcome(vec![check(Kind::LostWrite, true, 0)]);
    for (column, seen, wanted) in [
        ("leader-kill", &[false, false][..], CellState::NotExercised),
        ("leader-kill", &[false, true], CellState::Kept),
        ("leader-kill", &[], CellState::NotExercised),
        ("none", &[], CellState::Kept),
    ] {
        assert_eq!(
            state_under(column, seen, None, &kept),
            wanted,
            "{column} {seen:?}"
        );
    }
    let may_lose = outcome(vec![check(Kind::LostWrite, false, 0)]);
    let state = state_under("none", &[], None, &may_lose);
    assert_eq!(
        state,
        CellState::Kept,
        "without a fault nobody expects a loss"
    );
}

#[test]
fn a_loss_that_nothing_makes_is_allowed_and_no_vacuous_control() {
    let may_lose = outcome(vec![check(Kind::LostWrite, false, 0)]);
    assert_eq!(state_of(&may_lose), CellState::Kept, "acks=all");
    let control = RowOutcome {
        row: "acks=0 rf=3 min.isr=2 flush=never".to_owned(),
        ..may_lose
    };
    assert_eq!(state_of(&control), CellState::AllowedNotSeen);
}

#[test]
fn a_fault_that_struck_others_says_nothing_of_the_row() {
    let kept = outcome(vec![check(Kind::LostWrite, true, 0)]);
    let faults = [FaultSeen {
        name: "client-kill".to_owned(),
        seen: true,
    }];
    for (struck, wanted) in [
        (vec![], CellState::NotExercised),
        (vec!["client-kill".to_owned()], CellState::Kept),
    ] {
        let cell = judged(Judged {
            column: "client-kill",
            outcome: &RowOutcome {
                struck,
                ..kept.clone()
            },
            faults: &faults,
            death: None,
        });
        assert_eq!(cell.state, wanted, "{}", cell.because);
    }
}

#[test]
fn a_control_of_repetitions_that_repeats_nothing_has_shown_nothing() {
    let of = |column: &str, mode: &str, lost: u64, repeated: u64| {
        let may_lose = mode == "mode=auto-handoff";
        let mut row = outcome(vec![
            check(Kind::GroupLost, !may_lose, lost),
            check(Kind::GroupDuplicate, false, repeated),
        ]);
        row.row = mode.to_owned();
        let faults = ["client-leave", "client-kill", "kill"].map(|name| FaultSeen {
            name: name.to_owned(),
            seen: true,
        });
        let cell = judged(Judged {
            column,
            outcome: &struck_by(&faults, &row),
            faults: &faults,
            death: None,
        });
        (cell.state, cell.because)
    };
    let (state, because) = of("client-kill", "mode=sync-after", 0, 0);
    assert_eq!(state, CellState::AllowedNotSeen);
    assert!(
        because.starts_with("nothing was repeated, although"),
        "{because}"
    );
    let (state, because) = of("client-kill", "mode=sync-after", 0, 3);
    assert_eq!(state, CellState::AllowedSeen);
    assert!(because.starts_with("repeated, as is allowed"), "{because}");
    for (column, mode, lost, repeated, wanted) in [
        ("coordinator-kill", "mode=sync-after", 0, 0, CellState::Kept),
        (
            "group-churn",
            "mode=auto-handoff",
            1,
            0,
            CellState::AllowedNotSeen,
        ),
        (
            "group-churn",
            "mode=auto-handoff",
            0,
            1,
            CellState::AllowedNotSeen,
        ),
        (
            "group-churn",
            "mode=auto-handoff",
            1,
            1,
            CellState::AllowedSeen,
        ),
        (
            "coordinator-kill",
            "mode=auto-in-loop",
            0,
            1,
            CellState::AllowedSeen,
        ),
    ] {
        assert_eq!(
            of(column, mode, lost, repeated).0,
            wanted,
            "{column} {mode}"
        );
    }
}

#[test]
fn a_fault_that_only_helps_does_not_exercise_the_column() {
    let kept = outcome(vec![check(Kind::LostWrite, true, 0)]);
    let fault = |name: &str, seen| FaultSeen {
        name: name.to_owned(),
        seen,
    };
    for (column, kill_seen, wanted) in [
        ("leader-kill", false, CellState::NotExercised),
        ("leader-kill", true, CellState::Kept),
        ("partition", false, CellState::Kept),
        ("a profile", false, CellState::Kept),
    ] {
        let faults = [fault("partition", true), fault("kill", kill_seen)];
        let cell = judged(Judged {
            column,
            outcome: &struck_by(&faults, &kept),
            faults: &faults,
            death: None,
        });
        assert_eq!(cell.state, wanted, "{column} {kill_seen}");
    }
}

#[test]
fn a_violation_outranks_everything_around_it() {
    let mut bad = outcome(vec![
        check(Kind::Phantom, true, 1),
        check(Kind::Unavailable, true, 1),
    ]);
    bad.liveness = stuck();
    bad.verdict.validity = Validity::Inconclusive;
    assert_eq!(state_of(&bad), CellState::Broken);
    assert_eq!(
        state_under("leader-kill", &[false], None, &bad),
        CellState::Broken
    );
    let kept = outcome(vec![check(Kind::LostWrite, true, 0)]);
    let died = state_under("leader-kill", &[true], Some("n1 ended with 1"), &kept);
    assert_eq!(died, CellState::Broken);
}

#[test]
fn silence_after_healing_is_unavailable_unless_the_contract_allows_it() {
    let mut silent = outcome(vec![check(Kind::LostWrite, true, 0)]);
    silent.liveness = stuck();
    assert_eq!(state_of(&silent), CellState::Unavailable);
    silent.verdict.available_after_heal = Some(Promise {
        forbidden: false,
        because: "the only copy is gone".to_owned(),
    });
    assert_eq!(state_of(&silent), CellState::Kept);
    let late = outcome(vec![check(Kind::Unavailable, true, 1)]);
    assert_eq!(state_of(&late), CellState::Unavailable);
    let mut cut_short = outcome(Vec::new());
    cut_short.liveness = Liveness::NotReached {
        reason: "interrupted".to_owned(),
    };
    assert_eq!(state_of(&cut_short), CellState::Inconclusive);
}

#[test]
fn a_promise_that_is_kept_by_refusing_is_told_apart_where_no_replica_is_to_spare() {
    let mut row = outcome(vec![check(Kind::LostWrite, true, 0)]);
    row.verdict.settings.acks = Acks::All;
    row.refused = 50;
    for (copies, least, wanted) in [
        (3, 3, CellState::Refused),
        (2, 3, CellState::Refused),
        (3, 2, CellState::Kept),
        (1, 1, CellState::Kept),
    ] {
        row.verdict.settings.replication_factor = copies;
        row.verdict.settings.min_insync_replicas = least;
        assert_eq!(state_of(&row), wanted, "{copies} {least}");
    }
    row.verdict.settings.min_insync_replicas = 3;
    row.verdict.settings.replication_factor = 3;
    row.refused = 0;
    assert_eq!(state_of(&row), CellState::Kept, "nothing was refused");
    row.refused = 1;
    row.verdict.settings.acks = Acks::One;
    assert_eq!(
        state_of(&row),
        CellState::Kept,
        "acks=1 asks for no replicas"
    );
    row.verdict.settings.acks = Acks::All;
    row.liveness = stuck();
    assert_eq!(
        state_of(&row),
        CellState::Unavailable,
        "healed, it must serve again"
    );
}

#[test]
fn the_counts_are_those_of_the_checks() {
    let mut row = outcome(vec![
        check(Kind::LostWrite, false, 3),
        check(Kind::GroupDuplicate, false, 4),
        check(Kind::Duplicate, false, 1),
        check(Kind::NonmonotonicPoll, false, 2),
    ]);
    row.refused = 7;
    row.unavailable_ms = 900;
    let cell = judged(Judged {
        column: "pause",
        outcome: &row,
        faults: &[],
        death: None,
    });
    let counts = (
        cell.lost,
        cell.duplicated,
        cell.reordered,
        cell.refused,
        cell.unavailable_ms,
    );
    assert_eq!(counts, (3, 5, 2, 7, 900));
}
