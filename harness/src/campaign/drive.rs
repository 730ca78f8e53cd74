//! The driver: takes units from the sequence, runs several at a time, stores each end.
//!
//! In: an open directory, the units, whoever runs them, a budget. Out: every record.
//! Invariant: a unit whose line is stored is not run again; a unit that is begun ends in a line,
//! unless the campaign itself is interrupted or killed, and then it is run again.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::campaign::adopt::{self, ReplayOf};
use crate::campaign::conclude;
use crate::campaign::directory::{Campaign, Directory, DirectoryError, Stored};
use crate::campaign::events::Event;
use crate::campaign::execute::{Ending, Execute, Ran};
use crate::campaign::progress::{self, Counter, Display, Progress, Running};
use crate::campaign::record::{RunRecord, UnitKind};
use crate::campaign::replays::Replay;
use crate::campaign::retention::{Candidate, KeepRuns, Retention, reasons};
use crate::campaign::sequence::planned_ms;
use crate::campaign::share::REPLAY_PERCENT;
use crate::campaign::unit::Unit;
use crate::cli::exit::Exit;
use crate::report;
use crate::run::interrupt::Interrupt;

mod replaying;

/// Between two looks at the time.
const LOOK: Duration = Duration::from_millis(500);

/// Between two pages of a running campaign.
const PAGE_EVERY: Duration = Duration::from_secs(20);

/// Units in a row that the machine refuses, after which it is taken to refuse all: more than there
/// are different ones.
const REFUSED_MAX: usize = 1_000;

/// Refusals of a sort of unit, none run between them, after which it is not asked for again.
const REFUSALS: u32 = 2;

/// What a sitting may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Wall-clock time over all sittings; none where the number of units is the bound.
    pub budget: Option<Duration>,
    /// Runs at the same time.
    pub jobs: usize,
    /// What is kept whole.
    pub keep: KeepRuns,
}

/// A campaign at work.
#[derive(Debug)]
pub struct Driver<E> {
    directory: Directory,
    executor: Arc<E>,
    limits: Limits,
    binary: String,
    /// Used by earlier sittings.
    used_before: Duration,
    begin: Instant,
    records: Vec<RunRecord>,
    done: BTreeSet<String>,
    /// How often this machine refused a sort of unit in this sitting, by kind, name and pack; one
    /// that it ran is not among them.
    refused: BTreeMap<(UnitKind, String, Option<String>), u32>,
    lengths: Lengths,
    retention: Retention,
    counter: Counter,
    running: BTreeMap<String, Running>,
    display: Display,
    campaign: Campaign,
    replays: Vec<Replay>,
    /// When the page was written, and how many runs it shows.
    page: (Instant, usize),
}

/// One run that ended.
type Done = (Arc<Unit>, Ran);

impl<E: Execute> Driver<E> {
    /// Goes on where `records` end.
    pub fn new(
        directory: Directory,
        stored: Stored,
        executor: E,
        limits: Limits,
        display: Display,
    ) -> Result<Self, DirectoryError> {
        let before = Progress::read(directory.root()).unwrap_or_default().used_ms;
        let mut driver = Self {
            directory,
            executor: Arc::new(executor),
            limits,
            binary: stored.campaign.binary.clone(),
            used_before: Duration::from_millis(before),
            begin: Instant::now(),
            records: Vec::new(),
            done: BTreeSet::new(),
            refused: BTreeMap::new(),
            lengths: Lengths::default(),
            retention: Retention::new(limits.keep),
            counter: Counter::of(&stored.campaign),
            running: BTreeMap::new(),
            display,
            campaign: stored.campaign,
            replays: stored.replays,
            page: (Instant::now(), 0),
        };
        for record in stored.records {
            if record.kept.is_some() {
                let size = size(&driver.directory.kept(&record.unit));
                driver.retain(&record, size)?;
            }
            driver.remember(record);
        }
        // What the machine refused another day it may allow today.
        driver.refused.clear();
        driver.adopt()?;
        driver.directory.tidy(&driver.records)?;
        Ok(driver)
    }

    /// Stores what was judged in an earlier sitting that was killed before it could.
    fn adopt(&mut self) -> Result<(), DirectoryError> {
        for work in self.directory.left_at_work() {
            let name = work.file_name().unwrap_or_default().to_string_lossy();
            let Some(left) = adopt::finished(&work, &self.directory.kept(&name)) else {
                continue;
            };
            match &left.replay_of {
                Some(replayed) => self.end_replay(&left.unit, replayed, &left.ran)?,
                None if self.done.contains(&left.unit.id) => {}
                None => self.end(&left.unit, &left.ran)?,
            }
        }
        Ok(())
    }

