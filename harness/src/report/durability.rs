//! What the disks went through, what is promised because of it, and what was lost.
//!
//! In: the plan, the verdict and the events. Out: nothing for a run whose disks nobody touched;
//! else a sentence for the promise, one for what was found, and a row for each node.
//! Invariant: a loss that is allowed and was not seen is said to be so.

use std::collections::BTreeMap;

use checkers::anomaly::Kind;
use checkers::history::{FaultClass, NemesisEvent, Phase};
use checkers::verdict::{Check, Verdict};
use serde_json::Value;

use crate::report::words::{count, thousands};
use crate::run::events::{Event, What};

/// The section about disks.
pub(super) struct Section {
    pub(super) flush: &'static str,
    pub(super) promise: String,
    pub(super) because: String,
    pub(super) found: String,
    /// What each fault that took something left, a sentence each.
    pub(super) left: Vec<String>,
    pub(super) nodes: Vec<Node>,
}

/// One node.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) faults: String,
    pub(super) lost: String,
    pub(super) held: String,
}

/// Classes of faults that the section is about.
const OF_DISKS: [FaultClass; 7] = [
    FaultClass::Disk,
    FaultClass::DiskStall,
    FaultClass::DiskFull,
    FaultClass::LyingDisk,
    FaultClass::PowerLoss,
    FaultClass::Corruption,
    FaultClass::Wipe,
];

/// The section, if any disk was touched.
pub(super) fn section(verdict: &Verdict, events: &[Event]) -> Option<Section> {
    let nodes = nodes(events);
    let check = verdict
        .checks
        .iter()
        .find(|check| check.anomaly == Kind::LostWrite)?;
    if nodes.is_empty() {
        return None;
    }
    Some(Section {
        flush: if verdict.settings.flush_every_message {
            "flush.messages=1: a record is acknowledged once min.insync.replicas nodes have \
             fsynced it"
        } else {
            "flush.messages at Kafka's default: nothing is fsynced before it is acknowledged"
        },
        promise: if check.promise.forbidden {
            "Every acknowledged record had to be kept".to_owned()
        } else {
            "Acknowledged records might be lost".to_owned()
        },
        because: check.promise.because.clone(),
        found: found(check, verdict.shows_loss()),
        left: events.iter().filter_map(left).collect(),
        nodes,
    })
}

fn found(check: &Check, shows_loss: bool) -> String {
    match (check.promise.forbidden, check.count) {
        (_, 0) if shows_loss => {
            "No acknowledged record is missing, but logs went back: offsets were given again or \
             ended earlier than before, with proof above."
                .to_owned()
        }
        (true, 0) => "None was lost.".to_owned(),
        (true, lost) => format!("{} lost: the promise is broken.", was(lost)),
        (false, 0) => {
            "None was lost: allowed, not seen. As a control, this run has shown nothing.".to_owned()
        }
        (false, lost) => format!("{} lost: allowed, seen, with proof above.", was(lost)),
    }
}

fn was(records: u64) -> String {
    let verb = if records == 1 { "was" } else { "were" };
    format!("{} {verb}", count(records, "record"))
}

/// Of which partitions a fault that took something left no good copy, with proof by who had one.
fn left(event: &Event) -> Option<String> {
    let What::Fault { number, fault } = &event.what else {
        return None;
    };
    let copies = fault.detail.get("left")?.get("copies")?.as_object()?;
    if fault.phase != Phase::Prove {
        return None;
    }
    let is_bare = |good: &Value| good.as_array().is_none_or(Vec::is_empty);
    let bare: Vec<&str> = copies
        .iter()
        .filter_map(|(name, good)| is_bare(good).then_some(name.as_str()))
        .collect();
    let by = format!("fault {}, {}", number + 1, fault.fault);
    Some(match bare.as_slice() {
        [] => format!("{by}, left a good copy of every partition"),
        bare => format!(
            "{by}, left no good copy of {}: what was acknowledged there may be gone with it",
            bare.join(", ")
        ),
    })
}

