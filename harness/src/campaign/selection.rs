//! Which rows and columns of the matrix are wanted: `--rows`, `--columns`.
//!
//! In: what the user wrote. Out: the rows and columns, in the order of the page.
//! Invariant: the control without faults is always among the columns; a filter that matches
//! nothing is refused.

use crate::matrix::{COLUMNS, Column, Pack, Row, column};

/// The wanted part of the matrix.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The rows.
    pub rows: Vec<Row>,
    /// The columns.
    pub columns: Vec<&'static Column>,
}

impl Selection {
    /// The whole matrix.
    pub fn all() -> Self {
        Self {
            rows: Row::all(),
            columns: COLUMNS.iter().collect(),
        }
    }

    /// What `rows` and `columns` name; everything where one of them is empty.
    ///
    /// A row is wanted if it has all the words of one of `rows`, such as `acks=all rf=3`.
    pub fn parse(rows: &[String], columns: &[String]) -> Result<Self, String> {
        let mut selection = Self::all();
        if let Some(unknown) = rows.iter().find(|words| !Row::all().iter().any(has(words))) {
            return Err(format!(
                "--rows: no row has all of `{unknown}`; write words such as `acks=all rf=3 \
                 min.isr=2 flush=never` or `mode=sync-after`"
            ));
        }
        if !rows.is_empty() {
            let wanted = |row: &Row| rows.iter().any(|words| has(words)(row));
            selection.rows.retain(wanted);
        }
        if let Some(unknown) = columns.iter().find(|name| column::find(name).is_none()) {
            return Err(format!(
                "--columns: no column is called `{unknown}`; there are {}",
                column::names()
            ));
        }
        if !columns.is_empty() {
            let wanted = |column: &Column| columns.iter().any(|name| name == column.name);
            selection
                .columns
                .retain(|column| is_control(column) || wanted(column));
        }
        Ok(selection)
    }

    /// The packs of the rows, in the order of the page.
    pub fn packs(&self) -> Vec<Pack> {
        let mut packs: Vec<Pack> = self.rows.iter().map(|row| row.pack()).collect();
        packs.dedup();
        packs
    }
}

/// Whether it is the column without faults.
pub fn is_control(column: &Column) -> bool {
    COLUMNS
        .first()
        .is_some_and(|control| control.name == column.name)
}

/// Whether a row has all of these words.
fn has(words: &str) -> impl Fn(&Row) -> bool {
    move |row| {
        let name = row.to_string();
        words
            .split_whitespace()
            .all(|word| name.split(' ').any(|part| part == word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rows: &[&str], columns: &[&str]) -> Result<(usize, usize, usize), String> {
        let owned = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
        let selection = Selection::parse(&owned(rows), &owned(columns))?;
        let packs = selection.packs().len();
        Ok((selection.rows.len(), packs, selection.columns.len()))
    }

    #[test]
    fn words_pick_rows_and_the_control_is_always_there() {
        for (rows, columns, wanted) in [
            (&[][..], &[][..], (59, 7, 19)),
            (&["acks=all rf=3"], &[], (6, 2, 19)),
            (&["mode=sync-after"], &["leader-kill"], (1, 1, 2)),
            (&["mode=sync-after", "flush=every"], &["none"], (28, 2, 1)),
        ] {
            assert_eq!(parse(rows, columns), Ok(wanted), "{rows:?} {columns:?}");
        }
    }

    #[test]
    fn what_matches_nothing_is_refused_with_what_would() {
        let error = parse(&["acks=2"], &[]).expect_err("no such row");
        assert!(
            error.contains("acks=2") && error.contains("mode=sync-after"),
            "{error}"
        );
        let error = parse(&[], &["flood"]).expect_err("no such column");
        assert!(
            error.contains("flood") && error.contains("leader-kill"),
            "{error}"
        );
        assert!(parse(&[" "], &[]).is_ok_and(|(rows, ..)| rows == 59));
    }
}
