//! Reads a result directory once, and makes its evidence.
//!
//! In: the directory of a run whose nodes are stopped, its plan, how it ended. Out: [`Evidence`].
//! Invariant: it never fails and never changes a file; the history is read as a stream, the logs
//! of the nodes and their segments within fixed bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};

use checkers::history::{Action, NemesisEvent, Op, OpType, Reader, Send};
use checkers::verdict::Anomaly;
use jiff::Timestamp;

use crate::evidence::holders::{Known, holders};
use crate::evidence::looks::Look;
use crate::evidence::node_log::{self, Line};
use crate::evidence::reached::Found;
use crate::evidence::subject::Subject;
use crate::evidence::turns::{Acked, Course};
use crate::evidence::{Evidence, Story, log_lines, segments};
use crate::plan::Plan;
use crate::report::anomaly::shown;
use crate::run::events::{Event, Phase, What, about};
use crate::run::store::Store;
use crate::run::summary::Summary;

/// What the history says beside its verdict.
#[derive(Debug, Default)]
struct Told {
    started: Option<Timestamp>,
    faults: Vec<(u64, NemesisEvent)>,
    end_ms: u64,
    /// The sends that were acknowledged, and by process when the open ones began.
    acked: Vec<Acked>,
    begun: BTreeMap<u64, u64>,
}

impl Told {
    fn look_at_send(&mut self, op: &Op, sends: &[Send]) {
        let now_ms = op.time / 1_000_000;
        let begun = match op.kind {
            OpType::Invoke => {
                self.begun.insert(op.process, now_ms);
                None
            }
            _ => self.begun.remove(&op.process),
        };
        if let (OpType::Ok, Some(invoked_ms)) = (op.kind, begun) {
            self.acked.extend(sends.iter().map(|send| Acked {
                key: send.key.clone(),
                invoked_ms,
                done_ms: now_ms,
                index: op.index,
            }));
        }
    }
}

/// What the run of `store` left behind.
pub fn gather(store: &Store, plan: &Plan, summary: &Summary) -> Evidence {
    let mut problems = Vec::new();
    let mut found = Found::nothing();
    let events = read_events(store, &mut problems);
    let looks = looks_by_topic(plan, &events);
    for looks in looks.values() {
        found.look_at_nodes(looks);
    }
    let begin = begin_of_workload(&events);
    let told = read_history(store, begin, &mut found, &mut problems);
    let lines = node_log::read(store, plan.cluster.nodes, told.started, &mut problems);
    if told.started.is_none() {
        let sentence = "the history does not say when the run began: node logs have no times";
        problems.push(sentence.to_owned());
    }
    // Before it, and once the nodes are stopped, every cluster does the same.
    let workload = begin / 1_000_000..=told.end_ms;
    let of_run = |line: &&Line| line.at_ms.is_some_and(|at_ms| workload.contains(&at_ms));
    lines
        .iter()
        .filter(of_run)
        .for_each(|line| found.look_at_line(line));
    let turns = Course::new(plan, &lines, &told.acked, &told.faults, workload.clone());
    found.look_at_turns(&turns);
    found.look_at_verdict(summary);
    let stories = stories(store, plan, summary, (&looks, &lines, &told), &mut problems);
    Evidence {
        reached: found.reached(),
        stories,
        problems,
    }
}

/// One story for each anomaly that the report shows, in its order.
fn stories(
    store: &Store,
    plan: &Plan,
    summary: &Summary,
    (looks, lines, told): (&BTreeMap<String, Vec<Look>>, &[Line], &Told),
    problems: &mut Vec<String>,
) -> Vec<Story> {
    let shown = shown(summary);
    let subjects: Vec<Option<Subject>> = shown.iter().map(|anomaly| Subject::of(anomaly)).collect();
    let wanted = subjects.iter().flatten();
    let wanted: BTreeSet<String> = wanted.map(|subject| subject.key.to_string()).collect();
    let held = segments::read(store, plan, &wanted, problems);
    let known = |topic: &str| Known {
        nodes: plan.cluster.nodes,
        looks: looks.get(topic).map_or(&[], Vec::as_slice),
        lines,
        faults: &told.faults,
        held: &held,
        end_ms: told.end_ms,
    };
    let story = |(anomaly, subject): (&&Anomaly, &Option<Subject>)| {
        let moments = moments(anomaly);
        let subject = subject.as_ref();
        Story {
            about: subject.map_or_else(|| anomaly.key.to_string(), Subject::words),
            holders: subject.map_or_else(Vec::new, |subject| {
                holders(&known(subject.key.topic()), subject, &moments)
            }),
            log_lines: log_lines::around(lines, anomaly.key.as_str(), &moments),
        }
    };
    shown.iter().zip(&subjects).map(story).collect()
}

/// What the nodes did for each topic of the plan.
fn looks_by_topic(plan: &Plan, events: &[Event]) -> BTreeMap<String, Vec<Look>> {
    let own = (plan.cluster.topic.clone(), Look::all(events));
    let further = plan.cluster.further_topics.iter();
    let further = further.map(|topic| (topic.name.clone(), Look::all(&about(events, &topic.name))));
    std::iter::once(own).chain(further).collect()
}

/// When the operations of the witness began and ended, in milliseconds.
fn moments(anomaly: &Anomaly) -> Vec<u64> {
    let ops = anomaly.witness.iter();
    let ops = ops.flat_map(|step| [step.invocation.as_ref(), step.completion.as_ref()]);
    ops.flatten().map(|op| op.time / 1_000_000).collect()
}

fn begin_of_workload(events: &[Event]) -> u64 {
    let is_begin =
        |event: &&Event| matches!(event.what, What::Phase { phase } if phase == Phase::Workload);
    events
        .iter()
        .find(is_begin)
        .map_or(u64::MAX, |event| event.time)
}

/// The events up to the first line that does not read.
fn read_events(store: &Store, problems: &mut Vec<String>) -> Vec<Event> {
    let path = store.events();
    let mut events = Vec::new();
    let mut read = || -> Result<(), String> {
        let file = File::open(&path).map_err(|error| format!("cannot be opened: {error}"))?;
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|error| format!("line {}: {error}", index + 1))?;
            let event = serde_json::from_str(&line);
            events.push(event.map_err(|error| format!("line {}: {error}", index + 1))?);
        }
        Ok(())
    };
    if let Err(problem) = read() {
        problems.push(format!("{}: {problem}", path.display()));
    }
    events
}

fn read_history(store: &Store, begin: u64, found: &mut Found, problems: &mut Vec<String>) -> Told {
    let path = store.history();
    let mut told = Told::default();
    let mut read = || -> Result<(), String> {
        let file = File::open(&path).map_err(|error| format!("cannot be opened: {error}"))?;
        let mut reader = Reader::new(BufReader::new(file)).map_err(|error| error.to_string())?;
        let started = reader
            .header()
            .run
            .get("started")
            .and_then(|text| text.as_str());
        told.started = started.and_then(|text| text.parse().ok());
        while let Some(op) = reader.next_op().map_err(|error| error.to_string())? {
            told.end_ms = op.time / 1_000_000;
            if op.time >= begin {
                found.look_at(&op);
            }
            match op.action {
                Action::Nemesis(fault) => told.faults.push((op.time, *fault)),
                Action::Send(ref sends) => told.look_at_send(&op, sends),
                _ => {}
            }
        }
        Ok(())
    };
    if let Err(problem) = read() {
        problems.push(format!("{}: {problem}", path.display()));
    }
    told
}
