//! The small picture of one proof: its operations on a time axis of their own, above what each
//! node was to the partition at the time, with the faults that acted.
//!
//! In: an anomaly, the events. Out: an SVG, or nothing for a proof without times.
//! Invariant: operations carry the numbers of the table beside the picture.

use checkers::history::{Op, OpType};
use checkers::verdict::{Anomaly, Witness};

use crate::report::anomaly::place::operation;
use crate::report::timeline::nodes::samples;
use crate::report::timeline::svg::{Axis, Canvas, Glyph, RIGHT, width_of};
use crate::report::words::shortened;
use crate::report::{FaultRow, Input};
use crate::run::events::{NodeSample, ProcessState, about};

const STEP_HEIGHT: f64 = 15.0;
const NODE_HEIGHT: f64 = 15.0;
/// Room beside the operations, as a share of what they span, so that their neighbourhood shows.
const MARGIN: f64 = 0.06;
/// Faults that are drawn.
const FAULTS_MAX: usize = 30;
/// And at least this much room, in nanoseconds.
const MARGIN_MIN: u64 = 50_000_000;

/// Draws the first `steps` operations of the proof.
pub(in crate::report) fn draw(
    input: &Input<'_>,
    faults: &[FaultRow],
    anomaly: &Anomaly,
    steps: usize,
) -> String {
    let witness: Vec<&Witness> = anomaly.witness.iter().take(steps).collect();
    let ops = || {
        witness
            .iter()
            .flat_map(|step| [&step.invocation, &step.completion])
    };
    let times = || ops().flatten().map(|op| op.time);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return String::new();
    };
    let margin = (((last - first) as f64 * MARGIN) as u64).max(MARGIN_MIN);
    let axis = Axis::between(first.saturating_sub(margin), last.saturating_add(margin));
    let mut canvas = Canvas::new(axis);
    let from = canvas.bottom();
    for (index, witness) in witness.iter().enumerate() {
        step(&mut canvas, index + 1, witness);
    }
    if input.plan.topic(anomaly.key.topic()).is_some() {
        let is_own = anomaly.key.topic() == input.plan.cluster.topic;
        let further = (!is_own).then(|| about(input.events, anomaly.key.topic()));
        let events = further.as_deref().unwrap_or(input.events);
        for id in super::nodes(events) {
            let samples = samples(id, events);
            node(&mut canvas, id, anomaly.key.partition(), &samples);
        }
    }
    bands(&mut canvas, faults, from);
    canvas.finish(
        &format!("The operations of the proof on {}", anomaly.key),
        &shortened(&anomaly.explanation, 300),
    )
}

/// One operation: a bar with its number, from invocation to completion.
fn step(canvas: &mut Canvas, number: usize, witness: &Witness) {
    let top = canvas.lane(STEP_HEIGHT);
    let either = witness.completion.as_ref().or(witness.invocation.as_ref());
    let Some(op) = either else { return };
    let node = op.node.as_deref().unwrap_or("process");
    canvas.label(top + 12.0, &format!("{number} {node}"));
    let time = |op: &Option<Op>| op.as_ref().map(|op| op.time);
    let until = time(&witness.completion).unwrap_or(canvas.axis.end());
    let from = time(&witness.invocation).unwrap_or(until);
    let middle = top + STEP_HEIGHT / 2.0;
    let (x, end) = (canvas.axis.x(from), canvas.axis.x(until));
    let bar = format!("M{x:.1} {middle:.1}h{:.1}", (end - x).max(2.5));
    let kind = witness
        .completion
        .as_ref()
        .map_or(OpType::Info, |op| op.kind);
    match kind {
        OpType::Ok => canvas.path("op-ok", &bar),
        OpType::Fail => {
            canvas.path("op-wait", &bar);
            canvas.path("op-fail", &Glyph::Cross.path(end, middle));
        }
        OpType::Info | OpType::Invoke => {
            canvas.path("op-wait", &bar);
            canvas.path("op-info", &Glyph::Diamond.path(end, middle));
        }
    }
    let text = shortened(&format!("{}: {}", operation(&op.action), witness.shows), 90);
    let width = width_of(&text);
    let behind = end + 8.0;
    let at = if behind + width < RIGHT {
        behind
    } else {
        (x - width).max(canvas.axis.x(0))
    };
    canvas.text("", at, top + 12.0, &text);
}

