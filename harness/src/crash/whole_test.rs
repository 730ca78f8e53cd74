//! What is judged of a booted cluster, and what excuses it, on histories made by hand.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use checkers::history::{FINAL_READS, Header, Key, Poll, Record, RecordValue, Send, Settings};

use super::*;
use crate::crash::find::told_losses;
use crate::disk::rule::{DiskId, PowerLossEffect};

fn op(index: u64, process: u64, kind: OpType, action: Action) -> Op {
    Op {
        index,
        time: index,
        process,
        kind,
        action,
        error: None,
        node: None,
    }
}

fn power_loss(index: u64, phase: &str, lost: u64) -> Op {
    let disk = |node| json!({ "node": node, "directory": 0, "lost": lost });
    let mut event = json!({
        "fault": "power-loss", "class": "power-loss", "phase": phase,
        "target": ["n1", "n2", "n3"],
        "detail": {
            "spec": { "stagger_ms": 0 },
            "images": { "1": "crash-1", "2": "crash-1", "3": "crash-2" },
        },
    });
    if phase == "prove" {
        event["detail"]["disks"] = json!([disk(1), disk(2), disk(3)]);
    }
    nemesis(index, event)
}

fn nemesis(index: u64, event: Value) -> Op {
    let event = serde_json::from_value(event).unwrap();
    op(index, 0, OpType::Info, Action::Nemesis(Box::new(event)))
}

fn corruption() -> Op {
    let event = json!({
        "fault": "damage", "class": "corruption", "phase": "inject", "target": ["n1", "n2"],
    });
    nemesis(0, event)
}

fn send(value: u64, offset: Option<i64>) -> Action {
    let key = Key::new("t", 0);
    Action::Send(vec![Send { key, value, offset }])
}

/// Two sends are acknowledged before the loss, of which one disk took `lost` operations; one is on
/// its way meanwhile.
fn history(flush_every_message: bool, lost: u64) -> History {
    let settings = Settings {
        replication_factor: 3,
        min_insync_replicas: 2,
        flush_every_message,
        ..Settings::default()
    };
    let mut header = Header::new(settings, Value::Null);
    header.final_reads = true;
    let sent = |index, value| op(index, 1, OpType::Invoke, send(value, None));
    let acknowledged = |index, value| op(index, 1, OpType::Ok, send(value, Some(value as i64)));
    let ops = vec![
        sent(0, 0),
        acknowledged(1, 0),
        sent(2, 1),
        acknowledged(3, 1),
        power_loss(4, "inject", lost),
        sent(5, 2),
        power_loss(6, "prove", lost),
        acknowledged(7, 2),
    ];
    History::from_ops(header, ops).unwrap()
}

fn reads(values: std::ops::Range<u64>) -> Vec<Op> {
    let record = |value: u64| Record(value as i64, RecordValue::Unique(value));
    let end = values.end as i64;
    let poll = Poll {
        records: [(Key::new("t", 0), values.map(record).collect())].into(),
    };
    let list = |offset| {
        Action::ListOffsets(vec![checkers::history::ListOffset {
            bound: checkers::history::Bound::End,
            key: Key::new("t", 0),
            offset,
        }])
    };
    let assign = || Action::Assign(vec![Key::new("t", 0)]);
    let seek = || {
        let beginning = checkers::history::Position::Beginning;
        Action::Seek([(Key::new("t", 0), beginning)].into())
    };
    let admin = || Action::Admin(FINAL_READS.into());
    let steps = [
        (0, OpType::Invoke, admin()),
        (1, OpType::Invoke, list(None)),
        (1, OpType::Ok, list(Some(end))),
        (1, OpType::Invoke, assign()),
        (1, OpType::Ok, assign()),
        (1, OpType::Invoke, seek()),
        (1, OpType::Ok, seek()),
        (1, OpType::Invoke, Action::Poll(Poll::default())),
        (1, OpType::Ok, Action::Poll(poll)),
        (0, OpType::Ok, admin()),
    ];
    let steps = steps.into_iter().zip(0..);
    steps
        .map(|((process, kind, action), index)| op(index, process, kind, action))
        .collect()
}

