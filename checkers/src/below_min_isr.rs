//! `acked-below-min-isr`: acks=all was answered while too few replicas lived to have the record.
//!
//! In: the history, and one partition. A fault that kills replicas of a named partition tells when
//! they were gone (`act`) and when that ended (`end`); a send that began and was acknowledged in
//! between can be on none of them.
//! Invariant: accuses only where nothing else touched those nodes meanwhile, and never where
//! replicas or min.insync.replicas moved in the run.

use std::ops::Range;

use crate::history::{Action, FaultClass, History, Key, NemesisEvent, OpType, Phase, Settings};
use crate::log::{Finding, Findings, Seen};

/// Replicas of a partition that were down.
struct Outage {
    /// From the event that says that they are gone to the one that says that this ends.
    positions: Range<usize>,
    /// How many.
    down: u32,
}

/// Reports every send to `key` that was acknowledged while fewer than min.insync.replicas lived.
pub(crate) fn check(history: &History, key: &Key, settings: &Settings, findings: &mut Findings) {
    let copies = settings.replication_factor;
    let needed = settings.min_insync_replicas.clamp(1, copies.max(1));
    for Outage { positions, down } in outages(history, key) {
        let alive = copies.saturating_sub(down);
        if alive >= needed {
            continue;
        }
        for position in positions.clone() {
            let Some(offset) = acknowledged(history, key, position, positions.start) else {
                continue;
            };
            findings.report(position as u32, || Finding {
                offsets: (offset, offset),
                witness: vec![
                    Seen::new(positions.start as u32, format!("{down} replicas are down")),
                    Seen::new(
                        position as u32,
                        format!("begins later, and is acknowledged at offset {offset}"),
                    ),
                ],
                explanation: format!(
                    "a send to {key} was acknowledged at offset {offset} while {down} of its \
                     {copies} replicas were down: {alive} cannot be {needed} in sync"
                ),
            });
        }
    }
}

/// The offset that the operation at `position` acknowledges, if it is a send to `key` that began
/// after `from`.
fn acknowledged(history: &History, key: &Key, position: usize, from: usize) -> Option<i64> {
    let op = history.op(position as u32)?;
    let Action::Send(sends) = &op.action else {
        return None;
    };
    let began = history.partner(position as u32)? as usize;
    let is_inside = op.kind == OpType::Ok && began > from;
    let mut sends = sends.iter().filter(|send| send.key == *key);
    sends.find_map(|send| send.offset).filter(|_| is_inside)
}

fn outages(history: &History, key: &Key) -> Vec<Outage> {
    let ops = history.ops.iter().enumerate();
    let events = ops.filter_map(|(position, op)| match &op.action {
        Action::Nemesis(event) => Some((position, &**event)),
        _ => None,
    });
    let events: Vec<(usize, &NemesisEvent)> = events.collect();
    let moved = |(_, event): &(usize, &NemesisEvent)| event.class == FaultClass::Membership;
    if events.iter().any(moved) {
        return Vec::new();
    }
    let is_of_key = |event: &NemesisEvent| {
        let partition = event
            .detail
            .get("replicas-of")
            .and_then(|name| name.as_str());
        event.phase == Phase::Act && partition == Some(key.as_str())
    };
    let begins = events
        .iter()
        .enumerate()
        .filter(|(_, (_, event))| is_of_key(event));
    let outage = |(number, (position, event)): (usize, &(usize, &NemesisEvent))| {
        let later = events.get(number + 1..)?;
        // Whoever touches one of these nodes first decides: only the end of the same fault counts.
        let touches =
            |other: &NemesisEvent| event.nodes().any(|node| other.nodes().any(|n| n == node));
        let (end, other) = later.iter().find(|(_, other)| touches(other))?;
        let is_end = other.phase == Phase::End
            && (&other.fault, &other.target) == (&event.fault, &event.target);
        is_end.then(|| Outage {
            positions: *position..*end,
            down: event.nodes().count() as u32,
        })
    };
    begins.filter_map(outage).collect()
}
