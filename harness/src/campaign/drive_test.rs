//! The driver with a stand-in for the processes: budgets, interrupts, and a death at every step.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::campaign::directory::{Campaign, Stored, lines_of};
use crate::campaign::fixture;
use crate::campaign::record::UnitKind;
use crate::campaign::swarm;
use crate::cli::exit::Exit;
use crate::run::summary::{Liveness, Summary};

/// Ends every run at once, without a verdict.
#[derive(Debug, Default)]
struct Fake {
    ran: AtomicUsize,
    /// Whether the machine allows no run.
    refuses: bool,
    /// The run of this number never ends by itself.
    hangs: Option<usize>,
    /// What the runs come to, by number: the last words of a node, or that all was kept.
    comes_to: Vec<Option<&'static str>>,
}

impl Execute for Arc<Fake> {
    async fn execute(&self, unit: Arc<Unit>, work: PathBuf, interrupt: Interrupt) -> Ran {
        let number = self.ran.fetch_add(1, Ordering::Relaxed);
        let result = work.join("result");
        std::fs::create_dir(&result).expect("made");
        leave(&result, &unit.id);
        std::fs::write(result.join("plan.json"), unit.plan.to_json()).expect("written");
        let mut ending = Ending::NoVerdict {
            why: "it left no verdict: thread 'main' panicked".to_owned(),
        };
        if self.refuses {
            ending = Ending::MachineCannot {
                why: "no disks here".to_owned(),
            };
        }
        if let Some(death) = self.comes_to.get(number) {
            ending = Ending::Finished {
                summary: Box::new(judged(*death)),
                reached: Vec::new(),
            };
        }
        if self.hangs == Some(number) {
            let _ = interrupt.or(std::future::pending::<()>()).await;
            ending = Ending::Interrupted;
        }
        Ran {
            started: now(),
            duration_ms: 1_000,
            ending,
            result: result.canonicalize().ok(),
        }
    }
}

/// The verdict on a run whose nodes all lived, or one of which ended with these words.
fn judged(death: Option<&str>) -> Summary {
    let exit = if death.is_some() {
        Exit::Broken
    } else {
        Exit::Kept
    };
    Summary {
        exit_code: exit.code(),
        deaths: death.into_iter().map(str::to_owned).collect(),
        liveness: Liveness::Recovered { after_ms: 1 },
        ..fixture::summary()
    }
}

/// Writes what a run leaves in its directory.
fn leave(result: &Path, unit: &str) {
    std::fs::write(result.join("history.jsonl"), unit).expect("written");
    let place = result.canonicalize().expect("is there");
    let reproduce = format!("run --plan {}/plan.json", place.display());
    std::fs::write(result.join("verdict.json"), reproduce).expect("written");
}

fn units(count: u64) -> Vec<Unit> {
    (0..count).map(swarm::draw).collect()
}

fn limits(seconds: u64) -> Limits {
    Limits {
        budget: Some(Duration::from_secs(seconds)),
        jobs: 2,
        keep: KeepRuns::Findings,
    }
}

/// One sitting; the records.
fn sit(root: &Path, units: &[Unit], fake: &Arc<Fake>, limits: Limits) -> Vec<RunRecord> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let interrupt = Interrupt::listen().expect("signals");
        let (directory, stored) = Directory::open(root, &fixture::campaign()).expect("opens");
        let fake = Arc::clone(fake);
        let driver = Driver::new(directory, stored, fake, limits, Display::hidden());
        let ran = driver
            .expect("goes on")
            .run(units.iter().cloned(), &interrupt)
            .await;
        ran.expect("runs").0.records
    })
}

fn ids(records: &[RunRecord]) -> Vec<&str> {
    let mut ids: Vec<&str> = records.iter().map(|record| record.unit.as_str()).collect();
    ids.sort_unstable();
    ids
}

