//! The merge of shards: any order, any grouping, any repetition, the same bytes.

use super::*;
use crate::campaign::fixture::{campaign, record, signature};
use crate::campaign::replays::Replay;

/// A part with these records; those with findings are kept.
fn part(root: &Path, name: &str, shard: &str, records: &[RunRecord]) -> PathBuf {
    let path = root.join(name);
    fs::create_dir_all(&path).expect("made");
    let campaign = Campaign {
        shard: shard.parse().expect("a shard"),
        started: format!("2026-11-30T12:00:0{}Z", &shard[..1]),
        ..campaign()
    };
    for record in records.iter().filter(|record| record.kept.is_some()) {
        let kept = path.join("runs").join(&record.unit);
        fs::create_dir_all(kept.join("nodes")).expect("made");
        let size = 100 - record.seed as usize;
        fs::write(kept.join("history.jsonl"), "x".repeat(size)).expect("written");
        fs::write(kept.join("nodes/log"), name).expect("written");
    }
    fs::write(path.join("campaign.json"), to_json(&campaign)).expect("written");
    fs::write(path.join("runs.jsonl"), lines_of(records)).expect("written");
    let events = format!("{{\"time\":\"t{shard}\"}}\n");
    fs::write(path.join("events.jsonl"), events).expect("written");
    let replay = Replay {
        signature: "0123456789ab".to_owned(),
        unit: "u".to_owned(),
        number: shard.len() as u64,
        started: format!("t{shard}"),
        duration_ms: 1,
        came_back: Some(true),
    };
    let replay = serde_json::to_string(&replay).expect("plain data") + "\n";
    fs::write(path.join("replays.jsonl"), replay).expect("written");
    path
}

fn broken(number: u64) -> RunRecord {
    let mut record = record(number, Exit::Broken);
    record.kept = Some(format!("runs/{}", record.unit));
    record.findings = vec![signature("0123456789ab")];
    record
}

fn merge(parts: &[&Path], out: &Path) -> Result<(Stored, Outcome), MergeError> {
    merge_with(parts, out, false)
}

fn merge_with(parts: &[&Path], out: &Path, force: bool) -> Result<(Stored, Outcome), MergeError> {
    let parts: Vec<PathBuf> = parts.iter().map(|&part| part.to_owned()).collect();
    Merge {
        parts: &parts,
        out,
        keep: KeepRuns::Findings,
        force,
    }
    .merge()
}

/// Every file below `root` with its bytes, but for the page, which names its directory.
fn bytes(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("index.html") {
                let name = path.strip_prefix(root).expect("below").to_owned();
                found.insert(name, fs::read(&path).expect("read"));
            }
        }
    }
    found
}

#[test]
fn any_order_grouping_and_repetition_give_the_same_bytes() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path();
    let evens: Vec<RunRecord> = (0..10).step_by(2).map(broken).collect();
    let odds: Vec<RunRecord> = (1..10).step_by(2).map(broken).collect();
    let kept: Vec<RunRecord> = (20..26).map(|number| record(number, Exit::Kept)).collect();
    let a = part(root, "a", "0/3", &evens);
    let b = part(root, "b", "1/3", &odds);
    let c = part(root, "c", "2/3", &kept);
    let (a, b, c) = (a.as_path(), b.as_path(), c.as_path());
    let (stored, outcome) = merge(&[a, b, c], &root.join("abc")).expect("merges");
    assert_eq!((stored.records.len(), outcome.exit), (16, Exit::Broken));
    assert_eq!(stored.replays.len(), 3);
    let wanted = bytes(&root.join("abc"));
    let whole: Vec<String> = stored
        .records
        .iter()
        .filter_map(|r| r.kept.clone())
        .collect();
    assert_eq!(
        whole.len(),
        4,
        "the first three, and the newest is the smallest: {whole:?}"
    );
    assert_eq!(
        wanted
            .keys()
            .filter(|path| path.ends_with("nodes/log"))
            .count(),
        4
    );
    merge(&[c, b, a], &root.join("cba")).expect("merges");
    merge(&[a, b], &root.join("ab")).expect("merges");
    merge(&[&root.join("ab"), c], &root.join("ab-c")).expect("merges");
    merge_with(&[&root.join("abc"), a, a], &root.join("abc-a"), true).expect("forced");
    merge(&[&root.join("abc")], &root.join("again")).expect("merges");
    for other in ["cba", "ab-c", "abc-a", "again"] {
        let found = bytes(&root.join(other));
        for (path, text) in &wanted {
            let found = found.get(path).map(|bytes| String::from_utf8_lossy(bytes));
            assert_eq!(
                found,
                Some(String::from_utf8_lossy(text)),
                "{other}: {path:?}"
            );
        }
        assert_eq!(found.len(), wanted.len(), "{other}");
    }
}

