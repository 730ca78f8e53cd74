//! A results directory to look at: campaigns with every state of a cell, and runs.
//!
//! In: nothing. Out: the same directory each time. The runs of the campaigns are made up; the pages
//! of runs are those of a stored history.

use std::fs;
use std::path::{Path, PathBuf};

use checkers::contract::Contract;
use checkers::history::{FaultClass, History, NemesisEvent, Phase as FaultPhase};
use harness::campaign::record::FaultSeen;
use harness::campaign::signature::Signature;
use harness::campaign::{CellResult, CellState, RunRecord, UnitKind};
use harness::matrix::{COLUMNS, Pack};
use harness::plan::{Plan, profile};
use harness::report;
use harness::run::events::{Event, Phase, What};
use harness::run::store::Store;
use harness::run::summary::{Liveness, Parts, Summary};
use harness::workload::stats::{Counts, Latency};
use libtest_mimic::Failed;

const HISTORY: &str = include_str!("../../checkers/testdata/lost-write/minimal.jsonl");

const SECOND: u64 = 1_000_000_000;

/// The newest campaign.
pub(crate) const CAMPAIGN: &str = "20261130-010000-campaign";
/// The run of it that is kept.
pub(crate) const KEPT: &str = "runs/0000000000000007";

/// Writes campaigns and runs below `results`.
pub(crate) fn results(results: &Path) -> Result<(), Failed> {
    for (day, rounds) in [(24, 1), (27, 2), (29, 2), (30, 4)] {
        let name = format!("202611{day}-010000-campaign");
        let directory = results.join(&name);
        campaign(&directory, day, rounds)?;
        run(&directory.join(KEPT), 107)?;
        report::campaign::write(&directory, None)?;
    }
    run(&results.join("20261130-080000-default-7"), 7)?;
    run(&results.join("20261130-080100-default-8"), 8)?;
    let runs = ["20261130-080000-default-7", "20261130-080100-default-8"];
    let runs: Vec<PathBuf> = runs.iter().map(|name| results.join(name)).collect();
    fs::write(
        results.join("compare.html"),
        report::compare::compare(&runs)?,
    )?;
    Ok(())
}

fn campaign(directory: &Path, day: u64, rounds: u64) -> Result<(), Failed> {
    fs::create_dir_all(directory)?;
    let header = format!(
        r#"{{"format":1,"command":"campaign","base_seed":7,"binary":"0123456789abcdef",
            "started":"2026-11-{day}T01:00:00Z","rows":[],"columns":[],
            "shard":{{"index":0,"count":1}},"has_sabotage":true,"not_exercised":[]}}"#
    );
    fs::write(directory.join("campaign.json"), header)?;
    let progress = format!(
        r#"{{"budget_ms":3600000,"used_ms":900000,"runs":{},"effective":400,"covered":1000,
            "cells":1121,"findings":2,"effective_an_hour":160,"infrastructure":1,"is_running":true,"updated":"2026-11-{day}T01:15:00Z",
            "running":[{{"unit":"00000000000000ff","label":"matrix pause × mode=sync-after, seed 9",
            "started":"2026-11-{day}T01:14:50Z"}}]}}"#,
        133 * rounds
    );
    fs::write(directory.join("progress.json"), progress)?;
    let mut lines = String::new();
    for run in runs(day, rounds) {
        lines += &serde_json::to_string(&run)?;
        lines.push('\n');
    }
    Ok(fs::write(directory.join("runs.jsonl"), lines)?)
}

