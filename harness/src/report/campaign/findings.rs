//! Findings as cards: one for each signature of a broken promise.
//!
//! In: the runs and what earlier campaigns saw. Out: cards, new before reopened before ongoing.
//! Invariant: a rate says of which runs it is one. Source: reference/faults.md §4.3.

use std::collections::{BTreeMap, BTreeSet};

use crate::campaign::signature::Signature;
use crate::campaign::statistics::interval;
use crate::campaign::{CellState, RunRecord, UnitKind};
use crate::matrix::{COLUMNS, Row};
use crate::report::campaign::change::{Novelty, Past};
use crate::report::campaign::grid::Grid;
use crate::report::campaign::matrix::{anchor, percent};
use crate::report::campaign::read::Campaign;
use crate::report::words::{count, thousands};

/// Cells that a card names, at most.
const CELLS_MAX: usize = 8;

/// One finding.
pub(super) struct Card {
    pub(super) id: String,
    pub(super) novelty: &'static str,
    pub(super) anomaly: String,
    pub(super) promise: String,
    pub(super) shape: String,
    pub(super) faults: String,
    pub(super) rate: String,
    pub(super) seen: String,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) cells: Vec<(String, String)>,
    pub(super) more_cells: String,
    /// The directory of the smallest run that was kept, below the campaign's.
    pub(super) smallest: Option<Smallest>,
    /// What draws the plan of a run that showed it again, wherever no run of it was kept.
    pub(super) command: String,
}

/// The smallest kept run of a finding.
pub(super) struct Smallest {
    pub(super) kept: String,
    pub(super) path: String,
    pub(super) what: String,
}

/// Where the campaign lies, as commands name it.
pub(super) fn place(campaign: &Campaign, parent: &str) -> String {
    if parent.is_empty() {
        campaign.name.clone()
    } else {
        format!("{parent}/{}", campaign.name)
    }
}

/// The cards.
pub(super) fn cards(campaign: &Campaign, grid: &Grid, past: &Past<'_>, place: &str) -> Vec<Card> {
    let mut by_signature: BTreeMap<&Signature, Vec<&RunRecord>> = BTreeMap::new();
    for (_, run) in campaign.honest() {
        let distinct: BTreeSet<&Signature> = run.findings.iter().collect();
        for finding in distinct {
            by_signature.entry(finding).or_default().push(run);
        }
    }
    for runs in by_signature.values_mut() {
        runs.sort_by_key(|run| (&run.started, &run.unit));
    }
    let card = |(signature, runs): (&Signature, Vec<&RunRecord>)| {
        let novelty = past.novelty(&signature.id);
        let order = (novelty, std::cmp::Reverse(runs.len()));
        (order, card(campaign, grid, past, place, signature, &runs))
    };
    let mut cards: Vec<_> = by_signature.into_iter().map(card).collect();
    cards.sort_by_key(|(order, _)| *order);
    cards.into_iter().map(|(_, card)| card).collect()
}

fn card(
    campaign: &Campaign,
    grid: &Grid,
    past: &Past<'_>,
    place: &str,
    signature: &Signature,
    runs: &[&RunRecord],
) -> Card {
    let (cells, more_cells) = broken_cells(grid, runs);
    Card {
        id: signature.id.clone(),
        novelty: past.novelty(&signature.id).word(),
        anomaly: signature.anomaly.clone(),
        promise: signature.promise.clone(),
        shape: signature.shape.clone(),
        faults: if signature.faults.is_empty() {
            "no fault".to_owned()
        } else {
            signature.faults.join(" + ")
        },
        rate: match campaign.replays.get(&signature.id) {
            Some((again, all)) => format!("r = {}", of(*again, *all, "replay")),
            None => "r is not known: it was not replayed".to_owned(),
        },
        seen: seen_in(campaign, runs),
        first: match past.first_seen(&signature.id) {
            Some(digest) => format!("{} (campaign {})", date(&digest.started), digest.name),
            None => runs.first().map(|run| seen(run)).unwrap_or_default(),
        },
        last: runs.last().map(|run| seen(run)).unwrap_or_default(),
        cells,
        more_cells,
        smallest: smallest(place, runs),
        command: runs.first().map(|run| run.command()).unwrap_or_default(),
    }
}

