//! `verdict merge`: the directories of any number of shards become one campaign.
//!
//! In: campaign directories in any order. Out: one more, with every unit once.
//! Invariant: commutative, associative and idempotent, byte for byte: the result is a function of
//! the set of records. No shard is taken twice, and one that is missing is told wherever the result
//! is. Of two records of one unit the worse one counts, because a violation that
//! one machine saw was seen. Source: reference/faults.md §4.1 (merge of results), §4.2.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::campaign::directory::{
    Campaign, DirectoryError, Stored, difference, lines_of, read_if_there, replace, to_json,
};
use crate::campaign::drive::size;
use crate::campaign::finish::finish;
use crate::campaign::outcome::Outcome;
use crate::campaign::progress::{self, Counter, Progress};
use crate::campaign::record::RunRecord;
use crate::campaign::retention::{Candidate, KeepRuns, Retention, reasons};
use crate::campaign::selection::Selection;
use crate::campaign::shard::Shard;
use crate::cli::exit::Exit;

/// Why campaigns are not merged, in one line with the remedy.
#[derive(Debug, Error)]
pub enum MergeError {
    /// One of them cannot be read, or the result cannot be written.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// They are not parts of one campaign.
    #[error(
        "{} and {} differ in their {what}; merge parts of one campaign, or say --force",
        one.display(),
        other.display()
    )]
    Differ {
        /// The first.
        one: PathBuf,
        /// Another.
        other: PathBuf,
        /// In what.
        what: &'static str,
    },
    /// Two of them hold the same units.
    #[error(
        "{} and {} both hold shard {shard}; name each shard once, or say --force",
        one.display(),
        other.display()
    )]
    Twice {
        /// The first.
        one: PathBuf,
        /// The second.
        other: PathBuf,
        /// What both hold.
        shard: Shard,
    },
    /// The result would overwrite something.
    #[error("{} is not empty; choose another --out", out.display())]
    NotEmpty {
        /// Where the result should be.
        out: PathBuf,
    },
    /// A kept run cannot be copied.
    #[error("{}: cannot be copied: {source}", path.display())]
    Copy {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a merge is asked for.
#[derive(Debug)]
pub struct Merge<'a> {
    /// The campaign directories.
    pub parts: &'a [PathBuf],
    /// The directory to make.
    pub out: &'a Path,
    /// What is kept whole of what the parts kept.
    pub keep: KeepRuns,
    /// Merges what are not parts of one campaign, too.
    pub force: bool,
}

/// A record, and the part that it comes from.
struct Origin<'a> {
    record: RunRecord,
    part: &'a Path,
}

impl Merge<'_> {
    /// Merges; the merged campaign and what it adds up to.
    pub fn merge(&self) -> Result<(Stored, Outcome), MergeError> {
        let read = |part: &PathBuf| Stored::read(part).map(|stored| (part.clone(), stored));
        let parts = self.parts.iter().map(read);
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        if !self.force {
            refuse_others(&parts)?;
        }
        if self
            .out
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some())
        {
            let out = self.out.to_owned();
            return Err(MergeError::NotEmpty { out });
        }
        let campaigns: Vec<&Campaign> = parts.iter().map(|(_, stored)| &stored.campaign).collect();
        let campaign = Campaign {
            unended: parts.iter().flat_map(unended).collect(),
            ..one_campaign(&campaigns)
        };
        let mut origins = one_of_each(&parts);
        copy(self.out)(fs::create_dir_all(self.out))?;
        self.keep_some(&mut origins)?;
        let records = origins.into_iter().map(|origin| origin.record).collect();
        let replays: BTreeSet<_> = parts.iter().flat_map(|(_, part)| &part.replays).collect();
        let replays = replays.into_iter().cloned().collect();
        let stored = Stored {
            campaign,
            records,
            replays,
        };
        replace(&self.out.join("events.jsonl"), &self.events()?)?;
        let progress = progress_of(&stored);
        replace(&self.out.join(progress::FILE), &progress.to_json())?;
        replace(&self.out.join("campaign.json"), &to_json(&stored.campaign))?;
        replace(&self.out.join("runs.jsonl"), &lines_of(&stored.records))?;
        replace(&self.out.join("replays.jsonl"), &lines_of(&stored.replays))?;
        let outcome = finish(self.out, &stored)?;
        Ok((stored, outcome))
    }

    /// Copies the kept runs that are still wanted among all, and lets the records say so.
    fn keep_some(&self, origins: &mut [Origin<'_>]) -> Result<(), MergeError> {
        let mut retention = Retention::new(self.keep);
        let mut kept = BTreeSet::new();
        for origin in origins.iter() {
            let result = origin.part.join("runs").join(&origin.record.unit);
            if origin.record.kept.is_none() || !result.is_dir() {
                continue;
            }
            let unit = origin.record.unit.clone();
            let (is_kept, gone) = retention.offer(Candidate {
                unit: unit.clone(),
                reasons: reasons(&origin.record),
                size: size(&result),
            });
            kept.extend(is_kept.then_some(unit));
            kept.retain(|unit| !gone.contains(unit));
        }
        for origin in origins {
            let unit = &origin.record.unit;
            origin.record.kept = kept.contains(unit).then(|| format!("runs/{unit}"));
            if origin.record.kept.is_some() {
                let from = origin.part.join("runs").join(unit);
                let to = self.out.join("runs").join(unit);
                copy(&from)(copy_tree(&from, &to))?;
            }
        }
        Ok(())
    }

    /// The events of all parts by time, each once.
    fn events(&self) -> Result<String, MergeError> {
        let mut lines = BTreeSet::new();
        for part in self.parts {
            let text = read_if_there(&part.join("events.jsonl"))?;
            lines.extend(text.lines().map(str::to_owned));
        }
        Ok(lines.into_iter().map(|line| line + "\n").collect())
    }
}

