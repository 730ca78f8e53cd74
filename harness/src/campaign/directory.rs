//! The campaign directory: what makes a campaign resumable at any moment.
//!
//! ```text
//! campaign.json      the arguments, the base seed, the binary: who resumes must agree
//! runs.jsonl         one RunRecord a line, appended and fsynced
//! replays.jsonl      one Replay a line, appended and fsynced
//! events.jsonl       what the campaign did, for tools
//! progress.json      how far it is, and the time that it has used
//! runs/<unit>/       the result directories that are kept whole
//! work/<unit>/       what is running; removed once its line is there
//! summary.md junit.xml index.html
//! ```
//! Invariant: a unit's line is in `runs.jsonl` once, or the unit is run again: the result directory
//! is moved to `runs/` before the line is written, and a line counts once its newline is there. On
//! resuming, what is in `work/` or `runs/` without a line gets it if it was judged (`adopt`), and
//! goes away if it was not.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::campaign::record::RunRecord;
use crate::campaign::replays::Replay;
use crate::campaign::shard::{Shard, lacks_words};
use crate::report::ReportError;

/// The version of the format of `campaign.json` and `runs.jsonl`.
pub const CAMPAIGN_FORMAT: u32 = 1;

/// What a campaign was begun with: `campaign.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// [`CAMPAIGN_FORMAT`].
    pub format: u32,
    /// `matrix` or `campaign`.
    pub command: String,
    /// Where the seeds begin.
    pub base_seed: u64,
    /// The rows of the matrix that are wanted, by name.
    pub rows: Vec<String>,
    /// The columns that are wanted, by name.
    pub columns: Vec<String>,
    /// The part of it that was done here.
    pub shard: Shard,
    /// What was merged, if it was: the shards of the parts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub shards: BTreeSet<Shard>,
    /// Those of them that ran nothing or had not ended when they were merged.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unended: BTreeSet<Shard>,
    /// The first 16 hex digits of the SHA-256 of the binary.
    pub binary: String,
    /// Whether planted bugs are compiled in.
    pub has_sabotage: bool,
    /// When it was begun: RFC 3339.
    pub started: String,
    /// Cells for which there is no run, with the reason.
    pub not_exercised: Vec<NotExercised>,
}

impl Campaign {
    /// The shards whose units may be here.
    pub fn parts(&self) -> BTreeSet<Shard> {
        if self.shards.is_empty() {
            return BTreeSet::from([self.shard]);
        }
        self.shards.clone()
    }

    /// What a merge lacks to be the whole, in words; nothing if it is, or nothing was merged.
    pub fn lacks(&self) -> Option<String> {
        lacks_words(&self.shards, &self.unended)
    }
}

/// Cells for which there is no run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotExercised {
    /// The row.
    pub row: String,
    /// The column.
    pub column: String,
    /// Why.
    pub because: String,
}

