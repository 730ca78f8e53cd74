//! Two or more runs beside each other: what differs in their plans, and what that did to whoever
//! waited for an acknowledgement.
//!
//! In: the directories of finished runs. Out: one self-contained page; every picture has the same
//! time axis. Invariant: the page only shows; the silences are those of the history
//! (`checkers::availability`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use askama::Template;
use checkers::availability::{Availability, availability};
use checkers::history::{History, Key};

use crate::plan::Plan;
use crate::plan::load::PlanError;
use crate::report::stored::{self, StoredError};
use crate::report::words::{seconds, thousands};
use crate::report::{FaultRow, ReportError, faults, timeline};
use crate::run::events::Event;
use crate::run::judge::read_history;
use crate::run::store::Store;

/// A silence counts as unavailable beyond this.
const PATIENCE_NANOS: u64 = 1_000_000_000;

/// Runs that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A plan cannot be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A history cannot be read.
    #[error(transparent)]
    History(#[from] crate::run::judge::Unreadable),
    /// The events cannot be read.
    #[error(transparent)]
    Events(#[from] StoredError),
    /// The page cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// One run, as far as a comparison needs it.
#[derive(Debug)]
struct Run {
    name: String,
    plan: Plan,
    events: Vec<Event>,
    faults: Vec<FaultRow>,
    partitions: BTreeMap<Key, Availability>,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Page<'a> {
    style: &'static str,
    patterns: &'static str,
    sentence: String,
    patience: String,
    rows: Vec<Row>,
    pictures: Vec<(&'a str, String, String)>,
}

/// One run in numbers.
struct Row {
    name: String,
    differs: String,
    acked: String,
    longest: String,
    unavailable: String,
}

/// The page that compares the runs in `directories`.
///
/// # Errors
/// The first file that cannot be read, by name.
pub fn compare(directories: &[PathBuf]) -> Result<String, CompareError> {
    let runs: Result<Vec<Run>, _> = directories.iter().map(|path| Run::read(path)).collect();
    let runs = runs?;
    let differing = differing_settings(&runs);
    let end = runs.iter().map(Run::end).max().unwrap_or(0);
    let row = |run: &Run| Row {
        name: run.name.clone(),
        differs: run.label(&differing),
        acked: thousands(run.partitions.values().map(|found| found.acked).sum()),
        longest: run.longest_in_words(),
        unavailable: seconds(run.unavailable()),
    };
    let picture = |run: &Run| {
        let drawn = timeline::silences(
            &run.plan,
            &run.events,
            &run.faults,
            &run.partitions,
            (PATIENCE_NANOS, end),
        );
        (run.label(&differing), drawn)
    };
    let pictures: Vec<_> = runs.iter().map(picture).collect();
    let page = Page {
        style: include_str!("../../templates/report.css"),
        patterns: timeline::PATTERNS,
        sentence: sentence(&runs, &differing),
        patience: seconds(PATIENCE_NANOS),
        rows: runs.iter().map(row).collect(),
        pictures: runs
            .iter()
            .zip(pictures)
            .map(|(run, (label, drawn))| (run.name.as_str(), label, drawn))
            .collect(),
    };
    Ok(page.render().map_err(ReportError::from)?)
}

impl Run {
    fn read(directory: &Path) -> Result<Self, CompareError> {
        let store = Store::open(directory);
        let plan = Plan::load(&store.plan())?;
        let history: History = read_history(&store.history())?;
        let events = stored::events(&store.events())?;
        let name = directory.canonicalize().unwrap_or(directory.to_owned());
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: name.into_owned(),
            faults: faults::rows(&plan, &events),
            partitions: availability(&history),
            plan,
            events,
        })
    }

    fn end(&self) -> u64 {
        self.events
            .iter()
            .map(|event| event.time)
            .max()
            .unwrap_or(0)
    }

    fn unavailable(&self) -> u64 {
        let found = self.partitions.values();
        found.map(|found| found.unavailable(PATIENCE_NANOS)).sum()
    }

    fn longest(&self) -> u64 {
        let found = self.partitions.values();
        found.map(Availability::longest).max().unwrap_or(0)
    }

    fn longest_in_words(&self) -> String {
        let longest = self.longest();
        let found = self.partitions.iter();
        let mut of = found.filter(|(_, found)| found.longest() == longest);
        match of.next() {
            Some((key, _)) => format!("{} on {key}", seconds(longest)),
            None => "nobody sent".to_owned(),
        }
    }

    /// What sets the run apart: the settings in which the plans differ, else its name.
    fn label(&self, differing: &BTreeSet<String>) -> String {
        if differing.is_empty() {
            return self.name.clone();
        }
        let value = |key: &String| match self.plan.cluster.broker_settings.get(key) {
            Some(value) => format!("{key}={value}"),
            None => format!("{key} by default"),
        };
        differing.iter().map(value).collect::<Vec<_>>().join(", ")
    }
}

/// The broker settings that are not the same in all plans.
fn differing_settings(runs: &[Run]) -> BTreeSet<String> {
    let settings = |run: &Run| run.plan.cluster.broker_settings.clone();
    let all: Vec<BTreeMap<String, String>> = runs.iter().map(settings).collect();
    let keys: BTreeSet<String> = all.iter().flat_map(|of| of.keys().cloned()).collect();
    let differs = |key: &String| {
        let first = all.first().and_then(|of| of.get(key));
        all.iter().any(|of| of.get(key) != first)
    };
    keys.into_iter().filter(differs).collect()
}

fn sentence(runs: &[Run], differing: &BTreeSet<String>) -> String {
    let of = |run: &Run| format!("{} with {}", seconds(run.longest()), run.label(differing));
    let parts: Vec<String> = runs.iter().map(of).collect();
    format!(
        "The longest wait for an acknowledgement: {}.",
        parts.join("; ")
    )
}

#[cfg(test)]
#[path = "compare/compare_test.rs"]
mod compare_test;
