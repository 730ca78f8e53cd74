//! The worst run still has a page that opens: bounded by counts, and it says what it leaves out.

use std::fmt::Write as _;

use checkers::anomaly::Kind;
use checkers::contract::Contract;
use checkers::history::{FaultClass, History, NemesisEvent, Phase};
use serde_json::json;

use crate::evidence::{Evidence, Holder, LogLine, Story};
use crate::matrix::RowOutcome;
use crate::plan::{Plan, profile};
use crate::report::digest::Digest;
use crate::report::{Input, anomaly, render};
use crate::run::events::{Event, NodeSample, ProcessState, What};
use crate::run::summary::{Liveness, Parts, Summary};
use crate::workload::stats::{Counts, Latency};

/// The most that a page may have.
const PAGE_BYTES_MAX: usize = 2 << 20;
/// Two lines each.
const OPERATIONS: u64 = 100_000;
const LOST: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;

/// Sends of 20 clients to six partitions, every hundredth of which is lost.
fn history() -> String {
    let mut text = String::from("{\"verdict-history\":1,\"settings\":{\"acks\":\"all\"}}\n");
    for number in 0..OPERATIONS {
        let (process, partition) = (number % 20, number % 6);
        let (key, offset) = (format!("t-{partition}"), number / 6);
        let time = number * 6 * MILLISECOND;
        for (index, time, kind, value) in [
            (number * 2, time, "invoke", number.to_string()),
            (
                number * 2 + 1,
                time + 5 * MILLISECOND,
                "ok",
                format!("[{offset},{number}]"),
            ),
        ] {
            let _ = writeln!(
                text,
                "{{\"index\":{index},\"time\":{time},\"process\":{process},\"type\":\"{kind}\",\
                 \"f\":\"send\",\"value\":[[\"send\",\"{key}\",{value}]],\
                 \"node\":\"client-{process}\"}}"
            );
        }
    }
    for partition in 0..6 {
        let mine = (0..OPERATIONS).filter(|number| number % 6 == partition);
        let kept = mine.filter(|number| number % (OPERATIONS / LOST) != 7);
        let kept = kept.map(|number| format!("[{},{number}]", number / 6));
        let records = kept.collect::<Vec<_>>().join(",");
        let process = 100 + partition;
        let (index, time) = (OPERATIONS * 2 + partition * 2, OPERATIONS * 6 * MILLISECOND);
        for (index, kind, value) in [
            (index, "invoke", "[\"poll\"]".to_owned()),
            (
                index + 1,
                "ok",
                format!("[\"poll\",{{\"t-{partition}\":[{records}]}}]"),
            ),
        ] {
            let _ = writeln!(
                text,
                "{{\"index\":{index},\"time\":{time},\"process\":{process},\"type\":\"{kind}\",\
                 \"f\":\"poll\",\"value\":[{value}],\"node\":\"client-{process}\"}}"
            );
        }
    }
    text
}

/// Ten minutes of samples in which every one differs, and 500 faults with long proofs.
fn events() -> Vec<Event> {
    let mut events = Vec::new();
    for sample in 0..2_400_u64 {
        let time = sample * 250 * MILLISECOND;
        let node = |node: i32| NodeSample {
            node,
            process: if (sample + node as u64).is_multiple_of(5) {
                ProcessState::Dead
            } else {
                ProcessState::Running
            },
            is_controller: node as u64 == sample % 5,
            leads: (0..(sample % 7) as i32).collect(),
            epochs: (0..(sample % 7) as i32).map(|_| sample as i32).collect(),
            in_sync: (0..(sample % 6) as i32).collect(),
        };
        let nodes = (1..=5).map(node).collect();
        events.push(Event {
            time,
            what: What::Nodes { nodes },
        });
        let counts = Counts {
            acked: sample,
            unknown: sample % 3,
            ..Counts::default()
        };
        let latency = Latency {
            count: 1,
            p50_us: 900,
            p99_us: 9_000,
            max_us: 9_000 + sample,
        };
        let bucket = 250 * MILLISECOND;
        events.push(Event {
            time,
            what: What::Throughput {
                bucket,
                counts,
                latency,
            },
        });
        let text = "a note that is as long as notes are ".repeat(40);
        events.push(Event {
            time,
            what: What::Note { text },
        });
    }
    for number in 0..500 {
        for phase in [Phase::Inject, Phase::Prove, Phase::Heal, Phase::Recovered] {
            let fault = NemesisEvent {
                fault: "power-loss".to_owned(),
                class: FaultClass::PowerLoss,
                phase,
                target: json!(["n1", "n2", "n3"]),
                detail: json!({ "evidence": "d0 of node 1 lost 84 of 108; ".repeat(80) }),
            };
            let time = number as u64 * 1_000 * MILLISECOND;
            events.push(Event {
                time,
                what: What::Fault { number, fault },
            });
        }
    }
    events
}

