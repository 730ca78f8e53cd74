//! The anomalies that were found, each with the operations that prove it.

use checkers::history::{Action, Op};
use checkers::verdict::{Anomaly, Check, Verdict, Witness};

use crate::report::words::{count, seconds};

/// Examples shown for each kind of anomaly; the verdict's file has the others.
const EXAMPLES_MAX: usize = 5;

/// One kind of anomaly.
pub(super) struct Section {
    pub(super) description: &'static str,
    pub(super) tone: &'static str,
    pub(super) heading: String,
    pub(super) because: String,
    pub(super) examples: Vec<Example>,
}

/// One anomaly.
pub(super) struct Example {
    pub(super) title: String,
    pub(super) explanation: String,
    pub(super) steps: Vec<Step>,
}

#[cfg(test)]
impl Example {
    /// What its steps show, in order.
    pub(super) fn shown(self) -> impl Iterator<Item = String> {
        self.steps.into_iter().map(|step| step.shows)
    }
}

/// One operation of its proof.
pub(super) struct Step {
    pub(super) shows: String,
    pub(super) who: String,
    pub(super) interval: String,
    pub(super) operation: String,
}

/// What is allowed did not go wrong.
pub(super) fn heading(verdict: &Verdict) -> &'static str {
    if verdict.checks.iter().any(Check::is_broken) {
        "What went wrong, with proof"
    } else {
        "What was allowed and seen, with proof"
    }
}

/// The kinds that were found.
pub(super) fn sections(verdict: &Verdict) -> Vec<Section> {
    let found = verdict.checks.iter().filter(|check| check.count > 0);
    let section = |check: &Check| Section {
        description: check.anomaly.description(),
        tone: if check.is_broken() { "broken" } else { "open" },
        heading: format!(
            "{}: {}{}",
            check.anomaly.name(),
            count(check.count, "case"),
            if check.is_broken() { "" } else { ", allowed" }
        ),
        because: check.promise.because.clone(),
        examples: check
            .examples
            .iter()
            .take(EXAMPLES_MAX)
            .map(example)
            .collect(),
    };
    found.map(section).collect()
}

pub(super) fn example(anomaly: &Anomaly) -> Example {
    let (first, last) = anomaly.offsets;
    let place = if !anomaly.kind.has_offsets() {
        String::new()
    } else if first == last {
        format!(", offset {first}")
    } else {
        format!(", offsets {first} to {last}")
    };
    Example {
        title: format!("{}{place}", anomaly.key),
        explanation: anomaly.explanation.clone(),
        steps: anomaly.witness.iter().map(step).collect(),
    }
}

fn step(witness: &Witness) -> Step {
    let either = witness.completion.as_ref().or(witness.invocation.as_ref());
    let who = either.map_or(String::new(), |op| {
        let node = op
            .node
            .as_deref()
            .map(|node| format!(" ({node})"))
            .unwrap_or_default();
        format!("process {}{node}", op.process)
    });
    let time = |op: &Option<Op>| op.as_ref().map(|op| seconds(op.time));
    let interval = match (time(&witness.invocation), time(&witness.completion)) {
        (Some(from), Some(until)) => format!("{from} to {until}"),
        (Some(from), None) => format!("{from}, never answered"),
        (None, Some(until)) => until,
        (None, None) => String::new(),
    };
    let mut operation = either.map_or(String::new(), text);
    if witness.records_left_out > 0 {
        let left_out = count(witness.records_left_out, "other record");
        operation = format!("{operation}, {left_out} left out");
    }
    Step {
        shows: witness.shows.clone(),
        who,
        interval,
        operation,
    }
}

fn text(op: &Op) -> String {
    let value = action_value(&op.action);
    let error = op
        .error
        .as_ref()
        .map(|error| format!(" {}", error.code))
        .unwrap_or_default();
    format!(
        "#{} {:?} {} {value}{error}",
        op.index,
        op.kind,
        op.action.name()
    )
    .to_lowercase()
}

fn action_value(action: &Action) -> String {
    let json = serde_json::to_value(action).unwrap_or_default();
    json.get("value")
        .map(ToString::to_string)
        .unwrap_or_default()
}
