//! The page as a reader gets it: complete in itself, and saying what the run says.

use checkers::contract::Contract;
use checkers::history::{FaultClass, History, NemesisEvent, Phase as FaultPhase};
use checkers::verdict::Verdict;
use serde_json::{Value, json};

use crate::disk::rule::DiskId;
use crate::evidence::{Evidence, Holder, LogLine, Reached, Story};
use crate::matrix::RowOutcome;
use crate::nemesis::DiskSample;
use crate::plan::{Plan, TopicPlan, profile};
use crate::report::digest::Digest;
use crate::report::{Input, render};
use crate::run::events::{Event, NodeSample, Phase, ProcessState, What};
use crate::run::summary::{Liveness, Parts, Summary};
use crate::worker::protocol::Acks;
use crate::workload::stats::{Counts, Latency};

const SECOND: u64 = 1_000_000_000;

const BROKEN_HISTORY: &str = include_str!("../../../checkers/testdata/lost-write/minimal.jsonl");

fn plan() -> Plan {
    Plan::draw(7, profile::find("default").expect("the default profile"))
}

fn fault(time: u64, phase: FaultPhase, detail: Value) -> Event {
    let fault = NemesisEvent {
        fault: "kill".to_owned(),
        class: FaultClass::ProcessCrash,
        phase,
        target: json!(["n2"]),
        detail,
    };
    Event {
        time,
        what: What::Fault { number: 0, fault },
    }
}

fn nodes(time: u64, second: ProcessState) -> Event {
    let node = |id, process| NodeSample {
        node: id,
        process,
        is_controller: id == 1,
        leads: if process == ProcessState::Running {
            vec![id, id + 1]
        } else {
            vec![]
        },
        epochs: if process == ProcessState::Running {
            vec![1, 2]
        } else {
            vec![]
        },
        in_sync: if process == ProcessState::Running {
            (0..6).collect()
        } else {
            vec![]
        },
    };
    let running = ProcessState::Running;
    Event {
        time,
        what: What::Nodes {
            nodes: vec![node(1, running), node(2, second), node(3, running)],
        },
    }
}

fn events() -> Vec<Event> {
    let mut events = Vec::new();
    for (second, phase) in [
        (0, Phase::Start),
        (1, Phase::Workload),
        (12, Phase::Heal),
        (13, Phase::Final),
    ] {
        events.push(Event {
            time: second * SECOND,
            what: What::Phase { phase },
        });
    }
    for quarter in 4..56 {
        let dead = (16..28).contains(&quarter);
        let time = quarter * SECOND / 4;
        events.push(nodes(
            time,
            if dead {
                ProcessState::Dead
            } else {
                ProcessState::Running
            },
        ));
        let acked = if dead { 40 } else { 300 };
        let counts = Counts {
            acked,
            unknown: u64::from(dead) * 6,
            ..Counts::default()
        };
        let latency = Latency {
            count: acked,
            p50_us: 900,
            p99_us: 4000 + quarter * 900,
            max_us: 90_000,
        };
        events.push(Event {
            time,
            what: What::Throughput {
                bucket: SECOND / 4,
                counts,
                latency,
            },
        });
    }
    events.push(fault(
        4 * SECOND,
        FaultPhase::Inject,
        json!({"role": "leader of t-0"}),
    ));
    events.push(fault(
        4 * SECOND,
        FaultPhase::Prove,
        json!("the process is gone"),
    ));
    events.push(fault(7 * SECOND, FaultPhase::Heal, Value::Null));
    events.push(fault(
        8 * SECOND,
        FaultPhase::Recovered,
        json!({"repaired": ["node 2 had ended with code 1 and was started again"]}),
    ));
    events.push(Event {
        time: 8 * SECOND,
        what: What::Note {
            text: "a <note>".to_owned(),
        },
    });
    for (quarter, hits, held) in [(17, 3, 2), (18, 9, 0)] {
        let sample = DiskSample {
            disk: DiskId {
                node: 2,
                directory: 1,
            },
            matched: 20,
            hits,
            held,
        };
        events.push(Event {
            time: quarter * SECOND / 4,
            what: What::Disks {
                number: 0,
                disks: vec![sample],
            },
        });
    }
    events.sort_by_key(|event| event.time);
    events
}

