//! How far a campaign is: `progress.json` for `verdict serve`, one live line on a terminal, plain
//! lines elsewhere.
//!
//! In: what is done and what runs. Out: the file and the line.
//! Invariant: `used_ms` is the wall-clock time of all sittings together; it is what the budget is
//! compared with on resuming.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::campaign::record::{CellState, RunRecord, UnitKind};

/// Between two plain lines.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(10);

/// How far a campaign is: `progress.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The budget in milliseconds.
    pub budget_ms: u64,
    /// The time used so far, over all sittings.
    pub used_ms: u64,
    /// Runs that ended.
    pub runs: u64,
    /// Runs that proved something.
    pub effective: u64,
    /// Effective runs an hour of the time used.
    pub effective_an_hour: u64,
    /// Cells of which a run proved something.
    pub covered: u64,
    /// Cells of the selection.
    pub cells: u64,
    /// Different findings.
    pub findings: u64,
    /// Runs that left no verdict.
    pub infrastructure: u64,
    /// What is running.
    pub running: Vec<Running>,
    /// Whether the campaign is at work; a killed one still says so.
    pub is_running: bool,
    /// When this was written: RFC 3339.
    pub updated: String,
}

/// A unit that is running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its id.
    pub unit: String,
    /// What it is.
    pub label: String,
    /// When it was begun: RFC 3339.
    pub started: String,
}

impl Progress {
    /// The progress that `root` holds; none if there is none yet.
    pub fn read(root: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(root.join(FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The text of `progress.json`.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("invariant: progress is plain data") + "\n"
    }

    /// The line for people.
    pub fn line(&self) -> String {
        let left = self.budget_ms.saturating_sub(self.used_ms) / 1_000;
        let findings = match self.findings {
            0 => "no findings".to_owned(),
            1 => "1 FINDING".to_owned(),
            many => format!("{many} FINDINGS"),
        };
        let trouble = match self.infrastructure {
            0 => String::new(),
            many => format!(" · {many} infrastructure errors"),
        };
        format!(
            "{} runs · {} effective an hour · {} of {} cells · {findings}{trouble} · {} running · \
             {} left",
            self.runs,
            self.effective_an_hour,
            self.covered,
            self.cells,
            self.running.len(),
            humantime::format_duration(Duration::from_secs(left)),
        )
    }
}

/// The name of the file.
pub const FILE: &str = "progress.json";

/// Counts what the records say, one at a time.
#[derive(Debug, Default)]
pub struct Counter {
    covered: BTreeSet<(String, String)>,
    findings: BTreeSet<String>,
    runs: u64,
    effective: u64,
    infrastructure: u64,
}

impl Counter {
    /// A run ended.
    pub fn count(&mut self, record: &RunRecord) {
        self.runs += 1;
        let is_infrastructure = |state| state == CellState::InfrastructureError;
        let without_verdict = record.exit_code == crate::cli::exit::Exit::HarnessFault.code();
        let infrastructure = without_verdict
            || record
                .cells
                .iter()
                .any(|cell| is_infrastructure(cell.state));
        self.infrastructure += u64::from(infrastructure);
        for cell in record.cells.iter().filter(|cell| cell.state.is_effective()) {
            self.covered.insert((cell.row.clone(), cell.column.clone()));
        }
        if record.kind == UnitKind::Canary {
            return;
        }
        self.effective += u64::from(record.is_effective());
        self.findings
            .extend(record.findings.iter().map(|finding| finding.id.clone()));
    }

    /// Whether anything was found.
    pub fn has_findings(&self) -> bool {
        !self.findings.is_empty()
    }

    /// What was counted, as progress; the caller adds the rest.
    pub fn progress(&self, used: Duration) -> Progress {
        let used_ms = used.as_millis() as u64;
        Progress {
            used_ms,
            runs: self.runs,
            effective: self.effective,
            effective_an_hour: (self.effective * 3_600_000)
                .checked_div(used_ms)
                .unwrap_or(0),
            covered: self.covered.len() as u64,
            findings: self.findings.len() as u64,
            infrastructure: self.infrastructure,
            ..Progress::default()
        }
    }
}

/// Shows progress on stderr.
#[derive(Debug)]
pub struct Display {
    bar: Option<ProgressBar>,
    last: Option<Instant>,
}

impl Display {
    /// A live line on a terminal, plain lines elsewhere.
    pub fn on_stderr() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {elapsed:>3} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Self { bar, last: None }
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        let bar = Some(ProgressBar::hidden());
        Self { bar, last: None }
    }

    /// Shows how far it is, if it is time to.
    pub fn show(&mut self, progress: &Progress) {
        if let Some(bar) = &self.bar {
            bar.set_message(progress.line());
            bar.tick();
        } else if self
            .last
            .is_none_or(|last| last.elapsed() >= PLAIN_LINE_EVERY)
        {
            self.last = Some(Instant::now());
            self.say(&progress.line());
        }
    }

    /// Prints a line that stays.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            // A closed stderr must not end the campaign.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_runs_speed_cells_and_findings() {
        let mut progress = Progress {
            budget_ms: 600_000,
            cells: 1_121,
            ..Counter::default().progress(Duration::from_mins(5))
        };
        progress.effective_an_hour = 240;
        progress.runs = 20;
        assert_eq!(
            progress.line(),
            "20 runs · 240 effective an hour · 0 of 1121 cells · no findings · 0 running · 5m left"
        );
        progress.findings = 2;
        progress.infrastructure = 1;
        assert!(
            progress
                .line()
                .contains("2 FINDINGS · 1 infrastructure errors")
        );
        let read: Progress = serde_json::from_str(&progress.to_json()).expect("reads");
        assert_eq!(read, progress);
    }
}