    /// Works off `units` until the budget is used or `interrupt` comes. Returns every record and
    /// the directory.
    pub async fn run(
        mut self,
        units: impl Iterator<Item = Unit>,
        interrupt: &Interrupt,
    ) -> Result<(Stored, Directory), DirectoryError> {
        let (runs, jobs) = (self.records.len(), self.limits.jobs);
        let budget_s = self.limits.budget.map(|budget| budget.as_secs());
        self.event(&Event::Begun {
            runs,
            jobs,
            budget_s,
        })?;
        let mut units = units.peekable();
        let mut set: JoinSet<Done> = JoinSet::new();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while set.len() < jobs && !interrupt.has_come() {
                let Some(unit) = self.take(&mut units) else {
                    break;
                };
                self.begin(&mut set, unit, interrupt)?;
            }
            if set.is_empty() {
                break;
            }
            tokio::select! {
                Some(joined) = set.join_next() => {
                    let (unit, ran) = joined.map_err(DirectoryError::executor)?;
                    self.end(&unit, &ran)?;
                }
                _ = look.tick() => self.progress(true),
            }
        }
        self.replay(interrupt).await?;
        self.progress(false);
        self.settle()
    }

    /// The part of the budget that is for new runs: all of it, unless there is something to replay.
    fn has_time_for(&self, length: Duration) -> bool {
        let percent = if self.counter.has_findings() {
            100 - REPLAY_PERCENT
        } else {
            100
        };
        let budget = self.limits.budget.map(|budget| budget * percent / 100);
        budget.is_none_or(|budget| self.used() + length <= budget)
    }

    /// The next unit that is not done, if it would end within the budget; nothing, too, if the
    /// machine allows none of what comes.
    fn take(&self, units: &mut Peekable<impl Iterator<Item = Unit>>) -> Option<Unit> {
        let mut refused = 0;
        while let Some(unit) = units.next_if(|unit| self.is_settled(unit)) {
            refused = if self.done.contains(&unit.id) {
                0
            } else {
                refused + 1
            };
            if refused == REFUSED_MAX {
                return None;
            }
        }
        units.next_if(|unit| self.has_time_for(self.lengths.of(unit)))
    }

    /// Whether it need not be run: it is done, or the machine refused its like.
    fn is_settled(&self, unit: &Unit) -> bool {
        let like = || {
            (
                unit.kind,
                unit.name.clone(),
                unit.pack.map(|pack| pack.to_string()),
            )
        };
        let times = self.refused.get(&like()).copied().unwrap_or(0);
        self.done.contains(&unit.id) || times >= REFUSALS
    }

    fn begin(
        &mut self,
        set: &mut JoinSet<Done>,
        unit: Unit,
        interrupt: &Interrupt,
    ) -> Result<(), DirectoryError> {
        let work = self.directory.work(&unit.id)?;
        self.say_begun(&work, &unit, None)?;
        let label = unit.label();
        self.say_running(&unit.id, &label);
        self.event(&Event::UnitBegun {
            unit: &unit.id,
            label: &label,
        })?;
        let (unit, interrupt) = (Arc::new(unit), interrupt.clone());
        let executor = Arc::clone(&self.executor);
        set.spawn(async move {
            let ran = executor.execute(Arc::clone(&unit), work, interrupt).await;
            (unit, ran)
        });
        Ok(())
    }

    /// Says at work what begins there, so that another sitting can take over its end.
    fn say_begun(
        &self,
        work: &Path,
        unit: &Unit,
        replay_of: Option<&ReplayOf>,
    ) -> Result<(), DirectoryError> {
        let begun = adopt::begin(work, unit, replay_of, &now());
        let path = work.to_owned();
        begun.map_err(|source| DirectoryError::Io { path, source })
    }

    fn say_running(&mut self, unit: &str, label: &str) {
        let running = Running {
            unit: unit.to_owned(),
            label: label.to_owned(),
            started: now(),
        };
        self.running.insert(unit.to_owned(), running);
    }

    /// Stores the end of a run.
    fn end(&mut self, unit: &Unit, ran: &Ran) -> Result<(), DirectoryError> {
        self.running.remove(&unit.id);
        let Some(record) = conclude::record(unit, ran, &self.binary) else {
            self.directory.drop_work(&unit.id)?;
            return self.event(&Event::UnitInterrupted { unit: &unit.id });
        };
        self.store(record, &unit.label(), ran)
    }

    /// Stores a run that ended.
    fn store(
        &mut self,
        mut record: RunRecord,
        label: &str,
        ran: &Ran,
    ) -> Result<(), DirectoryError> {
        let size = ran.result.as_deref().map(size);
        let mut gone = Vec::new();
        if let Some(size) = size {
            let (is_kept, others) = self.retention.offer(candidate(&record, size));
            record.kept = is_kept.then(|| format!("runs/{}", record.unit));
            gone = others;
        }
        self.directory.append(&record, ran.result.as_deref())?;
        for unit in gone {
            self.directory.drop_kept(&unit)?;
        }
        if let Ending::NoVerdict { why } = &ran.ending {
            self.display
                .say(&format!("{label}: infrastructure error: {why}"));
        } else if record.is_violation() {
            self.display.say(&format!("{label}: {}", record.sentence));
        }
        self.event(&Event::ended(&record))?;
        self.remember(record);
        self.progress(true);
        Ok(())
    }

    fn remember(&mut self, record: RunRecord) {
        self.done.insert(record.unit.clone());
        let like = (record.kind, record.name.clone(), record.pack.clone());
        if record.exit_code == Exit::MachineCannot.code() {
            *self.refused.entry(like).or_default() += 1;
        } else {
            self.refused.remove(&like);
        }
        self.lengths.learn(&record);
        self.counter.count(&record);
        self.records.push(record);
    }

    /// Counts what earlier sittings kept, and removes what is not kept any more.
    fn retain(&mut self, record: &RunRecord, size: u64) -> Result<(), DirectoryError> {
        let (is_kept, mut gone) = self.retention.offer(candidate(record, size));
        if !is_kept {
            gone.push(record.unit.clone());
        }
        gone.iter()
            .try_for_each(|unit| self.directory.drop_kept(unit))
    }

    /// Lets `runs.jsonl` say what is still there of the kept runs.
    fn settle(mut self) -> Result<(Stored, Directory), DirectoryError> {
        for record in &mut self.records {
            if record.kept.is_some() && !self.directory.kept(&record.unit).is_dir() {
                record.kept = None;
            }
        }
        self.directory.rewrite(&self.records)?;
        let stored = Stored {
            campaign: self.campaign,
            records: self.records,
            replays: self.replays,
        };
        Ok((stored, self.directory))
    }

    fn used(&self) -> Duration {
        self.used_before + self.begin.elapsed()
    }

    /// Shows how far it is. What cannot be shown is said, and ends no campaign.
    fn progress(&mut self, is_running: bool) {
        let progress = Progress {
            budget_ms: self.limits.budget.map(|budget| budget.as_millis() as u64),
            running: self.running.values().cloned().collect(),
            is_running,
            updated: now(),
            ..self.counter.progress(self.used())
        };
        self.display.show(&progress);
        if self.is_page_old() {
            if let Err(error) = report::campaign::write(self.directory.root(), None) {
                self.display
                    .say(&format!("the page is not up to date: {error}"));
            }
            self.page = (Instant::now(), self.records.len());
        }
        let text = progress.to_json();
        if let Err(error) = self.directory.write(progress::FILE, &text) {
            self.display
                .say(&format!("the progress is not stored: {error}"));
        }
    }

    /// Whether the page shows less than there is, and it is time to write it again.
    fn is_page_old(&self) -> bool {
        let (written, runs) = self.page;
        runs != self.records.len() && written.elapsed() >= PAGE_EVERY
    }

    fn event(&mut self, event: &Event<'_>) -> Result<(), DirectoryError> {
        self.directory.event(&event.line(&now()))
    }
}

