//! The page as a reader gets it: complete in itself, and saying what the run says.

use checkers::contract::Contract;
use checkers::history::{FaultClass, History, NemesisEvent, Phase as FaultPhase};
use serde_json::{Value, json};

use crate::disk::rule::DiskId;
use crate::nemesis::DiskSample;
use crate::plan::Plan;
use crate::plan::profile;
use crate::report::{Input, render};
use crate::run::events::{Event, NodeSample, Phase, ProcessState, What};
use crate::run::summary::{Liveness, Parts, Summary};
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

fn page() -> String {
    let plan = plan();
    let history = History::read(BROKEN_HISTORY.as_bytes()).expect("a history");
    let verdict = checkers::check(&history, &Contract::of(&history));
    let summary = Summary::conclude(Parts {
        plan: &plan,
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
    });
    let events = events();
    render(&Input {
        name: "x",
        plan: &plan,
        summary: &summary,
        events: &events,
    })
    .expect("a page")
}

#[test]
fn the_page_opens_on_the_verdict_and_proves_it() {
    let page = page();
    let heading = page
        .find("<h1>Broken: 1 lost-write")
        .expect("the verdict is the heading");
    let proof = page
        .find("What went wrong, with proof")
        .expect("the anomalies");
    assert!(heading < proof, "the verdict comes first");
    for wanted in [
        "the process is gone",
        "leader of t-0",
        "0.4 s after",
        "n2",
        "--plan",
        "n2/d1",
        "ended with code 1 and was started again",
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
    if let Ok(path) = std::env::var("VERDICT_REPORT_SAMPLE") {
        std::fs::write(path, page).expect("the sample is written");
    }
}
