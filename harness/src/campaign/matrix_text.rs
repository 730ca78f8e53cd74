//! The matrix as text: a letter for each cell.
//!
//! In: the wanted rows and columns, and the cells. Out: lines of at most 100 columns.

use std::collections::{BTreeMap, BTreeSet};

use crate::campaign::directory::Campaign;
use crate::campaign::record::CellState;
use crate::campaign::tally::{CellKey, Tally};

/// The matrix; a cell that nobody has run yet is a dot.
pub fn lines(campaign: &Campaign, cells: &BTreeMap<CellKey, Tally>) -> Vec<String> {
    let width = campaign.rows.iter().map(String::len).max().unwrap_or(0);
    let numbers: Vec<String> = (1..=campaign.columns.len())
        .map(|n| format!("{n:>3}"))
        .collect();
    let numbers = numbers.concat();
    let mut lines = vec![format!("{:width$}{numbers}", "")];
    let mut used = BTreeSet::new();
    for row in &campaign.rows {
        let letters = campaign.columns.iter().map(|column| {
            let cell = cells.get(&(row.clone(), column.clone()));
            used.extend(cell.map(|cell| cell.state));
            cell.map_or('.', |cell| cell.state.letter())
        });
        let letters: Vec<String> = letters.map(|letter| format!("  {letter}")).collect();
        let letters = letters.concat();
        lines.push(format!("{row:width$}{letters}"));
    }
    let columns = campaign.columns.iter().enumerate();
    lines.extend(wrap(
        columns.map(|(index, name)| format!("{} {name}", index + 1)),
    ));
    let legend = CellState::ALL
        .into_iter()
        .filter(|state| used.contains(state));
    let legend = legend.map(|state| format!("{} {}", state.letter(), state.words()));
    lines.extend(wrap(legend.chain([". not run yet".to_owned()])));
    lines
}

/// Joins words with two spaces into lines of at most 100 columns.
fn wrap(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() + 2 <= 100 => {
                line.push_str("  ");
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}
