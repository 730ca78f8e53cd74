//! The first line of the page: what a reader must know who reads nothing else.
//!
//! In: what the other sections found. Out: one sentence, and the tone of the page.
//! Invariant: nothing that is wrong is missing from the sentence. Source: reference/faults.md §3.3.

use crate::campaign::CellState;
use crate::campaign::shard::lacks_words;
use crate::cli::exit::Exit;
use crate::report::campaign::canaries::Canaries;
use crate::report::campaign::change::{Novelty, Past};
use crate::report::campaign::grid::Grid;
use crate::report::campaign::numbers::Numbers;
use crate::report::campaign::past::Digest;
use crate::report::campaign::read::Campaign;
use crate::report::words::{count, thousands};

/// The sentence and how bad it is.
pub(super) struct Verdict {
    pub(super) sentence: String,
    /// A sign that needs no colour, a word, and the tone of the page.
    pub(super) mark: &'static str,
    pub(super) judgement: &'static str,
    pub(super) tone: &'static str,
}

/// Draws the conclusion.
pub(super) fn verdict(
    exit: Exit,
    grid: &Grid,
    campaign: &Campaign,
    now: &Digest,
    past: &Past<'_>,
    canaries: &Canaries,
) -> Verdict {
    let numbers = now.numbers;
    let idle = grid.idle() as u64;
    let mut parts = vec![broken_in(numbers)];
    let since = past.since(Some(&now.started));
    if let Some(since) = since.filter(|_| numbers.broken > 0) {
        let novelties = now.signatures.iter().map(|id| past.novelty(id));
        let fresh = novelties.filter(|novelty| *novelty != Novelty::Ongoing);
        parts.push(match fresh.count() {
            0 => format!("none new since {since}"),
            fresh => format!("{fresh} new or back since {since}"),
        });
    }
    let unavailable = grid.count(CellState::Unavailable) as u64;
    if unavailable > 0 {
        parts.push(format!("{} unavailable", count(unavailable, "cell")));
    }
    parts.push(match idle {
        0 => "every cell exercised".to_owned(),
        idle => format!("{} not exercised", count(idle, "cell")),
    });
    parts.push(canaries.sentence());
    parts.push(match numbers.failed {
        0 => "harness healthy".to_owned(),
        failed => format!("the harness failed in {}", count(failed, "run")),
    });
    parts.extend(lacks_words(&campaign.shards, &campaign.unended));
    let (mark, judgement, tone) = judgement(exit, canaries);
    Verdict {
        sentence: parts.join("; "),
        mark,
        judgement,
        tone,
    }
}

fn broken_in(numbers: Numbers) -> String {
    match (numbers.runs, numbers.broken) {
        (0, _) => "Nothing was run".to_owned(),
        (runs, 0) => format!("No broken promise in {}", count(runs, "run")),
        (runs, broken) => format!(
            "{} in {}",
            count(broken, "broken promise"),
            count(runs, "run")
        ),
    }
}

/// The word for how the campaign ends, the same as its exit code.
fn judgement(exit: Exit, canaries: &Canaries) -> (&'static str, &'static str, &'static str) {
    match exit {
        Exit::Kept => ("✓", "Kept", "kept"),
        Exit::Broken => ("✗", "Broken", "broken"),
        Exit::Unavailable => ("▲", "Unavailable", "open"),
        Exit::Vacuous if canaries.missed() > 0 => ("∅", "Canary missed", "open"),
        Exit::Vacuous => ("∅", "Proves nothing", "open"),
        Exit::Inconclusive => ("?", "Undecided", "open"),
        _ => ("!", "Harness failures", "open"),
    }
}

/// The line of numbers below the sentence.
pub(super) fn figures(numbers: Numbers) -> Vec<(&'static str, String)> {
    let minutes = numbers.busy_ms / 60_000;
    let worked = if minutes >= 60 {
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    } else {
        format!("{minutes} min {:02} s", numbers.busy_ms / 1000 % 60)
    };
    vec![
        ("runs", thousands(numbers.runs)),
        (
            "effective",
            format!(
                "{} ({:.0} %)",
                thousands(numbers.effective),
                numbers.share() * 100.0
            ),
        ),
        (
            "effective runs an hour",
            thousands(numbers.an_hour().round() as u64),
        ),
        ("worked for", worked),
        ("harness failures", thousands(numbers.failed)),
    ]
}
