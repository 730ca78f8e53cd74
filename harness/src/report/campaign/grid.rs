//! The cells of the matrix: what all runs of a campaign say together.
//!
//! In: the runs. Out: for each row and column one [`Cell`].
//! Invariant: a cell is never better than what a run found broken in it; vacuous runs are in no
//! count of effective runs.

use std::collections::BTreeMap;

use crate::campaign::{CellResult, CellState, RunRecord};
use crate::matrix::{COLUMNS, Row};
use crate::report::campaign::read::NotExercised;

/// What all runs say of one cell.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// What became of the promise.
    pub(super) state: CellState,
    /// Why: the words of the run that decided the state.
    pub(super) because: String,
    /// Runs that covered it.
    pub(super) runs: u64,
    /// Those of them in which the faults had their effect and the checkers decided.
    pub(super) effective: u64,
    /// Those of them that broke it.
    pub(super) broken: u64,
    /// Acknowledged records that were lost.
    pub(super) lost: u64,
    /// Records that were repeated.
    pub(super) duplicated: u64,
    /// Records out of order.
    pub(super) reordered: u64,
    /// Sends that were refused.
    pub(super) refused: u64,
    /// The longest silence, in milliseconds.
    pub(super) unavailable_ms: u64,
}

/// Every cell, in the order of the page.
#[derive(Debug)]
pub(super) struct Grid {
    /// The rows.
    pub(super) rows: Vec<Row>,
    cells: Vec<Cell>,
    /// Results of cells that this program does not know: an older or a newer one wrote them.
    pub(super) unknown: u64,
}

impl Cell {
    fn empty() -> Self {
        Self {
            state: CellState::NotExercised,
            because: "nothing was run".to_owned(),
            runs: 0,
            effective: 0,
            broken: 0,
            lost: 0,
            duplicated: 0,
            reordered: 0,
            refused: 0,
            unavailable_ms: 0,
        }
    }

    fn add(&mut self, result: &CellResult) {
        if self.runs == 0 || rank(result.state) > rank(self.state) {
            self.state = result.state;
            self.because.clone_from(&result.because);
        }
        self.runs += 1;
        self.effective += u64::from(is_effective(result.state));
        self.broken += u64::from(result.state == CellState::Broken);
        self.lost += result.lost;
        self.duplicated += result.duplicated;
        self.reordered += result.reordered;
        self.refused += result.refused;
        self.unavailable_ms = self.unavailable_ms.max(result.unavailable_ms);
    }
}

/// Which of two runs decides: broken outranks all; then unavailable; then what showed something.
fn rank(state: CellState) -> u8 {
    match state {
        CellState::NotExercised => 0,
        CellState::InfrastructureError => 1,
        CellState::Inconclusive => 2,
        CellState::AllowedNotSeen => 3,
        CellState::Kept => 4,
        CellState::Refused => 5,
        CellState::AllowedSeen => 6,
        CellState::Unavailable => 7,
        CellState::Broken => 8,
    }
}

/// Whether a run that ended so can tell something about how often the promise breaks.
fn is_effective(state: CellState) -> bool {
    match state {
        CellState::Kept
        | CellState::AllowedSeen
        | CellState::Refused
        | CellState::Unavailable
        | CellState::Broken => true,
        CellState::AllowedNotSeen
        | CellState::Inconclusive
        | CellState::NotExercised
        | CellState::InfrastructureError => false,
    }
}

