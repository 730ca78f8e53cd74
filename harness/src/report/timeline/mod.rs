//! The picture of a run: phases, faults, nodes, disks, clients, members, throughput and latency on
//! one time axis; and for each proof a small one around it.
//!
//! In: the plan, the events, the faults, the digest of the history. Out: an SVG whose colours come
//! from the page's style and whose meaning never hangs on colour: paused is hatched, dead is
//! crossed, each phase of a fault and each outcome of an operation has a shape of its own.
//! Drawn by hand rather than by a plotting library, whose colours are fixed in the picture: the
//! page follows the reader's light or dark.

mod buckets;
mod clients;
mod disks;
mod faults;
mod latency;
mod members;
mod nodes;
mod phases;
mod silences;
mod svg;
mod throughput;
pub(super) mod witness;

use std::collections::BTreeMap;

use checkers::availability::Availability;
use checkers::history::Key;

use crate::plan::Plan;
use crate::report::words::count;
use crate::report::{FaultRow, Input};
use crate::run::events::{Event, What};
use svg::{Axis, Canvas};

pub(super) use svg::PATTERNS;

/// A picture, and what it leaves out in a sentence.
pub(super) struct Picture {
    pub(super) svg: String,
    pub(super) left_out: String,
}

/// Draws the picture; a sentence where there is nothing to draw.
pub(super) fn draw(input: &Input<'_>, faults: &[FaultRow]) -> Picture {
    let (plan, events) = (input.plan, input.events);
    let Some(end) = end(events) else {
        return Picture {
            svg: "<p>No events were recorded.</p>".to_owned(),
            left_out: String::new(),
        };
    };
    let mut canvas = Canvas::new(Axis::new(end));
    phases::lane(&mut canvas, events);
    faults::lanes(&mut canvas, faults);
    let lanes_from = canvas.bottom();
    let mut is_thinned = false;
    for node in nodes(events) {
        is_thinned |= nodes::lane(&mut canvas, node, plan.cluster.partitions, events);
    }
    disks::lanes(&mut canvas, plan, events);
    let mut room = clients::Room::of(input.digest);
    let is_member = |name: &str| {
        input
            .digest
            .members
            .iter()
            .any(|member| member.name == name)
    };
    for client in input
        .digest
        .clients
        .iter()
        .filter(|client| !is_member(&client.name))
    {
        clients::lanes(&mut canvas, client, &mut room);
    }
    canvas.apart();
    members::lanes(&mut canvas, input.digest, &mut room);
    let buckets = buckets::buckets(events);
    throughput::lane(&mut canvas, &buckets);
    latency::lane(&mut canvas, &buckets);
    faults::bands(&mut canvas, faults, lanes_from);
    Picture {
        svg: canvas.finish("What happened when", &description(input, faults)),
        left_out: left_out(plan, room.left_out(), is_thinned, faults.len()),
    }
}

/// What the picture leaves out, in sentences; nothing if it does not.
fn left_out(plan: &Plan, clients: usize, is_thinned: bool, faults: usize) -> String {
    let mut said = Vec::new();
    if plan.has_several_topics() {
        said.push(format!(
            "The lanes of the nodes are about {}, the first of {} topics.",
            plan.cluster.topic,
            plan.topics().len()
        ));
    }
    if clients > 0 {
        said.push(format!(
            "{} of clients not drawn.",
            count(clients as u64, "more lane")
        ));
    }
    if is_thinned {
        said.push("The nodes changed too often to draw every change.".to_owned());
    }
    if faults > faults::FAULTS_MAX {
        let more = (faults - faults::FAULTS_MAX) as u64;
        said.push(format!("{} not drawn.", count(more, "more fault")));
    }
    said.join(" ")
}

/// What the picture shows, for those who do not see it.
fn description(input: &Input<'_>, faults: &[FaultRow]) -> String {
    format!(
        "One time axis of {:.1} seconds. From top to bottom: the phases of the run; {} faults; the \
         nodes {}; {} clients; {} members of a group; sends a second; latency. The tables of \
         faults and of checkers say the same in words.",
        end(input.events).unwrap_or(0) as f64 / 1e9,
        faults.len(),
        nodes(input.events)
            .iter()
            .map(|id| format!("n{id}"))
            .collect::<Vec<_>>()
            .join(", "),
        input.digest.clients.len(),
        input.digest.members.len(),
    )
}

/// The last moment of the events, if it is not the first.
fn end(events: &[Event]) -> Option<u64> {
    let times = events.iter().map(|event| event.time);
    times.max().filter(|end| *end > 0)
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
    phases::lane(&mut canvas, events);
    faults::lanes(&mut canvas, faults);
    let lanes_from = canvas.bottom();
    for (key, found) in partitions {
        silences::partition(&mut canvas, key, found, patience);
    }
    for node in nodes(events) {
        nodes::lane(&mut canvas, node, plan.cluster.partitions, events);
    }
    throughput::lane(&mut canvas, &buckets::buckets(events));
    faults::bands(&mut canvas, faults, lanes_from);
    canvas.finish(
        "When each partition waited for an acknowledgement",
        "Silences of each partition beside the faults, the nodes and the sends a second.",
    )
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
