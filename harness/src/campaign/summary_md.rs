//! A campaign as Markdown, for the comment on a pull request or the page of a job.
//!
//! In: what is stored and what it adds up to. Out: the text of `summary.md`.
//! Invariant: the verdict comes first, then what was found, then what could not have been seen.

use std::collections::BTreeMap;

use crate::campaign::directory::Stored;
use crate::campaign::outcome::Outcome;
use crate::campaign::record::{CellState, RunRecord, UnitKind};
use crate::campaign::{canary, matrix_text, replays};

/// Cells of one state that are named, at most.
const NAMED_MAX: usize = 20;

/// The text of `summary.md`.
pub fn text(stored: &Stored, outcome: &Outcome) -> String {
    let mut lines = vec![format!("# {}", outcome.sentence), String::new()];
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
    lines.push(format!(
        "`verdict {} --seed {} --shard {}`, binary `{}`, begun {}.",
        campaign.command, campaign.base_seed, campaign.shard, campaign.binary, campaign.started
    ));
    lines.join("\n") + "\n"
}

/// One line for each signature: how often, first where, how often again, and what it is.
fn findings(stored: &Stored, lines: &mut Vec<String>) {
    let mut by_id: BTreeMap<&str, Vec<&RunRecord>> = BTreeMap::new();
    let rates = replays::rates(&stored.replays);
    let honest = stored
        .records
        .iter()
        .filter(|record| record.kind != UnitKind::Canary);
    for record in honest {
        for finding in &record.findings {
            by_id.entry(&finding.id).or_default().push(record);
        }
    }
    if by_id.is_empty() {
        return;
    }
    lines.extend(["## Findings".to_owned(), String::new()]);
    for (id, records) in by_id {
        let first = records
            .iter()
            .min_by_key(|record| (&record.started, &record.unit));
        let Some(first) = first else { continue };
        let finding = first.findings.iter().find(|finding| finding.id == id);
        let Some(finding) = finding else { continue };
        lines.push(format!(
            "- `{id}` {} in {} runs, first seed {} of {}, {}: {}",
            finding.anomaly,
            records.len(),
            first.seed,
            first.name,
            replays::words(rates.get(id)),
            finding.shape
        ));
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
        outcome.canaries.len()
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
            "`0123456789ab` commit-lost in 1 runs, first seed 1 of default, r is not known",
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