/// A campaign directory that cannot be used, in one line with the remedy.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// A file cannot be read or written.
    #[error("{}: {source}; choose another place with --out", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file has text that is not ours.
    #[error("{}:{line}: {reason}; {remedy}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
        /// What would be right.
        remedy: &'static str,
    },
    /// It belongs to another campaign.
    #[error(
        "{} was begun with another {what}; resume it with the same arguments and binary, or \
         choose another --out",
        path.display()
    )]
    Differs {
        /// The directory.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// A unit's task ended without a result.
    #[error("a run was lost inside the campaign: {reason}; resume to run it again")]
    Executor {
        /// What the runtime says.
        reason: String,
    },
    /// Its page cannot be written.
    #[error(transparent)]
    Page(#[from] ReportError),
    /// Somebody else is at it.
    #[error("{} is in use by a campaign that runs; wait for it or stop it", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

impl DirectoryError {
    /// A task that panicked.
    pub(crate) fn executor(error: tokio::task::JoinError) -> Self {
        let reason = error.to_string();
        Self::Executor { reason }
    }
}

/// An open campaign directory. Nobody else has it open.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    runs: File,
    replays: File,
    events: File,
    /// Held as long as the directory is open; the kernel lets go of it when the process ends.
    _lock: Flock<File>,
}

impl Directory {
    /// Makes the directory, or opens the one of the same campaign that is there. Returns what is
    /// stored there; what a killed process left behind is there until [`Directory::tidy`].
    pub fn open(root: &Path, campaign: &Campaign) -> Result<(Self, Stored), DirectoryError> {
        fs::create_dir_all(root).map_err(at(root))?;
        let path = root.join("campaign.lock");
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(at(&path))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|_| {
            DirectoryError::InUse {
                path: root.to_owned(),
            }
        })?;
        let file = root.join(CAMPAIGN);
        if file.exists() {
            agree(root, &read_campaign(root)?, campaign)?;
        } else {
            let mut campaign = campaign.clone();
            campaign.not_exercised.sort();
            replace(&file, &to_json(&campaign))?;
        }
        drop_half_a_line(&root.join(RUNS))?;
        drop_half_a_line(&root.join(REPLAYS))?;
        drop_half_a_line(&root.join(EVENTS))?;
        let stored = Stored::read(root)?;
        let directory = Self {
            root: root.to_owned(),
            runs: append_to(&root.join(RUNS))?,
            replays: append_to(&root.join(REPLAYS))?,
            events: append_to(&root.join(EVENTS))?,
            _lock: lock,
        };
        Ok((directory, stored))
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the run of `unit` may write while it lasts: an empty directory.
    pub fn work(&self, unit: &str) -> Result<PathBuf, DirectoryError> {
        let path = self.root.join("work").join(unit);
        remove(&path)?;
        fs::create_dir_all(&path).map_err(at(&path))?;
        Ok(path)
    }

    /// Where the run of `unit` is kept.
    pub fn kept(&self, unit: &str) -> PathBuf {
        self.root.join("runs").join(unit)
    }

    /// Stores a finished run: first its result directory, if it is kept, then its line.
    pub fn append(
        &mut self,
        record: &RunRecord,
        result: Option<&Path>,
    ) -> Result<(), DirectoryError> {
        if let (Some(_), Some(result)) = (&record.kept, result) {
            self.keep(result, &self.kept(&record.unit))?;
        }
        append(&mut self.runs, &self.root.join(RUNS), record)?;
        self.drop_work(&record.unit)
    }

    /// Moves a result directory to its place, unless it is there already.
    fn keep(&self, result: &Path, kept: &Path) -> Result<(), DirectoryError> {
        let is_there = fs::canonicalize(kept).is_ok_and(|kept| kept == result);
        if is_there {
            return Ok(());
        }
        remove(kept)?;
        fs::create_dir_all(self.root.join("runs")).map_err(at(kept))?;
        fs::rename(result, kept).map_err(at(kept))?;
        say_new_place(result, kept).map_err(at(kept))
    }

    /// What runs left at work that have no line, each in a directory.
    pub fn left_at_work(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join("work")).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }

    /// Removes what the run of `unit` left at work.
    pub fn drop_work(&self, unit: &str) -> Result<(), DirectoryError> {
        remove(&self.root.join("work").join(unit))
    }

    /// Stores the end of a replay.
    pub fn append_replay(&mut self, replay: &Replay) -> Result<(), DirectoryError> {
        append(&mut self.replays, &self.root.join(REPLAYS), replay)
    }

    /// Removes the kept result directory of `unit`.
    pub fn drop_kept(&self, unit: &str) -> Result<(), DirectoryError> {
        remove(&self.kept(unit))
    }

    /// Appends one event.
    pub fn event(&mut self, line: &str) -> Result<(), DirectoryError> {
        let path = self.root.join(EVENTS);
        self.events
            .write_all(format!("{line}\n").as_bytes())
            .map_err(at(&path))
    }

    /// Replaces one file of the directory in one step.
    pub fn write(&self, name: &str, text: &str) -> Result<(), DirectoryError> {
        replace(&self.root.join(name), text)
    }

    /// Rewrites `runs.jsonl` in one step.
    pub fn rewrite(&mut self, records: &[RunRecord]) -> Result<(), DirectoryError> {
        replace(&self.root.join(RUNS), &lines_of(records))?;
        self.runs = append_to(&self.root.join(RUNS))?;
        Ok(())
    }

    /// Removes what a killed process left and nobody adopts: work, and kept runs without a line.
    pub fn tidy(&self, records: &[RunRecord]) -> Result<(), DirectoryError> {
        remove(&self.root.join("work"))?;
        let Ok(entries) = fs::read_dir(self.root.join("runs")) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_kept = |r: &RunRecord| r.kept.is_some() && *r.unit == *name;
            if !records.iter().any(is_kept) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// What a campaign directory holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// What it was begun with.
    pub campaign: Campaign,
    /// Every run that ended, in the order of the file.
    pub records: Vec<RunRecord>,
    /// Every replay of a finding, in the order of the file.
    pub replays: Vec<Replay>,
}

impl Stored {
    /// Reads the campaign directory `root`. A half-written last line does not count.
    pub fn read(root: &Path) -> Result<Self, DirectoryError> {
        let campaign = read_campaign(root)?;
        Ok(Self {
            campaign,
            records: read_runs(&root.join(RUNS))?,
            replays: read_lines(&root.join(REPLAYS))?,
        })
    }
}

const CAMPAIGN: &str = "campaign.json";
const RUNS: &str = "runs.jsonl";
const REPLAYS: &str = "replays.jsonl";
const EVENTS: &str = "events.jsonl";

/// Reads a file of one JSON value a line. A half-written last line does not count.
fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, DirectoryError> {
    let text = read_if_there(path)?;
    let whole = text
        .rfind('\n')
        .map_or("", |end| text.get(..end).unwrap_or_default());
    let lines = whole.lines().enumerate();
    let values = lines.map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| DirectoryError::Malformed {
            path: path.to_owned(),
            line: index + 1,
            reason: format!("cannot be read: {error}"),
            remedy: "remove the line, and what it tells of is run again",
        })
    });
    values.collect()
}

