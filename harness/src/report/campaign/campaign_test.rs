//! The page as a reader gets it, and the digest as the next campaign gets it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::campaign::canary::CANARIES;
use crate::campaign::{CellState, RunRecord, UnitKind};
use crate::report::campaign::sample::{broken, cell, run};
use crate::report::campaign::write;

const ROW: &str = "acks=all rf=3 min.isr=2 flush=never";

fn store(directory: &Path, started: &str, runs: &[RunRecord]) {
    store_shard(directory, started, "", runs);
}

/// With more of the settings.
fn store_shard(directory: &Path, started: &str, settings: &str, runs: &[RunRecord]) {
    fs::create_dir_all(directory).expect("a directory");
    let header = format!(r#"{{{settings}"format":1,"command":"matrix","started":"{started}"}}"#);
    fs::write(directory.join("campaign.json"), header).expect("written");
    let mut lines = String::new();
    for kept in runs.iter().filter_map(|run| run.kept.as_ref()) {
        fs::create_dir_all(directory.join(kept)).expect("a directory");
    }
    for run in runs {
        let _ = writeln!(lines, "{}", serde_json::to_string(run).expect("plain data"));
    }
    fs::write(directory.join("runs.jsonl"), lines).expect("written");
}

fn page(directory: &Path) -> String {
    write(directory, None).expect("the page is written");
    fs::read_to_string(directory.join("index.html")).expect("a page")
}

/// The first sentence, with plain spaces in its numbers.
fn heading(page: &str) -> String {
    let after = page.split("<h1>").nth(1).expect("a heading");
    let heading = after.split("</h1>").next().expect("its end");
    heading.replace('\u{202f}', " ")
}

fn canary(number: u64, name: &str, caught: Option<bool>) -> RunRecord {
    RunRecord {
        kind: UnitKind::Canary,
        name: name.to_owned(),
        caught,
        ..broken(number, ROW, "cccccccccccc")
    }
}

#[test]
fn the_sentence_tells_everything_that_is_wrong() {
    let results = tempfile::tempdir().expect("a directory");
    let (first, second) = (results.path().join("first"), results.path().join("second"));
    store(
        &first,
        "2026-11-24T01:00:00Z",
        &[broken(1, ROW, "aaaaaaaaaaaa")],
    );
    let mut failed = run(4);
    failed.exit_code = 21;
    let runs = [
        broken(1, ROW, "aaaaaaaaaaaa"),
        broken(2, ROW, "bbbbbbbbbbbb"),
        canary(3, "no-fsync", Some(true)),
        canary(5, "stale-leader", Some(false)),
        failed,
    ];
    store(&second, "2026-11-26T01:00:00.364862276Z", &runs);
    let replays = [Some(true), Some(false), None].map(|came_back| {
        serde_json::json!({"signature": "aaaaaaaaaaaa", "came_back": came_back}).to_string()
    });
    let lines = format!("{}\n{{\"signature", replays.join("\n"));
    fs::write(second.join("replays.jsonl"), lines).expect("written");
    page(&first);
    let page = page(&second);
    assert_eq!(
        heading(&page),
        format!(
            "2 broken promises in 5 runs; 1 new or back since Tuesday; 1 120 cells not exercised; \
             canaries caught 1/2, {} not tried; the harness failed in 1 run",
            CANARIES.len()
        )
    );
    assert!(
        page.contains("started 2026-11-26T01:00:00Z</p>"),
        "no fractions"
    );
    assert!(
        page.contains("1/2 runs of its kind, "),
        "each was seen in one of two"
    );
    assert!(page.contains("r = 1/2 replays, ") && page.contains("r is not known"));
    assert!(page.contains("verdict replay") && page.contains("runs/0000000000000001"));
}

#[test]
fn a_canary_breaks_no_cell_and_is_no_finding() {
    let results = tempfile::tempdir().expect("a directory");
    let directory = results.path().join("only");
    let mut clean = run(1);
    clean.cells = vec![cell(ROW, "none", CellState::Kept)];
    let runs = [clean, canary(2, "no-fsync", Some(true))];
    store(&directory, "2026-11-26T01:00:00Z", &runs);
    let page = page(&directory);
    assert!(
        heading(&page).starts_with("No broken promise in 2 runs; 1 120 cells"),
        "{}",
        heading(&page)
    );
    assert!(!page.contains(r#"<td class="b">"#), "no cell is broken");
    assert!(page.contains("1/1"), "the canary is in its table");
}

#[test]
fn what_changed_is_told_and_a_cell_nobody_exercised_has_not_changed() {
    let results = tempfile::tempdir().expect("a directory");
    let (first, second) = (results.path().join("first"), results.path().join("second"));
    let with = |state, column| RunRecord {
        cells: vec![cell(ROW, column, state)],
        ..run(1)
    };
    let before = [with(CellState::Kept, "pause"), {
        let mut other = with(CellState::Kept, "all-kill");
        other.unit = "9".to_owned();
        other.findings = vec![crate::report::campaign::sample::signature("dddddddddddd")];
        other
    }];
    store(&first, "2026-11-24T01:00:00Z", &before);
    store(
        &second,
        "2026-11-26T01:00:00Z",
        &[with(CellState::Unavailable, "pause")],
    );
    let page = page(&second);
    let changed = page
        .split("Cells with another state")
        .nth(1)
        .expect("the table");
    let changed = changed.split("</table>").next().expect("its end");
    assert!(changed.contains("pause × acks=all") && changed.contains("unavailable"));
    assert!(
        !changed.contains("all-kill"),
        "it was not exercised this time"
    );
    assert!(
        page.contains("dddddddddddd"),
        "the signature that is gone is named"
    );
}

#[test]
fn a_digest_is_made_again_when_the_runs_have_changed() {
    let results = tempfile::tempdir().expect("a directory");
    let directory = results.path().join("one");
    store(&directory, "2026-11-24T01:00:00Z", &[run(1)]);
    page(&directory);
    let read = || {
        super::past::Digest::read(&directory)
            .expect("a digest")
            .numbers
            .runs
    };
    assert_eq!(read(), 1);
    store(&directory, "2026-11-24T01:00:00Z", &[run(1), run(2)]);
    assert_eq!(read(), 2);
}

#[test]
fn bad_lines_are_named_and_a_half_written_one_is_dropped() {
    let results = tempfile::tempdir().expect("a directory");
    let directory = results.path().join("one");
    store(&directory, "2026-11-24T01:00:00Z", &[run(1), run(1)]);
    let path = directory.join("runs.jsonl");
    let text = fs::read_to_string(&path).expect("readable");
    fs::write(&path, format!("{text}nonsense\n{{\"unit\":\"half")).expect("written");
    let page = page(&directory);
    assert!(heading(&page).contains("in 1 run;"), "{}", heading(&page));
    assert!(page.contains("runs.jsonl line 2: unit") && page.contains("runs.jsonl line 3:"));
    assert!(
        !page.contains("line 4"),
        "the campaign will run that unit again"
    );
}

#[test]
fn the_page_of_no_run_at_all_says_so() {
    let results = tempfile::tempdir().expect("a directory");
    let page = page(results.path());
    assert!(heading(&page).starts_with("Nothing was run; 1 121 cells not exercised; no canary"));
}

#[test]
fn the_page_stands_alone_and_shows_text_as_text() {
    let results = tempfile::tempdir().expect("a directory");
    let mut evil = broken(1, ROW, "aaaaaaaaaaaa");
    evil.sentence = "<script>alert(1)</script>".to_owned();
    evil.findings[0].shape = "<img onerror=x>".to_owned();
    store(results.path(), "2026-11-24T01:00:00Z", &[evil]);
    let page = page(results.path());
    for outside in ["http://", "https://", "<script", "<link", "src=", "<img"] {
        assert!(!page.contains(outside), "the page must not hold {outside}");
    }
}

#[test]
fn the_last_campaign_is_never_another_shard_of_the_night() {
    let results = tempfile::tempdir().expect("a directory");
    let shard = |night: u32, index: u32| {
        let directory = results.path().join(format!("night{night}-{index}"));
        let started = format!("2026-11-{night}T01:00:0{index}Z");
        let settings = format!(r#""shard":{{"index":{index},"count":2}},"#);
        store_shard(&directory, &started, &settings, &[run(u64::from(index))]);
        directory
    };
    let compared = |directory: &Path| {
        let page = page(directory);
        let name = page.split("Compared with <a href=\"../").nth(1)?;
        Some(name.split('/').next().unwrap_or_default().to_owned())
    };
    let (_, second) = (shard(24, 0), shard(24, 1));
    assert_eq!(
        compared(&second),
        None,
        "the first shard is no earlier campaign"
    );
    let (_, second) = (shard(25, 0), shard(25, 1));
    assert_eq!(compared(&second).as_deref(), Some("night24-1"));
    let merged = r#""shard":{"index":0,"count":1},"shards":[{"index":0,"count":2},
        {"index":1,"count":2}],"#;
    let whole = |night: u32| {
        let directory = results.path().join(format!("whole{night}"));
        store_shard(
            &directory,
            &format!("2026-11-{night}T02:00:00Z"),
            merged,
            &[run(1)],
        );
        directory
    };
    assert_eq!(compared(&whole(24)), None, "shards are no whole");
    assert_eq!(compared(&whole(25)).as_deref(), Some("whole24"));
}

#[test]
fn a_finding_of_which_nothing_was_kept_has_a_command_that_draws_it_again() {
    let results = tempfile::tempdir().expect("a directory");
    let directory = results.path().join("only");
    let mut lost = broken(1, ROW, "aaaaaaaaaaaa");
    lost.kept = None;
    store(&directory, "2026-11-26T01:00:00Z", &[lost, run(2)]);
    let page = page(&directory);
    let command =
        "verdict run --column leader-kill --pack &#34;durability flush=never&#34; --seed 101";
    assert_eq!(
        page.matches(command).count(),
        2,
        "in its card and beside its run: {page}"
    );
}

#[test]
fn what_was_not_asked_for_and_what_the_machine_refused_is_no_failure_of_the_night() {
    let results = tempfile::tempdir().expect("a directory");
    let directory = results.path().join("only");
    let mut refused = run(3);
    refused.exit_code = 20;
    let settings = format!(r#""rows":["{ROW}"],"columns":["none","pause"],"#);
    let mut clean = run(1);
    clean.cells = vec![cell(ROW, "none", CellState::Kept)];
    store_shard(
        &directory,
        "2026-11-26T01:00:00Z",
        &settings,
        &[clean, refused],
    );
    let heading = heading(&page(&directory));
    assert!(heading.contains("; 1 cell not exercised; "), "{heading}");
    assert!(heading.ends_with("harness healthy"), "{heading}");
}

#[test]
fn a_replay_that_broke_something_else_is_a_finding_and_in_no_rate() {
    let results = tempfile::tempdir().expect("a directory");
    let directory = results.path().join("only");
    let mut again = broken(2, ROW, "bbbbbbbbbbbb");
    again.replay_of = Some("0000000000000001".to_owned());
    again.cells.clear();
    let runs = [broken(1, ROW, "aaaaaaaaaaaa"), again];
    store(&directory, "2026-11-26T01:00:00Z", &runs);
    let page = page(&directory);
    assert!(
        page.contains("1/1 run of its kind"),
        "the replay is no run of its kind"
    );
    assert!(
        page.contains("1 replay of other findings"),
        "where it was seen"
    );
}
