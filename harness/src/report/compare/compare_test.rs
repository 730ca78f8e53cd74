//! Two made-up runs on one page.

use std::fmt::Write as _;
use std::fs;

use super::*;
use crate::plan::profile;
use crate::run::events::{Phase, What};

const SECOND: u64 = 1_000_000_000;

/// A run in which the second of two sends waits for `silence` seconds.
fn run(root: &Path, name: &str, timeout: &str, silence: u64) -> PathBuf {
    let directory = root.join(name);
    fs::create_dir_all(&directory).unwrap();
    let store = Store::open(&directory);
    let mut plan = Plan::draw(1, profile::find("none").expect("the control"));
    let settings = &mut plan.cluster.broker_settings;
    settings.insert("log.dir.stall.timeout.ms".into(), timeout.into());
    store.write(&store.plan(), &plan.to_json()).unwrap();
    let mut history = String::from("{\"verdict-history\":1}\n");
    let end = SECOND + silence * SECOND;
    let sends = [
        (0, "invoke", "1"),
        (SECOND / 2, "ok", "[0,1]"),
        (SECOND, "invoke", "2"),
        (end, "ok", "[1,2]"),
    ];
    for (index, (time, kind, value)) in sends.iter().enumerate() {
        writeln!(
            history,
            "{{\"index\":{index},\"time\":{time},\"process\":0,\"type\":\"{kind}\",\
             \"f\":\"send\",\"value\":[[\"send\",\"t-0\",{value}]]}}"
        )
        .unwrap();
    }
    store.write(&store.history(), &history).unwrap();
    let event = |time, phase| Event {
        time,
        what: What::Phase { phase },
    };
    let events = [event(0, Phase::Workload), event(end, Phase::Report)];
    let lines: Vec<String> = events
        .iter()
        .map(|event| serde_json::to_string(event).unwrap())
        .collect();
    store.write(&store.events(), &lines.join("\n")).unwrap();
    directory
}

#[test]
fn the_page_tells_runs_apart_by_what_differs_and_shows_the_longest_silence() {
    let root = tempfile::tempdir().unwrap();
    let with = run(root.path(), "with", "1000", 2);
    let without = run(root.path(), "without", "600000", 9);
    let page = compare(&[with, without]).unwrap();
    for wanted in [
        "2.0 s with log.dir.stall.timeout.ms=1000; 9.0 s with log.dir.stall.timeout.ms=600000",
        "9.0 s on t-0",
    ] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    let crossed = page.matches(r#"class="dead""#).count();
    assert_eq!(crossed, 2, "half a second is no outage");
}

#[test]
fn what_is_no_run_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let with = run(root.path(), "with", "1000", 2);
    let error = compare(&[with, root.path().join("missing")]).unwrap_err();
    assert!(error.to_string().contains("missing/plan.json"), "{error}");
}
