//! The files of a campaign directory, as far as its page shows them.
//!
//! In: `campaign.json`, `runs.jsonl` and `replays.jsonl`. Out: the runs in the order of the file,
//! each unit once.
//! Invariant: a line that cannot be read is named on the page and hides no other line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::campaign::shard::Shard;
use crate::campaign::{RunRecord, UnitKind};
use crate::report::campaign::numbers::moment;
use crate::report::{ReportError, words};

/// A campaign, read.
#[derive(Debug, Default)]
pub(super) struct Campaign {
    /// The name of its directory.
    pub(super) name: String,
    /// When it began: RFC 3339.
    pub(super) started: Option<String>,
    /// The shard that it is, if it is one.
    pub(super) shard: Option<Shard>,
    /// The shards that it was merged from.
    pub(super) shards: BTreeSet<Shard>,
    /// Those of them that ran nothing or had not ended.
    pub(super) unended: BTreeSet<Shard>,
    /// What it was asked for: pairs of a name and a value.
    pub(super) arguments: Vec<(String, String)>,
    /// The rows that it was asked for.
    pub(super) rows: Vec<String>,
    /// The columns that it was asked for.
    pub(super) columns: Vec<String>,
    /// Cells for which there is no run: row, column and why.
    pub(super) not_exercised: Vec<NotExercised>,
    /// Its runs.
    pub(super) runs: Vec<RunRecord>,
    /// For each signature in how many of its replays it came back, and how many had a verdict.
    pub(super) replays: BTreeMap<String, (u64, u64)>,
    /// What could not be read, each in a sentence.
    pub(super) problems: Vec<String>,
}

/// Cells for which there is no run.
#[derive(Debug, Deserialize)]
pub(super) struct NotExercised {
    /// The row.
    pub(super) row: String,
    /// The column.
    pub(super) column: String,
    /// Why.
    pub(super) because: String,
}

/// A replay of a finding: what the page needs of a line of `replays.jsonl`.
#[derive(Debug, Deserialize)]
struct Replay {
    signature: String,
    /// Nothing if the replay had no verdict.
    came_back: Option<bool>,
}

/// The settings of a campaign that the page shows, with the words for them.
const SHOWN: &[(&str, &str)] = &[
    ("command", "command"),
    ("base_seed", "base seed"),
    ("binary", "binary"),
    ("started", "started"),
];

impl Campaign {
    /// Reads the directory.
    ///
    /// # Errors
    /// If a file is there and cannot be read.
    pub(super) fn read(directory: &Path) -> Result<Self, ReportError> {
        let mut campaign = Self {
            name: name_of(directory),
            ..Self::default()
        };
        if let Some(text) = read_if_there(&directory.join("campaign.json"))? {
            campaign.read_header(&text);
        }
        if let Some(text) = read_if_there(&directory.join("runs.jsonl"))? {
            campaign.read_runs(&text);
        }
        if let Some(text) = read_if_there(&directory.join("replays.jsonl"))? {
            campaign.read_replays(&text);
        }
        // A campaign keeps only some runs of each finding, and drops others later.
        for run in &mut campaign.runs {
            run.kept = run.kept.take().filter(|kept| directory.join(kept).is_dir());
        }
        Ok(campaign)
    }

    fn read_header(&mut self, text: &str) {
        let header: Value = match serde_json::from_str(text) {
            Ok(header) => header,
            Err(error) => {
                let problem = format!("campaign.json: {error}; its settings are not shown");
                self.problems.push(problem);
                return;
            }
        };
        self.started = header
            .get("started")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let names = |key| {
            let names = header.get(key).cloned().unwrap_or_default();
            serde_json::from_value(names).unwrap_or_default()
        };
        (self.rows, self.columns) = (names("rows"), names("columns"));
        let not_exercised = header.get("not_exercised").cloned().unwrap_or_default();
        self.not_exercised = serde_json::from_value(not_exercised).unwrap_or_default();
        let shown = |(key, word): &(&str, &str)| {
            let value = words::plain(header.get(*key)?);
            // A moment is told without the fractions of its second.
            let value = match value.split_once('.') {
                Some((whole, _)) if moment(&value).is_some() => format!("{whole}Z"),
                _ => value,
            };
            (!value.is_empty()).then(|| ((*word).to_owned(), value))
        };
        self.arguments = SHOWN.iter().filter_map(shown).collect();
        (self.shard, self.shards) = shards_of(&header);
        let unended = header.get("unended").cloned().unwrap_or_default();
        self.unended = serde_json::from_value(unended).unwrap_or_default();
        let shards = self.shard.iter().chain(&self.shards);
        let names: Vec<String> = shards.map(Shard::to_string).collect();
        if !names.is_empty() {
            let words = ("shard".to_owned(), names.join(", "));
            self.arguments.push(words);
        }
    }

    fn read_runs(&mut self, text: &str) {
        let mut units = BTreeSet::new();
        let whole = text.ends_with('\n');
        let lines = text.lines().count();
        for (index, line) in text.lines().enumerate() {
            match serde_json::from_str::<RunRecord>(line) {
                Ok(run) if units.insert(run.unit.clone()) => self.runs.push(run),
                Ok(run) => self.problems.push(format!(
                    "runs.jsonl line {}: unit {} is there already; it counts once",
                    index + 1,
                    run.unit
                )),
                // The campaign was killed while it wrote; it drops this line when it goes on.
                Err(_) if index + 1 == lines && !whole => {}
                Err(error) => self.problems.push(format!(
                    "runs.jsonl line {}: {error}; this run is not counted",
                    index + 1
                )),
            }
        }
    }

    fn read_replays(&mut self, text: &str) {
        // A half-written line tells of a replay that is run again.
        let replays = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Replay>(line).ok());
        for replay in replays {
            if let Some(came_back) = replay.came_back {
                let (again, all) = self.replays.entry(replay.signature).or_default();
                *again += u64::from(came_back);
                *all += 1;
            }
        }
    }

    /// When it began: as its settings say, else with its first run.
    pub(super) fn begin(&self) -> Option<String> {
        let first = || self.runs.first().map(|run| run.started.clone());
        self.started.clone().or_else(first)
    }

    /// Runs of the broker as it is: a planted bug says nothing about it.
    pub(super) fn honest(&self) -> impl Iterator<Item = (usize, &RunRecord)> {
        let runs = self.runs.iter().enumerate();
        runs.filter(|(_, run)| run.kind != UnitKind::Canary)
    }
}

/// The shard of a campaign whose settings these are, unless it is a whole; what it was merged from.
fn shards_of(header: &Value) -> (Option<Shard>, BTreeSet<Shard>) {
    let field = |key| header.get(key).cloned().unwrap_or_default();
    let shards: BTreeSet<Shard> = serde_json::from_value(field("shards")).unwrap_or_default();
    let shard = serde_json::from_value::<Shard>(field("shard")).ok();
    let is_part = |shard: &Shard| shards.is_empty() && *shard != Shard::WHOLE;
    (shard.filter(is_part), shards)
}

/// The shard that the campaign in `directory` is, if it is one.
pub(super) fn shard_in(directory: &Path) -> Option<Shard> {
    let text = fs::read_to_string(directory.join("campaign.json")).ok()?;
    shards_of(&serde_json::from_str(&text).ok()?).0
}

/// The last part of a path, as text.
pub(super) fn name_of(directory: &Path) -> String {
    let whole = directory.canonicalize();
    let path = whole.as_deref().unwrap_or(directory);
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The text of a file; nothing if there is no such file.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, ReportError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ReportError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}
