//! The lanes of states: phases of the run, faults, and the nodes.

use crate::report::FaultRow;
use crate::report::timeline::svg::Canvas;
use crate::run::events::{Event, NodeSample, ProcessState, What};

const PHASE_HEIGHT: f64 = 20.0;
const FAULT_HEIGHT: f64 = 18.0;
const NODE_HEIGHT: f64 = 46.0;
/// Roughly the width of a letter, for texts that have to fit.
const LETTER_WIDTH: f64 = 6.2;

/// One strip with the phases of the run.
pub(super) fn phases(canvas: &mut Canvas, events: &[Event]) {
    let top = canvas.lane(PHASE_HEIGHT);
    canvas.label(top + 14.0, "phase");
    let mut begins: Vec<(u64, &'static str)> = events
        .iter()
        .filter_map(|event| match event.what {
            What::Phase { phase } => Some((event.time, phase.word())),
            _ => None,
        })
        .collect();
    begins.push((canvas.axis.end(), ""));
    for pair in begins.windows(2) {
        let &[(from, word), (until, _)] = pair else {
            continue;
        };
        canvas.bar("lane", (from, until), top, PHASE_HEIGHT);
        let room = canvas.axis.x(until) - canvas.axis.x(from);
        if word.len() as f64 * LETTER_WIDTH < room {
            canvas.text("", canvas.axis.x(from) + 4.0, top + 14.0, word);
        }
    }
}

/// The faults, in as many rows as overlap asks for.
pub(super) fn faults(canvas: &mut Canvas, faults: &[FaultRow]) {
    let mut injected: Vec<(&FaultRow, (u64, u64))> = faults
        .iter()
        .filter_map(|fault| {
            let from = fault.from?;
            Some((fault, (from, fault.until.unwrap_or(canvas.axis.end()))))
        })
        .collect();
    injected.sort_by_key(|(_, span)| span.0);
    let mut rows: Vec<(f64, f64)> = Vec::new();
    for (fault, span) in injected {
        let label = format!("{} {} {}", fault.number, fault.name, fault.target);
        let from = canvas.axis.x(span.0);
        let end = canvas
            .axis
            .x(span.1)
            .max(from + (label.len() as f64 + 1.0) * LETTER_WIDTH);
        let row = rows.iter_mut().find(|(_, taken)| *taken < from);
        let top = if let Some((top, taken)) = row {
            *taken = end;
            *top
        } else {
            let top = canvas.lane(FAULT_HEIGHT);
            if rows.is_empty() {
                canvas.label(top + 13.0, "faults");
            }
            rows.push((top, end));
            top
        };
        let class = if fault.is_effective {
            "fault"
        } else {
            "fault vacuous"
        };
        canvas.bar(class, span, top, FAULT_HEIGHT);
        canvas.text("", from + 4.0, top + 13.0, &label);
    }
}

/// A pale band through all lanes below `top` for each fault that had an effect.
pub(super) fn bands(canvas: &mut Canvas, faults: &[FaultRow], top: f64) {
    let height = canvas.bottom() - top - 8.0;
    for fault in faults.iter().filter(|fault| fault.is_effective) {
        if let Some(from) = fault.from {
            let span = (from, fault.until.unwrap_or(canvas.axis.end()));
            canvas.bar("band", span, top, height);
        }
    }
}

/// One node: what its process does, how many partitions it leads (area) and in how many it is in
/// sync (line), and when it is the controller (bar at the bottom).
pub(super) fn node(canvas: &mut Canvas, id: i32, partitions: i32, events: &[Event]) {
    let top = canvas.lane(NODE_HEIGHT);
    canvas.label(top + 14.0, &format!("n{id}"));
    canvas.label(top + 28.0, "▇ leads, ─ in sync");
    canvas.label(top + 42.0, "▁ controller");
    canvas.bar("lane", (0, canvas.axis.end()), top, NODE_HEIGHT);
    let samples = samples(id, events);
    let scale = (NODE_HEIGHT - 8.0) / f64::from(partitions.max(1));
    let floor = top + NODE_HEIGHT - 4.0;
    let mut in_sync = Vec::new();
    for (index, (from, sample)) in samples.iter().enumerate() {
        let until = samples
            .get(index + 1)
            .map_or(canvas.axis.end(), |(time, _)| *time);
        let span = (*from, until);
        let leads = sample.leads.len() as f64 * scale;
        if leads > 0.0 {
            canvas.bar("leads", span, floor - leads, leads);
        }
        if sample.is_controller {
            canvas.bar("controller", span, floor + 1.0, 3.0);
        }
        let y = floor - sample.in_sync.len() as f64 * scale;
        in_sync.extend([(canvas.axis.x(span.0), y), (canvas.axis.x(span.1), y)]);
    }
    canvas.line("isr", &in_sync);
    for (class, span) in outages(&samples, canvas.axis.end()) {
        canvas.bar(class, span, top, NODE_HEIGHT);
    }
}

fn samples(id: i32, events: &[Event]) -> Vec<(u64, &NodeSample)> {
    let of_node = |event: &'_ Event| match &event.what {
        What::Nodes { nodes } => nodes.iter().position(|sample| sample.node == id),
        _ => None,
    };
    events
        .iter()
        .filter_map(|event| match &event.what {
            What::Nodes { nodes } => Some((event.time, nodes.get(of_node(event)?)?)),
            _ => None,
        })
        .collect()
}

/// The spans in which the process did not run, each drawn as one shape.
fn outages(samples: &[(u64, &NodeSample)], end: u64) -> Vec<(&'static str, (u64, u64))> {
    let class = |state| match state {
        ProcessState::Running => None,
        ProcessState::Paused => Some("paused"),
        ProcessState::Dead => Some("dead"),
    };
    let mut spans: Vec<(&'static str, (u64, u64))> = Vec::new();
    for (index, (from, sample)) in samples.iter().enumerate() {
        let until = samples.get(index + 1).map_or(end, |(time, _)| *time);
        match (class(sample.process), spans.last_mut()) {
            (None, _) => {}
            (Some(class), Some((last, span))) if *last == class && span.1 == *from => {
                span.1 = until;
            }
            (Some(class), _) => spans.push((class, (*from, until))),
        }
    }
    spans
}
