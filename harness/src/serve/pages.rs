//! The pages that are made on the way: the lists, the progress, the search, a folder, a refusal.
//!
//! In: the results directory. Out: pages without a script; the progress renews itself.

use std::path::Path;

use askama::{Error, Template};
use jiff::{SignedDuration, Timestamp};

use crate::campaign::progress::{Progress, Running};
use crate::serve::files;
use crate::serve::find::{self, CampaignEntry, RunEntry};
use crate::serve::search::{self, Hits, Question};

const STYLE: &str = include_str!("../../templates/campaign.css");
/// Runs that the first page lists, at most.
const RUNS_MAX: usize = 200;
/// A campaign that says nothing for this long is taken for killed.
const SILENCE: SignedDuration = SignedDuration::from_secs(120);

#[derive(Template)]
#[template(path = "serve/index.html")]
struct Index<'a> {
    style: &'static str,
    campaigns: Vec<CampaignLine>,
    runs: Vec<RunEntry>,
    more: usize,
    question: &'a Question,
}

/// One campaign of the list.
struct CampaignLine {
    name: String,
    has_page: bool,
    state: String,
    numbers: String,
}

#[derive(Template)]
#[template(path = "serve/search.html")]
struct Answer<'a> {
    style: &'static str,
    question: &'a Question,
    found: Hits,
}

#[derive(Template)]
#[template(path = "serve/live.html")]
struct Live {
    style: &'static str,
    name: String,
    has_page: bool,
    is_running: bool,
    state: String,
    /// Percent of the budget; none where only units are counted.
    share: Option<u64>,
    figures: Vec<(&'static str, String)>,
    /// The unit, what it is, and since when it runs.
    running: Vec<(String, String, String)>,
    updated: String,
}

#[derive(Template)]
#[template(path = "serve/folder.html")]
struct Folder<'a> {
    style: &'static str,
    path: &'a str,
    names: &'a [String],
}

#[derive(Template)]
#[template(path = "serve/failure.html")]
struct Failure<'a> {
    style: &'static str,
    words: &'a str,
}

/// The first page.
pub(super) fn index(root: &Path) -> Result<String, Error> {
    let (runs, more) = find::runs(root, RUNS_MAX);
    let campaigns = find::campaigns(root);
    let page = Index {
        style: STYLE,
        campaigns: campaigns.into_iter().map(campaign_line).collect(),
        runs,
        more,
        question: &Question::default(),
    };
    page.render()
}

fn campaign_line(campaign: CampaignEntry) -> CampaignLine {
    let progress = campaign.progress.unwrap_or_default();
    CampaignLine {
        name: campaign.name,
        has_page: campaign.has_page,
        state: state(&progress, Timestamp::now()),
        numbers: format!(
            "{} runs, {} of {} cells, {} findings",
            progress.runs, progress.covered, progress.cells, progress.findings
        ),
    }
}

/// Whether a campaign is at work, in words.
fn state(progress: &Progress, now: Timestamp) -> String {
    if !progress.is_running {
        return "ended".to_owned();
    }
    if is_silent(progress, now) {
        let since = moment(&progress.updated);
        return format!("silent since {since}: killed, or stopped");
    }
    "running".to_owned()
}

fn running(unit: &Running) -> (String, String, String) {
    let Running {
        unit,
        label,
        started,
    } = unit;
    (unit.clone(), label.clone(), moment(started))
}

/// A moment without the fractions of its second.
fn moment(text: &str) -> String {
    let whole: String = text.chars().take(19).collect();
    whole.replace('T', " ")
}

fn is_silent(progress: &Progress, now: Timestamp) -> bool {
    let updated: Result<Timestamp, _> = progress.updated.parse();
    updated.is_ok_and(|updated| now.duration_since(updated) > SILENCE)
}

/// The answer to a question.
pub(super) fn answer(root: &Path, question: &Question) -> Result<String, Error> {
    let page = Answer {
        style: STYLE,
        question,
        found: search::search(root, question),
    };
    page.render()
}

/// How far the campaign `name` is; nothing if there is none.
pub(super) fn live(root: &Path, name: &str) -> Option<Result<String, Error>> {
    // A name is one part of a path, and so is what it leads to.
    files::place(root, name).filter(|place| place.parent() == Some(root))?;
    let campaign = find::campaigns(root)
        .into_iter()
        .find(|campaign| campaign.name == name)?;
    let progress = campaign.progress.unwrap_or_default();
    let now = Timestamp::now();
    let minutes = |ms: u64| format!("{} min {:02} s", ms / 60_000, ms / 1000 % 60);
    let page = Live {
        style: STYLE,
        name: campaign.name,
        has_page: campaign.has_page,
        is_running: progress.is_running && !is_silent(&progress, now),
        state: state(&progress, now),
        share: progress
            .budget_ms
            .and_then(|budget| (progress.used_ms * 100).checked_div(budget))
            .map(|share| share.min(100)),
        figures: vec![
            ("runs", progress.runs.to_string()),
            ("effective", progress.effective.to_string()),
            ("effective an hour", progress.effective_an_hour.to_string()),
            (
                "cells covered",
                format!("{} of {}", progress.covered, progress.cells),
            ),
            ("without a plan", progress.without_plan.to_string()),
            ("findings", progress.findings.to_string()),
            ("canaries caught", progress.caught.to_string()),
            ("canaries missed", progress.missed.to_string()),
            ("refused by the machine", progress.refused.to_string()),
            ("harness failures", progress.infrastructure.to_string()),
            ("used", minutes(progress.used_ms)),
            (
                "budget",
                progress.budget_ms.map_or("none".to_owned(), minutes),
            ),
        ],
        running: progress.running.iter().map(running).collect(),
        updated: moment(&progress.updated),
    };
    Some(page.render())
}

/// A folder.
pub(super) fn folder(path: &str, names: &[String]) -> Result<String, Error> {
    let style = STYLE;
    Folder { style, path, names }.render()
}

/// A refusal, in words.
pub(super) fn failure(words: &str) -> Result<String, Error> {
    let style = STYLE;
    Failure { style, words }.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_that_was_killed_is_not_running() {
        let at = |text: &str| -> Timestamp { text.parse().expect("a moment") };
        let progress = |is_running| Progress {
            is_running,
            updated: "2026-11-30T01:00:00Z".to_owned(),
            ..Progress::default()
        };
        let soon = at("2026-11-30T01:00:20Z");
        let late = at("2026-11-30T04:00:00Z");
        assert_eq!(state(&progress(true), soon), "running");
        assert!(state(&progress(true), late).starts_with("silent since 2026-11-30 01:00:00:"));
        assert_eq!(state(&progress(false), late), "ended");
    }
}