/// In how many of the runs that could have shown it.
fn seen_in(campaign: &Campaign, runs: &[&RunRecord]) -> String {
    fn sort(run: &RunRecord) -> (UnitKind, &str, Option<&str>) {
        (run.kind, &run.name, run.pack.as_deref())
    }
    // A replay was chosen because its plan fails, and is in no rate.
    let is_drawn = |run: &RunRecord| run.replay_of.is_none();
    let drawn = runs.iter().filter(|run| is_drawn(run)).count();
    if drawn == 0 {
        return format!("{} of other findings", count(runs.len() as u64, "replay"));
    }
    let sorts: BTreeSet<_> = runs.iter().map(|run| sort(run)).collect();
    let alike = campaign
        .honest()
        .filter(|(_, run)| is_drawn(run) && sorts.contains(&sort(run)));
    of(drawn as u64, alike.count() as u64, "run of its kind")
}

/// `7/10 replays, 40% to 89% (95 % interval)`.
fn of(k: u64, n: u64, noun: &str) -> String {
    let (low, high) = interval(k, n);
    let noun = match noun.split_once(' ') {
        Some((first, rest)) if n != 1 => format!("{first}s {rest}"),
        None if n != 1 => format!("{noun}s"),
        _ => noun.to_owned(),
    };
    format!(
        "{}/{} {noun}, {} to {} (95 % interval)",
        thousands(k),
        thousands(n),
        percent(low),
        percent(high)
    )
}

fn seen(run: &RunRecord) -> String {
    format!("{} with seed {}", date(&run.started), run.seed)
}

/// A moment without its fractions.
fn date(moment: &str) -> String {
    let text: String = moment.chars().take(16).collect();
    text.replace('T', " ")
}

fn broken_cells(grid: &Grid, runs: &[&RunRecord]) -> (Vec<(String, String)>, String) {
    let cells = runs.iter().flat_map(|run| &run.cells);
    let broken = cells.filter(|cell| cell.state == CellState::Broken);
    let names: BTreeSet<(&str, &str)> = broken
        .map(|cell| (cell.column.as_str(), cell.row.as_str()))
        .collect();
    let link = |(column, row): &(&str, &str)| {
        let row_number = grid.rows.iter().position(|of| of.to_string() == *row)?;
        let column_number = COLUMNS.iter().position(|of| of.name == *column)?;
        let row = grid.rows.get(row_number).map(Row::to_string)?;
        Some((
            anchor(row_number, column_number),
            format!("{column} × {row}"),
        ))
    };
    let links: Vec<_> = names.iter().filter_map(link).collect();
    let more = links.len().saturating_sub(CELLS_MAX);
    let note = if more > 0 {
        format!("and {}", count(more as u64, "more cell"))
    } else {
        String::new()
    };
    (links.into_iter().take(CELLS_MAX).collect(), note)
}

/// Of the kept runs the one with the fewest faults, then the shortest.
fn smallest(place: &str, runs: &[&RunRecord]) -> Option<Smallest> {
    let kept = runs.iter().filter(|run| run.kept.is_some());
    let run = kept.min_by_key(|run| (run.faults.len(), run.duration_ms))?;
    let kept = run.kept.clone()?;
    Some(Smallest {
        path: format!("{place}/{kept}"),
        what: format!(
            "{}, {:.1} s, seed {}",
            count(run.faults.len() as u64, "fault"),
            run.duration_ms as f64 / 1e3,
            run.seed
        ),
        kept,
    })
}

/// What the novelties add up to, for the heading of a section.
pub(super) fn novelties(cards: &[Card]) -> String {
    let words = [Novelty::New, Novelty::Reopened, Novelty::Ongoing].map(Novelty::word);
    let counts = words.map(|word| {
        (
            word,
            cards.iter().filter(|card| card.novelty == word).count(),
        )
    });
    let parts = counts.iter().filter(|(_, n)| *n > 0);
    let parts: Vec<String> = parts.map(|(word, n)| format!("{n} {word}")).collect();
    parts.join(", ")
}
