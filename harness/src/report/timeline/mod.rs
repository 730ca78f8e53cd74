//! The picture of a run: phases, faults, nodes, disks, throughput and latency on one time axis.
//!
//! In: the plan, the events, the faults. Out: an SVG whose colours come from the page's style and
//! whose meaning never hangs on colour: paused is hatched, dead is crossed, faults carry numbers.
//! Drawn by hand rather than by a plotting library, whose colours are fixed in the picture: the
//! page follows the reader's light or dark.

mod curves;
mod disks;
mod lanes;
mod silences;
mod svg;

use std::collections::BTreeMap;

use checkers::availability::Availability;
use checkers::history::Key;

use crate::plan::Plan;
use crate::report::FaultRow;
use crate::run::events::{Event, What};
use svg::{Axis, Canvas};

/// Draws the picture; a sentence where there is nothing to draw.
pub(super) fn draw(plan: &Plan, events: &[Event], faults: &[FaultRow]) -> String {
    let Some(end) = events
        .iter()
        .map(|event| event.time)
        .max()
        .filter(|end| *end > 0)
    else {
        return "<p>No events were recorded.</p>".to_owned();
    };
    let mut canvas = Canvas::new(Axis::new(end));
    lanes::phases(&mut canvas, events);
    lanes::faults(&mut canvas, faults);
    let lanes_from = canvas.bottom();
    for node in nodes(events) {
        lanes::node(&mut canvas, node, plan.cluster.partitions, events);
    }
    disks::lanes(&mut canvas, plan, events);
    curves::throughput(&mut canvas, events);
    curves::latency(&mut canvas, events);
    lanes::bands(&mut canvas, faults, lanes_from);
    canvas.finish("phases, faults, nodes, throughput and latency over time")
}

/// Draws when each partition was silent for longer than a patience, beside phases, faults and
/// throughput; patience and the end of the time axis in nanoseconds.
pub(super) fn silences(
    plan: &Plan,
    events: &[Event],
    faults: &[FaultRow],
    partitions: &BTreeMap<Key, Availability>,
    (patience, end): (u64, u64),
) -> String {
    let mut canvas = Canvas::new(Axis::new(end.max(1)));
    lanes::phases(&mut canvas, events);
    lanes::faults(&mut canvas, faults);
    let lanes_from = canvas.bottom();
    for (key, found) in partitions {
        silences::partition(&mut canvas, key, found, patience);
    }
    for node in nodes(events) {
        lanes::node(&mut canvas, node, plan.cluster.partitions, events);
    }
    curves::throughput(&mut canvas, events);
    lanes::bands(&mut canvas, faults, lanes_from);
    canvas.finish("when each partition waited for an acknowledgement, beside the faults")
}

/// The nodes that were sampled.
fn nodes(events: &[Event]) -> Vec<i32> {
    let mut ids: Vec<i32> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Nodes { nodes } => Some(nodes.iter().map(|sample| sample.node)),
            _ => None,
        })
        .flatten()
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