fn story(number: usize) -> Story {
    let holder = |node| Holder {
        node,
        moments: (0..200)
            .map(|at| (at, "has it, and is in sync".to_owned()))
            .collect(),
        at_end: Some(false),
    };
    let line = |at| LogLine {
        node: 1,
        at_ms: Some(at),
        text: "a line <of a log> ".repeat(16),
    };
    Story {
        about: format!("record {number}"),
        holders: (1..=5).map(holder).collect(),
        log_lines: (0..500).map(line).collect(),
    }
}

fn summary(plan: &Plan, history: &str) -> Summary {
    let history = History::read(history.as_bytes()).expect("a history");
    let mut verdict = checkers::check(&history, &Contract::of(&history));
    let lost = verdict
        .checks
        .iter()
        .find(|check| check.anomaly == Kind::LostWrite);
    let lost = lost.expect("the check").clone();
    assert_eq!(lost.count, LOST);
    // As bad as it gets: everything that is looked for was found, with long sentences and proofs.
    for check in &mut verdict.checks {
        check.count = LOST;
        check.examples.clone_from(&lost.examples);
        for example in &mut check.examples {
            example.explanation = "a sentence that goes on and on ".repeat(100);
            let witness = example.witness.clone();
            example.witness = witness.into_iter().cycle().take(12).collect();
        }
    }
    let mut summary = Summary::conclude(Parts {
        plan,
        client: "rust".to_owned(),
        duration_ms: 600_000,
        counts: Counts::default(),
        liveness: Liveness::Recovered { after_ms: 420 },
        rows: vec![],
        is_harness_fault: false,
        deaths: Vec::new(),
        faults: Vec::new(),
        verdict,
        reproduce: "cargo verdict run --plan results/x/plan.json".to_owned(),
    });
    let row = |number: u64| RowOutcome {
        row: format!("acks=all rf=3 min.isr=2 flush={number}"),
        topic: format!("topic-{number}"),
        verdict: summary.verdict.clone(),
        liveness: Liveness::Recovered { after_ms: 420 },
        refused: 0,
        struck: Vec::new(),
        unavailable_ms: 0,
    };
    summary.rows = (0..27).map(row).collect();
    summary
}

#[test]
fn a_hundred_thousand_operations_and_a_thousand_anomalies_are_a_page_that_opens() {
    let mut plan = Plan::draw(7, profile::find("default").expect("the default profile"));
    let fault = plan.faults.first().expect("a fault").clone();
    plan.faults = vec![fault; 500];
    let text = history();
    let summary = summary(&plan, &text);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history.jsonl");
    std::fs::write(&path, &text).expect("written");
    let digest = Digest::read(&path);
    let drawn: usize = digest.clients.iter().map(|client| client.acts.len()).sum();
    assert_eq!(drawn as u64, OPERATIONS + 6, "no operation is forgotten");
    let shown = anomaly::shown(&summary).len();
    let evidence = Evidence {
        stories: (0..shown).map(story).collect(),
        ..Evidence::default()
    };
    let page = render(&Input {
        name: "x",
        directory: "results/x",
        plan: &plan,
        summary: &summary,
        events: &events(),
        evidence: &evidence,
        digest: &digest,
    })
    .expect("a page");
    assert!(page.len() <= PAGE_BYTES_MAX, "{} bytes", page.len());
    for wanted in [
        "more cases not shown here",
        "more operations of the proof not shown here",
        "earlier moments not shown",
        "lines not shown here",
        "more faults are in events.jsonl",
        "350 more faults not drawn",
        "too often to draw every change",
        "And 2360 more, not shown here.",
        "op-dense",
    ] {
        assert!(page.contains(wanted), "the page does not say `{wanted}`");
    }
    for check in &summary.verdict.checks {
        let id = format!("id=\"broken-{}\"", check.anomaly.name());
        assert!(page.contains(&id), "{id} is missing");
    }
    if let Ok(path) = std::env::var("VERDICT_WORST_PAGE") {
        std::fs::write(path, page).expect("the sample is written");
    }
}
