//! From the end of a unit's run to its line in `runs.jsonl`.
//!
//! In: the unit and how its process ended. Out: the record.
//! Invariant: every run that was begun and not interrupted has a record; one that left no verdict
//! is an infrastructure error with the words of whoever knows why.

use crate::campaign::canary;
use crate::campaign::cell::{self, Judged};
use crate::campaign::execute::{Ending, Ran};
use crate::campaign::record::{CellResult, CellState, FaultSeen, RunRecord, UnitKind};
use crate::campaign::signature::signatures;
use crate::campaign::unit::Unit;
use crate::cli::exit::Exit;
use crate::matrix::{Pack, RowOutcome};
use crate::run::summary::Summary;

/// The record of a run; nothing if it was interrupted and found nothing.
pub fn record(unit: &Unit, ran: &Ran, binary: &str) -> Option<RunRecord> {
    let mut record = RunRecord {
        unit: unit.id.clone(),
        kind: unit.kind,
        name: unit.name.clone(),
        pack: unit.pack.map(|pack| pack.to_string()),
        seed: unit.plan.seed,
        started: ran.started.clone(),
        duration_ms: ran.duration_ms,
        exit_code: Exit::HarnessFault.code(),
        sentence: String::new(),
        faults: Vec::new(),
        cells: Vec::new(),
        reached: Vec::new(),
        findings: Vec::new(),
        caught: None,
        replay_of: None,
        kept: None,
        binary: binary.to_owned(),
    };
    match &ran.ending {
        Ending::Interrupted => return None,
        Ending::Finished { summary, reached } => {
            finish(&mut record, unit, summary);
            if unit.kind == UnitKind::Canary {
                let canary = canary::find(&unit.name);
                record.caught = Some(canary.is_some_and(|canary| canary.is_caught(summary)));
            }
            record.reached.clone_from(reached);
        }
        Ending::MachineCannot { why } => {
            record.exit_code = Exit::MachineCannot.code();
            record.sentence = format!("Not exercised: {why}");
            record.cells = all_cells(unit, CellState::NotExercised, why);
        }
        Ending::NoVerdict { why } => {
            record.sentence = format!("Infrastructure error: {why}");
            record.cells = all_cells(unit, CellState::InfrastructureError, why);
        }
    }
    Some(record)
}

fn finish(record: &mut RunRecord, unit: &Unit, summary: &Summary) {
    record.exit_code = summary.exit_code;
    record.findings = signatures(summary);
    record.sentence.clone_from(&summary.sentence);
    record.faults = summary
        .faults
        .iter()
        .map(|fault| FaultSeen {
            name: fault.name.clone(),
            seen: fault.was_seen(),
        })
        .collect();
    if unit.pack.is_none() {
        return;
    }
    let death = summary.deaths.first().map(String::as_str);
    let judged = |outcome: &RowOutcome| {
        cell::judged(Judged {
            column: &unit.name,
            outcome,
            faults: &record.faults,
            death,
        })
    };
    record.cells = summary.rows.iter().map(judged).collect();
    let is_missing = |cell: &CellResult| record.cells.iter().all(|other| other.row != cell.row);
    let mut unsaid = all_cells(
        unit,
        CellState::Inconclusive,
        "the run says nothing of this row",
    );
    unsaid.retain(is_missing);
    record.cells.extend(unsaid);
}

fn all_cells(unit: &Unit, state: CellState, why: &str) -> Vec<CellResult> {
    let rows = unit.pack.map(Pack::rows).unwrap_or_default();
    rows.iter()
        .map(|row| cell::unjudged(&row.to_string(), &unit.name, state, why))
        .collect()
}
