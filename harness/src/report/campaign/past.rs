//! Earlier campaigns: what of each is worth comparing with, and where they lie.
//!
//! In: campaign directories. Out: one [`Digest`] for each, in the order of time.
//! Invariant: a stored digest is used only for the `runs.jsonl` it was made from; otherwise it is
//! made again from the runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::report::ReportError;
use crate::report::campaign::grid::Grid;
use crate::report::campaign::numbers::{Numbers, moment};
use crate::report::campaign::read::{Campaign, name_of, read_if_there, shard_in};

/// Campaigns that the trend shows, at most.
const CAMPAIGNS_MAX: usize = 60;

/// What later campaigns need of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Digest {
    /// The name of the directory.
    #[serde(skip)]
    pub(super) name: String,
    /// The length of the `runs.jsonl` that this was made from.
    pub(super) runs_bytes: u64,
    /// When it began: RFC 3339.
    pub(super) started: String,
    /// Runs, how many of them were effective, and how many an hour.
    pub(super) numbers: Numbers,
    /// What it found broken: the id of each signature.
    pub(super) signatures: BTreeSet<String>,
    /// What the ids are: the anomaly and the promise.
    pub(super) meanings: BTreeMap<String, String>,
    /// One letter for each cell, row by row.
    pub(super) cells: String,
}

impl Digest {
    /// The digest of a campaign that was read.
    pub(super) fn of(campaign: &Campaign, grid: &Grid, numbers: Numbers) -> Self {
        let findings = || campaign.honest().flat_map(|(_, run)| &run.findings);
        let meaning = |of: &crate::campaign::signature::Signature| {
            (of.id.clone(), format!("{}: {}", of.anomaly, of.promise))
        };
        Self {
            name: campaign.name.clone(),
            runs_bytes: 0,
            started: campaign.begin().unwrap_or_default(),
            numbers,
            signatures: findings().map(|of| of.id.clone()).collect(),
            meanings: findings().map(meaning).collect(),
            cells: grid.letters(),
        }
    }

    /// Stores it beside the runs of `directory`.
    pub(super) fn store(mut self, directory: &Path) -> Result<(), ReportError> {
        self.runs_bytes = length(&runs(directory));
        let text = serde_json::to_string(&self).unwrap_or_default();
        replace(&stored(directory), &text)
    }

    /// The digest of the campaign in `directory`.
    pub(super) fn read(directory: &Path) -> Result<Self, ReportError> {
        let name = name_of(directory);
        if let Some(text) = read_if_there(&stored(directory))? {
            let digest: Option<Self> = serde_json::from_str(&text).ok();
            let length = length(&runs(directory));
            if let Some(digest) = digest.filter(|digest| digest.runs_bytes == length) {
                return Ok(Self { name, ..digest });
            }
        }
        let campaign = Campaign::read(directory)?;
        let grid = Grid::of(campaign.honest().map(|(_, run)| run));
        let numbers = Numbers::of(&campaign);
        Ok(Self::of(&campaign, &grid, numbers))
    }
}

/// The campaigns that lie beside `directory` and began before `started`, the oldest first: whole
/// ones beside a whole one, and beside a shard those of the same shard, since the other shards of a
/// night have other units.
///
/// What cannot be read there is another campaign's matter, and is left out.
pub(super) fn beside(directory: &Path, started: Option<&str>) -> Vec<Digest> {
    let whole = directory.canonicalize().unwrap_or(directory.to_owned());
    let Some(entries) = whole.parent().and_then(|parent| fs::read_dir(parent).ok()) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_other = |path: &PathBuf| !path.is_symlink() && *path != whole && runs(path).is_file();
    let shard = shard_in(directory);
    let is_alike = |path: &PathBuf| shard_in(path) == shard;
    let digests = paths
        .filter(|path| is_other(path) && is_alike(path))
        .filter_map(|path| Digest::read(&path).ok());
    let until = started.and_then(moment);
    let is_earlier = |digest: &Digest| match (moment(&digest.started), until) {
        (Some(began), Some(until)) => began < until,
        (began, None) => began.is_some(),
        (None, Some(_)) => false,
    };
    let mut digests: Vec<Digest> = digests.filter(is_earlier).collect();
    digests.sort_by_key(|digest| (moment(&digest.started), digest.name.clone()));
    let surplus = digests.len().saturating_sub(CAMPAIGNS_MAX);
    digests.split_off(surplus)
}

/// Writes a file in one step: whoever reads it while a campaign runs finds it whole.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), ReportError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, path));
    written.map_err(|source| {
        let path = path.to_owned();
        ReportError::Store(crate::run::store::StoreError { path, source })
    })
}

fn stored(directory: &Path) -> PathBuf {
    directory.join("digest.json")
}

fn runs(directory: &Path) -> PathBuf {
    directory.join("runs.jsonl")
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
