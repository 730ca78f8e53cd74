//! Evidence of a small run directory: what each source shows, and what is named if it is missing.

use std::fs;
use std::path::Path;

use broker::record::{BatchBuilder, Compression};
use serde_json::{Value, json};

use crate::cluster::node::LOG_FILE;
use crate::evidence::{Reached, gather};
use crate::plan::{Plan, profile};
use crate::run::judge::judge;
use crate::run::store::Store;
use crate::run::summary::{Liveness, Parts, Summary};
use crate::worker::payload;
use crate::workload::stats::Counts;

const MILLIS: u64 = 1_000_000;

/// A record is acknowledged by a leader alone, whose successor never had it.
fn history() -> Vec<Value> {
    let send = |index: u64, ms: u64, kind: &str, sent: Value| {
        json!({"index": index, "time": ms * MILLIS, "process": 1, "type": kind, "f": "send",
            "value": [["send", "verdict-0", sent]]})
    };
    let poll = |index: u64, ms: u64, kind: &str, value: Value| {
        json!({"index": index, "time": ms * MILLIS, "process": 2, "type": kind, "f": "poll",
            "value": value})
    };
    let disks = json!([{"node": 1, "directory": 0, "lost": 1, "lost_bytes": 70, "unsynced": 1,
        "files": ["verdict-0/00000000000000000000.log"]}]);
    let fault = json!({"fault": "power-loss", "class": "power-loss", "phase": "prove",
        "target": ["n1"], "detail": {"disks": disks}});
    let assign = |index: u64, kind: &str| {
        json!({"index": index, "time": 1_010 * MILLIS, "process": 2, "type": kind, "f": "assign",
            "value": ["verdict-0"]})
    };
    let seek = |index: u64, kind: &str| {
        json!({"index": index, "time": 1_020 * MILLIS, "process": 2, "type": kind, "f": "seek",
            "value": {"verdict-0": 0}})
    };
    vec![
        assign(0, "invoke"),
        assign(1, "ok"),
        seek(2, "invoke"),
        seek(3, "ok"),
        send(4, 1_100, "invoke", json!(10)),
        send(5, 1_110, "ok", json!([0, 10])),
        send(6, 1_200, "invoke", json!(11)),
        send(7, 1_210, "ok", json!([1, 11])),
        json!({"index": 8, "time": 2_000 * MILLIS, "process": 0, "type": "info", "f": "nemesis",
            "value": fault}),
        send(9, 2_500, "invoke", json!(12)),
        send(10, 2_510, "ok", json!([1, 12])),
        send(11, 2_600, "invoke", json!(13)),
        json!({"index": 12, "time": 2_700 * MILLIS, "process": 1, "type": "fail", "f": "send",
            "value": [["send", "verdict-0", 13]],
            "error": {"code": "NOT_ENOUGH_REPLICAS", "message": "one in sync"}}),
        poll(13, 3_000, "invoke", json!([["poll"]])),
        poll(
            14,
            3_010,
            "ok",
            json!([["poll", {"verdict-0": [[0, 10], [1, 12]]}]]),
        ),
    ]
}

fn events() -> Vec<Value> {
    let node = |id: i32, process: &str, leads: &[i32], in_sync: &[i32]| {
        json!({"node": id, "process": process, "is_controller": id == 3, "leads": leads,
            "in_sync": in_sync})
    };
    let looks = [
        (
            1_250,
            [
                node(1, "running", &[0], &[0]),
                node(2, "running", &[], &[0]),
                node(3, "running", &[], &[0]),
            ],
        ),
        (
            1_900,
            [
                node(1, "dead", &[], &[]),
                node(2, "running", &[0], &[0]),
                node(3, "running", &[], &[0]),
            ],
        ),
        (
            2_500,
            [
                node(1, "running", &[], &[]),
                node(2, "running", &[0], &[0]),
                node(3, "dead", &[], &[]),
            ],
        ),
    ];
    let mut events = vec![json!({"time": 1_000 * MILLIS, "event": "phase", "phase": "workload"})];
    for (ms, nodes) in looks {
        events.push(json!({"time": ms * MILLIS, "event": "nodes", "nodes": nodes}));
        events.push(
            json!({"time": ms * MILLIS, "event": "throughput", "bucket": 250 * MILLIS,
            "counts": {"invoked": 1, "acked": 1, "failed": 0, "unknown": 0, "polls": 0,
                "failed_reads": 0, "records": 0, "processed": 0, "commits": 0, "rebalances": 0},
            "latency": {"count": 0, "p50_us": 0, "p99_us": 0, "max_us": 0}}),
        );
    }
    events
}

fn lines(values: &[Value]) -> String {
    let line = |value: &Value| [value.to_string(), "\n".to_owned()];
    values.iter().flat_map(line).collect()
}

fn write_logs(store: &Store) {
    // The first line is of the start, the last of the end: every run has such.
    let second = "2026-01-01T00:00:01.950000Z  INFO b: leads partition=verdict-0 leader_epoch=3 \
                  isr=[2] end=1\n\
                  2026-01-01T00:00:02.400000Z  INFO b: a fetcher's log diverges \
                  partition=verdict-0 epoch=2 end_offset=1\n\
                  2026-01-01T00:00:09.000000Z  INFO b: controller is active epoch=9\n";
    let first = "2026-01-01T00:00:00.500000Z  INFO b: leads partition=verdict-0 leader_epoch=7\n\
                 2026-01-01T00:00:02.300000Z  INFO b: truncates its log partition=verdict-0 \
                 end=1\n";
    for (node, text) in [(1, first), (2, second), (3, "")] {
        fs::create_dir_all(store.node_log(node)).unwrap();
        fs::write(store.node_log(node).join(LOG_FILE), text).unwrap();
    }
}

