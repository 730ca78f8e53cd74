//! The page about the states of a run's losses of power, for people, and the summary in lines.

use std::fmt::Write;

use crate::crash::result::{CrashSummary, StateResult};
use crate::disk::journal::CrashState;
use crate::disk::rule::Survival;

/// The states that a page names at most.
const STATES_MAX: usize = 50;

/// A state in words.
pub fn words(state: CrashState) -> String {
    match state {
        CrashState::Prefix { keep: 0, .. } => "nothing survived".to_owned(),
        CrashState::Prefix { keep, of } if keep == of => "everything survived".to_owned(),
        CrashState::Prefix { keep, of } => format!("the first {keep} of {of} parts survived"),
        CrashState::Drawn { survival, draw } => match survival {
            Survival::Subset(chance) => {
                format!("each with a chance of {} %, draw {draw}", chance / 10)
            }
            Survival::Torn => format!("a prefix with a torn last write, draw {draw}"),
            Survival::Prefix => format!("a prefix, draw {draw}"),
            Survival::None => "nothing survived".to_owned(),
        },
    }
}

/// The summary in a few lines.
pub fn lines(summary: &CrashSummary) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{} states checked, {} of them of the whole cluster, in {:.1} s with {} jobs",
            summary.checked,
            summary.whole,
            summary.duration_ms as f64 / 1000.0,
            summary.jobs
        ),
        format!(
            "{} unrecoverable, {} with forbidden losses, {} with allowed losses, {} undecided",
            summary.unrecoverable,
            summary.forbidden_losses,
            summary.allowed_losses,
            summary.undecided
        ),
    ];
    if summary.killed > 0 {
        lines.push(format!(
            "{} recoveries were killed while they went on, and begun anew",
            summary.killed
        ));
    }
    lines.extend(summary.skipped.iter().map(|why| format!("skipped: {why}")));
    let faults = summary.harness_faults.iter();
    lines.extend(faults.map(|fault| format!("harness fault: {fault}")));
    lines
}

/// The page, in Markdown.
pub fn page(summary: &CrashSummary, run: &str) -> String {
    let mut page = format!("# Crash images of {run}\n\n");
    page.push_str(
        "Each state is what a disk may have shown after one of the run's losses of power: \
         what was fsynced, and some of the rest.\nA single node must recover its logs and keep \
         what was fsynced; a whole cluster must come back and keep what the contract promises.\n\n",
    );
    for line in lines(summary) {
        let _ = writeln!(page, "- {line}");
    }
    let bad = |state: &&StateResult| !state.findings.is_empty();
    section(&mut page, "What broke", summary.states.iter().filter(bad));
    let fine = |state: &&StateResult| state.findings.is_empty();
    section(
        &mut page,
        "Whole clusters",
        summary.states.iter().filter(fine),
    );
    page
}

fn section<'a>(page: &mut String, title: &str, states: impl Iterator<Item = &'a StateResult>) {
    let states: Vec<_> = states.collect();
    if states.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "\n## {title}\n\n| nodes | loss | state | gone | what came of it |\n"
    );
    page.push_str("|---|---|---|---|---|\n");
    for state in states.iter().take(STATES_MAX) {
        let nodes: Vec<String> = state.nodes.iter().map(|node| format!("n{node}")).collect();
        let gone = format!("{} of {}", state.missing.lost, state.missing.unsynced);
        let _ = writeln!(
            page,
            "| {} | {} | {} | {gone} | {} |",
            nodes.join(" "),
            state.loss,
            words(state.state),
            outcome(state).replace('|', "\\|").replace('\n', " ")
        );
    }
    if states.len() > STATES_MAX {
        let _ = writeln!(
            page,
            "\n{} more are in the JSON file.",
            states.len() - STATES_MAX
        );
    }
}

fn outcome(state: &StateResult) -> String {
    let mut parts: Vec<String> = state.findings.iter().map(ToString::to_string).collect();
    let allowed = state.allowed.iter();
    parts.extend(allowed.map(|(anomaly, count)| format!("{count} {anomaly}, allowed")));
    if parts.is_empty() {
        parts.push(state.verdict.clone().unwrap_or_default());
    }
    parts.join("; ")
}
