//! `acked-below-min-isr`: acks=all was answered while too few replicas lived to have the record.
//!
//! In: the events of the nemesis, and the rows of one partition. A fault that kills nodes tells
//! when they were gone (`act`) and when that ended (`end`); a send that began and was acknowledged
//! in between can be on none of them. Which of them have a copy the header says; in older histories
//! such a fault named one partition whose replicas it killed.
//! Invariant: accuses only where nothing else touched those nodes meanwhile, and never where
//! replicas or min.insync.replicas moved in the run.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::history::columns::{Columns, Outcome, Partition, SendRow};
use crate::history::{Action, FaultClass, History, Key, NemesisEvent, Phase, Settings};
use crate::log::{Finding, Findings, Seen};

/// Faults that start no node again when they end.
const NEVER_START: [FaultClass; 4] = [
    FaultClass::Pause,
    FaultClass::Network,
    FaultClass::Client,
    FaultClass::Membership,
];

/// What the nemesis did, and its position in the history.
type Event<'a> = (u32, &'a NemesisEvent);

/// A replica of a partition that was down.
struct Outage<'a> {
    node: &'a str,
    /// From the event that says that it is gone to the one that says that this ends.
    positions: Range<u32>,
}

/// What the nemesis did, in order, each with its position.
pub(crate) fn events<'a>(history: &'a History, columns: &Columns) -> Vec<Event<'a>> {
    let events = columns.nemesis.iter().filter_map(|position| {
        let op = history.op(*position)?;
        match &op.action {
            Action::Nemesis(event) => Some((*position, &**event)),
            _ => None,
        }
    });
    events.collect()
}

/// Reports every send to a partition, which is on `replicas` if that is known, that was
/// acknowledged while fewer than min.insync.replicas lived.
pub(crate) fn check(
    rows: &Partition,
    events: &[Event<'_>],
    (replicas, settings): (Option<&Vec<String>>, &Settings),
    findings: &mut Findings,
) {
    let copies = settings.replication_factor;
    let needed = settings.min_insync_replicas.clamp(1, copies.max(1));
    let outages = outages(&rows.key, replicas, events);
    if outages.is_empty() {
        return;
    }
    let acked = rows
        .sends
        .iter()
        .filter(|send| send.outcome == Outcome::Acked);
    let mut last = None;
    for send in acked {
        // Of several records of one send the first speaks for all.
        if last.replace(send.completed) == Some(send.completed) {
            continue;
        }
        // What began after they were gone and ended before they were back.
        let is_during = |outage: &&Outage<'_>| {
            outage.positions.start < send.invoked && send.completed < outage.positions.end
        };
        let down = outages.iter().filter(is_during);
        let down: BTreeMap<&str, u32> = down
            .map(|outage| (outage.node, outage.positions.start))
            .collect();
        let alive = copies.saturating_sub(down.len() as u32);
        if alive < needed {
            let alive = format!("{alive} cannot be {needed} in sync");
            findings.report(send.completed, || {
                finding(&rows.key, settings, (&down, alive), send)
            });
        }
    }
}

fn finding(
    key: &Key,
    settings: &Settings,
    (down, alive): (&BTreeMap<&str, u32>, String),
    send: &SendRow,
) -> Finding {
    let offset = send.offset;
    let mut gone: BTreeMap<u32, usize> = BTreeMap::new();
    for event in down.values() {
        *gone.entry(*event).or_default() += 1;
    }
    let witness = gone.into_iter().map(|(event, nodes)| {
        let shows = match nodes {
            1 => "a replica is down".to_owned(),
            nodes => format!("{nodes} replicas are down"),
        };
        Seen::new(event, shows)
    });
    let acknowledged = Seen::new(
        send.completed,
        format!("begins later, and is acknowledged at offset {offset}"),
    );
    Finding {
        offsets: (offset, offset),
        witness: witness.chain([acknowledged]).collect(),
        explanation: format!(
            "a send to {key} was acknowledged at offset {offset} while {} of its {} replicas were \
             down: {alive}",
            down.len(),
            settings.replication_factor
        ),
    }
}

/// When which replicas of the partition are proven to have been down.
fn outages<'a>(key: &Key, replicas: Option<&Vec<String>>, events: &[Event<'a>]) -> Vec<Outage<'a>> {
    let moved = |(_, event): &Event<'_>| event.class == FaultClass::Membership;
    if events.iter().any(moved) {
        return Vec::new();
    }
    let is_replica = |event: &NemesisEvent, node: &str| match replicas {
        Some(nodes) => nodes.iter().any(|replica| replica == node),
        None => event.detail.get("replicas-of").and_then(|of| of.as_str()) == Some(key.as_str()),
    };
    let mut outages = Vec::new();
    for (number, (position, event)) in events.iter().enumerate() {
        if event.phase != Phase::Act {
            continue;
        }
        let (earlier, later) = events.split_at(number);
        for node in event.nodes().filter(|node| is_replica(event, node)) {
            if let Some(end) = until(node, earlier, later) {
                outages.push(Outage {
                    node,
                    positions: *position..end,
                });
            }
        }
    }
    outages
}

