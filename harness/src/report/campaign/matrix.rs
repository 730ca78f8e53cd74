//! The matrix as a table: rows in groups, one column for each class of faults.
//!
//! In: the cells. Out: what the template prints in each.
//! Invariant: every state has a letter and a shape of its own beside its colour.

use crate::campaign::CellState;
use crate::campaign::statistics::upper_bound;
use crate::campaign::tally::Tally;
use crate::cli::Flush;
use crate::matrix::{COLUMNS, Row};
use crate::report::campaign::grid::Grid;
use crate::report::words::seconds;

/// Rows that belong together.
pub(super) struct Group {
    pub(super) heading: &'static str,
    pub(super) rows: Vec<Line>,
}

/// One row.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) name: String,
    /// Whether a thicker line stands above it: other acks than in the row before.
    pub(super) begins: bool,
    pub(super) cells: Vec<Square>,
}

/// One cell.
pub(super) struct Square {
    pub(super) look: &'static Look,
    pub(super) anchor: String,
    /// Whether there are runs to lead to.
    pub(super) has_runs: bool,
    pub(super) effective: String,
    pub(super) counts: String,
    pub(super) bound: String,
}

/// How a state looks: everything that tells it from the others.
pub(super) struct Look {
    pub(super) state: CellState,
    /// The class in the style sheet, and the id of its shape.
    pub(super) class: &'static str,
    pub(super) meaning: &'static str,
    /// The shape, in a square of 10 × 10.
    pub(super) shape: &'static str,
}

impl Look {
    const fn new(
        state: CellState,
        class: &'static str,
        shape: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            state,
            class,
            meaning,
            shape,
        }
    }

    /// Its letter.
    pub(super) fn letter(&self) -> char {
        self.state.letter()
    }

    /// Its name.
    pub(super) fn words(&self) -> &'static str {
        self.state.words()
    }
}

/// Every state, in the order of the legend.
pub(super) static LOOKS: [Look; 9] = [
    Look::new(
        CellState::Kept,
        "k",
        r#"<circle cx="5" cy="5" r="3.6"/>"#,
        "everything promised held while the faults had their effect",
    ),
    Look::new(
        CellState::AllowedSeen,
        "s",
        r#"<path d="M5 .6 9.4 5 5 9.4 .6 5z"/>"#,
        "what may be lost was lost: the harness can see it",
    ),
    Look::new(
        CellState::AllowedNotSeen,
        "a",
        r#"<path class="o" d="M5 1.2 8.8 5 5 8.8 1.2 5z"/>"#,
        "what may be lost was not lost: a control that proved nothing",
    ),
    Look::new(
        CellState::Refused,
        "r",
        r#"<path class="o" d="M1.4 1.4h7.2v7.2H1.4zM3 5h4"/>"#,
        "sends were refused, as they must be",
    ),
    Look::new(
        CellState::Unavailable,
        "u",
        r#"<path d="M5 .8 9.6 9.2H.4z"/>"#,
        "silent for longer than promised, or not serving again after healing",
    ),
    Look::new(
        CellState::Inconclusive,
        "i",
        r#"<circle class="o" cx="5" cy="5" r="3.6"/>"#,
        "the checkers could not decide",
    ),
    Look::new(
        CellState::NotExercised,
        "n",
        r#"<path class="o" d="M3 7 7 3"/>"#,
        "no fault proved its effect, or nothing was run",
    ),
    Look::new(
        CellState::InfrastructureError,
        "h",
        r#"<path class="o" d="M5 1v8M1 5h8"/>"#,
        "the harness or the machine failed",
    ),
    Look::new(
        CellState::Broken,
        "b",
        r#"<path class="w" d="M1.6 1.6 8.4 8.4M8.4 1.6 1.6 8.4"/>"#,
        "a promise was broken",
    ),
];

/// How `state` looks.
pub(super) fn look(state: CellState) -> &'static Look {
    let found = LOOKS.iter().find(|look| look.state == state);
    found.unwrap_or(&LOOKS[0])
}

/// The place of a cell's details on the page.
pub(super) fn anchor(row: usize, column: usize) -> String {
    format!("c{row}-{column}")
}

