//! One operation of a proof, as a row of a table: who, what, where, how it ended and when.

use checkers::history::{Op, OpType};
use checkers::verdict::{Anomaly, Witness};

use crate::report::anomaly::place::{operation, place};
use crate::report::words::{moment, shortened, thousands};

/// Operations of one proof that are shown.
const STEPS_MAX: usize = 6;
/// Letters of one cell.
const CELL_MAX: usize = 300;

/// One operation of a proof.
pub(in crate::report) struct Step {
    pub(in crate::report) number: usize,
    pub(in crate::report) shows: String,
    pub(in crate::report) who: String,
    pub(in crate::report) operation: String,
    pub(in crate::report) place: String,
    pub(in crate::report) mark: &'static str,
    pub(in crate::report) outcome: String,
    pub(in crate::report) interval: String,
    pub(in crate::report) lines: String,
}

/// The rows, and how many operations they leave out.
pub(in crate::report) fn steps(anomaly: &Anomaly) -> (Vec<Step>, u64) {
    let shown = anomaly.witness.iter().take(STEPS_MAX).enumerate();
    let steps: Vec<Step> = shown
        .map(|(index, witness)| step(index + 1, witness))
        .collect();
    let left_out = anomaly.witness.len() - steps.len();
    (steps, left_out as u64)
}

fn step(number: usize, witness: &Witness) -> Step {
    let either = witness.completion.as_ref().or(witness.invocation.as_ref());
    let (mark, outcome) = outcome(witness);
    let cell = |text: String| shortened(&text, CELL_MAX);
    let mut place = either.map(|op| place(&op.action)).unwrap_or_default();
    if witness.records_left_out > 0 {
        let more = thousands(witness.records_left_out);
        place = format!("{}, and {more} more", shortened(&place, CELL_MAX));
    }
    Step {
        number,
        shows: cell(witness.shows.clone()),
        who: either.map(who).unwrap_or_default(),
        operation: cell(either.map(|op| operation(&op.action)).unwrap_or_default()),
        place,
        mark,
        outcome: cell(outcome),
        interval: interval(witness),
        lines: lines(witness),
    }
}

fn who(op: &Op) -> String {
    match &op.node {
        Some(node) => format!("{node}, process {}", op.process),
        None => format!("process {}", op.process),
    }
}

/// A sign and a word for how the operation ended, with the code of the error.
fn outcome(witness: &Witness) -> (&'static str, String) {
    let Some(op) = &witness.completion else {
        return ("◇", "info: never answered".to_owned());
    };
    let (mark, word) = match op.kind {
        OpType::Ok => ("■", "ok"),
        OpType::Fail => ("×", "fail"),
        OpType::Info => ("◇", "info"),
        OpType::Invoke => ("◇", "invoked"),
    };
    match &op.error {
        Some(error) => (mark, format!("{word}: {}", error.code)),
        None => (mark, word.to_owned()),
    }
}

fn interval(witness: &Witness) -> String {
    let time = |op: &Option<Op>| op.as_ref().map(|op| moment(op.time));
    match (time(&witness.invocation), time(&witness.completion)) {
        (Some(from), Some(until)) => format!("{from} – {until} s"),
        (Some(from), None) => format!("{from} s –"),
        (None, Some(at)) => format!("{at} s"),
        (None, None) => String::new(),
    }
}

/// Where to find it in the history.
fn lines(witness: &Witness) -> String {
    let index = |op: &Option<Op>| op.as_ref().map(|op| format!("#{}", op.index));
    let both = [index(&witness.invocation), index(&witness.completion)];
    both.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
