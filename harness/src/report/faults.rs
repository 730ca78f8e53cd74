//! The faults of a run, one row each: when, on whom, and how its effect was proven.

use checkers::history::{NemesisEvent, Phase};

use crate::plan::Plan;
use crate::report::words::{plain, seconds, shortened};
use crate::run::events::{Event, What};

/// Letters of a proof: one of many disks is long.
const PROOF_MAX: usize = 600;
/// Letters of a target.
const TARGET_MAX: usize = 120;

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRow {
    /// Its number, from 1; the timeline uses it too.
    pub number: usize,
    /// Its name, as `verdict list faults` prints it.
    pub name: String,
    /// Whom it was aimed at: the role of the plan.
    pub role: String,
    /// Who that was when it fired.
    pub target: String,
    /// When it was injected, in nanoseconds since the start of the run.
    pub from: Option<u64>,
    /// When its effect was observed.
    pub proven: Option<u64>,
    /// When it was healed.
    pub until: Option<u64>,
    /// When the cluster was observed to have recovered from it.
    pub recovered: Option<u64>,
    /// The times in words.
    pub times: String,
    /// Whether its effect was observed.
    pub is_effective: bool,
    /// What was observed, or why nothing was.
    pub proof: String,
    /// Whether and when the cluster was observed to have recovered.
    pub recovery: String,
}

/// The rows, in the order of the plan.
pub(super) fn rows(plan: &Plan, events: &[Event]) -> Vec<FaultRow> {
    let planned = plan.faults.iter().enumerate();
    planned
        .map(|(index, fault)| row(index, fault.what.name(), events))
        .collect()
}

fn row(index: usize, name: &str, events: &[Event]) -> FaultRow {
    let mut row = FaultRow {
        number: index + 1,
        name: name.to_owned(),
        role: String::new(),
        target: String::new(),
        from: None,
        proven: None,
        until: None,
        recovered: None,
        times: "not injected".to_owned(),
        is_effective: false,
        proof: "the run ended before it".to_owned(),
        recovery: String::new(),
    };
    for event in events {
        if let What::Fault { number, fault } = &event.what
            && *number == index
        {
            take_in(&mut row, event.time, fault);
        }
    }
    if let Some(from) = row.from {
        let until = row.until.map_or("the end".to_owned(), seconds);
        row.times = format!("{} to {until}", seconds(from));
    }
    row
}

fn take_in(row: &mut FaultRow, time: u64, fault: &NemesisEvent) {
    match fault.phase {
        Phase::Inject => {
            row.from = Some(time);
            row.target = shortened(&plain(&fault.target), TARGET_MAX);
            row.role = fault.detail.get("role").map(plain).unwrap_or_default();
            "injected, effect not yet proven".clone_into(&mut row.proof);
        }
        Phase::Prove => {
            row.is_effective = true;
            row.proven = row.proven.or(Some(time));
            row.proof = evidence(fault);
        }
        Phase::Vacuous => {
            row.is_effective = false;
            row.proof = format!("vacuous: {}", evidence(fault));
        }
        Phase::Act | Phase::End => {}
        Phase::Heal => row.until = Some(time),
        Phase::Recovered => {
            row.recovered = Some(time);
            row.recovery = format!("recovered at {}", seconds(time));
            let repaired = fault.detail.get("repaired").map(plain).unwrap_or_default();
            if !repaired.is_empty() {
                row.recovery = shortened(&format!("{}: {repaired}", row.recovery), PROOF_MAX);
            }
        }
    }
}

/// The sentence among what a fault tells.
fn evidence(fault: &NemesisEvent) -> String {
    shortened(
        &plain(fault.detail.get("evidence").unwrap_or(&fault.detail)),
        PROOF_MAX,
    )
}
