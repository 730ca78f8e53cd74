//! How far a campaign is: `progress.json` for `verdict serve`, one live line on a terminal, plain
//! lines elsewhere.
//!
//! In: what is done and what runs. Out: the file and the line.
//! Invariant: `used_ms` is the wall-clock time of all sittings together; it is what the budget is
//! compared with on resuming.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::campaign::directory::Campaign;
use crate::campaign::outcome::{self, Canary};
use crate::campaign::record::{CellState, RunRecord, UnitKind};
use crate::cli::exit::Exit;

/// Between two plain lines.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(10);

/// How far a campaign is: `progress.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The budget in milliseconds; none where only units are counted.
    pub budget_ms: Option<u64>,
    /// The time used so far, over all sittings.
    pub used_ms: u64,
    /// Runs that ended.
    pub runs: u64,
    /// Runs that proved something.
    pub effective: u64,
    /// Effective runs an hour of the time used.
    pub effective_an_hour: u64,
    /// Cells of the selection of which a run proved something.
    pub covered: u64,
    /// Cells of the selection.
    pub cells: u64,
    /// Those of them that no run can exercise.
    pub without_plan: u64,
    /// Runs that the machine does not allow.
    pub refused: u64,
    /// Planted bugs that were found.
    pub caught: u64,
    /// Planted bugs that were tried often enough and not found.
    pub missed: u64,
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
        let findings = match self.findings {
            0 => "no findings".to_owned(),
            1 => "1 FINDING".to_owned(),
            many => format!("{many} FINDINGS"),
        };
        let or_nothing = |count: u64, words: &str| match count {
            0 => String::new(),
            many => format!(" · {words}: {many}"),
        };
        let left = self.budget_ms.map(|budget| {
            let left = Duration::from_secs(budget.saturating_sub(self.used_ms) / 1_000);
            format!(" · {} left", humantime::format_duration(left))
        });
        format!(
            "{} runs · {} effective an hour · {} of {} cells{} · {findings}{}{}{}{} · {} running{}",
            self.runs,
            self.effective_an_hour,
            self.covered,
            self.cells,
            match self.without_plan {
                0 => String::new(),
                many => format!(" ({many} without a plan)"),
            },
            or_nothing(self.caught, "canaries caught"),
            or_nothing(self.missed, "CANARIES MISSED"),
            or_nothing(self.refused, "refused by the machine"),
            or_nothing(self.infrastructure, "infrastructure errors"),
            self.running.len(),
            left.unwrap_or_default(),
        )
    }
}

/// The name of the file.
pub const FILE: &str = "progress.json";

/// Counts what the records say, one at a time.
#[derive(Debug, Default)]
pub struct Counter {
    rows: BTreeSet<String>,
    columns: BTreeSet<String>,
    without_plan: u64,
    canaries: BTreeMap<String, Canary>,
    refused: u64,
    covered: BTreeSet<(String, String)>,
    findings: BTreeSet<String>,
    runs: u64,
    effective: u64,
    infrastructure: u64,
}

impl Counter {
    /// Nothing has ended yet.
    pub fn of(campaign: &Campaign) -> Self {
        Self {
            rows: campaign.rows.iter().cloned().collect(),
            columns: campaign.columns.iter().cloned().collect(),
            without_plan: campaign.not_exercised.len() as u64,
            ..Self::default()
        }
    }

    /// A run ended.
    pub fn count(&mut self, record: &RunRecord) {
        self.runs += 1;
        let is_infrastructure = |state| state == CellState::InfrastructureError;
        let without_verdict = record.exit_code == Exit::HarnessFault.code();
        let infrastructure = without_verdict
            || record
                .cells
                .iter()
                .any(|cell| is_infrastructure(cell.state));
        self.infrastructure += u64::from(infrastructure);
        self.refused += u64::from(record.exit_code == Exit::MachineCannot.code());
        // A run covers its whole pack, of which not all rows need be wanted.
        for cell in record.cells.iter().filter(|cell| cell.state.is_effective()) {
            if self.rows.contains(&cell.row) && self.columns.contains(&cell.column) {
                self.covered.insert((cell.row.clone(), cell.column.clone()));
            }
        }
        for (name, tried) in outcome::canaries([record]) {
            let canary = self.canaries.entry(name).or_default();
            canary.tries += tried.tries;
            canary.caught += tried.caught;
        }
        if record.kind == UnitKind::Canary {
            return;
        }
        self.effective += u64::from(record.is_effective());
        self.findings
            .extend(record.findings.iter().map(|finding| finding.id.clone()));
    }

    fn canaries(&self, is_so: impl Fn(Canary) -> bool) -> u64 {
        self.canaries
            .values()
            .filter(|canary| is_so(**canary))
            .count() as u64
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
            cells: (self.rows.len() * self.columns.len()) as u64,
            without_plan: self.without_plan,
            refused: self.refused,
            caught: self.canaries(|canary| canary.caught > 0),
            missed: self.canaries(Canary::is_missed),
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
    use crate::campaign::canary::TRIES;
    use crate::campaign::cell::unjudged;
    use crate::campaign::directory::NotExercised;
    use crate::campaign::fixture::{self, record};

    fn ran(number: u64, exit: Exit, kind: UnitKind) -> RunRecord {
        RunRecord {
            kind,
            ..record(number, exit)
        }
    }

    #[test]
    fn the_line_says_runs_speed_cells_and_findings() {
        let mut progress = Progress {
            budget_ms: Some(600_000),
            ..Counter::of(&fixture::campaign()).progress(Duration::from_mins(5))
        };
        progress.effective_an_hour = 240;
        progress.runs = 20;
        assert_eq!(
            progress.line(),
            "20 runs · 240 effective an hour · 0 of 1121 cells · no findings · 0 running · 5m left"
        );
        progress.findings = 2;
        progress.infrastructure = 1;
        progress.budget_ms = None;
        assert!(
            progress
                .line()
                .ends_with("2 FINDINGS · infrastructure errors: 1 · 0 running")
        );
        let read: Progress = serde_json::from_str(&progress.to_json()).expect("reads");
        assert_eq!(read, progress);
    }

    #[test]
    fn the_line_says_what_was_not_exercised_and_which_canaries_were_missed() {
        let mut campaign = fixture::campaign();
        let row = campaign.rows.remove(0);
        campaign.not_exercised = vec![NotExercised {
            row: campaign.rows[0].clone(),
            column: "reassignment".to_owned(),
            because: "no plan".to_owned(),
        }];
        let mut counter = Counter::of(&campaign);
        let mut run = ran(1, Exit::Kept, UnitKind::Matrix);
        run.cells = [&row, &campaign.rows[0]]
            .map(|row| unjudged(row, "none", CellState::Kept, ""))
            .to_vec();
        counter.count(&run);
        counter.count(&ran(2, Exit::MachineCannot, UnitKind::Swarm));
        for number in 0..TRIES {
            counter.count(&ran(10 + number, Exit::Kept, UnitKind::Canary));
        }
        let line = counter.progress(Duration::from_secs(1)).line();
        let wanted = "1 of 1102 cells (1 without a plan) · no findings · CANARIES MISSED: 1 · \
                      refused by the machine: 1";
        assert!(line.contains(wanted), "{line}");
    }
}