/// The runs of a campaign: `rounds` of every pack under every column, scripts and canaries.
pub(crate) fn runs(day: u64, rounds: u64) -> Vec<RunRecord> {
    let mut runs = Vec::new();
    for round in 0..rounds {
        for pack in Pack::ALL {
            for column in 0..COLUMNS.len() {
                let number = runs.len() as u64;
                runs.push(matrix_run(number, day, round, pack, column));
            }
        }
    }
    for (name, caught) in [
        ("ack-before-replication", Some(true)),
        ("no-fsync-before-vote", Some(true)),
        ("ignore-leader-epoch-in-fetch", Some(day < 28)),
        ("forget-group-generation", None),
    ] {
        let number = runs.len() as u64;
        let mut run = bare(number, day, UnitKind::Canary, name);
        run.caught = caught;
        if caught == Some(true) {
            run.exit_code = 10;
            run.findings = vec![signature("5eed5eed5eed", "inconsistent-offsets")];
        }
        runs.push(run);
    }
    for name in ["stalled-leader-disk", "swarm-of-zombies"] {
        let number = runs.len() as u64;
        runs.push(bare(number, day, UnitKind::Script, name));
    }
    runs
}

fn bare(number: u64, day: u64, kind: UnitKind, name: &str) -> RunRecord {
    let second = number * 9;
    let (hour, minute, second) = (second / 3600 % 23 + 1, second / 60 % 60, second % 60);
    RunRecord {
        unit: format!("{number:016x}"),
        kind,
        name: name.to_owned(),
        pack: None,
        seed: 100 + number,
        started: format!("2026-11-{day}T{hour:02}:{minute:02}:{second:02}Z"),
        duration_ms: 9_100,
        exit_code: 0,
        sentence: "Kept: 27 topics, 8 412 records acknowledged, 3 faults with a proven effect."
            .to_owned(),
        faults: vec![FaultSeen {
            name: name.to_owned(),
            seen: !number.is_multiple_of(31) && name != "corruption",
        }],
        cells: Vec::new(),
        reached: vec![
            "isr-of-one-while-producing".to_owned(),
            format!("state-{}", number % 23),
        ],
        findings: Vec::new(),
        caught: None,
        replay_of: None,
        kept: None,
        binary: "0123456789abcdef".to_owned(),
    }
}

fn matrix_run(number: u64, day: u64, round: u64, pack: Pack, column: usize) -> RunRecord {
    let name = COLUMNS.get(column).map_or("none", |column| column.name);
    let mut run = bare(number, day, UnitKind::Matrix, name);
    run.pack = Some(pack.to_string());
    let rows = pack.rows();
    let cells = rows.iter().enumerate();
    run.cells = cells
        .map(|(index, row)| {
            cell(
                &row.to_string(),
                name,
                state(index, column, rows.len(), round),
            )
        })
        .collect();
    if name == "pause" && round == 0 {
        run.exit_code = 10;
        "Broken: 3 lost-write (acks=all waits for all in-sync replicas)."
            .clone_into(&mut run.sentence);
        let id = if day == 30 {
            "c0ffee000001"
        } else {
            "c0ffee000002"
        };
        run.findings = vec![signature(id, "lost-write")];
    }
    if number == 7 {
        run.kept = Some(KEPT.to_owned());
        run.findings
            .push(signature("c0ffee000003", "commit-regressed"));
        run.exit_code = 10;
    }
    run
}

/// Every state somewhere, in places where they could be.
fn state(row: usize, column: usize, rows: usize, round: u64) -> CellState {
    let name = COLUMNS.get(column).map_or("none", |column| column.name);
    let is_weak = rows > 5 && row < 18;
    match name {
        "none" => CellState::Kept,
        "group-churn" if rows > 5 => CellState::NotExercised,
        "pause" if rows > 5 && row == 22 && round == 0 => CellState::Broken,
        "controller-kill" if row % 9 == 4 => CellState::Inconclusive,
        "disk-full" if row % 7 == 3 => CellState::InfrastructureError,
        "disk-stall" if row == 3 => CellState::Unavailable,
        _ if rows > 5 && row > 18 && row % 9 == 2 => CellState::Refused,
        _ if is_weak && (row + column).is_multiple_of(5) => CellState::AllowedNotSeen,
        _ if is_weak => CellState::AllowedSeen,
        _ => CellState::Kept,
    }
}