/// Reads the records; the unit of each is a name of a directory, so that it must be an id.
fn read_runs(path: &Path) -> Result<Vec<RunRecord>, DirectoryError> {
    let records: Vec<RunRecord> = read_lines(path)?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    for (index, RunRecord { unit, kept, .. }) in records.iter().enumerate() {
        let is_id = unit.len() == 16 && unit.bytes().all(is_digit);
        let is_in_place = |kept: &String| *kept == format!("runs/{unit}");
        let reason = if !is_id {
            format!("unit {unit:?} is not 16 hex digits")
        } else if !kept.as_ref().is_none_or(is_in_place) {
            format!("kept is not runs/{unit}")
        } else {
            continue;
        };
        return Err(DirectoryError::Malformed {
            path: path.to_owned(),
            line: index + 1,
            reason,
            remedy: "remove the line, and what it tells of is run again",
        });
    }
    Ok(records)
}

fn read_campaign(root: &Path) -> Result<Campaign, DirectoryError> {
    let path = root.join(CAMPAIGN);
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    serde_json::from_str(&text).map_err(|error| DirectoryError::Malformed {
        line: error.line(),
        path,
        reason: format!("not a campaign: {error}"),
        remedy: "see a fresh campaign's file, or choose another --out",
    })
}

/// Whether a campaign may go on where `stored` ended.
fn agree(root: &Path, stored: &Campaign, asked: &Campaign) -> Result<(), DirectoryError> {
    let path = || root.to_owned();
    match difference(stored, asked) {
        Some(what) => Err(DirectoryError::Differs { path: path(), what }),
        None if stored.parts() != asked.parts() => Err(DirectoryError::Differs {
            path: path(),
            what: "--shard",
        }),
        None => Ok(()),
    }
}