/// How long runs took, by what they are.
#[derive(Debug, Default)]
struct Lengths(BTreeMap<(UnitKind, String), Duration>);

impl Lengths {
    /// Takes the longest of its like: a run that is cut short by the end of the budget is wasted.
    fn learn(&mut self, record: &RunRecord) {
        let length = Duration::from_millis(record.duration_ms);
        let longest = self
            .0
            .entry((record.kind, record.name.clone()))
            .or_default();
        *longest = length.max(*longest);
    }

    fn of(&self, unit: &Unit) -> Duration {
        let known = self.0.get(&(unit.kind, unit.name.clone()));
        known
            .copied()
            .unwrap_or(Duration::from_millis(planned_ms(&unit.plan)))
    }
}

fn candidate(record: &RunRecord, size: u64) -> Candidate {
    Candidate {
        unit: record.unit.clone(),
        reasons: reasons(record),
        size,
    }
}

/// The length of the history in a result directory, in bytes.
pub fn size(result: &Path) -> u64 {
    let history = result.join("history.jsonl").metadata();
    history.map_or(u64::MAX, |metadata| metadata.len())
}

/// The wall clock: RFC 3339.
pub fn now() -> String {
    jiff::Timestamp::now().to_string()
}

#[cfg(test)]
#[path = "drive_test.rs"]
mod drive_test;
