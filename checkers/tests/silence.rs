//! No false alarm: every history of a perfect log is valid, and every lost or doubled record in it
//! is found.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod damage;
mod simulate;
#[path = "simulate/splitmix.rs"]
mod splitmix;

use checkers::anomaly::Kind;
use checkers::contract::Contract;
use checkers::history::{Acks, Action, History, OpType, Record};
use checkers::verdict::{Validity, Verdict};
use damage::{damages, is_borne};
use proptest::prelude::*;
use simulate::Plan;

fn plans() -> impl Strategy<Value = Plan> {
    let shape = (1_usize..12, 1_usize..4, 1_usize..400);
    (any::<u64>(), shape, 0_u64..40, 0_u64..20).prop_map(
        |(seed, (clients, partitions, operations), doubtful, failed)| Plan {
            seed,
            clients,
            partitions,
            operations,
            doubtful,
            failed,
        },
    )
}

fn judge(history: &History) -> Verdict {
    checkers::check(history, &Contract::of(history))
}

fn count(verdict: &Verdict, kind: Kind) -> u64 {
    verdict
        .checks
        .iter()
        .find(|check| check.anomaly == kind)
        .map_or(0, |check| check.count)
}

/// Every record of every poll, through one function that may drop it.
fn map_records(history: &History, map: impl Fn(Record) -> Option<Record>) -> History {
    let mut ops = history.ops.clone();
    for op in &mut ops {
        if let Action::Poll(poll) = &mut op.action {
            for records in poll.records.values_mut() {
                *records = records.drain(..).filter_map(&map).collect();
            }
            poll.records.retain(|_, records| !records.is_empty());
        }
    }
    History::from_ops(history.header.clone(), ops).expect("still well formed")
}

/// An acknowledged record with another one behind it.
fn acknowledged(history: &History) -> Option<(i64, u64)> {
    let acked = history.ops.iter().filter(|op| op.kind == OpType::Ok);
    let sends = acked.filter_map(|op| match &op.action {
        Action::Send(sends) => sends
            .first()
            .map(|send| (send.offset.unwrap_or(-1), send.value)),
        _ => None,
    });
    let sends: Vec<(i64, u64)> = sends.collect();
    let last = sends.iter().map(|(offset, _)| *offset).max()?;
    sends.into_iter().find(|(offset, _)| *offset < last)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_perfect_log_is_valid(plan in plans()) {
        let mut history = simulate::history(plan);
        for acks in [Acks::All, Acks::One] {
            history.header.settings.acks = acks;
            let verdict = judge(&history);
            for check in &verdict.checks {
                prop_assert_eq!(check.count, 0, "{:?} {:?} {:#?}", acks, plan, check.examples);
            }
            prop_assert!(verdict.validity == Validity::Valid || verdict.nothing_ran());
        }
    }

    #[test]
    fn a_vanished_record_is_a_lost_write(plan in plans()) {
        let history = simulate::history(Plan { partitions: 1, ..plan });
        let Some((_, value)) = acknowledged(&history) else { return Ok(()) };
        let lost = map_records(&history, |record| {
            let Record(_, found) = &record;
            (found.to_string() != value.to_string()).then_some(record)
        });
        let verdict = judge(&lost);
        prop_assert_eq!(count(&verdict, Kind::LostWrite), 1);
        prop_assert_eq!(verdict.exit_code(), 10);
    }

    #[test]
    fn a_changed_record_contradicts_its_acknowledgement(plan in plans()) {
        let history = simulate::history(Plan { partitions: 1, ..plan });
        let Some((offset, _)) = acknowledged(&history) else { return Ok(()) };
        let changed = map_records(&history, |Record(at, value)| {
            let other = checkers::history::RecordValue::Foreign("bit flip".into());
            Some(Record(at, if at == offset { other } else { value }))
        });
        let verdict = judge(&changed);
        for kind in [Kind::InconsistentOffsets, Kind::Phantom, Kind::LostWrite] {
            prop_assert_eq!(count(&verdict, kind), 1, "{}", kind.name());
        }
    }

    #[test]
    fn damaged_histories_are_refused_or_judged_without_panic(
        plan in plans(),
        damages in damages(),
    ) {
        is_borne(&simulate::history(Plan { operations: plan.operations % 40, ..plan }), damages)?;
    }
}