/// A digest of a history on disk.
fn digest(history: &str) -> Digest {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history.jsonl");
    std::fs::write(&path, history).expect("written");
    Digest::read(&path)
}

fn evidence() -> Evidence {
    let holder = |node, at, word: &str, at_end| Holder {
        node,
        moments: vec![(at, word.to_owned())],
        at_end,
    };
    let line = LogLine {
        node: 2,
        at_ms: Some(4100),
        text: "truncated to <offset 7>".to_owned(),
    };
    Evidence {
        reached: vec![Reached {
            name: "truncation-happened".to_owned(),
            at_ms: 4100,
            proof: "n2 says so".to_owned(),
        }],
        stories: vec![Story {
            about: "the record of the story".to_owned(),
            holders: vec![
                holder(1, 4000, "leads", Some(true)),
                holder(2, 4200, "lacks it", Some(false)),
            ],
            log_lines: vec![line],
        }],
        problems: vec!["nodes/n3/log cannot be read".to_owned()],
    }
}

fn summary(plan: &Plan, history: &str) -> Summary {
    let history = History::read(history.as_bytes()).expect("a history");
    let verdict = checkers::check(&history, &Contract::of(&history));
    Summary::conclude(Parts {
        plan,
        client: "rust".to_owned(),
        duration_ms: 14_000,
        counts: Counts::default(),
        liveness: Liveness::Recovered { after_ms: 420 },
        rows: vec![],
        is_harness_fault: false,
        deaths: Vec::new(),
        faults: Vec::new(),
        verdict,
        reproduce: "cargo verdict run --plan results/x/plan.json".to_owned(),
    })
}

fn page_of(summary: &Summary, plan: &Plan, history: &str) -> String {
    render(&Input {
        name: "x",
        directory: "results/x",
        plan,
        summary,
        events: &events(),
        evidence: &evidence(),
        digest: &digest(history),
    })
    .expect("a page")
}

fn page() -> String {
    let plan = plan();
    page_of(&summary(&plan, BROKEN_HISTORY), &plan, BROKEN_HISTORY)
}

#[test]
fn the_page_opens_on_the_verdict_and_proves_it() {
    let page = page();
    let heading = page
        .find("<h1>Broken: 1 lost-write")
        .expect("the verdict is the heading");
    let contract = page.find("What was promised").expect("the contract");
    let proof = page
        .find("What went wrong, with proof")
        .expect("the anomalies");
    assert!(
        heading < contract && contract < proof,
        "the verdict comes first"
    );
    for wanted in [
        "the process is gone",
        "leader of t-0",
        "0.4 s after",
        "--plan",
        "n2/d1",
        "ended with code 1 and was started again",
        "2× e1–2",
    ] {
        assert!(page.contains(wanted), "{wanted} is missing");
    }
}

#[test]
fn an_anomaly_has_its_operations_its_holders_its_log_and_three_commands() {
    let page = page();
    let article = page.find("<article class=\"broken\" id=\"broken-lost-write\"");
    let article = &page[article.expect("the finding")..];
    let article = &article[..article.find("</article>").expect("its end")];
    for wanted in [
        "The operations of the proof on",
        "is acknowledged at offset",
        "Who had the record when: the record of the story",
        "<td>lacks it</td>",
        "truncated to &#60;offset 7&#62;",
        "cargo verdict replay results/x\ncargo verdict minimize results/x\n\
         cargo verdict check results/x",
    ] {
        assert!(article.contains(wanted), "{wanted} is missing in {article}");
    }
    assert!(page.contains("truncation-happened"));
    assert!(page.contains("Not read: nodes/n3/log cannot be read"));
}