/// What the node was to the partition: leader with its epoch, in sync, or neither.
fn node(canvas: &mut Canvas, id: i32, partition: i32, samples: &[(u64, &NodeSample)]) {
    let top = canvas.ground(NODE_HEIGHT);
    canvas.label(top + 12.0, &format!("n{id}"));
    let mut spans: Vec<(Role, (u64, u64))> = Vec::new();
    for (index, (from, sample)) in samples.iter().enumerate() {
        let until = samples
            .get(index + 1)
            .map_or(canvas.axis.end(), |(time, _)| *time);
        let role = Role::of(sample, partition);
        match spans.last_mut() {
            Some((last, span)) if *last == role => span.1 = until,
            _ => spans.push((role, (*from, until))),
        }
    }
    for (role, span) in spans {
        let (class, text) = match role {
            Role::Leader(Some(epoch)) => ("leads", format!("leader, epoch {epoch}")),
            Role::Leader(None) => ("leads", "leader".to_owned()),
            Role::InSync => ("insync", "in sync".to_owned()),
            Role::Outside => continue,
            Role::Paused => ("paused", "paused".to_owned()),
            Role::Dead => ("dead", "dead".to_owned()),
        };
        if span.1 < canvas.axis.begin() || span.0 > canvas.axis.end() {
            continue;
        }
        canvas.bar(class, span, top, NODE_HEIGHT);
        let x = canvas.axis.x(span.0);
        if canvas.axis.x(span.1) - x > width_of(&text) + 8.0 {
            canvas.text("on-bar", x + 4.0, top + 11.5, &text);
        }
    }
}

/// What a node is to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Leader(Option<i32>),
    InSync,
    Outside,
    Paused,
    Dead,
}

impl Role {
    fn of(sample: &NodeSample, partition: i32) -> Self {
        match sample.process {
            ProcessState::Paused => return Self::Paused,
            ProcessState::Dead => return Self::Dead,
            ProcessState::Running => {}
        }
        let leads = sample.leads.iter().position(|led| *led == partition);
        match leads {
            Some(index) => Self::Leader(sample.epochs.get(index).copied()),
            None if sample.in_sync.contains(&partition) => Self::InSync,
            None => Self::Outside,
        }
    }
}

/// The faults that acted meanwhile: a strip with their names below pale bands.
fn bands(canvas: &mut Canvas, faults: &[FaultRow], top: f64) {
    let axis = canvas.axis;
    let acted = faults
        .iter()
        .filter(|fault| fault.is_effective)
        .filter_map(|fault| {
            let span = (fault.from?, fault.until.unwrap_or(axis.end()));
            (span.1 >= axis.begin() && span.0 <= axis.end()).then_some((fault, span))
        });
    let acted: Vec<(&FaultRow, (u64, u64))> = acted.take(FAULTS_MAX).collect();
    if acted.is_empty() {
        return;
    }
    let strip = canvas.lane(STEP_HEIGHT);
    canvas.label(strip + 11.0, "faults");
    let height = canvas.floor() - top;
    let mut taken = 0.0;
    for (fault, span) in acted {
        canvas.bar("band", span, top, height);
        let label = shortened(
            &format!("{} {} {}", fault.number, fault.name, fault.target),
            36,
        );
        let x = axis.x(span.0) + 3.0;
        if x >= taken && x + width_of(&label) < RIGHT {
            taken = x + width_of(&label) + 6.0;
            canvas.text("", x, strip + 11.0, &label);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_does_not_run_is_neither_leader_nor_in_sync() {
        let mut sample = NodeSample {
            node: 1,
            process: ProcessState::Running,
            is_controller: false,
            leads: vec![3, 4],
            epochs: vec![7, 9],
            in_sync: vec![3, 4, 5],
        };
        assert_eq!(Role::of(&sample, 4), Role::Leader(Some(9)));
        assert_eq!(Role::of(&sample, 5), Role::InSync);
        assert_eq!(Role::of(&sample, 6), Role::Outside);
        sample.process = ProcessState::Paused;
        assert_eq!(Role::of(&sample, 4), Role::Paused);
    }
}