#[test]
fn a_unit_that_two_machines_ran_counts_once_and_its_violation_counts() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path();
    let kept = record(1, Exit::Kept);
    let a = part(root, "a", "0/2", std::slice::from_ref(&kept));
    let b = part(root, "b", "0/2", &[broken(1)]);
    for (index, parts) in [[&a, &b], [&b, &a]].into_iter().enumerate() {
        let parts: Vec<&Path> = parts.map(PathBuf::as_path).to_vec();
        let out = root.join(format!("out{index}"));
        let (stored, outcome) = merge_with(&parts, &out, true).expect("forced");
        assert_eq!((stored.records.len(), outcome.exit), (1, Exit::Broken));
        assert!(out.join("runs").join(&kept.unit).is_dir());
    }
}

#[test]
fn a_merge_names_the_shards_that_it_lacks_and_takes_none_twice() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path();
    let a = part(root, "a", "0/3", &[record(1, Exit::Kept)]);
    let b = part(root, "b", "1/3", &[record(2, Exit::Vacuous)]);
    let c = part(root, "c", "2/3", &[record(3, Exit::Vacuous)]);
    let again = part(root, "again", "1/3", &[]);
    let four = part(root, "four", "3/4", &[]);
    let some = root.join("some");
    let (stored, outcome) = merge(&[&c, &a], &some).expect("merges");
    assert_eq!(outcome.exit, Exit::Kept, "what is there was kept");
    let words = "shard 1/3 is missing: its units were not run";
    assert_eq!(stored.campaign.lacks().as_deref(), Some(words));
    for file in ["summary.md", "index.html"] {
        let text = fs::read_to_string(some.join(file)).expect("is there");
        assert!(text.contains(words), "{file} names it");
    }
    let (stored, _) = merge(&[&some, &b], &root.join("all")).expect("merges");
    assert_eq!(stored.campaign.lacks(), None);
    let text = fs::read_to_string(root.join("all/summary.md")).expect("is there");
    assert!(!text.contains("missing"), "{text}");
    let parts = stored.campaign.parts();
    assert_eq!(parts.len(), 3, "{parts:?}");
    let out = root.join("out");
    let refused = |parts: &[&Path]| merge(parts, &out).expect_err("refused").to_string();
    let error = refused(&[&b, &some, &again]);
    assert!(
        error.contains("both hold shard 1/3; name each shard once"),
        "{error}"
    );
    assert!(refused(&[&some, &a]).contains("both hold shard 0/3"));
    assert!(refused(&[&b, &four]).contains("differ in their number of shards"));
    let (_, outcome) = merge(&[&b, &c], &out).expect("merges");
    assert_eq!(
        outcome.exit,
        Exit::Vacuous,
        "nothing had an effect in those"
    );
    let idle = part(root, "idle", "1/3", &[]);
    let progress = Progress {
        is_running: true,
        ..Progress::default()
    };
    fs::write(c.join(progress::FILE), progress.to_json()).expect("written");
    let (stored, _) = merge(&[&a, &idle, &c], &root.join("early")).expect("merges");
    let lacks = "not at its end or without a run: 1/3, 2/3";
    assert_eq!(stored.campaign.lacks().as_deref(), Some(lacks));
}

#[test]
fn other_campaigns_and_used_places_are_refused_in_one_line() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path();
    let a = part(root, "a", "0/2", &[record(1, Exit::Kept)]);
    let other = Campaign {
        binary: "ffff".to_owned(),
        ..campaign()
    };
    let b = part(root, "b", "1/2", &[]);
    fs::write(b.join("campaign.json"), to_json(&other)).expect("written");
    let refuse = |parts: &[&Path], out: &Path| {
        let error = merge(parts, out).expect_err("refused").to_string();
        assert!(!error.contains('\n'), "{error}");
        error
    };
    let error = refuse(&[&a, &b], &root.join("out"));
    assert!(
        error.contains("binary") && error.contains("--force"),
        "{error}"
    );
    assert!(refuse(&[&a], &a).contains("choose another --out"));
    let nowhere = refuse(&[&a, &root.join("nowhere")], &root.join("out"));
    assert!(nowhere.contains("nowhere/campaign.json"), "{nowhere}");
    let parts = [a, b];
    let forced = Merge {
        parts: &parts,
        out: &root.join("forced"),
        keep: KeepRuns::None,
        force: true,
    };
    let (stored, _) = forced.merge().expect("forced");
    assert_eq!(stored.campaign.binary, "0123456789abcdef+ffff");
}
