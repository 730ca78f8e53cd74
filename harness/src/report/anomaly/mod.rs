//! The anomalies that were found, each with the operations that prove it and its story.
//!
//! In: how the run ended, and the evidence that was gathered around it. Out: one section for each
//! finding. Invariant: what is left out is counted, and the place that has it is named.

mod holders;
pub(super) mod place;
mod shown;
mod step;

use checkers::verdict::Anomaly;

use crate::evidence::{Evidence, LogLine, Story};
use crate::report::timeline::witness;
use crate::report::words::{count, millis, shortened};
use crate::report::{FaultRow, Input};

pub use shown::{Finding, findings, shown};

/// Log lines shown around one anomaly.
const LOG_LINES_MAX: usize = 16;
/// Letters of the sentence of an anomaly.
const EXPLANATION_MAX: usize = 700;
/// Rows of the matrix that a finding names.
const ROWS_NAMED_MAX: usize = 6;

/// One kind of anomaly.
pub(super) struct Section {
    pub(super) id: String,
    pub(super) description: &'static str,
    pub(super) tone: &'static str,
    pub(super) mark: &'static str,
    pub(super) heading: String,
    pub(super) because: String,
    pub(super) rows: String,
    pub(super) examples: Vec<Example>,
    pub(super) left_out: String,
}

/// One anomaly.
pub(super) struct Example {
    pub(super) is_open: bool,
    pub(super) title: String,
    pub(super) explanation: String,
    pub(super) steps: Vec<step::Step>,
    pub(super) steps_left_out: String,
    pub(super) picture: String,
    pub(super) holders: Option<holders::Table>,
    pub(super) log: Vec<Line>,
    pub(super) log_left_out: String,
}

/// One line of a node's log.
pub(super) struct Line {
    pub(super) node: String,
    pub(super) at: String,
    pub(super) text: String,
}

/// What is allowed did not go wrong.
pub(super) fn heading(findings: &[Finding<'_>]) -> &'static str {
    if findings.iter().any(|finding| finding.is_broken) {
        "What went wrong, with proof"
    } else {
        "What was allowed and seen, with proof"
    }
}

/// The kinds that were found.
pub(super) fn sections(
    input: &Input<'_>,
    faults: &[FaultRow],
    findings: &[Finding<'_>],
) -> Vec<Section> {
    let mut stories = input.evidence.stories.iter();
    let mut sections = Vec::new();
    for finding in findings {
        let mut examples: Vec<Example> = finding
            .examples
            .iter()
            .map(|(row, anomaly)| {
                let picture = |steps| witness::draw(input, faults, anomaly, steps);
                example(*row, anomaly, picture, stories.next())
            })
            .collect();
        // One story in full is read; the others are a click away.
        if let Some(first) = examples.first_mut() {
            first.is_open = sections.is_empty();
        }
        let left_out = finding.count - (examples.len() as u64).min(finding.count);
        sections.push(Section {
            id: id_of(finding),
            description: finding.kind.description(),
            tone: if finding.is_broken { "broken" } else { "open" },
            mark: if finding.is_broken { "✗" } else { "◐" },
            heading: format!(
                "{}: {}{}",
                finding.kind.name(),
                count(finding.count, "case"),
                if finding.is_broken { "" } else { ", allowed" }
            ),
            because: finding.because.to_owned(),
            rows: rows(&finding.rows),
            left_out: if left_out == 0 {
                String::new()
            } else {
                format!(
                    "{} not shown here; verdict.json has the earliest ones.",
                    count(left_out, "more case")
                )
            },
            examples,
        });
    }
    sections
}

/// The place of a finding on the page.
pub(super) fn id_of(finding: &Finding<'_>) -> String {
    let judged = if finding.is_broken {
        "broken"
    } else {
        "allowed"
    };
    format!("{judged}-{}", finding.kind.name())
}

fn rows(rows: &[(&str, u64)]) -> String {
    let named = rows.iter().take(ROWS_NAMED_MAX);
    let named: Vec<String> = named
        .map(|(row, cases)| format!("{row} ({cases})"))
        .collect();
    match rows.len() - named.len() {
        0 => named.join("; "),
        more => format!("{}; and {more} more rows", named.join("; ")),
    }
}

fn example(
    row: Option<&str>,
    anomaly: &Anomaly,
    picture: impl Fn(usize) -> String,
    story: Option<&Story>,
) -> Example {
    let (steps, left_out) = step::steps(anomaly);
    let lines = story.map_or(&[][..], |story| &story.log_lines);
    let lines_left_out = lines.len().saturating_sub(LOG_LINES_MAX);
    Example {
        is_open: false,
        title: title(row, anomaly),
        explanation: shortened(&anomaly.explanation, EXPLANATION_MAX),
        steps_left_out: match left_out {
            0 => String::new(),
            more => format!(
                "{} of the proof not shown here.",
                count(more, "more operation")
            ),
        },
        picture: picture(steps.len()),
        steps,
        holders: story.and_then(holders::table),
        log: lines.iter().take(LOG_LINES_MAX).map(line).collect(),
        log_left_out: match lines_left_out {
            0 => String::new(),
            more => format!("{} not shown here.", count(more as u64, "line")),
        },
    }
}

/// Where it is: the partition and the offsets, after the row if the run has rows.
fn title(row: Option<&str>, anomaly: &Anomaly) -> String {
    let (first, last) = anomaly.offsets;
    let offsets = match first == last {
        _ if !anomaly.is_placed() => String::new(),
        true => format!(", offset {first}"),
        false => format!(", offsets {first} to {last}"),
    };
    let row = row.map(|row| format!("{row}: ")).unwrap_or_default();
    format!("{row}{}{offsets}", anomaly.key)
}

fn line(line: &LogLine) -> Line {
    Line {
        node: format!("n{}", line.node),
        at: line.at_ms.map(millis).unwrap_or_default(),
        text: shortened(&line.text, 300),
    }
}

/// The states of the ledger that the run reached, each with its time and its proof.
pub(super) fn reached(evidence: &Evidence) -> Vec<(String, String, String)> {
    let row = |state: &crate::evidence::Reached| {
        let proof = shortened(&state.proof, 300);
        (state.name.clone(), millis(state.at_ms), proof)
    };
    evidence.reached.iter().map(row).collect()
}
