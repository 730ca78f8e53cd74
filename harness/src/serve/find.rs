//! The campaigns and runs of a results directory.
//!
//! In: the directory. Out: both, the newest first.
//! Invariant: what cannot be read is listed with the reason, never left out.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use crate::campaign::progress::Progress;
use crate::cli::exit::Exit;
use crate::run::store::Store;
use crate::run::summary::Summary;

/// A campaign directory.
pub(super) struct CampaignEntry {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) has_page: bool,
    pub(super) progress: Option<Progress>,
}

/// The result directory of one run.
pub(super) struct RunEntry {
    pub(super) name: String,
    pub(super) has_page: bool,
    pub(super) mark: &'static str,
    pub(super) sentence: String,
    /// Nothing while it runs, and if its verdict cannot be read.
    pub(super) summary: Option<Summary>,
}

/// The campaigns below `root`, the newest first.
pub(super) fn campaigns(root: &Path) -> Vec<CampaignEntry> {
    let is_campaign = |path: &PathBuf| path.join("campaign.json").is_file();
    let campaigns = folders(root).into_iter().filter(is_campaign);
    let mut campaigns: Vec<CampaignEntry> = campaigns.map(campaign).collect();
    campaigns.sort_by_cached_key(|campaign| Reverse(began(&campaign.path)));
    campaigns
}

/// When the campaign in `path` was begun; a directory may have any name.
fn began(path: &Path) -> Option<Timestamp> {
    let text = fs::read_to_string(path.join("campaign.json")).ok()?;
    let header: Value = serde_json::from_str(&text).ok()?;
    header.get("started")?.as_str()?.parse().ok()
}

/// The campaign in `path`.
fn campaign(path: PathBuf) -> CampaignEntry {
    CampaignEntry {
        name: name(&path),
        has_page: path.join("index.html").is_file(),
        progress: Progress::read(&path),
        path,
    }
}

/// The runs below `root` that belong to no campaign; at most `runs_max`, and how many more.
pub(super) fn runs(root: &Path, runs_max: usize) -> (Vec<RunEntry>, usize) {
    let is_run = |path: &PathBuf| Store::open(path).plan().is_file();
    let paths: Vec<PathBuf> = folders(root).into_iter().filter(is_run).collect();
    let more = paths.len().saturating_sub(runs_max);
    (
        paths
            .into_iter()
            .take(runs_max)
            .map(|path| run(&path))
            .collect(),
        more,
    )
}

fn run(path: &Path) -> RunEntry {
    let store = Store::open(path);
    let entry = |mark, sentence: String, summary| RunEntry {
        name: name(path),
        has_page: store.report().is_file(),
        mark,
        sentence,
        summary,
    };
    let Ok(text) = fs::read_to_string(store.verdict()) else {
        return entry(
            "…",
            "no verdict: it runs, or it was killed".to_owned(),
            None,
        );
    };
    match serde_json::from_str::<Summary>(&text) {
        Ok(summary) => entry(
            mark(summary.exit()),
            summary.sentence.clone(),
            Some(summary),
        ),
        Err(error) => entry("?", format!("verdict.json: {error}"), None),
    }
}

/// A sign for how a run ended.
pub(super) fn mark(exit: Exit) -> &'static str {
    match exit {
        Exit::Kept => "✓",
        Exit::Broken => "✗",
        Exit::Unavailable => "▲",
        Exit::Vacuous => "∅",
        Exit::Inconclusive => "?",
        _ => "!",
    }
}

/// The folders of `root`; links such as `latest` would name a run twice.
fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let folders = entries.filter(is_folder).map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = folders.collect();
    folders.sort();
    folders.reverse();
    folders
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_campaign_is_first_whatever_its_name() {
        let root = tempfile::tempdir().expect("a directory");
        for (name, day) in [("a", "30"), ("b", "28"), ("c", "29")] {
            let directory = root.path().join(name);
            fs::create_dir(&directory).expect("made");
            let text = format!(r#"{{"started":"2026-11-{day}T01:00:00Z"}}"#);
            fs::write(directory.join("campaign.json"), text).expect("written");
        }
        let names: Vec<String> = campaigns(root.path())
            .into_iter()
            .map(|campaign| campaign.name)
            .collect();
        assert_eq!(names, ["a", "c", "b"]);
    }
}
