//! A campaign as Markdown, for the comment on a pull request or the page of a job.
//!
//! In: what is stored and what it adds up to. Out: the text of `summary.md`.
//! Invariant: the verdict comes first, then what was found, then what could not have been seen.

use std::collections::BTreeMap;

use crate::campaign::directory::Stored;
use crate::campaign::outcome::Outcome;
use crate::campaign::record::CellState;
use crate::campaign::shard::Shard;
use crate::campaign::signature::Signature;
use crate::campaign::{canary, found, matrix_text};

/// Cells of one state that are named, at most.
const NAMED_MAX: usize = 20;

/// The text of `summary.md`.
pub fn text(stored: &Stored, outcome: &Outcome) -> String {
    let mut lines = vec![format!("# {}", outcome.sentence), String::new()];
    if let Some(missing) = stored.campaign.lacks() {
        lines.extend([format!("**Merged in part: {missing}.**"), String::new()]);
    }
    findings(stored, &mut lines);
    for state in [
        CellState::Broken,
        CellState::Unavailable,
        CellState::InfrastructureError,
    ] {
        named(outcome, state, &mut lines);
    }
    canaries(stored, outcome, &mut lines);
    lines.extend(["## Matrix".to_owned(), String::new(), "```text".to_owned()]);
    lines.extend(matrix_text::lines(&stored.campaign, &outcome.cells));
    lines.extend(["```".to_owned(), String::new()]);
    for state in [
        CellState::AllowedNotSeen,
        CellState::Inconclusive,
        CellState::NotExercised,
    ] {
        named(outcome, state, &mut lines);
    }
    let campaign = &stored.campaign;
    let shards: Vec<String> = campaign.parts().iter().map(Shard::to_string).collect();
    lines.push(format!(
        "`verdict {} --seed {}`, shard {}, binary `{}`, begun {}.",
        campaign.command,
        campaign.base_seed,
        shards.join(", "),
        campaign.binary,
        campaign.started
    ));
    lines.join("\n") + "\n"
}

/// One line for each signature: how often, how often again, what it is, and how to see it.
fn findings(stored: &Stored, lines: &mut Vec<String>) {
    let findings = found::findings(stored);
    if findings.is_empty() {
        return;
    }
    lines.extend(["## Findings".to_owned(), String::new()]);
    for found in findings {
        let Signature { id, anomaly, .. } = found.signature;
        let (rate, what) = (found.rate(), found.what());
        let command = found.first.command();
        lines.push(format!("- `{id}` {anomaly}, {rate}; {what}: `{command}`"));
    }
    lines.push(String::new());
}

/// The cells of a state, each with its reason.
fn named(outcome: &Outcome, state: CellState, lines: &mut Vec<String>) {
    let mut by_reason: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for ((row, column), cell) in &outcome.cells {
        if cell.state == state {
            by_reason
                .entry((column, &cell.because))
                .or_default()
                .push(row);
        }
    }
    if by_reason.is_empty() {
        return;
    }
    let count: usize = by_reason.values().map(Vec::len).sum();
    lines.extend([
        format!("## {count} cells: {}", state.words()),
        String::new(),
    ]);
    for ((column, because), rows) in by_reason.iter().take(NAMED_MAX) {
        let more = match rows.len() {
            1 => String::new(),
            many => format!(" and {} more rows", many - 1),
        };
        let first = rows.first().unwrap_or(&"");
        lines.push(format!("- {column}: {first}{more}: {because}"));
    }
    if let Some(left_out) = by_reason.len().checked_sub(NAMED_MAX + 1) {
        lines.push(format!("- and {} more", left_out + 1));
    }
    lines.push(String::new());
}

/// What became of the planted bugs; said loudly if none could run.
fn canaries(stored: &Stored, outcome: &Outcome, lines: &mut Vec<String>) {
    if stored.campaign.command != "campaign" {
        return;
    }
    lines.extend(["## Canaries".to_owned(), String::new()]);
    if !stored.campaign.has_sabotage {
        lines.push(NO_SABOTAGE.to_owned());
    }
    let caught = outcome
        .canaries
        .values()
        .filter(|canary| canary.caught > 0)
        .count();
    lines.push(format!(
        "{caught} of {} planted bugs were caught, {} were tried.",
        canary::CANARIES.len(),
        outcome
            .canaries
            .values()
            .filter(|canary| canary.tries > 0)
            .count()
    ));
    for (name, canary) in &outcome.canaries {
        if canary.caught == 0 {
            let word = if canary.is_missed() {
                "MISSED"
            } else {
                "not caught yet"
            };
            lines.push(format!("- {name}: {word}, {} runs", canary.tries));
        }
    }
    lines.push(String::new());
}

/// What is said where planted bugs are not compiled in.
pub const NO_SABOTAGE: &str = "CANARIES NOT EXERCISED: this build has no planted bugs, so nothing \
     shows that this campaign could have found one; build with --features sabotage.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::cell::unjudged;
    use crate::campaign::fixture::{self, record, signature};
    use crate::campaign::outcome::outcome;
    use crate::cli::exit::Exit;

    #[test]
    fn the_verdict_comes_first_and_what_is_broken_before_what_was_not_run() {
        let mut run = record(1, Exit::Broken);
        let row = "mode=sync-after";
        run.cells = vec![
            unjudged(row, "leader-kill", CellState::Broken, "2 commit-lost"),
            unjudged(row, "pause", CellState::NotExercised, "no effect"),
        ];
        run.findings = vec![signature("0123456789ab")];
        let mut stored = fixture::stored(vec![run]);
        stored.campaign.command = "campaign".to_owned();
        let text = text(&stored, &outcome(&stored));
        assert!(
            text.starts_with("# Broken: 1 run, mode=sync-after under leader-kill"),
            "{text}"
        );
        let places = [
            "`0123456789ab` commit-lost, 1 run, r is not known; promised: a commit stays",
            "`verdict run --swarm --seed 1`",
            "- leader-kill: mode=sync-after: 2 commit-lost",
            "CANARIES NOT EXERCISED",
            "- pause: mode=sync-after: no effect",
        ]
        .map(|part| {
            text.find(part)
                .unwrap_or_else(|| panic!("no {part} in {text}"))
        });
        assert!(places.is_sorted(), "{places:?}");
        assert!(
            text.lines()
                .any(|line| line.starts_with(row) && line.contains('B'))
        );
    }
}
