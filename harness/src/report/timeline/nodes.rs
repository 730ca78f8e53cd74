//! One lane for each node: what it leads and since which epoch, in how many partitions it is in
//! sync, whether it is the controller, and what its process does.
//!
//! Invariant: equal samples that follow each other are one shape, so that a lane grows with what
//! happened and not with the length of the run.

use crate::report::timeline::svg::{Canvas, width_of};
use crate::run::events::{Event, NodeSample, ProcessState, What};

const HEIGHT: f64 = 44.0;
/// Where the epochs stand: above the area of what is led.
const HEAD: f64 = 12.0;
/// Changes of one node that are drawn.
const CHANGES_MAX: usize = 240;

/// One lane; whether it leaves out changes, of which there are too many.
pub(super) fn lane(canvas: &mut Canvas, id: i32, partitions: i32, events: &[Event]) -> bool {
    let all = changes(samples(id, events));
    let step = all.len().div_ceil(CHANGES_MAX).max(1);
    let samples: Vec<(u64, &NodeSample)> = all.into_iter().step_by(step).collect();
    let top = canvas.ground(HEIGHT);
    canvas.label(top + 15.0, &format!("n{id}"));
    canvas.note(top + 28.0, "leads, in sync");
    canvas.note(top + 41.0, &format!("of {partitions}"));
    let most = samples
        .iter()
        .map(|(_, sample)| sample.leads.len().max(sample.in_sync.len()));
    let most = most.max().unwrap_or(0).max(partitions.max(1) as usize);
    let scale = (HEIGHT - HEAD - 5.0) / most as f64;
    let floor = top + HEIGHT - 4.0;
    let mut in_sync = Vec::new();
    for (index, (from, sample)) in samples.iter().enumerate() {
        let next = samples.get(index + 1);
        let span = (*from, next.map_or(canvas.axis.end(), |(time, _)| *time));
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
    epochs(canvas, &samples, top);
    for (class, span) in outages(&samples, canvas.axis.end()) {
        canvas.bar(class, span, top, HEIGHT);
    }
    step > 1
}

/// The samples of node `id`.
pub(super) fn samples(id: i32, events: &[Event]) -> Vec<(u64, &NodeSample)> {
    let mut samples = Vec::new();
    for event in events {
        if let What::Nodes { nodes } = &event.what
            && let Some(sample) = nodes.iter().find(|sample| sample.node == id)
        {
            samples.push((event.time, sample));
        }
    }
    samples
}

/// Those that differ from the one before.
fn changes(samples: Vec<(u64, &NodeSample)>) -> Vec<(u64, &NodeSample)> {
    let mut changes: Vec<(u64, &NodeSample)> = Vec::new();
    for (time, sample) in samples {
        let is_new = changes.last().is_none_or(|(_, last)| *last != sample);
        if is_new {
            changes.push((time, sample));
        }
    }
    changes
}

/// Where it begins to lead in a new epoch, as far as there is room: `p0 e3`.
fn epochs(canvas: &mut Canvas, samples: &[(u64, &NodeSample)], top: f64) {
    let nothing = NodeSample {
        node: 0,
        process: ProcessState::Running,
        is_controller: false,
        leads: Vec::new(),
        epochs: Vec::new(),
        in_sync: Vec::new(),
    };
    let mut before = &nothing;
    let mut taken = 0.0;
    for (time, sample) in samples {
        let known: Vec<(i32, i32)> = led(before).collect();
        let fresh = led(sample).filter(|led| !known.contains(led));
        let fresh: Vec<(i32, i32)> = fresh.collect();
        before = sample;
        let Some(label) = label(&fresh) else { continue };
        let x = canvas.axis.x(*time);
        if x < taken {
            continue;
        }
        taken = x + width_of(&label) + 4.0;
        canvas.path(
            "tick",
            &format!("M{x:.1} {:.1}v{:.1}", top + 2.0, HEIGHT - 4.0),
        );
        canvas.text("epoch", x + 3.0, top + 10.0, &label);
    }
}

fn led(sample: &NodeSample) -> impl Iterator<Item = (i32, i32)> {
    let epochs = sample.epochs.iter().copied();
    sample.leads.iter().copied().zip(epochs)
}

/// `p0 e3` for one partition, `3× e5` for several.
fn label(fresh: &[(i32, i32)]) -> Option<String> {
    match fresh {
        [] => None,
        [(partition, epoch)] => Some(format!("p{partition} e{epoch}")),
        several => {
            let epochs = several.iter().map(|(_, epoch)| *epoch);
            let (least, most) = (epochs.clone().min()?, epochs.max()?);
            let range = if least == most {
                format!("e{least}")
            } else {
                format!("e{least}–{most}")
            };
            Some(format!("{}× {range}", several.len()))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_epoch_is_labelled_by_its_partition_or_by_how_many_there_are() {
        assert_eq!(label(&[]), None);
        assert_eq!(label(&[(4, 7)]).as_deref(), Some("p4 e7"));
        assert_eq!(label(&[(4, 7), (5, 7)]).as_deref(), Some("2× e7"));
        assert_eq!(label(&[(4, 7), (5, 9), (1, 8)]).as_deref(), Some("3× e7–9"));
    }
}
