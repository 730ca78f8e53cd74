//! The runs behind the cells: one block for each pack of rows under a column, and one for each
//! script, swarm and canary.
//!
//! In: the runs and the cells. Out: for each cell why it has its state, and the runs that say so.
//! Invariant: a run that broke something is left out last; what is left out is counted.

use std::collections::BTreeMap;

use crate::campaign::tally::Tally;
use crate::campaign::{RunRecord, UnitKind};
use crate::cli::exit::Exit;
use crate::matrix::{COLUMNS, Pack, Row};
use crate::report::campaign::grid::Grid;
use crate::report::campaign::matrix::{Look, anchor, bound, counts, look};
use crate::report::campaign::numbers::{exit, is_broken};
use crate::report::campaign::read::Campaign;
use crate::report::words::{self, count, thousands};

/// A sentence on the page is cut after this many characters.
const SENTENCE_MAX: usize = 140;

/// Runs that belong together.
pub(super) struct Block {
    pub(super) heading: String,
    pub(super) tally: String,
    pub(super) tone: &'static str,
    pub(super) cells: Vec<Line>,
    pub(super) runs: Vec<RunLine>,
    /// What is left out for want of space.
    pub(super) left_out: String,
}

/// One cell in words.
pub(super) struct Line {
    pub(super) anchor: String,
    pub(super) row: String,
    pub(super) look: &'static Look,
    pub(super) effective: u64,
    pub(super) counts: String,
    pub(super) bound: String,
    pub(super) because: String,
}

/// One run.
pub(super) struct RunLine {
    pub(super) unit: String,
    pub(super) seed: u64,
    pub(super) mark: &'static str,
    pub(super) sentence: String,
    pub(super) seconds: String,
    /// Its directory, if it was kept.
    pub(super) kept: Option<String>,
    /// What draws its plan again, for runs that found something and were not kept.
    pub(super) command: String,
}

/// What the runs of a block have in common. The matrix comes first, in the order of the page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Cells { pack: usize, column: usize },
    Other(UnitKind, &'a str),
}

/// Runs of a campaign, sorted into blocks.
pub(super) struct Blocks<'a> {
    blocks: BTreeMap<Key<'a>, Vec<&'a RunRecord>>,
}

impl<'a> Blocks<'a> {
    /// Sorts the runs.
    pub(super) fn of(campaign: &'a Campaign, rows: &[Row]) -> Self {
        let mut pack_of = BTreeMap::new();
        for row in rows {
            let pack = Pack::ALL.iter().position(|pack| *pack == row.pack());
            pack_of.insert(row.to_string(), pack.unwrap_or(0));
        }
        let mut blocks: BTreeMap<Key<'a>, Vec<&RunRecord>> = BTreeMap::new();
        for run in &campaign.runs {
            for key in keys(run, &pack_of) {
                blocks.entry(key).or_default().push(run);
            }
        }
        for runs in blocks.values_mut() {
            runs.sort_by_key(|run| badness(run));
        }
        Self { blocks }
    }

    /// The blocks with at most `runs_max` runs each.
    pub(super) fn shown(&self, grid: &Grid, runs_max: usize) -> Vec<Block> {
        let block = |(key, runs): (&Key<'_>, &Vec<&RunRecord>)| Block {
            heading: heading(*key),
            tally: tally(runs),
            tone: if runs.iter().any(|run| is_broken(run)) {
                "broken"
            } else {
                ""
            },
            cells: cells(*key, grid),
            runs: runs.iter().take(runs_max).map(|run| line(run)).collect(),
            left_out: match runs.len().saturating_sub(runs_max) {
                0 => String::new(),
                more => format!(
                    "{} left out here; runs.jsonl has them",
                    count(more as u64, "run")
                ),
            },
        };
        self.blocks.iter().map(block).collect()
    }
}