#[test]
fn a_run_of_several_rows_has_a_table_of_them_and_its_findings_name_them() {
    let plan = plan();
    let mut summary = summary(&plan, BROKEN_HISTORY);
    let row = |row: &str, verdict: &Verdict| RowOutcome {
        row: row.to_owned(),
        topic: "t-of-row".to_owned(),
        verdict: verdict.clone(),
        liveness: Liveness::Recovered { after_ms: 420 },
        refused: 1234,
        struck: Vec::new(),
        unavailable_ms: 2500,
    };
    let kept = include_str!("../../../checkers/testdata/lost-write/legal.jsonl");
    let kept = self::summary(&plan, kept).verdict;
    summary.rows = vec![
        row("acks=all rf=3", &summary.verdict),
        row("acks=all rf=1", &kept),
    ];
    let page = page_of(&summary, &plan, BROKEN_HISTORY);
    for wanted in [
        "t-of-row",
        "1\u{202f}234",
        "2.5 s",
        "<a href=\"#broken-lost-write\">1 lost-write</a>",
        "In: acks=all rf=3 (1).",
        "<strong>acks=all rf=3: ",
        "what was found is the sum over all of them",
    ] {
        assert!(page.contains(wanted), "{wanted} is missing");
    }
    let shown = crate::report::anomaly::shown(&summary);
    assert_eq!(shown.len(), 1, "evidence is asked for what the page shows");
}

#[test]
fn a_run_of_several_topics_does_not_tell_the_first_as_all_of_them() {
    let mut plan = plan();
    plan.cluster.further_topics = vec![TopicPlan {
        name: "0-rf1".to_owned(),
        partitions: 2,
        replication_factor: 1,
        min_insync_replicas: 1,
        acks: Acks::Zero,
        idempotence: false,
    }];
    let summary = summary(&plan, BROKEN_HISTORY);
    let page = page_of(&summary, &plan, BROKEN_HISTORY);
    let partitions = plan.cluster.partitions + 2;
    let topics = format!(
        "2 with {partitions} partitions, each for a row above: {}, 0-rf1",
        plan.cluster.topic
    );
    let lanes = format!(
        "The lanes of the nodes are about {}, the first of 2 topics.",
        plan.cluster.topic
    );
    for wanted in [&*topics, &*lanes, "acks and idempotence as the row of each"] {
        assert!(page.contains(wanted), "{wanted} is missing");
    }
    assert!(!page.contains("min.insync.replicas 2</td>"), "{page}");
}

#[test]
fn what_the_sentence_says_is_not_said_again() {
    let plan = plan();
    let mut summary = summary(&plan, BROKEN_HISTORY);
    let reason = "t-1 has no leader".to_owned();
    summary.liveness = Liveness::NotRecovered { reason };
    let says = |summary: &Summary| {
        page_of(summary, &plan, BROKEN_HISTORY).contains("<p>After healing: t-1 has no leader.")
    };
    assert!(says(&summary));
    "Unavailable: t-1 has no leader.".clone_into(&mut summary.sentence);
    assert!(!says(&summary));
}

#[test]
fn what_the_history_tells_of_members_is_a_lane_for_each() {
    let history = include_str!("../../../checkers/testdata/group-lost/minimal.jsonl");
    let plan = plan();
    let page = page_of(&summary(&plan, history), &plan, history);
    for wanted in [
        " owns</text>",
        "class=\"owns cut\"",
        "the member dies",
        "What the group did",
    ] {
        assert!(page.contains(wanted), "{wanted} is missing");
    }
}

#[test]
fn the_page_stands_alone_and_shows_text_as_text() {
    let page = page();
    for outside in ["http://", "https://", "<script", "<link", "src="] {
        assert!(!page.contains(outside), "the page must not hold {outside}");
    }
    assert!(
        page.contains("a &#60;note&#62;"),
        "text of the run is escaped"
    );
}

#[test]
fn every_place_that_is_linked_exists_and_every_table_has_a_caption() {
    let page = page();
    for link in page.split("href=\"#").skip(1) {
        let id = link.split('"').next().expect("an end");
        assert!(
            page.contains(&format!("id=\"{id}\"")),
            "#{id} leads nowhere"
        );
    }
    let count = |text: &str| page.matches(text).count();
    assert_eq!(count("<table"), count("<caption"));
    assert_eq!(count("<th>"), 0, "every header has a scope");
    assert_eq!(count("<svg viewBox=\"0 0 1280"), count("role=\"img\""));
    for id in ["hatch", "cross", "content"] {
        assert_eq!(count(&format!("id=\"{id}\"")), 1, "{id} is there once");
    }
}