fn refuse_others(parts: &[(PathBuf, Stored)]) -> Result<(), MergeError> {
    let Some(((one, first), others)) = parts.split_first() else {
        return Ok(());
    };
    let count = |stored: &Stored| stored.campaign.parts().first().map(|part| part.count);
    for (other, stored) in others {
        let is_alike = count(first) == count(stored);
        let what = difference(&first.campaign, &stored.campaign);
        if let Some(what) = what.or((!is_alike).then_some("number of shards")) {
            return Err(MergeError::Differ {
                one: one.clone(),
                other: other.clone(),
                what,
            });
        }
    }
    let mut holders: BTreeMap<Shard, &PathBuf> = BTreeMap::new();
    for (part, stored) in parts {
        for shard in stored.campaign.parts() {
            if let Some(one) = holders.insert(shard, part) {
                return Err(MergeError::Twice {
                    one: one.clone(),
                    other: part.clone(),
                    shard,
                });
            }
        }
    }
    Ok(())
}

/// One campaign that all are parts of. What differs, which takes --force, is united.
fn one_campaign(parts: &[&Campaign]) -> Campaign {
    let all = Selection::all();
    let rows = all.rows.iter().map(ToString::to_string);
    let columns = all.columns.iter().map(|column| column.name.to_owned());
    let mut not_exercised: Vec<_> = parts
        .iter()
        .flat_map(|part| part.not_exercised.iter().cloned())
        .collect();
    not_exercised.sort();
    not_exercised.dedup();
    let words = |of: fn(&Campaign) -> &str| {
        let words: BTreeSet<&str> = parts.iter().flat_map(|part| of(part).split('+')).collect();
        words.into_iter().collect::<Vec<_>>().join("+")
    };
    Campaign {
        format: parts
            .iter()
            .map(|part| part.format)
            .max()
            .unwrap_or_default(),
        command: words(|part| &part.command),
        base_seed: parts
            .iter()
            .map(|part| part.base_seed)
            .min()
            .unwrap_or_default(),
        rows: rows
            .filter(|row| parts.iter().any(|part| part.rows.contains(row)))
            .collect(),
        columns: columns
            .filter(|column| parts.iter().any(|part| part.columns.contains(column)))
            .collect(),
        shard: Shard::WHOLE,
        shards: shards_of(parts),
        unended: BTreeSet::new(),
        binary: words(|part| &part.binary),
        has_sabotage: parts.iter().any(|part| part.has_sabotage),
        started: parts
            .iter()
            .map(|part| part.started.clone())
            .min()
            .unwrap_or_default(),
        not_exercised,
    }
}

/// The shards in a part that ran nothing, or have more to do.
fn unended((part, stored): &(PathBuf, Stored)) -> BTreeSet<Shard> {
    let is_running = Progress::read(part).is_some_and(|progress| progress.is_running);
    if stored.records.is_empty() || is_running {
        return stored.campaign.parts();
    }
    stored.campaign.unended.clone()
}

/// The shards of the parts; none if that is the whole.
fn shards_of(parts: &[&Campaign]) -> BTreeSet<Shard> {
    let shards: BTreeSet<Shard> = parts.iter().flat_map(|part| part.parts()).collect();
    if shards == BTreeSet::from([Shard::WHOLE]) {
        return BTreeSet::new();
    }
    shards
}

/// Every unit once, by time.
fn one_of_each(parts: &[(PathBuf, Stored)]) -> Vec<Origin<'_>> {
    let mut by_unit: BTreeMap<&str, (&RunRecord, &Path)> = BTreeMap::new();
    for (part, stored) in parts {
        for record in &stored.records {
            let known = by_unit.entry(&record.unit).or_insert((record, part));
            if preference(record) < preference(known.0) {
                *known = (record, part);
            }
        }
    }
    let mut origins: Vec<Origin<'_>> = by_unit
        .into_values()
        .map(|(record, part)| Origin {
            record: record.clone(),
            part,
        })
        .collect();
    let time = |origin: &Origin<'_>| (origin.record.started.clone(), origin.record.unit.clone());
    origins.sort_by_key(time);
    origins
}

/// Of two records of one unit the one with the lower preference counts.
fn preference(record: &RunRecord) -> (usize, bool, String) {
    let exit = Exit::from_code(i32::from(record.exit_code));
    (
        exit.rank(),
        record.kept.is_none(),
        lines_of(std::slice::from_ref(record)),
    )
}

/// Machine time instead of wall-clock time: the shards ran beside each other.
fn progress_of(stored: &Stored) -> Progress {
    let mut counter = Counter::of(&stored.campaign);
    stored
        .records
        .iter()
        .for_each(|record| counter.count(record));
    let used_ms = stored.records.iter().map(|record| record.duration_ms).sum();
    Progress {
        budget_ms: Some(used_ms),
        updated: stored
            .records
            .last()
            .map(|last| last.started.clone())
            .unwrap_or_default(),
        ..counter.progress(std::time::Duration::from_millis(used_ms))
    }
}

fn copy<T>(path: &Path) -> impl FnOnce(io::Result<T>) -> Result<T, MergeError> {
    let path = path.to_owned();
    move |result| result.map_err(|source| MergeError::Copy { path, source })
}

/// Copies directories and plain files; a result directory has nothing else that matters.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "merge_test.rs"]
mod merge_test;