/// What a node went through, as it is summed up.
#[derive(Default)]
struct Sum {
    /// How often each fault struck.
    faults: BTreeMap<String, u64>,
    unsynced: u64,
    lost: u64,
    lost_bytes: u64,
    hits: u64,
    held_ms_max: u64,
}

fn nodes(events: &[Event]) -> Vec<Node> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for event in events {
        let What::Fault { fault, .. } = &event.what else {
            continue;
        };
        if !OF_DISKS.contains(&fault.class) {
            continue;
        }
        match fault.phase {
            Phase::Inject => {
                for node in fault.nodes() {
                    let sum = sums.entry(node.to_owned()).or_default();
                    *sum.faults.entry(fault_name(fault)).or_default() += 1;
                }
            }
            Phase::Prove | Phase::Vacuous => add_disks(&mut sums, &fault.detail),
            _ => {}
        }
    }
    sums.into_iter().map(row).collect()
}

/// `power-loss`, `disk stall`, `damage wipe`.
fn fault_name(fault: &NemesisEvent) -> String {
    let spec = fault.detail.get("spec");
    let parts = [("rule", "action"), ("damage", "do")];
    let action = parts.iter().find_map(|(outer, inner)| {
        let value = spec?.get(outer)?.get(inner)?;
        value.get("do").unwrap_or(value).as_str()
    });
    match action {
        Some(action) => format!("{} {action}", fault.fault),
        None => fault.fault.clone(),
    }
}

/// Takes in what the faults of log directories tell of each disk.
fn add_disks(sums: &mut BTreeMap<String, Sum>, detail: &Value) {
    let disks = detail.get("disks").and_then(Value::as_array);
    for disk in disks.into_iter().flatten() {
        let number = |key: &str| disk.get(key).and_then(Value::as_u64).unwrap_or(0);
        let Some(sum) = sums.get_mut(&format!("n{}", number("node"))) else {
            continue;
        };
        sum.unsynced += number("unsynced");
        sum.lost += number("lost");
        sum.lost_bytes += number("lost_bytes");
        // A node's lines about the kernel's refusals are no operations that were counted.
        if disk.get("refusals").is_none() {
            sum.hits += number("hits");
        }
        sum.held_ms_max = sum.held_ms_max.max(number("held_ms_max"));
    }
}