/// What the disks of all nodes lack, the same number of operations on each.
fn missing(lost: u64) -> Missing {
    let effect = PowerLossEffect {
        unsynced: 4,
        lost,
        missed: lost,
        ..PowerLossEffect::default()
    };
    let disk = |node| DiskId { node, directory: 0 };
    (1..=3).map(|node| (disk(node), effect.clone())).collect()
}

fn spliced_of(history: &History, lost: u64, reads: Vec<Op>) -> History {
    let losses = crate::crash::find::whole_losses(history, 3);
    assert_eq!(losses.len(), 1);
    spliced(history, &losses[0], &missing(lost), reads).unwrap()
}

/// The verdict on a state that lost `lost` operations of each disk where the run lost others.
fn found(flush_every_message: bool, lost: u64, values: std::ops::Range<u64>) -> Verdict {
    let history = history(flush_every_message, 4 - lost);
    judge(&spliced_of(&history, lost, reads(values)))
}

fn is_forbidden(findings: &[Finding], wanted: &str) -> bool {
    findings.iter().any(|finding| match finding {
        Finding::Forbidden { anomaly, .. } => anomaly == wanted,
        _ => false,
    })
}

#[test]
fn a_send_that_was_acknowledged_before_the_loss_must_be_read() {
    let (findings, _) = sort(&found(true, 4, 0..2));
    assert_eq!(findings, vec![]);
    let (findings, _) = sort(&found(true, 4, 0..1));
    assert!(is_forbidden(&findings, "lost-write"), "{findings:?}");
}

#[test]
fn without_flush_the_same_loss_is_allowed_and_told() {
    let (findings, allowed) = sort(&found(false, 4, 0..1));
    assert_eq!(findings, vec![]);
    assert_eq!(allowed.get("lost-write"), Some(&1), "{allowed:?}");
}

#[test]
fn what_the_run_lost_does_not_excuse_a_state_that_lost_nothing() {
    let (findings, allowed) = sort(&found(false, 0, 0..1));
    assert!(
        is_forbidden(&findings, "lost-write"),
        "{findings:?} {allowed:?}"
    );
}

#[test]
fn a_send_on_its_way_while_the_nodes_die_may_be_read() {
    let (findings, allowed) = sort(&found(true, 4, 0..3));
    assert_eq!((findings, allowed), (vec![], BTreeMap::new()));
}

#[test]
fn a_silent_partition_is_excused_only_by_damage_to_enough_copies() {
    let reason = "partition 0 has no leader";
    let lack = |replicas: [&str; 3]| Lack {
        reason: reason.to_owned(),
        silent: vec![Silent {
            topic: "t".to_owned(),
            partition: 0,
            replicas: replicas.map(str::to_owned).to_vec(),
        }],
    };
    let not_recovered = vec![Finding::NotRecovered(reason.to_owned())];
    let lost = history(false, 3);
    let spliced = spliced_of(&lost, 3, vec![]);
    let (findings, _) = silence(&spliced, lack(["n1", "n2", "n3"]));
    assert_eq!(findings, not_recovered);

    let mut ops: Vec<Op> = vec![corruption()];
    ops.extend(lost.ops.iter().cloned());
    for (op, index) in ops.iter_mut().zip(0..) {
        op.index = index;
    }
    let damaged = History::from_ops(lost.header.clone(), ops).unwrap();
    let spliced = spliced_of(&damaged, 3, vec![]);
    let (findings, allowed) = silence(&spliced, lack(["n1", "n2", "n3"]));
    assert_eq!(findings, vec![]);
    assert_eq!(allowed.get("unavailable"), Some(&1));
    let (findings, _) = silence(&spliced, lack(["n4", "n5", "n6"]));
    assert_eq!(findings, not_recovered, "none of its copies is damaged");
}

#[test]
fn a_loss_that_struck_no_node_left_nothing_to_save() {
    let told = |phase, lost| {
        let ops = vec![power_loss(0, "inject", lost), power_loss(1, phase, lost)];
        told_losses(&History::from_ops(Header::new(Settings::default(), Value::Null), ops).unwrap())
    };
    assert_eq!(told("prove", 1), [(1, 1), (2, 1), (3, 1)].into());
    assert_eq!(told("vacuous", 0), [].into(), "it was refused");
}