impl Grid {
    /// Adds up the cells of `runs`.
    pub(super) fn of<'a>(runs: impl Iterator<Item = &'a RunRecord>) -> Self {
        let rows = Row::all();
        let names: Vec<String> = rows.iter().map(Row::to_string).collect();
        let row_of: BTreeMap<&str, usize> = positions(names.iter().map(String::as_str));
        let column_of: BTreeMap<&str, usize> = positions(COLUMNS.iter().map(|column| column.name));
        let mut cells = vec![Cell::empty(); rows.len() * COLUMNS.len()];
        let mut unknown = 0;
        for result in runs.flat_map(|run| &run.cells) {
            let row = row_of.get(result.row.as_str());
            let place = row.zip(column_of.get(result.column.as_str()));
            let cell = place.and_then(|(row, column)| cells.get_mut(row * COLUMNS.len() + column));
            match cell {
                Some(cell) => cell.add(result),
                None => unknown += 1,
            }
        }
        Self {
            rows,
            cells,
            unknown,
        }
    }

    /// Gives cells without a run the reason why there is none.
    pub(super) fn explain(&mut self, reasons: &[NotExercised]) {
        let rows: Vec<String> = self.rows.iter().map(Row::to_string).collect();
        for reason in reasons {
            let row = rows.iter().position(|row| *row == reason.row);
            let column = COLUMNS.iter().position(|of| of.name == reason.column);
            let place = row
                .zip(column)
                .map(|(row, column)| row * COLUMNS.len() + column);
            let cell = place.and_then(|place| self.cells.get_mut(place));
            if let Some(cell) = cell.filter(|cell| cell.runs == 0) {
                cell.because.clone_from(&reason.because);
            }
        }
    }

    /// The cells with their rows and columns by number, row by row.
    pub(super) fn cells(&self) -> impl Iterator<Item = (usize, usize, &Cell)> {
        let cells = self.cells.iter().enumerate();
        cells.map(|(index, cell)| (index / COLUMNS.len(), index % COLUMNS.len(), cell))
    }

    /// The cells of one row.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (usize, &Cell)> {
        let cells = self.cells.iter().skip(row * COLUMNS.len());
        cells.take(COLUMNS.len()).enumerate()
    }

    /// How many cells have a state.
    pub(super) fn count(&self, state: CellState) -> usize {
        self.cells.iter().filter(|cell| cell.state == state).count()
    }

    /// The states as letters, row by row: what a later campaign compares with.
    pub(super) fn letters(&self) -> String {
        self.cells.iter().map(|cell| cell.state.letter()).collect()
    }

    /// The names of a cell, for sentences.
    pub(super) fn name(&self, row: usize, column: usize) -> String {
        let row = self.rows.get(row).map(Row::to_string).unwrap_or_default();
        let column = COLUMNS.get(column).map_or("", |column| column.name);
        format!("{column} × {row}")
    }
}

fn positions<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    names
        .enumerate()
        .map(|(index, name)| (name, index))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together(states: &[CellState]) -> Cell {
        let mut cell = Cell::empty();
        for &state in states {
            cell.add(&CellResult {
                row: String::new(),
                column: String::new(),
                state,
                because: state.words().to_owned(),
                lost: 2,
                duplicated: 0,
                reordered: 0,
                refused: 0,
                unavailable_ms: 5,
            });
        }
        cell
    }

    #[test]
    fn the_run_that_says_most_decides_and_counts_add_up() {
        use CellState::{
            AllowedNotSeen, AllowedSeen, Broken, InfrastructureError, Kept, NotExercised,
            Unavailable,
        };
        for (states, wanted, effective) in [
            (&[][..], NotExercised, 0),
            (&[NotExercised, Kept, Kept], Kept, 2),
            (&[AllowedNotSeen, AllowedSeen], AllowedSeen, 1),
            (&[InfrastructureError, NotExercised], InfrastructureError, 0),
            (&[Kept, Unavailable, Kept], Unavailable, 3),
            (&[Unavailable, Broken, Kept], Broken, 3),
        ] {
            let cell = together(states);
            assert_eq!(cell.state, wanted, "{states:?}");
            assert_eq!(cell.effective, effective, "{states:?}");
            assert_eq!(cell.lost, 2 * states.len() as u64);
            assert!(cell.unavailable_ms <= 5, "the longest, not the sum");
            if !states.is_empty() {
                assert_eq!(cell.because, wanted.words());
            }
        }
    }
}