fn row((name, sum): (String, Sum)) -> Node {
    let times = |(fault, times): (&String, &u64)| match times {
        1 => fault.clone(),
        times => format!("{fault} ×{times}"),
    };
    let faults: Vec<String> = sum.faults.iter().map(times).collect();
    let lost = match (sum.unsynced, sum.lost) {
        (0, _) => "nothing".to_owned(),
        (unsynced, lost) => format!(
            "{} of {} operations that were not fsynced, {}",
            thousands(lost),
            thousands(unsynced),
            count(sum.lost_bytes, "byte")
        ),
    };
    let held = match (sum.hits, sum.held_ms_max) {
        (0, _) => "none".to_owned(),
        (hits, 0) => count(hits, "operation"),
        (hits, longest) => format!("{}, the longest {} ms", count(hits, "operation"), longest),
    };
    Node {
        name,
        faults: faults.join(", "),
        lost,
        held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use checkers::contract::Contract;
    use checkers::history::History;
    use serde_json::json;

    fn fault(class: FaultClass, phase: Phase, detail: Value) -> Event {
        let fault = NemesisEvent {
            fault: "power-loss".to_owned(),
            class,
            phase,
            target: json!(["n1", "n2"]),
            detail,
        };
        let what = What::Fault { number: 0, fault };
        Event { time: 0, what }
    }

    fn verdict(history: &str) -> Verdict {
        let history = History::read(history.as_bytes()).expect("a history");
        checkers::check(&history, &Contract::of(&history))
    }

    const LOST: &str = include_str!("../../../checkers/testdata/lost-write/minimal.jsonl");
    const KEPT: &str = include_str!("../../../checkers/testdata/lost-write/legal.jsonl");

    /// The history with a power loss of two nodes at its end.
    fn without_power(history: &str) -> String {
        let lines = history.lines().count();
        let index = lines + 100;
        format!(
            "{history}{{\"index\":{index},\"time\":99999999,\"process\":99,\"type\":\"info\",\
             \"f\":\"nemesis\",\"value\":{{\"fault\":\"power-loss\",\"class\":\"power-loss\",\
             \"phase\":\"inject\",\"target\":[\"n1\",\"n2\"]}}}}\n"
        )
    }

    #[test]
    fn the_losses_of_a_node_are_summed_up() {
        let disk = |node: u64, lost: u64| {
            let bytes = 700;
            json!({ "node": node, "unsynced": 10, "lost": lost, "lost_bytes": bytes })
        };
        let proof = json!({ "disks": [disk(1, 4), disk(1, 3), disk(2, 0)] });
        let events = [
            fault(FaultClass::PowerLoss, Phase::Inject, Value::Null),
            fault(FaultClass::PowerLoss, Phase::Prove, proof),
            fault(FaultClass::PowerLoss, Phase::Inject, Value::Null),
        ];
        let section = section(&verdict(KEPT), &events).expect("disks were touched");
        let rows: Vec<_> = section
            .nodes
            .iter()
            .map(|node| (&*node.name, &*node.faults))
            .collect();
        assert_eq!(rows, [("n1", "power-loss ×2"), ("n2", "power-loss ×2")]);
        let first = &section.nodes[0].lost;
        assert!(first.starts_with("7 of 20 operations"), "{first}");
    }

    #[test]
    fn operations_that_a_rule_hit_are_counted_and_lines_about_refusals_are_not() {
        let rule = json!({ "node": 1, "hits": 3, "held_ms_max": 0 });
        let quota = json!({ "node": 1, "hits": 4, "refusals": 4 });
        let proof = json!({ "disks": [rule, quota] });
        let events = [
            fault(FaultClass::PowerLoss, Phase::Inject, Value::Null),
            fault(FaultClass::PowerLoss, Phase::Prove, proof),
        ];
        let section = section(&verdict(KEPT), &events).expect("disks were touched");
        assert_eq!(section.nodes[0].held, "3 operations");
    }

    #[test]
    fn each_loss_says_of_which_partitions_no_good_copy_was_left() {
        let left = json!({ "left": { "copies": { "t-0": [2, 3], "t-1": [], "u-0": [] } } });
        let all = json!({ "left": { "copies": { "t-0": [2] } } });
        let events = [
            fault(FaultClass::PowerLoss, Phase::Inject, Value::Null),
            fault(FaultClass::PowerLoss, Phase::Prove, left.clone()),
            fault(FaultClass::PowerLoss, Phase::Recovered, left),
            fault(FaultClass::Corruption, Phase::Prove, all),
        ];
        let section = section(&verdict(KEPT), &events).expect("disks were touched");
        let [first, second] = section.left.as_slice() else {
            panic!("{:?}", section.left)
        };
        assert!(first.contains("no good copy of t-1, u-0:"), "{first}");
        assert!(
            second.ends_with("a good copy of every partition"),
            "{second}"
        );
    }

    #[test]
    fn what_was_found_is_told_beside_what_is_promised() {
        let events = [fault(FaultClass::PowerLoss, Phase::Inject, Value::Null)];
        for (history, wanted) in [
            (KEPT.to_owned(), "None was lost."),
            (LOST.to_owned(), "1 record was lost: the promise is broken."),
            (without_power(LOST), "1 record was lost: allowed, seen"),
            (without_power(KEPT), "None was lost: allowed, not seen."),
        ] {
            let section = section(&verdict(&history), &events).expect("disks were touched");
            assert!(section.found.starts_with(wanted), "{}", section.found);
        }
    }

    #[test]
    fn a_run_whose_disks_nobody_touched_has_no_section() {
        let kill = fault(FaultClass::ProcessCrash, Phase::Inject, Value::Null);
        assert!(section(&verdict(KEPT), &[kill]).is_none());
    }
}