/// Where it ends that `node` is down, which the first of the events from now on tells: by the end
/// of the same fault, if that is the first to touch the node and is followed by the proof that the
/// node was gone, and no other fault that may start it again has begun before and is not over.
fn until(node: &str, earlier: &[Event<'_>], events: &[Event<'_>]) -> Option<u32> {
    let touches = |event: &NemesisEvent| event.nodes().any(|touched| touched == node);
    let mut acting = 0_usize;
    for (_, event) in earlier {
        if touches(event) && !NEVER_START.contains(&event.class) {
            match event.phase {
                Phase::Inject => acting += 1,
                Phase::Heal => acting = acting.saturating_sub(1),
                _ => {}
            }
        }
    }
    let ((_, begin), later) = events.split_first()?;
    let mut touching = later.iter().filter(|(_, other)| touches(other));
    let mut next = |phase| {
        let (position, other) = touching.next()?;
        let is_same = (&other.fault, &other.target) == (&begin.fault, &begin.target);
        (is_same && other.phase == phase).then_some(*position)
    };
    let end = next(Phase::End)?;
    next(Phase::Prove)?;
    (acting == 1).then_some(end)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use crate::anomaly::Kind;
    use crate::contract::Contract;
    use crate::history::History;

    /// A fault on a node: its name, class, phase and node.
    type Event = (&'static str, &'static str, &'static str, &'static str);

    /// How many sends are found that were acknowledged below min.insync.replicas, of one to t-0
    /// and one to t-1 that began and ended between `before` and `after`, of two records each.
    fn found(before: &[Event], after: &[Event]) -> u64 {
        let mut text = concat!(
            r#"{"verdict-history":1,"settings":{"replication.factor":2},"#,
            r#""replicas":{"t-0":["n1","n2"],"t-1":["n3","n4"]}}"#
        )
        .to_owned();
        let mut index = 0;
        let mut line = |process: u64, kind: &str, f: &str, value: &str| {
            write!(
                text,
                "\n{{\"index\":{index},\"time\":0,\"process\":{process},\"type\":\"{kind}\",\
                 \"f\":\"{f}\",\"value\":{value}}}"
            )
            .expect("a string");
            index += 1;
        };
        let event = |(fault, class, phase, node): &Event| {
            format!(
                r#"{{"fault":"{fault}","class":"{class}","phase":"{phase}","target":["{node}"]}}"#
            )
        };
        for told in before {
            line(9, "info", "nemesis", &event(told));
        }
        for (process, partition) in [(1, 0), (2, 1)] {
            let key = format!("t-{partition}");
            let (one, two) = (process, process + 10);
            let asked = format!(r#"[["send","{key}",{one}],["send","{key}",{two}]]"#);
            line(process, "invoke", "send", &asked);
            let acked = format!(r#"[["send","{key}",[0,{one}]],["send","{key}",[1,{two}]]]"#);
            line(process, "ok", "send", &acked);
        }
        for told in after {
            line(9, "info", "nemesis", &event(told));
        }
        let history = History::read(text.as_bytes()).expect("reads");
        let verdict = crate::check(&history, &Contract::of(&history));
        let mut checks = verdict.checks.iter();
        let check = checks.find(|check| check.anomaly == Kind::AckedBelowMinIsr);
        check.expect("looked for").count
    }

    fn kill(phase: &'static str, node: &'static str) -> Event {
        ("kill", "process-crash", phase, node)
    }

    #[test]
    fn every_partition_with_a_replica_that_is_down_is_examined() {
        for node in ["n1", "n2", "n3", "n4"] {
            let begin = [kill("inject", node), kill("act", node)];
            let end = [kill("end", node), kill("prove", node)];
            assert_eq!(found(&begin, &end), 1, "{node}");
            assert_eq!(found(&begin, &[]), 0, "{node} may have been started");
            let unproven = [kill("end", node), kill("vacuous", node)];
            assert_eq!(found(&begin, &unproven), 0, "{node} was not gone");
        }
        let elsewhere = [kill("inject", "n5"), kill("act", "n5")];
        let end = [kill("end", "n5"), kill("prove", "n5")];
        assert_eq!(found(&elsewhere, &end), 0);
        let both = ["n2", "n3"].map(|node| [kill("inject", node), kill("act", node)]);
        let over = ["n2", "n3"].map(|node| [kill("end", node), kill("prove", node)]);
        assert_eq!(found(&both.concat(), &over.concat()), 2);
    }

    #[test]
    fn a_node_that_another_fault_may_start_again_proves_nothing() {
        let power = |phase| ("power-loss", "power-loss", phase, "n1");
        let begin = [kill("inject", "n1"), kill("act", "n1")];
        let end = [kill("end", "n1"), kill("prove", "n1")];
        let amid = [&[power("inject")][..], &begin].concat();
        assert_eq!(found(&amid, &end), 0, "its power may come back at any time");
        let over = [&[power("inject"), power("heal")][..], &begin].concat();
        assert_eq!(found(&over, &end), 1);
        let cut = [&[("partition", "network", "inject", "n1")][..], &begin].concat();
        assert_eq!(found(&cut, &end), 1, "what cuts it off starts nothing");
        assert_eq!(found(&begin, &[&[power("inject")][..], &end].concat()), 0);
    }
}