fn keys<'a>(run: &'a RunRecord, pack_of: &BTreeMap<String, usize>) -> Vec<Key<'a>> {
    let other = Key::Other(run.kind, &run.name);
    if run.kind == UnitKind::Canary {
        return vec![other];
    }
    let key = |cell: &crate::campaign::CellResult| {
        let pack = *pack_of.get(&cell.row)?;
        let column = COLUMNS
            .iter()
            .position(|column| column.name == cell.column)?;
        Some(Key::Cells { pack, column })
    };
    let mut keys: Vec<Key<'a>> = run.cells.iter().filter_map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() || run.kind != UnitKind::Matrix {
        keys.push(other);
    }
    keys
}

/// The worst first; of two alike those whose directory was kept.
fn badness(run: &RunRecord) -> (u8, bool) {
    let rank = match exit(run) {
        _ if is_broken(run) => 0,
        Exit::Unavailable => 1,
        Exit::Kept => 4,
        Exit::Vacuous | Exit::Inconclusive => 3,
        _ => 2,
    };
    (rank, run.kept.is_none())
}

fn heading(key: Key<'_>) -> String {
    match key {
        Key::Cells { pack, column } => {
            let column = COLUMNS.get(column).map_or("", |column| column.name);
            let pack = Pack::ALL.get(pack).map(Pack::to_string);
            format!("{column} × {}", pack.unwrap_or_default())
        }
        Key::Other(kind, name) => format!("{} {name}", kind.word()),
    }
}

fn tally(runs: &[&RunRecord]) -> String {
    let mut ends: BTreeMap<(u8, &str), u64> = BTreeMap::new();
    for run in runs {
        *ends.entry((badness(run).0, exit(run).word())).or_default() += 1;
    }
    let ends = ends
        .iter()
        .map(|((_, word), n)| format!("{} {word}", thousands(*n)));
    let ends: Vec<String> = ends.collect();
    format!("{}: {}", count(runs.len() as u64, "run"), ends.join(", "))
}

fn cells(key: Key<'_>, grid: &Grid) -> Vec<Line> {
    let Key::Cells { pack, column } = key else {
        return Vec::new();
    };
    let pack = Pack::ALL.get(pack).copied();
    let is_here = |row: usize| grid.rows.get(row).map(|row| row.pack()) == pack;
    let cells = grid.cells();
    let here = cells.filter(|(row, of, cell)| *of == column && cell.runs > 0 && is_here(*row));
    here.map(|(row, _, cell)| cell_line(grid, row, column, cell))
        .collect()
}

fn cell_line(grid: &Grid, row: usize, column: usize, cell: &Tally) -> Line {
    let name = grid.rows.get(row).map(Row::to_string).unwrap_or_default();
    Line {
        anchor: anchor(row, column),
        row: name.split(" flush=").next().unwrap_or_default().to_owned(),
        look: look(cell.state),
        effective: cell.effective,
        counts: counts(cell),
        bound: bound(cell),
        because: shortened(&cell.because),
    }
}

fn line(run: &RunRecord) -> RunLine {
    RunLine {
        unit: run.unit.clone(),
        seed: run.seed,
        mark: mark(run),
        sentence: shortened(&run.sentence),
        seconds: format!("{:.1}", run.duration_ms as f64 / 1e3),
        kept: run.kept.clone(),
        command: match (exit(run), &run.kept) {
            (Exit::Kept, _) | (_, Some(_)) => String::new(),
            _ => run.command(),
        },
    }
}

/// A sign for how a run ended.
pub(super) fn mark(run: &RunRecord) -> &'static str {
    match exit(run) {
        _ if is_broken(run) => "✗",
        Exit::Kept => "✓",
        Exit::Unavailable => "▲",
        Exit::Vacuous => "∅",
        Exit::Inconclusive => "?",
        _ => "!",
    }
}

/// A sentence, cut where it is too long for a table.
pub(super) fn shortened(sentence: &str) -> String {
    words::shortened(sentence, SENTENCE_MAX)
}
