//! The search: runs by anomaly, cell and seed.
//!
//! In: a question. Out: the runs of campaigns and the others that answer it.
//! Invariant: every part of the question that is asked must hold.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::campaign::RunRecord;
use crate::cli::exit::Exit;
use crate::serve::find::{self, RunEntry};

/// Runs that are shown, at most.
const HITS_MAX: usize = 300;

/// What is asked for; what is empty is not asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Question {
    /// Part of the name of an anomaly.
    pub(super) anomaly: String,
    /// Words that the column and the row of a cell must have.
    pub(super) cell: String,
    /// The seed, as text so that an empty field is no error.
    pub(super) seed: String,
}

/// One run.
pub(super) struct Hit {
    pub(super) place: String,
    /// Where its page is, if it was kept.
    pub(super) page: Option<String>,
    pub(super) what: String,
    pub(super) seed: u64,
    pub(super) mark: &'static str,
    pub(super) sentence: String,
}

/// What was found.
pub(super) struct Hits {
    pub(super) first: Vec<Hit>,
    pub(super) total: usize,
    /// Lines that could not be read.
    pub(super) unreadable: usize,
}

/// The runs below `root` that answer the question, those of campaigns first.
pub(super) fn search(root: &Path, question: &Question) -> Hits {
    let mut found = Hits {
        first: Vec::new(),
        total: 0,
        unreadable: 0,
    };
    for campaign in find::campaigns(root) {
        let text = fs::read_to_string(campaign.path.join("runs.jsonl")).unwrap_or_default();
        for line in text.lines() {
            match serde_json::from_str::<RunRecord>(line) {
                Ok(run) if question.holds_of(&run) => found.add(hit(&campaign.name, &run)),
                Ok(_) => {}
                Err(_) => found.unreadable += 1,
            }
        }
    }
    for run in find::runs(root, usize::MAX).0 {
        if question.holds_of_single(&run) {
            found.add(single(&run));
        }
    }
    found
}

impl Hits {
    fn add(&mut self, hit: Hit) {
        self.total += 1;
        if self.first.len() < HITS_MAX {
            self.first.push(hit);
        }
    }
}

impl Question {
    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        [&self.anomaly, &self.cell, &self.seed]
            .iter()
            .all(|part| part.trim().is_empty())
    }

    fn holds_of(&self, run: &RunRecord) -> bool {
        let anomalies = run.findings.iter().map(|finding| finding.anomaly.as_str());
        let cells = run
            .cells
            .iter()
            .map(|cell| format!("{} {}", cell.column, cell.row));
        self.is_seed(run.seed) && self.has_anomaly(anomalies) && self.has_cell(cells)
    }

    fn holds_of_single(&self, run: &RunEntry) -> bool {
        let Some(summary) = &run.summary else {
            return false;
        };
        let seen = summary
            .verdict
            .checks
            .iter()
            .filter(|check| check.count > 0);
        let rows = summary
            .rows
            .iter()
            .map(|row| format!("{} {}", summary.profile, row.row));
        self.is_seed(summary.seed)
            && self.has_anomaly(seen.map(|check| check.anomaly.name()))
            && self.has_cell(rows)
    }

    fn is_seed(&self, seed: u64) -> bool {
        let wanted = self.seed.trim();
        wanted.is_empty() || wanted == seed.to_string()
    }

    fn has_anomaly<'a>(&self, mut anomalies: impl Iterator<Item = &'a str>) -> bool {
        let wanted = self.anomaly.trim().to_lowercase();
        wanted.is_empty() || anomalies.any(|anomaly| anomaly.contains(&wanted))
    }

    fn has_cell(&self, mut cells: impl Iterator<Item = String>) -> bool {
        let is_word = |word: &&str| *word != "×";
        let words: Vec<&str> = self.cell.split_whitespace().filter(is_word).collect();
        words.is_empty()
            || cells.any(|cell| {
                let parts: Vec<&str> = cell.split_whitespace().collect();
                words.iter().all(|word| parts.contains(word))
            })
    }
}

fn hit(campaign: &str, run: &RunRecord) -> Hit {
    let page = |kept: &String| format!("/files/{campaign}/{kept}/report.html");
    let pack = run.pack.as_ref().map(|pack| format!(" × {pack}"));
    Hit {
        place: campaign.to_owned(),
        page: run.kept.as_ref().map(page),
        what: format!("{}{}", run.name, pack.unwrap_or_default()),
        seed: run.seed,
        mark: find::mark(Exit::from_code(i32::from(run.exit_code))),
        sentence: run.sentence.clone(),
    }
}

fn single(run: &RunEntry) -> Hit {
    let summary = run.summary.as_ref();
    Hit {
        place: run.name.clone(),
        page: run
            .has_page
            .then(|| format!("/files/{}/report.html", run.name)),
        what: summary
            .map(|summary| summary.profile.clone())
            .unwrap_or_default(),
        seed: summary.map_or(0, |summary| summary.seed),
        mark: run.mark,
        sentence: run.sentence.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(question: &Question) -> bool {
        let cells = ["pause acks=1 rf=3", "pause acks=all rf=1"].map(str::to_owned);
        question.is_seed(107)
            && question.has_anomaly(["lost-write", "duplicate"].into_iter())
            && question.has_cell(cells.into_iter())
    }

    #[test]
    fn every_part_that_is_asked_must_hold_and_words_of_a_cell_are_of_one_cell() {
        for (anomaly, cell, seed, wanted) in [
            ("", "", "", true),
            ("lost", "", "", true),
            ("Lost-Write", "pause × rf=3 acks=1", " 107 ", true),
            ("group-lost", "", "", false),
            ("", "pause acks=1 rf=1", "", false),
            ("", "acks", "", false),
            ("", "", "10", false),
            ("lost-write", "", "many", false),
        ] {
            let question = Question {
                anomaly: anomaly.to_owned(),
                cell: cell.to_owned(),
                seed: seed.to_owned(),
            };
            assert_eq!(holds(&question), wanted, "{question:?}");
        }
    }
}