/// What makes two campaigns different ones, beside their shards and the time.
pub fn difference(one: &Campaign, other: &Campaign) -> Option<&'static str> {
    [
        (one.format == other.format, "format"),
        (one.command == other.command, "command"),
        (one.base_seed == other.base_seed, "--seed"),
        (one.rows == other.rows, "--rows"),
        (one.columns == other.columns, "--columns"),
        (one.has_sabotage == other.has_sabotage, "set of features"),
        (one.binary == other.binary, "binary"),
    ]
    .into_iter()
    .find_map(|(is_same, what)| (!is_same).then_some(what))
}

/// A file of one JSON value a line.
pub fn lines_of<T: Serialize>(values: &[T]) -> String {
    let line = |value| {
        serde_json::to_string(value).expect("invariant: it is plain data")
            + "
"
    };
    values.iter().map(line).collect()
}

/// The text of `campaign.json`.
pub fn to_json(campaign: &Campaign) -> String {
    let text = serde_json::to_string_pretty(campaign);
    text.expect("invariant: a campaign is plain data") + "\n"
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError + use<> {
    let path = path.to_owned();
    move |source| DirectoryError::Io { path, source }
}

fn append_to(path: &Path) -> Result<File, DirectoryError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(at(path))
}

/// Appends one line and waits until it is on the disk.
fn append<T: Serialize>(file: &mut File, path: &Path, value: &T) -> Result<(), DirectoryError> {
    let line = lines_of(std::slice::from_ref(value));
    let written = file.write_all(line.as_bytes());
    written.and_then(|()| file.sync_data()).map_err(at(path))
}

/// Cuts a last line that has no newline.
fn drop_half_a_line(path: &Path) -> Result<(), DirectoryError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(at(path)(source)),
    };
    let whole = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    if whole == bytes.len() {
        return Ok(());
    }
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(at(path))?;
    file.set_len(whole as u64)
        .and_then(|()| file.sync_data())
        .map_err(at(path))
}

/// The text of a file; nothing if it is not there.
pub fn read_if_there(path: &Path) -> Result<String, DirectoryError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(at(path)),
    }
}

/// Writes a file beside the old one, then takes its place.
pub fn replace(path: &Path, text: &str) -> Result<(), DirectoryError> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&fresh, path)
    };
    write().map_err(at(path))
}

/// Lets the commands to copy in a moved result directory name its new place.
fn say_new_place(old: &Path, new: &Path) -> io::Result<()> {
    let (old, new) = (old.display().to_string(), fs::canonicalize(new)?);
    for file in ["verdict.json", "report.html"] {
        let path = new.join(file);
        if let Ok(text) = fs::read_to_string(&path) {
            let fresh = path.with_extension("new");
            fs::write(&fresh, text.replace(&old, &new.display().to_string()))?;
            fs::rename(&fresh, &path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), DirectoryError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::fixture;
    use crate::cli::exit::Exit;

    #[test]
    fn a_line_whose_unit_or_place_would_leave_the_directory_is_refused() {
        let root = tempfile::tempdir().expect("a place");
        fs::write(root.path().join(CAMPAIGN), to_json(&fixture::campaign())).expect("written");
        let good = fixture::record(1, Exit::Kept);
        let read = |unit: &str, kept: Option<&str>| {
            let mut bad = fixture::record(2, Exit::Kept);
            unit.clone_into(&mut bad.unit);
            bad.kept = kept.map(str::to_owned);
            let text = lines_of(&[good.clone(), bad]);
            fs::write(root.path().join(RUNS), text).expect("written");
            Stored::read(root.path()).map_err(|error| error.to_string())
        };
        let unit = "00000000000000aa";
        assert_eq!(read(unit, None).expect("reads").records.len(), 2);
        assert!(read(unit, Some("runs/00000000000000aa")).is_ok());
        for (unit, kept) in [
            ("../../etc", None),
            ("", None),
            ("00000000000000AA", None),
            (unit, Some("runs/../../etc")),
            (unit, Some("/etc")),
        ] {
            let error = read(unit, kept).expect_err("refused");
            assert!(error.contains("runs.jsonl:2: "), "{error}");
        }
    }
}
