//! The cells of the matrix: what all runs of a campaign say together.
//!
//! In: the runs. Out: for each row and column one [`Tally`].
//! Invariant: every cell has a place, also those that nobody ran; what is not of the matrix is
//! counted.

use std::collections::BTreeMap;

use crate::campaign::tally::Tally;
use crate::campaign::{CellState, RunRecord};
use crate::matrix::{COLUMNS, Row};
use crate::report::campaign::read::NotExercised;

/// Every cell, in the order of the page.
#[derive(Debug)]
pub(super) struct Grid {
    /// The rows.
    pub(super) rows: Vec<Row>,
    cells: Vec<Tally>,
    /// Which cells were asked for.
    wanted: Vec<bool>,
    /// Results of cells that this program does not know: an older or a newer one wrote them.
    pub(super) unknown: u64,
}

impl Grid {
    /// Adds up the cells of `runs`.
    pub(super) fn of<'a>(runs: impl Iterator<Item = &'a RunRecord>) -> Self {
        let rows = Row::all();
        let names: Vec<String> = rows.iter().map(Row::to_string).collect();
        let row_of: BTreeMap<&str, usize> = positions(names.iter().map(String::as_str));
        let column_of: BTreeMap<&str, usize> = positions(COLUMNS.iter().map(|column| column.name));
        let mut cells = vec![Tally::empty("nothing was run"); rows.len() * COLUMNS.len()];
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
            wanted: vec![true; cells.len()],
            cells,
            unknown,
        }
    }

    /// Leaves cells that were neither asked for nor run out of what was not exercised.
    pub(super) fn select(&mut self, rows: &[String], columns: &[String]) {
        if rows.is_empty() && columns.is_empty() {
            return;
        }
        let names: Vec<String> = self.rows.iter().map(Row::to_string).collect();
        for (index, (wanted, cell)) in self.wanted.iter_mut().zip(&mut self.cells).enumerate() {
            let row = names.get(index / COLUMNS.len());
            let column = COLUMNS.get(index % COLUMNS.len());
            *wanted = row.is_some_and(|row| rows.contains(row))
                && column.is_some_and(|of| columns.iter().any(|name| name == of.name));
            if !*wanted && cell.runs == 0 {
                "not asked for".clone_into(&mut cell.because);
            }
        }
    }

    /// Cells that were asked for and that nothing exercised.
    pub(super) fn idle(&self) -> usize {
        let cells = self.cells.iter().zip(&self.wanted);
        cells
            .filter(|(cell, wanted)| **wanted && cell.state == CellState::NotExercised)
            .count()
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
    pub(super) fn cells(&self) -> impl Iterator<Item = (usize, usize, &Tally)> {
        let cells = self.cells.iter().enumerate();
        cells.map(|(index, cell)| (index / COLUMNS.len(), index % COLUMNS.len(), cell))
    }

    /// The cells of one row.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (usize, &Tally)> {
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
