//! What each row promises, in words.
//!
//! In: a row. Out: its contract while nothing happens, and after the faults that weaken it most.
//! Invariant: the words are those of the contract that judges the runs, never our own.

use checkers::contract::{Contract, Line};
use checkers::history::{Acks, FaultClass, GroupSettings, Settings};

use crate::cli::Flush;
use crate::matrix::Row;

/// The promises that are shown, by an anomaly that would break them.
const SHOWN: [&str; 3] = ["lost-write", "group-lost", "group-duplicate"];

/// What may have happened before, and to how many of three brokers.
const SITUATIONS: [(&str, Option<FaultClass>, usize); 4] = [
    ("no fault", None, 0),
    ("a leader was killed", Some(FaultClass::ProcessCrash), 1),
    ("one broker lost power", Some(FaultClass::PowerLoss), 1),
    ("all brokers lost power", Some(FaultClass::PowerLoss), 3),
];

/// What one row promises.
pub(super) struct Promised {
    pub(super) number: usize,
    pub(super) row: String,
    pub(super) clauses: Vec<Clause>,
}

/// One promise.
pub(super) struct Clause {
    pub(super) promise: &'static str,
    pub(super) answers: Vec<Answer>,
}

/// Whether it holds.
pub(super) struct Answer {
    /// After what.
    pub(super) when: String,
    pub(super) word: &'static str,
    pub(super) because: String,
    pub(super) source: &'static str,
}

/// The promises of every row.
pub(super) fn promised(rows: &[Row]) -> Vec<Promised> {
    let rows = rows.iter().enumerate();
    rows.map(|(number, row)| Promised {
        number,
        row: row.to_string(),
        clauses: clauses(&settings(*row)),
    })
    .collect()
}

fn clauses(settings: &Settings) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = Vec::new();
    for (when, class, nodes) in SITUATIONS {
        let contract = Contract::new(settings.clone());
        let struck = (1..=nodes).map(|id| format!("n{id}"));
        let contract = match class {
            Some(class) => contract.after(class, struck),
            None => contract,
        };
        for line in contract.lines().into_iter().filter(is_shown) {
            let known = clauses
                .iter_mut()
                .find(|clause| clause.promise == line.promise);
            match known {
                Some(clause) => clause.add(when, line),
                None => clauses.push(Clause {
                    promise: line.promise,
                    answers: vec![Answer::of(when, line)],
                }),
            }
        }
    }
    clauses
}

/// Promises of records, and that of availability, which no anomaly breaks.
fn is_shown(line: &Line) -> bool {
    line.anomalies.is_empty() || line.anomalies.iter().any(|name| SHOWN.contains(name))
}

impl Clause {
    /// Adds an answer; one that says the same as the last is joined to it.
    fn add(&mut self, when: &str, line: Line) {
        match self.answers.last_mut() {
            Some(last) if last.because == line.answer.because => {
                last.when = format!("{}, {when}", last.when);
            }
            _ => self.answers.push(Answer::of(when, line)),
        }
    }
}

impl Answer {
    fn of(when: &str, line: Line) -> Self {
        Self {
            when: when.to_owned(),
            word: if line.answer.forbidden {
                "kept"
            } else {
                "not promised"
            },
            because: line.answer.because,
            source: line.source,
        }
    }
}

fn settings(row: Row) -> Settings {
    match row {
        Row::Durability {
            acks,
            replication_factor,
            min_insync_replicas,
            flush,
        } => Settings {
            acks,
            idempotence: acks == Acks::All,
            replication_factor,
            min_insync_replicas,
            flush_every_message: flush == Flush::Every,
            ..Settings::default()
        },
        Row::Mode(mode) => Settings {
            group: Some(GroupSettings {
                mode,
                ..GroupSettings::default()
            }),
            ..Settings::default()
        },
    }
}