fn cell(row: &str, column: &str, state: CellState) -> CellResult {
    let of = |wanted: CellState, count: u64| if state == wanted { count } else { 0 };
    CellResult {
        row: row.to_owned(),
        column: column.to_owned(),
        state,
        because: match state {
            CellState::NotExercised => "a durability pack has no group".to_owned(),
            state => format!(
                "{} under {column}: 1 204 acknowledged records",
                state.words()
            ),
        },
        lost: of(CellState::AllowedSeen, 137) + of(CellState::Broken, 3),
        duplicated: of(CellState::AllowedSeen, 4),
        reordered: 0,
        refused: of(CellState::Refused, 1_204),
        unavailable_ms: of(CellState::Unavailable, 21_400),
    }
}

fn signature(id: &str, anomaly: &str) -> Signature {
    Signature {
        id: id.to_owned(),
        anomaly: anomaly.to_owned(),
        promise: "acks=all waits for all in-sync replicas, at least 2 of 3".to_owned(),
        shape: "send ok → leader paused → another leads → final read without it".to_owned(),
        faults: vec!["pause".to_owned()],
    }
}

/// The directory of a run that lost a record.
fn run(directory: &Path, seed: u64) -> Result<(), Failed> {
    fs::create_dir_all(directory)?;
    let store = Store::open(directory);
    let plan = Plan::draw(seed, profile::find("default").ok_or("no default profile")?);
    let history = History::read(HISTORY.as_bytes()).map_err(|error| error.to_string())?;
    let summary = Summary::conclude(Parts {
        plan: &plan,
        client: "rust".to_owned(),
        duration_ms: 14_000,
        counts: Counts::default(),
        liveness: Liveness::Recovered { after_ms: 420 },
        rows: Vec::new(),
        is_harness_fault: false,
        deaths: Vec::new(),
        faults: Vec::new(),
        verdict: checkers::check(&history, &Contract::of(&history)),
        reproduce: "verdict replay results/20261130-080000-default-7".to_owned(),
    });
    store.write(&store.plan(), &plan.to_json())?;
    store.write(&store.history(), HISTORY)?;
    store.write(&store.events(), &events()?)?;
    store.write(&store.verdict(), &serde_json::to_string(&summary)?)?;
    report::write(&store, &plan, &summary)?;
    Ok(())
}

/// What the harness saw of it: phases, the rate of sends, and a leader that was killed.
fn events() -> Result<String, Failed> {
    let mut all = Vec::new();
    let phases = [
        (0, Phase::Start),
        (1, Phase::Workload),
        (12, Phase::Heal),
        (13, Phase::Final),
    ];
    for (second, phase) in phases {
        all.push((second * 4, What::Phase { phase }));
    }
    for quarter in 4..56 {
        let acked = if (16..28).contains(&quarter) { 40 } else { 300 };
        let counts = Counts {
            acked,
            ..Counts::default()
        };
        let latency = Latency {
            count: acked,
            p50_us: 900,
            p99_us: 4_000 + quarter * 900,
            max_us: 90_000,
        };
        let bucket = SECOND / 4;
        let what = What::Throughput {
            bucket,
            counts,
            latency,
        };
        all.push((quarter, what));
    }
    for (quarter, phase, detail) in [
        (16, FaultPhase::Inject, "leader of t-0"),
        (17, FaultPhase::Prove, "the process is gone"),
        (28, FaultPhase::Heal, "started again"),
    ] {
        let fault = NemesisEvent {
            fault: "kill".to_owned(),
            class: FaultClass::ProcessCrash,
            phase,
            target: serde_json::json!(["n2"]),
            detail: detail.into(),
        };
        all.push((quarter, What::Fault { number: 0, fault }));
    }
    all.sort_by_key(|(quarter, _)| *quarter);
    let mut lines = String::new();
    for (quarter, what) in all {
        let time = quarter * SECOND / 4;
        lines += &serde_json::to_string(&Event { time, what })?;
        lines.push('\n');
    }
    Ok(lines)
}
