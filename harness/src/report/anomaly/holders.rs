//! Who had the record when: a table of moments by nodes, with the end of the run as its last row.

use std::collections::BTreeMap;

use crate::evidence::{Holder, Story};
use crate::report::words::{count, millis, shortened};

/// Moments that are shown.
const MOMENTS_MAX: usize = 16;

/// Who had the record when.
pub(in crate::report) struct Table {
    pub(in crate::report) about: String,
    pub(in crate::report) nodes: Vec<String>,
    pub(in crate::report) moments: Vec<(String, Vec<String>)>,
    pub(in crate::report) left_out: String,
    pub(in crate::report) end: Vec<(&'static str, &'static str)>,
}

/// The table, if anything is known of the record.
pub(in crate::report) fn table(story: &Story) -> Option<Table> {
    if story.holders.is_empty() {
        return None;
    }
    let nodes = story.holders.len();
    let mut moments: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (column, holder) in story.holders.iter().enumerate() {
        for (at, word) in &holder.moments {
            let cells = moments
                .entry(*at)
                .or_insert_with(|| vec![String::new(); nodes]);
            if let Some(cell) = cells.get_mut(column) {
                let comma = if cell.is_empty() { "" } else { ", " };
                *cell = format!("{cell}{comma}{}", shortened(word, 60));
            }
        }
    }
    let left_out = moments.len().saturating_sub(MOMENTS_MAX);
    Some(Table {
        about: shortened(&story.about, 200),
        nodes: story
            .holders
            .iter()
            .map(|holder| format!("n{}", holder.node))
            .collect(),
        // What happened last decides; what is left out is what came first.
        moments: moments
            .into_iter()
            .skip(left_out)
            .map(|(at, cells)| (millis(at), cells))
            .collect(),
        left_out: match left_out {
            0 => String::new(),
            more => format!("{} not shown.", count(more as u64, "earlier moment")),
        },
        end: story.holders.iter().map(end).collect(),
    })
}

fn end(holder: &Holder) -> (&'static str, &'static str) {
    match holder.at_end {
        Some(true) => ("✓", "has it"),
        Some(false) => ("✗", "lacks it"),
        None => ("?", "its files are gone"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_all_nodes_are_rows_of_one_table_in_the_order_of_time() {
        let holder = |node, moments: &[(u64, &str)], at_end| Holder {
            node,
            moments: moments
                .iter()
                .map(|(at, word)| (*at, (*word).to_owned()))
                .collect(),
            at_end,
        };
        let story = Story {
            about: "t-0 offset 7".to_owned(),
            holders: vec![
                holder(1, &[(1200, "leads"), (3000, "down")], Some(false)),
                holder(2, &[(1200, "in sync"), (3400, "leads")], None),
            ],
            log_lines: Vec::new(),
        };
        let table = table(&story).expect("a table");
        let rows: Vec<(&str, &str, &str)> = table
            .moments
            .iter()
            .map(|(at, cells)| (&**at, &*cells[0], &*cells[1]))
            .collect();
        assert_eq!(
            rows,
            [
                ("1.200 s", "leads", "in sync"),
                ("3.000 s", "down", ""),
                ("3.400 s", "", "leads")
            ]
        );
        assert_eq!(table.end, [("✗", "lacks it"), ("?", "its files are gone")]);
        assert!(
            super::table(&Story::default()).is_none(),
            "nothing is known"
        );
    }
}
