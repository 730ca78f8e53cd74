//! The page of a campaign: what a team reads in the morning.
//!
//! In: the files of a campaign directory, and of earlier campaigns beside it. Out: `index.html`,
//! one self-contained page without a script, and `digest.json`, what later campaigns compare with.
//! Invariant: the page only shows what the files say; a page that would be too large leaves out
//! runs that are like others and says so. Source: reference/faults.md §3.3.

mod blocks;
mod canaries;
mod change;
mod findings;
mod grid;
mod holes;
mod ledger;
mod matrix;
mod numbers;
mod past;
mod promises;
mod read;
mod sentence;
mod trend;

#[cfg(test)]
mod campaign_test;
#[cfg(test)]
mod sample;

use std::path::Path;

use askama::Template;

use crate::campaign::canary::CANARIES;
use crate::campaign::outcome;
use crate::evidence::ledger::STATES;
use crate::report::ReportError;
use crate::report::campaign::blocks::{Block, Blocks};
use crate::report::campaign::canaries::Canaries;
use crate::report::campaign::change::{Gone, Past, Turned};
use crate::report::campaign::findings::Card;
use crate::report::campaign::grid::Grid;
use crate::report::campaign::holes::{Hole, Step};
use crate::report::campaign::ledger::Ledger;
use crate::report::campaign::matrix::{Group, LOOKS, Look};
use crate::report::campaign::numbers::Numbers;
use crate::report::campaign::past::Digest;
use crate::report::campaign::promises::Promised;
use crate::report::campaign::read::Campaign;

/// The size of a page, at most.
pub const PAGE_BYTES_MAX: usize = 2_000_000;
/// Runs that a block shows, at most, where there is room.
const RUNS_MAX: usize = 64;
/// Cells that changed that the page names, at most.
const TURNED_MAX: usize = 40;

#[derive(Template)]
#[template(path = "campaign.html")]
struct Page<'a> {
    style: &'static str,
    name: &'a str,
    place: &'a str,
    verdict: sentence::Verdict,
    figures: Vec<(&'static str, String)>,
    arguments: &'a [(String, String)],
    compared_with: Option<&'a Digest>,
    gone: Vec<Gone>,
    turned: Vec<Turned>,
    more_turned: usize,
    looks: &'static [Look],
    tallies: Vec<usize>,
    columns: Vec<(&'static str, &'static str)>,
    groups: Vec<Group>,
    promised: Vec<Promised>,
    cards: Vec<Card>,
    novelties: String,
    ledger: Ledger,
    canaries: &'a Canaries,
    holes: Vec<Hole>,
    steps: Vec<Step>,
    curves: Vec<trend::Curve>,
    trend: Vec<trend::Line>,
    blocks: Vec<Block>,
    left_out: String,
}

/// Writes the page of the campaign in `directory`, and the digest that later campaigns need.
///
/// It is compared with the campaign in `previous`, or else with the newest that lies beside it and
/// began before it.
///
/// # Errors
/// If a file cannot be read or the page cannot be written, with the file's name.
pub fn write(directory: &Path, previous: Option<&Path>) -> Result<(), ReportError> {
    let campaign = Campaign::read(directory)?;
    let beside = past::beside(directory, campaign.begin().as_deref());
    let named = previous.map(Digest::read).transpose()?;
    let past = Past {
        last: named.as_ref().or(beside.last()),
        all: &beside,
    };
    let whole = directory.canonicalize().unwrap_or(directory.to_owned());
    let parent = whole.parent().and_then(Path::file_name).unwrap_or_default();
    let parent = parent.to_string_lossy();
    let (page, digest) = render(&campaign, &past, &parent)?;
    digest.store(directory)?;
    past::replace(&directory.join("index.html"), &page)
}

/// Renders the page of a campaign whose directory lies in one that is called `parent`.
fn render(
    campaign: &Campaign,
    past: &Past<'_>,
    parent: &str,
) -> Result<(String, Digest), ReportError> {
    let mut grid = Grid::of(campaign.honest().map(|(_, run)| run));
    grid.explain(&campaign.not_exercised);
    grid.select(&campaign.rows, &campaign.columns);
    let numbers = Numbers::of(campaign);
    let canaries = Canaries::of(&campaign.runs, &planted());
    let now = Digest::of(campaign, &grid, numbers);
    let place = findings::place(campaign, parent);
    let blocks = Blocks::of(campaign, &grid.rows);
    let mut page = page(campaign, past, &grid, &canaries, &now, &place);
    let mut runs_max = RUNS_MAX;
    loop {
        page.blocks = blocks.shown(&grid, runs_max);
        let text = page.render()?;
        if text.len() <= PAGE_BYTES_MAX || runs_max == 0 {
            return Ok((text, now));
        }
        runs_max /= 2;
        page.left_out = format!(
            "The page would have been larger than {} MB: at most {runs_max} runs are listed for \
             each cell, those that broke something first. runs.jsonl has them all.",
            PAGE_BYTES_MAX / 1_000_000
        );
    }
}

/// The bugs that a campaign plants, with what is wrong in each.
fn planted() -> Vec<(String, String)> {
    let canaries = CANARIES.iter().map(|canary| canary.bug);
    canaries
        .map(|bug| (bug.name().to_owned(), bug.description().to_owned()))
        .collect()
}

/// The states that a campaign should reach.
fn states() -> Vec<(String, String)> {
    let states = STATES.iter();
    states
        .map(|state| (state.name.to_owned(), state.description.to_owned()))
        .collect()
}

/// Everything but the lists of runs.
fn page<'a>(
    campaign: &'a Campaign,
    past: &Past<'a>,
    grid: &Grid,
    canaries: &'a Canaries,
    now: &'a Digest,
    place: &'a str,
) -> Page<'a> {
    let cards = findings::cards(campaign, grid, past, place);
    let mut turned = change::turned(grid, past);
    let more_turned = turned.len().saturating_sub(TURNED_MAX);
    turned.truncate(TURNED_MAX);
    Page {
        style: include_str!("../../../templates/campaign.css"),
        name: &campaign.name,
        place,
        verdict: sentence::verdict(
            outcome::exit_of(&campaign.runs),
            grid,
            campaign,
            now,
            past,
            canaries,
        ),
        figures: sentence::figures(now.numbers),
        arguments: &campaign.arguments,
        compared_with: past.last,
        gone: change::gone(now, past),
        turned,
        more_turned,
        looks: &LOOKS,
        tallies: LOOKS.iter().map(|look| grid.count(look.state)).collect(),
        columns: matrix::columns(),
        groups: matrix::groups(grid),
        promised: promises::promised(&grid.rows),
        novelties: findings::novelties(&cards),
        cards,
        ledger: Ledger::of(&campaign.runs, &states()),
        canaries,
        holes: holes::holes(campaign, grid, canaries),
        steps: holes::steps(grid),
        curves: trend::curves(past.all, now),
        trend: trend::lines(past.all, now),
        blocks: Vec::new(),
        left_out: String::new(),
    }
}