fn ids_of(units: &[Unit]) -> Vec<&str> {
    let mut ids: Vec<&str> = units.iter().map(|unit| unit.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// Everything stored once, everything kept there, nothing else lying about.
fn assert_whole(root: &Path, units: &[Unit]) {
    let stored = Stored::read(root).expect("reads");
    assert_eq!(ids(&stored.records), ids_of(units));
    assert!(!root.join("work").exists() || root.join("work").read_dir().unwrap().count() == 0);
    for record in &stored.records {
        let path = root.join("runs").join(&record.unit);
        assert_eq!(record.kept.is_some(), path.is_dir(), "{}", record.unit);
        let history = std::fs::read(path.join("history.jsonl"));
        let reproduce = std::fs::read_to_string(path.join("verdict.json"));
        let place = path.canonicalize().unwrap_or_default();
        let wanted = format!("run --plan {}/plan.json", place.display());
        assert!(record.kept.is_none() || reproduce.unwrap() == wanted);
        assert!(record.kept.is_none() || history.unwrap() == record.unit.as_bytes());
    }
}

#[test]
fn a_run_without_a_verdict_is_an_infrastructure_error_with_its_reason() {
    let root = tempfile::tempdir().expect("a directory");
    let units = units(9);
    let fake = Arc::<Fake>::default();
    let records = sit(root.path(), &units, &fake, limits(3_600));
    assert_whole(root.path(), &units);
    assert_eq!(fake.ran.load(Ordering::Relaxed), 9, "none is run twice");
    let is_trouble = |record: &RunRecord| record.exit_code == Exit::HarnessFault.code();
    assert!(records.iter().all(is_trouble));
    assert!(records.iter().all(|r| r.sentence.contains("panicked")));
    assert!(
        records
            .iter()
            .all(|r| r.kind == UnitKind::Swarm && r.duration_ms == 1_000)
    );
    let kept = records
        .iter()
        .filter(|record| record.kept.is_some())
        .count();
    assert_eq!(
        kept, 4,
        "the first three, one of which is the smallest, and the newest"
    );
}

#[test]
fn what_the_machine_refuses_is_asked_twice_a_sitting_and_an_endless_sequence_ends() {
    let root = tempfile::tempdir().expect("a directory");
    let fake = Arc::new(Fake {
        refuses: true,
        ..Fake::default()
    });
    let units = units(2_000);
    let records = sit(root.path(), &units, &fake, limits(3_600));
    let names = units.iter().map(|unit| unit.name.as_str());
    let profiles = names.collect::<BTreeSet<&str>>().len();
    let asked = 2 * profiles..=profiles * (1 + limits(1).jobs);
    assert!(
        asked.contains(&records.len()),
        "each twice, and what ran beside the second: {}",
        records.len()
    );
    assert!(
        records
            .iter()
            .all(|r| r.exit_code == Exit::MachineCannot.code())
    );
    assert!(records.iter().all(|r| r.sentence.contains("no disks here")));
    let allowed = Arc::<Fake>::default();
    sit(root.path(), &units[..200], &allowed, limits(3_600));
    assert!(
        allowed.ran.load(Ordering::Relaxed) > 100,
        "another day it is asked again"
    );
}

#[test]
fn killed_at_any_byte_of_its_file_it_goes_on_where_it_was() {
    let whole = tempfile::tempdir().expect("a directory");
    let units = units(4);
    let first = sit(whole.path(), &units, &Arc::default(), limits(3_600));
    let text = lines_of(&first);
    for cut in (0..=text.len()).step_by(23).chain([text.len()]) {
        let root = tempfile::tempdir().expect("a directory");
        let campaign = std::fs::read(whole.path().join("campaign.json")).expect("is there");
        std::fs::write(root.path().join("campaign.json"), campaign).expect("written");
        std::fs::write(root.path().join("runs.jsonl"), &text[..cut]).expect("written");
        // What was moved before its line was written, and what was running.
        for (place, unit) in [
            ("runs", &units[3]),
            ("runs", &units[0]),
            ("work", &units[1]),
        ] {
            let left = root.path().join(place).join(&unit.id);
            std::fs::create_dir_all(&left).expect("made");
            leave(&left, &unit.id);
        }
        let fake = Arc::<Fake>::default();
        sit(root.path(), &units, &fake, limits(3_600));
        assert_whole(root.path(), &units);
        let lines = text[..cut].matches('\n').count();
        assert_eq!(fake.ran.load(Ordering::Relaxed), 4 - lines, "cut at {cut}");
    }
}

/// What a killed campaign leaves at work of a run that came to `summary`.
fn left_at_work(root: &Path, unit: &Unit, summary: &Summary) -> PathBuf {
    let work = root.join("work").join(&unit.id);
    let result = work.join("20261130-120000-run");
    std::fs::create_dir_all(&result).expect("made");
    adopt::begin(&work, unit, None, "2026-11-30T12:00:00Z").expect("written");
    std::fs::write(result.join("plan.json"), unit.plan.to_json()).expect("written");
    let text = serde_json::to_string(summary).expect("plain data");
    std::fs::write(result.join("verdict.json"), text).expect("written");
    std::os::unix::fs::symlink(&result, work.join("latest")).expect("linked");
    result
}

#[test]
fn a_verdict_that_was_reached_before_the_kill_is_taken_over() {
    let root = tempfile::tempdir().expect("a directory");
    let units = units(5);
    let cut_short = Summary {
        liveness: fixture::summary().liveness,
        ..judged(None)
    };
    let moved = left_at_work(root.path(), &units[0], &judged(Some("n1 panicked")));
    std::fs::create_dir(root.path().join("runs")).expect("made");
    let kept = root.path().join("runs").join(&units[0].id);
    std::fs::rename(&moved, &kept).expect("moved before its line was written");
    left_at_work(root.path(), &units[1], &judged(None));
    left_at_work(root.path(), &units[2], &cut_short);
    // A plan that is not the unit's, so that its verdict is about something else.
    let other = left_at_work(root.path(), &units[3], &judged(None));
    std::fs::write(other.join("plan.json"), units[4].plan.to_json()).expect("written");
    let fake = Arc::<Fake>::default();
    let records = sit(root.path(), &units[..4], &fake, limits(0));
    assert_eq!(
        fake.ran.load(Ordering::Relaxed),
        0,
        "there is no time to run"
    );
    let exits: Vec<(&str, u8)> = records
        .iter()
        .map(|r| (r.unit.as_str(), r.exit_code))
        .collect();
    let mut wanted = [
        (units[0].id.as_str(), Exit::Broken.code()),
        (units[1].id.as_str(), Exit::Kept.code()),
    ];
    wanted.sort_unstable();
    assert_eq!(
        exits, wanted,
        "what was cut short and what is not ours is run again"
    );
    assert!(
        kept.join("verdict.json").is_file(),
        "the violation is kept whole"
    );
    assert!(
        records
            .iter()
            .all(|record| record.started == "2026-11-30T12:00:00Z")
    );
    sit(root.path(), &units[..4], &fake, limits(3_600));
    let events = std::fs::read_to_string(root.path().join("events.jsonl")).expect("is there");
    assert_eq!(events.matches("unit-begun").count(), 2, "{events}");
    assert_eq!(
        ids(&Stored::read(root.path()).expect("reads").records),
        ids_of(&units[..4])
    );
}

#[test]
fn what_a_replay_breaks_beside_what_it_looks_for_is_a_finding_of_its_own() {
    let root = tempfile::tempdir().expect("a directory");
    let units = units(1);
    let fake = Arc::new(Fake {
        comes_to: [
            Some("one"),
            Some("one"),
            Some("another"),
            None,
            Some("another"),
        ]
        .into_iter()
        .chain([None; 40])
        .collect(),
        ..Fake::default()
    });
    let records = sit(root.path(), &units, &fake, limits(3_600));
    let stored = Stored::read(root.path()).expect("reads");
    assert_eq!(stored.records, records);
    assert_eq!(records[0].unit, units[0].id);
    let other = &records[1];
    assert_ne!(other.unit, units[0].id);
    assert!(other.findings[0].shape.contains("another"), "{other:?}");
    assert!(other.sentence.contains(&units[0].id) && other.is_violation());
    assert_eq!(other.replay_of.as_ref(), Some(&units[0].id));
    assert!(
        !other.is_effective() && other.cells.is_empty(),
        "it is in no rate"
    );
    assert!(
        root.path()
            .join("runs")
            .join(&other.unit)
            .join("plan.json")
            .is_file()
    );
    let rates = crate::campaign::replays::rates(&stored.replays);
    let rate = |record: &RunRecord| rates.get(record.findings[0].id.as_str()).copied();
    let (first, second) = (
        rate(&records[0]).expect("replayed"),
        rate(other).expect("replayed"),
    );
    assert_eq!((first.runs, second.runs), (10, 10), "both are replayed");
    assert_eq!(first.same, 1, "another failure is not this one");
    let again = sit(root.path(), &units, &fake, limits(3_600));
    assert_eq!(ids(&again), ids(&records), "it is there once");
}

#[test]
fn without_a_budget_the_units_are_the_bound() {
    let root = tempfile::tempdir().expect("a directory");
    let units = units(7);
    let fake = Arc::<Fake>::default();
    let endless = Limits {
        budget: None,
        ..limits(0)
    };
    let records = sit(root.path(), &units, &fake, endless);
    assert_eq!(ids(&records), ids_of(&units));
    let line = Progress::read(root.path()).expect("written").line();
    assert!(!line.contains("left"), "{line}");
}

#[test]
fn the_budget_counts_over_sittings_and_a_run_that_would_not_end_is_not_begun() {
    let root = tempfile::tempdir().expect("a directory");
    let units = units(5);
    let shortest = units
        .iter()
        .map(|unit| planned_ms(&unit.plan))
        .min()
        .expect("some");
    let fake = Arc::<Fake>::default();
    let records = sit(root.path(), &units, &fake, limits(shortest / 1_000 - 1));
    assert_eq!(records, [], "no run would end in time");
    let mut progress = Progress::read(root.path()).expect("written");
    assert!(!progress.is_running && progress.running.is_empty());
    progress.used_ms = 3_599_999;
    let text = progress.to_json();
    std::fs::write(root.path().join(progress::FILE), text).expect("written");
    let again = sit(root.path(), &units, &fake, limits(3_600));
    assert_eq!(again, [], "a millisecond is too short for a run");
    let longer = sit(root.path(), &units, &fake, limits(7_200));
    assert_eq!(ids(&longer), ids_of(&units), "a longer budget goes on");
    assert!(Progress::read(root.path()).expect("written").used_ms >= 3_599_999);
}

#[test]
fn an_interrupt_keeps_what_is_finished_and_the_rest_is_run_again() {
    let root = tempfile::tempdir().expect("a directory");
    let units = units(6);
    let fake = Arc::new(Fake {
        hangs: Some(3),
        ..Fake::default()
    });
    let path = root.path().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let stored = runtime.expect("a runtime").block_on(async {
        let (interrupt, sender) = Interrupt::by_hand();
        let (directory, stored) = Directory::open(&path, &fixture::campaign()).expect("opens");
        let (fake, display) = (Arc::clone(&fake), Display::hidden());
        let driver = Driver::new(directory, stored, fake, limits(3_600), display);
        let driver = driver
            .expect("begins")
            .run(units.iter().cloned(), &interrupt);
        let five_are_done = async {
            while Stored::read(&path).map_or(0, |stored| stored.records.len()) < 5 {
                tokio::task::yield_now().await;
            }
            sender.send_replace(true);
        };
        tokio::join!(driver, five_are_done)
            .0
            .expect("ends")
            .0
            .records
    });
    assert_eq!(stored.len(), 5);
    let events = std::fs::read_to_string(root.path().join("events.jsonl")).expect("is there");
    assert_eq!(events.matches("unit-interrupted").count(), 1, "{events}");
    let fake = Arc::<Fake>::default();
    sit(root.path(), &units, &fake, limits(3_600));
    assert_eq!(fake.ran.load(Ordering::Relaxed), 1);
    assert_whole(root.path(), &units);
}

#[test]
fn a_directory_of_another_campaign_or_of_one_that_runs_is_refused_in_one_line() {
    let root = tempfile::tempdir().expect("a directory");
    let campaign = fixture::campaign();
    let (open, _) = Directory::open(root.path(), &campaign).expect("opens");
    let error = Directory::open(root.path(), &campaign)
        .expect_err("in use")
        .to_string();
    assert!(error.contains("in use"), "{error}");
    drop(open);
    for (change, wanted) in [
        (
            Campaign {
                base_seed: 8,
                ..campaign.clone()
            },
            "--seed",
        ),
        (
            Campaign {
                rows: Vec::new(),
                ..campaign.clone()
            },
            "--rows",
        ),
        (
            Campaign {
                binary: "x".to_owned(),
                ..campaign.clone()
            },
            "binary",
        ),
        (
            Campaign {
                shard: "1/2".parse().unwrap(),
                ..campaign.clone()
            },
            "--shard",
        ),
    ] {
        let error = Directory::open(root.path(), &change)
            .expect_err("differs")
            .to_string();
        assert!(error.contains(wanted) && !error.contains('\n'), "{error}");
    }
    let later = Campaign {
        started: "later".to_owned(),
        ..campaign.clone()
    };
    assert!(
        Directory::open(root.path(), &later).is_ok(),
        "the time may differ"
    );
    std::fs::write(root.path().join("runs.jsonl"), "{}\n{\"half").expect("written");
    let error = Directory::open(root.path(), &campaign)
        .expect_err("no run")
        .to_string();
    assert!(
        error.contains("runs.jsonl:1") && error.contains("remove the line"),
        "{error}"
    );
}
