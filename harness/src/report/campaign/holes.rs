//! What the campaign could not have seen.
//!
//! In: the runs, the cells, the canaries. Out: for each sort of hole a sentence and its examples.
//! Invariant: a hole that is not there is said to be not there; none is left out in silence.

use std::collections::BTreeMap;

use crate::campaign::CellState;
use crate::campaign::shard::lacks_words;
use crate::campaign::statistics::upper_bound;
use crate::campaign::tally::Tally;
use crate::matrix::COLUMNS;
use crate::report::campaign::canaries::Canaries;
use crate::report::campaign::grid::Grid;
use crate::report::campaign::matrix::at_most;
use crate::report::campaign::read::Campaign;
use crate::report::words::count;

/// Begins the reason of such a cell (`campaign::cell`).
const UNFORCED: &str = "a loss is allowed, nothing here makes it lose";

/// Examples that are named for one hole, at most.
const EXAMPLES_MAX: usize = 24;
/// From how many effective runs on cells are counted together.
const STEPS: [u64; 6] = [0, 1, 3, 10, 30, 100];

/// One sort of hole.
pub(super) struct Hole {
    pub(super) sentence: String,
    pub(super) examples: Vec<String>,
}

/// Cells with so many effective runs, and what may have gone unseen in them.
pub(super) struct Step {
    pub(super) runs: String,
    pub(super) cells: usize,
    pub(super) share: f64,
    pub(super) bound: String,
}

/// Every sort of hole.
pub(super) fn holes(campaign: &Campaign, grid: &Grid, canaries: &Canaries) -> Vec<Hole> {
    let missed = canaries.rows.iter().filter(|row| row.state == "missed");
    let unplanted = canaries
        .rows
        .iter()
        .filter(|row| row.state == "not exercised");
    let hole = |none: &str, some: &str, examples: Vec<String>| Hole {
        sentence: match examples.len() {
            0 => none.to_owned(),
            found => format!("{some}: {found}."),
        },
        examples: capped(examples),
    };
    let mut holes = vec![
        hole(
            "Every fault that was planned proved its effect at least once.",
            "Faults that were planned and never proved an effect",
            ineffective(campaign),
        ),
        hole(
            "Every cell was exercised.",
            "Reasons why cells were not exercised",
            by_reason(grid, CellState::NotExercised),
        ),
        hole(
            match grid.count(CellState::AllowedSeen) {
                0 => "No cell whose plan is built to show a loss was exercised.",
                _ => {
                    "No control was vacuous: wherever a plan is built to show a loss, one was seen."
                }
            },
            "Columns with vacuous controls, where the harness has not shown that it sees a loss",
            vacuous(grid),
        ),
        hole(
            "Every cell that may lose records was made to.",
            "Columns with cells that may lose records and were not made to",
            unforced(grid),
        ),
        hole(
            "No planted bug was missed.",
            "Planted bugs missed; real bugs like them would be, too",
            missed.map(|row| row.name.clone()).collect(),
        ),
        hole(
            "Every planted bug was tried.",
            "Planted bugs not tried",
            unplanted.map(|row| row.name.clone()).collect(),
        ),
    ];
    for (state, words) in [
        (CellState::Inconclusive, "Reasons why cells are undecided"),
        (
            CellState::InfrastructureError,
            "What failed instead of the broker",
        ),
    ] {
        let reasons = by_reason(grid, state);
        if !reasons.is_empty() {
            holes.push(hole("", words, reasons));
        }
    }
    if let Some(missing) = lacks_words(&campaign.shards, &campaign.unended) {
        holes.push(Hole {
            sentence: format!("Merged in part: {missing}."),
            examples: Vec::new(),
        });
    }
    if grid.unknown > 0 {
        holes.push(Hole {
            sentence: format!(
                "{} of rows or columns that this version of verdict does not know.",
                count(grid.unknown, "result")
            ),
            examples: Vec::new(),
        });
    }
    if !campaign.problems.is_empty() {
        let problems = campaign.problems.clone();
        holes.push(hole("", "Lines that could not be used", problems));
    }
    holes
}

fn ineffective(campaign: &Campaign) -> Vec<String> {
    let mut seen: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for fault in campaign.runs.iter().flat_map(|run| &run.faults) {
        let counts = seen.entry(&fault.name).or_default();
        counts.0 += 1;
        counts.1 += u64::from(fault.seen);
    }
    let never = seen.iter().filter(|(_, (_, seen))| *seen == 0);
    never
        .map(|(name, (planned, _))| format!("{name}, planned {}", count(*planned, "time")))
        .collect()
}

/// The reasons for a state, the most frequent first, each with its columns.
fn by_reason(grid: &Grid, state: CellState) -> Vec<String> {
    let mut reasons: BTreeMap<&str, (u64, Vec<&str>)> = BTreeMap::new();
    for (_, column, cell) in grid.cells().filter(|(_, _, cell)| cell.state == state) {
        let (cells, columns) = reasons.entry(&cell.because).or_default();
        *cells += 1;
        let column = COLUMNS.get(column).map_or("", |column| column.name);
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, (cells, _))| std::cmp::Reverse(*cells));
    let words = |(because, (cells, columns)): (&str, (u64, Vec<&str>))| {
        let because = super::blocks::shortened(because);
        format!(
            "{}: {because} ({})",
            count(cells, "cell"),
            columns.join(", ")
        )
    };
    reasons.into_iter().map(words).collect()
}

fn vacuous(grid: &Grid) -> Vec<String> {
    by_column(grid, |cell| cell.state == CellState::AllowedNotSeen)
}

/// Cells whose contract allows a loss that nothing in their plans brings about.
fn unforced(grid: &Grid) -> Vec<String> {
    by_column(grid, |cell| {
        cell.state == CellState::Kept && cell.because.starts_with(UNFORCED)
    })
}

fn by_column(grid: &Grid, is_so: impl Fn(&Tally) -> bool) -> Vec<String> {
    let mut columns: BTreeMap<usize, u64> = BTreeMap::new();
    for (_, column, cell) in grid.cells() {
        if is_so(cell) {
            *columns.entry(column).or_default() += 1;
        }
    }
    let words = |(column, cells): (usize, u64)| {
        let name = COLUMNS.get(column).map_or("", |column| column.name);
        format!("{name}: {}", count(cells, "row"))
    };
    columns.into_iter().map(words).collect()
}

fn capped(mut examples: Vec<String>) -> Vec<String> {
    let more = examples.len().saturating_sub(EXAMPLES_MAX);
    examples.truncate(EXAMPLES_MAX);
    if more > 0 {
        examples.push(format!("and {more} more"));
    }
    examples
}

/// How many cells have how many effective runs, and what breaks unseen in so many.
pub(super) fn steps(grid: &Grid) -> Vec<Step> {
    let total = grid.cells().count().max(1);
    let mut steps = Vec::new();
    for (index, &from) in STEPS.iter().enumerate() {
        let next = STEPS.get(index + 1).copied();
        let is_here = |n: u64| n >= from && next.is_none_or(|next| n < next);
        let cells = grid
            .cells()
            .filter(|(_, _, cell)| is_here(cell.effective))
            .count();
        steps.push(Step {
            runs: match next {
                Some(next) if next == from + 1 => from.to_string(),
                Some(next) => format!("{from} to {}", next - 1),
                None => format!("{from} or more"),
            },
            cells,
            share: cells as f64 / total as f64 * 100.0,
            bound: match from {
                0 => "anything".to_owned(),
                from => format!(
                    "what breaks in fewer than {} of the runs",
                    at_most(upper_bound(0, from))
                ),
            },
        });
    }
    steps
}
