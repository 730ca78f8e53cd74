//! The matrix on the campaign page: it scrolls inside its own box, cells lead to their runs, and
//! the page keeps its size whatever the campaign was.

use std::fmt::Write as _;
use std::fs;

use libtest_mimic::Failed;

use crate::browser::{Browser, Screen};
use crate::inspect::demand;
use crate::sample;
use crate::site::Site;

const PAGE: &str = "file:20261130-010000-campaign/index.html";
const ROUNDS_OF_12000_RUNS: u64 = 91;

/// On a phone the box scrolls both ways and its headers stay; the page itself stays still.
pub(crate) fn scrolls(browser: &Browser, site: &Site) -> Result<(), Failed> {
    let view = browser.open(&site.address(PAGE), Screen::PHONE)?;
    let (column, row, moved): (f64, f64, f64) = view.ask(
        r"(() => { const box = document.querySelector('.grid');
            box.scrollTo(400, 300);
            const at = e => e.getBoundingClientRect(), of = at(box);
            return [at(box.querySelector('thead th:last-child')).top - of.top,
                at(box.querySelectorAll('th[scope=row]')[20]).left - of.left,
                Math.min(box.scrollLeft, box.scrollTop)]; })()",
    )?;
    let stay = column.abs() < 2.0 && row.abs() < 2.0 && moved > 200.0;
    demand(
        stay,
        &format!("headers at {column} and {row} after {moved}"),
    )?;
    let cells: usize = view.ask("document.querySelectorAll('.grid td').length")?;
    demand(cells == 59 * 19, &format!("{cells} cells"))?;
    let states: usize =
        view.ask("new Set([...document.querySelectorAll('.grid td')].map(e => e.className)).size")?;
    demand(states == 9, &format!("{states} states"))
}

/// Following a cell's link opens the block with its runs.
pub(crate) fn leads_to_runs(browser: &Browser, site: &Site) -> Result<(), Failed> {
    let view = browser.open(&site.address(PAGE), Screen::DESK)?;
    let is_seen: bool = view.ask(
        r"(() => { const link = document.querySelector('.grid td.b a');
            const target = document.getElementById(link.getAttribute('href').slice(1));
            if (target.checkVisibility()) return false;
            link.click();
            return target.checkVisibility() && target.textContent.includes('broken'); })()",
    )?;
    demand(
        is_seen,
        "the broken cell's row is hidden until its link is followed, and then shown",
    )?;
    let is_kept: bool = view.ask(
        "!!document.querySelector('details[open] a[href$=\"report.html\"]') || \
         !!document.querySelector('article a[href$=\"report.html\"]')",
    )?;
    demand(is_kept, "the kept run is linked")
}

/// 59 × 19 cells and 12,000 runs: at most 2 MB, and what is left out is said.
pub(crate) fn stays_small() -> Result<(), Failed> {
    let results = tempfile::tempdir()?;
    let runs = sample::runs(30, ROUNDS_OF_12000_RUNS);
    demand(runs.len() > 12_000, &format!("{} runs", runs.len()))?;
    let mut lines = String::new();
    for run in &runs {
        writeln!(lines, "{}", serde_json::to_string(run)?)?;
    }
    fs::write(results.path().join("runs.jsonl"), lines)?;
    harness::report::campaign::write(results.path(), None)?;
    let page = fs::read_to_string(results.path().join("index.html"))?;
    let limit = harness::report::campaign::PAGE_BYTES_MAX;
    demand(page.len() <= limit, &format!("{} bytes", page.len()))?;
    let says = page.contains("would have been larger") && page.contains("left out here");
    demand(says, "the page says what is left out")?;
    demand(
        page.contains("Broken: 3 lost-write"),
        "what broke is still listed",
    )
}
