//! The stored histories of `results/README.md` against what the table there says of them.
//!
//! Each row names a history cut from a run, the bug that it ran with, and the verdict in words.
//! A better checker changes the words here and there together, or it has become a worse one.

#![allow(clippy::disallowed_methods, reason = "a test of files")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use checkers::contract::Contract;
use checkers::history::History;

/// A row: the history, the bug, the verdict.
type Row = (String, String, String);

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the table below the heading `Stored histories`.
fn rows() -> Vec<Row> {
    let path = folder().join("../results/README.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let section = text
        .split("\n## Stored histories\n")
        .nth(1)
        .expect("the section");
    let table = section.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [history, bug, verdict] = cells[..] else {
            panic!("a row has three cells: {line}")
        };
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        (plain(history), plain(bug), plain(verdict))
    };
    table.map(row).collect()
}

/// The histories of `testdata/` that come from runs, by the name that a row has.
fn stored() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let anomalies = fs::read_dir(folder().join("testdata")).expect("testdata");
    let anomalies = anomalies.map(|entry| entry.expect("an entry").path());
    for anomaly in anomalies.filter(|path| path.is_dir()) {
        for entry in fs::read_dir(&anomaly).expect("a folder") {
            let path = entry.expect("an entry").path();
            let below = path
                .strip_prefix(folder().join("testdata"))
                .expect("below it");
            let name = below.display().to_string();
            if name.contains("/real-") {
                found.insert(name, path);
            }
        }
    }
    found
}

#[test]
fn every_stored_history_is_judged_as_the_track_record_says() {
    let mut stored = stored();
    for (name, bug, wanted) in rows() {
        let path = stored
            .remove(&name)
            .unwrap_or_else(|| panic!("{name}: no such history, or a second row of it"));
        let text = fs::read(&path).expect("readable");
        let history = History::read(&text[..]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let verdict = checkers::check(&history, &Contract::of(&history));
        assert_eq!(verdict.sentence, wanted, "{name}");
        assert_eq!(history.header.run["sabotage"], *bug, "{name}");
    }
    assert!(stored.is_empty(), "without a row: {:?}", stored.keys());
}
