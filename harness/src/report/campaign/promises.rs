//! What each row promises, in words.
//!
//! In: a row. Out: the sentences of its contract.
//! Invariant: the words are those of the contract that judges the runs, never our own.

use checkers::anomaly::Kind;
use checkers::contract::Contract;
use checkers::history::{Acks, GroupSettings, Settings};

use crate::cli::Flush;
use crate::matrix::Row;

/// What one row promises.
pub(super) struct Promised {
    pub(super) number: usize,
    pub(super) row: String,
    pub(super) clauses: Vec<Clause>,
}

/// One promise.
pub(super) struct Clause {
    pub(super) about: &'static str,
    pub(super) says: &'static str,
    pub(super) because: String,
}

/// The promises of every row.
pub(super) fn promised(rows: &[Row]) -> Vec<Promised> {
    let rows = rows.iter().enumerate();
    rows.map(|(number, row)| Promised {
        number,
        row: row.to_string(),
        clauses: clauses(*row),
    })
    .collect()
}

fn clauses(row: Row) -> Vec<Clause> {
    let contract = Contract::new(settings(row));
    let asked: &[(&str, Kind)] = match row {
        Row::Mode(_) => &[
            ("skipped by the group", Kind::GroupLost),
            ("processed twice", Kind::GroupDuplicate),
        ],
        Row::Durability { .. } => &[
            ("acknowledged records lost", Kind::LostWrite),
            ("records twice in the log", Kind::Duplicate),
        ],
    };
    let mut clauses: Vec<Clause> = asked
        .iter()
        .map(|(about, kind)| clause(about, contract.promise(*kind)))
        .collect();
    clauses.push(clause(
        "silent after healing",
        contract.availability_after_heal(),
    ));
    if let Row::Durability {
        acks: Acks::All, ..
    } = row
    {
        let failures = contract.tolerated_failures();
        clauses.push(Clause {
            about: "brokers that may be down",
            says: "available",
            because: format!("up to {failures}: replication factor less min.insync.replicas"),
        });
    }
    clauses
}

fn clause(about: &'static str, promise: checkers::contract::Promise) -> Clause {
    Clause {
        about,
        says: if promise.forbidden { "never" } else { "may be" },
        because: promise.because,
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
