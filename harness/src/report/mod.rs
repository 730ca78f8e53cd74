//! The report of a run: one self-contained HTML page that opens on the verdict in a sentence.
//!
//! In: the plan, the verdict and the events of a run. Out: a page without a script or a link to
//! anything outside it, legible in light and dark, in print, and without colour.
//! Invariant: the page only shows; nothing in it decides. Source: the question that every section
//! answers is its heading.

mod anomaly;
pub mod compare;
mod durability;
mod faults;
mod group;
mod promises;
mod setup;
mod timeline;
mod words;

#[cfg(test)]
mod report_test;

use std::fs;
use std::path::{Path, PathBuf};

use askama::Template;

use crate::cli::exit::Exit;
use crate::plan::Plan;
use crate::run::events::Event;
use crate::run::store::{Store, StoreError};
use crate::run::summary::Summary;

pub use faults::FaultRow;

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The name of the run: its directory.
    pub name: &'a str,
    /// What was planned.
    pub plan: &'a Plan,
    /// How the run ended.
    pub summary: &'a Summary,
    /// What the harness saw.
    pub events: &'a [Event],
}

/// The report could not be made. The run's other files are complete without it.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The events cannot be read.
    #[error("{path}: {reason}; the report draws its timeline from this file")]
    Events {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with the line.
        reason: String,
    },
    /// The template cannot be filled.
    #[error("cannot render the report: {0}")]
    Render(#[from] askama::Error),
    /// The page cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    style: &'static str,
    name: &'a str,
    mark: &'static str,
    judgement: &'static str,
    tone: &'static str,
    sentence: &'a str,
    availability: String,
    exit_code: u8,
    summary: String,
    setup: Vec<setup::Row>,
    faults: Vec<FaultRow>,
    timeline: String,
    durability: Option<durability::Section>,
    group: Option<group::Section>,
    anomalies_heading: &'static str,
    anomalies: Vec<anomaly::Section>,
    promises: Vec<promises::Row>,
    reasons: Vec<String>,
    notes: Vec<String>,
    reproduce: &'a str,
}

/// Renders the report of the run whose files lie in `store`, and writes it beside them.
///
/// # Errors
/// If the events cannot be read or the page cannot be written, with the file's name.
pub fn write(store: &Store, plan: &Plan, summary: &Summary) -> Result<(), ReportError> {
    let events = read_events(&store.events())?;
    let name = store
        .root()
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let page = render(&Input {
        name: &name,
        plan,
        summary,
        events: &events,
    })?;
    store.write(&store.report(), &page)?;
    Ok(())
}

fn read_events(path: &Path) -> Result<Vec<Event>, ReportError> {
    let unreadable = |reason: String| ReportError::Events {
        path: path.to_owned(),
        reason,
    };
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let event = |(index, line): (usize, &str)| {
        let parsed = serde_json::from_str(line);
        parsed.map_err(|error| unreadable(format!("line {}: {error}", index + 1)))
    };
    text.lines().enumerate().map(event).collect()
}

/// Renders the page.
///
/// # Errors
/// If the template cannot be filled.
pub fn render(input: &Input<'_>) -> Result<String, ReportError> {
    let summary = input.summary;
    let (mark, judgement, tone) = judgement(summary.exit());
    let faults = faults::rows(input.plan, input.events);
    let page = Page {
        style: include_str!("../../templates/report.css"),
        name: input.name,
        mark,
        judgement,
        tone,
        sentence: &summary.sentence,
        availability: words::availability(&summary.liveness),
        exit_code: summary.exit_code,
        summary: words::summary(&summary.verdict, &faults),
        setup: setup::rows(input),
        timeline: timeline::draw(input.plan, input.events, &faults),
        faults,
        durability: durability::section(&summary.verdict, input.events),
        group: group::section(&summary.verdict),
        anomalies_heading: anomaly::heading(&summary.verdict),
        anomalies: anomaly::sections(&summary.verdict),
        promises: promises::rows(&summary.verdict),
        reasons: summary
            .deaths
            .iter()
            .chain(&summary.verdict.reasons)
            .cloned()
            .collect(),
        notes: words::notes(input.events),
        reproduce: &summary.reproduce,
    };
    Ok(page.render()?)
}

/// A sign that needs no colour, a word, and the tone of the page.
fn judgement(exit: Exit) -> (&'static str, &'static str, &'static str) {
    match exit {
        Exit::Kept => ("✓", "Kept", "kept"),
        Exit::Broken => ("✗", "Broken", "broken"),
        Exit::Unavailable => ("✗", "Not available again", "broken"),
        Exit::Vacuous => ("∅", "Proves nothing", "open"),
        Exit::Inconclusive => ("?", "Inconclusive", "open"),
        _ => ("!", "Harness failure", "open"),
    }
}