fn write_segments(store: &Store, plan: &Plan) {
    for node in 1..=2 {
        let disk = plan.cluster.disks_of(node).next().unwrap();
        let log = store.backing(disk).join("verdict-0");
        fs::create_dir_all(&log).unwrap();
        let mut bytes = Vec::new();
        for (base, value) in [(0, 10), (1, 12)] {
            let mut builder = BatchBuilder::new(Compression::None).with_position(base, 3);
            builder.append(7, None, Some(&payload::encode(value, 40)), &[]);
            bytes.extend(builder.build());
        }
        fs::write(log.join("00000000000000000000.log"), bytes).unwrap();
    }
}

fn plan() -> Plan {
    Plan::draw(1, profile::find("none").unwrap())
}

/// The directory of a run in which 11 was lost.
fn run(folder: &Path) -> (Store, Plan, Summary) {
    let (store, plan) = (Store::open(folder), plan());
    let header = json!({"verdict-history": 1, "settings": plan.settings(),
        "run": {"started": "2026-01-01T00:00:00Z"}});
    let text = format!("{header}\n{}", lines(&history()));
    fs::write(store.history(), text).unwrap();
    fs::write(store.events(), lines(&events())).unwrap();
    write_logs(&store);
    write_segments(&store, &plan);
    let verdict = judge(&store.history(), None).unwrap();
    let summary = Summary::conclude(Parts {
        plan: &plan,
        client: String::new(),
        duration_ms: 3_010,
        counts: Counts::default(),
        rows: Vec::new(),
        liveness: Liveness::Recovered { after_ms: 1 },
        is_harness_fault: false,
        deaths: Vec::new(),
        faults: Vec::new(),
        verdict,
        reproduce: String::new(),
    });
    (store, plan, summary)
}

#[test]
fn every_source_of_a_run_shows_its_states() {
    let folder = tempfile::tempdir().unwrap();
    let (store, plan, summary) = run(folder.path());
    let evidence = gather(&store, &plan, &summary);
    assert_eq!(evidence.problems, Vec::<String>::new());
    let reached = |reached: &Reached| (reached.name.clone(), reached.at_ms);
    let reached: Vec<(String, u64)> = evidence.reached.iter().map(reached).collect();
    let wanted = [
        ("isr-of-one-while-producing", 2_510),
        ("leader-changed", 1_950),
        ("leader-epoch-of-three", 1_950),
        ("follower-truncated", 2_300),
        ("diverging-epoch-answered", 2_400),
        ("unflushed-bytes-dropped", 2_000),
        ("produce-refused-not-enough-replicas", 2_700),
        ("record-lost", 3_010),
    ];
    let wanted: Vec<(String, u64)> = wanted.map(|(name, at)| (name.to_owned(), at)).into();
    assert_eq!(reached, wanted);
}

#[test]
fn the_lost_record_has_its_holders_and_the_lines_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, plan, summary) = run(folder.path());
    let evidence = gather(&store, &plan, &summary);
    let about = "value 11 at offset 1 of verdict-0";
    let story = evidence.stories.iter().find(|story| story.about == about);
    let story = story.expect("a story of the lost record");
    let at_end: Vec<_> = story.holders.iter().map(|holder| holder.at_end).collect();
    assert_eq!(
        at_end,
        [Some(false), Some(false), None],
        "the files of node 3 are gone"
    );
    let words: Vec<&str> = story.holders[1]
        .moments
        .iter()
        .map(|(_, word)| &**word)
        .collect();
    assert_eq!(
        words,
        [
            "in sync",
            "leads",
            "leads in epoch 3: its log ends at 1, lacks it",
            "lacks it"
        ]
    );
    let told: Vec<_> = story
        .log_lines
        .iter()
        .map(|line| (line.node, line.at_ms))
        .collect();
    assert_eq!(
        told,
        [
            (1, Some(500)),
            (2, Some(1_950)),
            (1, Some(2_300)),
            (2, Some(2_400))
        ]
    );
}

#[test]
fn what_cannot_be_read_is_named_and_costs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (store, plan, summary) = run(folder.path());
    let whole = fs::read_to_string(store.events()).unwrap();
    fs::write(store.events(), format!("{whole}{{\"time\":5,\"ev")).unwrap();
    fs::remove_dir_all(store.node_log(2)).unwrap();
    let evidence = gather(&store, &plan, &summary);
    let [events, log] = &evidence.problems[..] else {
        panic!("{:?}", evidence.problems)
    };
    assert!(events.contains("events.jsonl: line 8"), "{events}");
    assert!(
        log.contains("n2") && log.contains("cannot be opened"),
        "{log}"
    );
    let is_reached = |name: &str| evidence.reached.iter().any(|reached| reached.name == name);
    assert!(is_reached("record-lost") && is_reached("follower-truncated"));
    assert!(!is_reached("leader-changed"));
    fs::remove_file(store.history()).unwrap();
    let evidence = gather(&store, &plan, &summary);
    assert!(
        evidence
            .problems
            .iter()
            .any(|problem| problem.contains("history.jsonl"))
    );
}