/// The table.
pub(super) fn groups(grid: &Grid) -> Vec<Group> {
    let headings = [
        "What a group processes: by commit mode (acks=all, rf=3, min.isr=2)",
        "What the log keeps: nothing is fsynced before it is acknowledged (flush=never)",
        "What the log keeps: every message is fsynced before it is acknowledged (flush=every)",
    ];
    let mut groups = headings.map(|heading| Group {
        heading,
        rows: Vec::new(),
    });
    let mut before = None;
    for (number, row) in grid.rows.iter().enumerate() {
        let (group, acks) = match row {
            Row::Mode(_) => (0, None),
            Row::Durability {
                flush: Flush::Never,
                acks,
                ..
            } => (1, Some(*acks)),
            Row::Durability { acks, .. } => (2, Some(*acks)),
        };
        let cells = grid.row(number);
        let line = Line {
            number,
            name: short_name(row),
            begins: acks != before && acks.is_some(),
            cells: cells
                .map(|(column, cell)| square(number, column, cell))
                .collect(),
        };
        before = acks;
        if let Some(group) = groups.get_mut(group) {
            group.rows.push(line);
        }
    }
    groups.into()
}

/// The row's name without what its group says already.
fn short_name(row: &Row) -> String {
    let name = row.to_string();
    let name = name.strip_prefix("mode=").unwrap_or(&name);
    name.split(" flush=").next().unwrap_or_default().to_owned()
}

fn square(row: usize, column: usize, cell: &Tally) -> Square {
    Square {
        look: look(cell.state),
        anchor: anchor(row, column),
        has_runs: cell.runs > 0,
        effective: if cell.effective > 0 {
            compact(cell.effective)
        } else {
            String::new()
        },
        counts: counts(cell),
        bound: bound(cell),
    }
}

/// What was counted in a cell, each with its letter, where it is not zero.
pub(super) fn counts(cell: &Tally) -> String {
    let mut parts = Vec::new();
    for (letter, count) in [
        ("L", cell.lost),
        ("D", cell.duplicated),
        ("O", cell.reordered),
        ("R", cell.refused),
        ("?", cell.undecided),
        ("!", cell.failed),
    ] {
        if count > 0 {
            parts.push(format!("{letter}{}", compact(count)));
        }
    }
    if cell.unavailable_ms > 0 {
        let silence = seconds(cell.unavailable_ms * 1_000_000);
        parts.push(format!("U{}", silence.replace(' ', "")));
    }
    parts.join(" ")
}

/// The bound that the effective runs support; nothing without any.
pub(super) fn bound(cell: &Tally) -> String {
    if cell.effective == 0 {
        return String::new();
    }
    let bad = cell.broken + cell.unavailable;
    format!("≤{}", at_most(upper_bound(bad, cell.effective)))
}

/// A probability in percent, with as many digits as matter.
pub(super) fn percent(probability: f64) -> String {
    in_percent(probability, f64::round)
}

/// A bound in percent: rounded up, because less was not shown.
pub(super) fn at_most(probability: f64) -> String {
    in_percent(probability, f64::ceil)
}

fn in_percent(probability: f64, to_whole: fn(f64) -> f64) -> String {
    let percent = probability * 100.0;
    let digits = match percent {
        0.0..1.0 => 2,
        1.0..9.95 => 1,
        _ => 0,
    };
    let scale = 10_f64.powi(digits);
    // Binary fractions are a little off; that must not count as more.
    let whole = to_whole((percent * scale * 1e6).round() / 1e6);
    format!("{:.*}%", digits as usize, whole / scale)
}

/// A count in at most four characters.
fn compact(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..9_950 => format!("{:.1}k", count as f64 / 1e3),
        9_950..999_500 => format!("{:.0}k", count as f64 / 1e3),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

/// The names of the columns, with what they are.
pub(super) fn columns() -> Vec<(&'static str, &'static str)> {
    let columns = COLUMNS.iter();
    columns
        .map(|column| (column.name, column.description))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_state_has_a_letter_a_shape_and_a_class_of_its_own() {
        let letters: BTreeSet<char> = LOOKS.iter().map(Look::letter).collect();
        let shapes: BTreeSet<&str> = LOOKS.iter().map(|look| look.shape).collect();
        let classes: BTreeSet<&str> = LOOKS.iter().map(|look| look.class).collect();
        assert_eq!((letters.len(), shapes.len(), classes.len()), (9, 9, 9));
        for state in CellState::ALL {
            assert_eq!(look(state).state, state);
        }
    }

    #[test]
    fn numbers_fit_a_cell() {
        for (count, wanted) in [
            (7, "7"),
            (999, "999"),
            (1_250, "1.2k"),
            (9_960, "10k"),
            (412_300, "412k"),
            (2_500_000, "2.5M"),
        ] {
            assert_eq!(compact(count), wanted);
        }
        for (probability, wanted) in [
            (0.0003, ("0.03%", "0.03%")),
            (0.0291, ("2.9%", "3.0%")),
            (0.7761, ("78%", "78%")),
            (0.7741, ("77%", "78%")),
            (1.0, ("100%", "100%")),
        ] {
            let (percent, at_most) = (percent(probability), at_most(probability));
            assert_eq!((percent.as_str(), at_most.as_str()), wanted);
        }
    }
}
