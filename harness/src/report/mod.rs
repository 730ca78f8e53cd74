//! The report of a run: one self-contained HTML page that opens on the verdict in a sentence.
//!
//! In: the plan, the verdict, the events, the evidence and a digest of the history of a run. Out:
//! a page without a script or a link to anything outside it, legible in light and dark, in print,
//! and without colour, of at most 2 MB whatever the run was.
//! Invariant: the page only shows; nothing in it decides; what it leaves out it says. Source: the
//! question that every section answers is its heading; reference/faults.md §3.3.

pub mod anomaly;
pub mod campaign;
mod checks;
pub mod compare;
mod contract;
pub mod digest;
mod durability;
mod examined;
mod faults;
mod group;
mod rows;
mod setup;
mod stored;
mod timeline;
mod words;

#[cfg(test)]
mod report_test;
#[cfg(test)]
mod worst_test;

use std::path::{Path, PathBuf};

use askama::Template;

use crate::cli::exit::Exit;
use crate::evidence::Evidence;
use crate::plan::Plan;
use crate::run::events::Event;
use crate::run::store::{Store, StoreError};
use crate::run::summary::Summary;
use digest::Digest;

pub use faults::FaultRow;
pub use stored::StoredError;

/// Faults that have a row in the table.
const FAULTS_MAX: usize = 200;

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The name of the run: its directory without the path.
    pub name: &'a str,
    /// The directory, as commands name it.
    pub directory: &'a str,
    /// What was planned.
    pub plan: &'a Plan,
    /// How the run ended.
    pub summary: &'a Summary,
    /// What the harness saw.
    pub events: &'a [Event],
    /// What was found around the anomalies that [`anomaly::shown`] gives, in that order.
    pub evidence: &'a Evidence,
    /// What the clients did.
    pub digest: &'a Digest,
}

/// The report could not be made. The run's other files are complete without it.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the run cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// A file of a campaign cannot be read.
    #[error("{}: {reason}; the page of the campaign is made from this file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
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
    patterns: &'static str,
    name: &'a str,
    directory: &'a str,
    mark: &'static str,
    judgement: &'static str,
    tone: &'static str,
    sentence: String,
    conditions: String,
    availability: String,
    exit_code: u8,
    sabotage: Option<&'a str>,
    numbers: Vec<(&'static str, String)>,
    contract: Vec<contract::Row>,
    rows: Vec<rows::Row>,
    row_numbers: [&'static str; 6],
    setup: Vec<setup::Row>,
    faults: Vec<FaultRow>,
    faults_left_out: usize,
    timeline: timeline::Picture,
    history_problem: Option<&'a str>,
    durability: Option<durability::Section>,
    group: Option<group::Section>,
    anomalies_heading: &'static str,
    anomalies: Vec<anomaly::Section>,
    linearizability: Vec<String>,
    checks: Vec<checks::Row>,
    reached: Vec<(String, String, String)>,
    problems: Vec<String>,
    reasons: Vec<String>,
    notes: Vec<String>,
    reproduce: &'a str,
}

/// Renders the report of the run whose files lie in `store`, and writes it beside them.
///
/// # Errors
/// If a file cannot be read or the page cannot be written, with its name.
pub fn write(store: &Store, plan: &Plan, summary: &Summary) -> Result<(), ReportError> {
    let name = store.root().file_name();
    let name = name
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let events = stored::events(&store.events())?;
    let page = render(&Input {
        name: &name,
        directory: &as_named(store.root()),
        plan,
        summary,
        events: &events,
        evidence: &stored::evidence(store)?,
        digest: &Digest::read(&store.history()),
    })?;
    store.write(&store.report(), &page)?;
    Ok(())
}

/// Makes the page of a finished run again, from its stored files.
///
/// # Errors
/// If a file of the run cannot be read or the page cannot be written, with its name.
pub fn write_again(store: &Store) -> Result<(), ReportError> {
    write(store, &stored::plan(store)?, &stored::summary(store)?)
}

/// The directory as a person would type it: below the working directory without its path.
fn as_named(directory: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let below = directory.strip_prefix(here).unwrap_or(directory);
    below.display().to_string()
}

/// Renders the page.
///
/// # Errors
/// If the template cannot be filled.
pub fn render(input: &Input<'_>) -> Result<String, ReportError> {
    let summary = input.summary;
    let (mark, judgement, tone) = judgement(summary.exit());
    let mut faults = faults::rows(input.plan, input.events);
    let findings = anomaly::findings(summary);
    let page = Page {
        style: include_str!("../../templates/report.css"),
        patterns: timeline::PATTERNS,
        name: input.name,
        directory: input.directory,
        mark,
        judgement,
        tone,
        sentence: words::shortened(&summary.sentence, 600),
        conditions: contract::conditions(summary),
        availability: words::availability(summary),
        exit_code: summary.exit_code,
        sabotage: summary.sabotage.as_deref(),
        numbers: words::numbers(summary, &faults),
        contract: contract::rows(summary),
        rows: rows::rows(input.plan, summary),
        row_numbers: rows::NUMBERS,
        setup: setup::rows(input),
        timeline: timeline::draw(input, &faults),
        history_problem: input.digest.problem.as_deref(),
        durability: durability::section(&summary.verdict, input.events),
        group: group::section(&summary.verdict),
        anomalies_heading: anomaly::heading(&findings),
        anomalies: anomaly::sections(input, &faults, &findings),
        linearizability: checks::linearizability(&summary.verdict),
        checks: checks::rows(&summary.verdict),
        reached: anomaly::reached(input.evidence),
        problems: words::first(&input.evidence.problems),
        reasons: words::first(summary.deaths.iter().chain(&summary.verdict.reasons)),
        notes: words::notes(input.events),
        reproduce: &summary.reproduce,
        faults_left_out: faults.len().saturating_sub(FAULTS_MAX),
        faults: {
            faults.truncate(FAULTS_MAX);
            faults
        },
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
