//! Made-up runs for the tests of the page.

use crate::campaign::record::FaultSeen;
use crate::campaign::signature::Signature;
use crate::campaign::{CellResult, CellState, RunRecord, UnitKind};

/// A run without faults that kept everything.
pub(super) fn run(number: u64) -> RunRecord {
    RunRecord {
        unit: format!("{number:016x}"),
        kind: UnitKind::Matrix,
        name: "none".to_owned(),
        pack: Some("durability flush=never".to_owned()),
        seed: 100 + number,
        started: "2026-11-30T01:00:00Z".to_owned(),
        duration_ms: 9_500,
        exit_code: 0,
        sentence: "Kept: 4,210 records acknowledged.".to_owned(),
        faults: Vec::new(),
        cells: Vec::new(),
        reached: Vec::new(),
        findings: Vec::new(),
        caught: None,
        replay_of: None,
        kept: None,
        binary: "0123456789abcdef".to_owned(),
    }
}

/// What a run says of a cell.
pub(super) fn cell(row: &str, column: &str, state: CellState) -> CellResult {
    CellResult {
        row: row.to_owned(),
        column: column.to_owned(),
        state,
        because: format!("it was {}", state.words()),
        lost: u64::from(state == CellState::Broken) * 3,
        duplicated: 0,
        reordered: 0,
        refused: 0,
        unavailable_ms: 0,
    }
}

/// A run under `leader-kill` that broke `row`, kept whole.
pub(super) fn broken(number: u64, row: &str, signature: &str) -> RunRecord {
    RunRecord {
        name: "leader-kill".to_owned(),
        exit_code: 10,
        sentence: "Broken: 3 lost-write.".to_owned(),
        faults: vec![FaultSeen {
            name: "kill".to_owned(),
            seen: true,
        }],
        cells: vec![cell(row, "leader-kill", CellState::Broken)],
        findings: vec![self::signature(signature)],
        kept: Some(format!("runs/{number:016x}")),
        ..run(number)
    }
}

/// A signature with this id.
pub(super) fn signature(id: &str) -> Signature {
    Signature {
        id: id.to_owned(),
        anomaly: "lost-write".to_owned(),
        promise: "acks=all waits for all in-sync replicas".to_owned(),
        shape: "send ok → poll past it → final read without it".to_owned(),
        faults: vec!["process-crash".to_owned()],
    }
}
