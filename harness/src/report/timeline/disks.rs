//! The lanes of disks: what faults did to the operations of each log directory.
//!
//! In: the samples of `What::Disks`. Out: one lane for each disk that a fault acted on, with the
//! operations that were hit between two samples (area) and those that were held (line).

use std::collections::BTreeMap;

use serde_json::json;

use crate::disk::rule::DiskId;
use crate::nemesis::{DiskSample, FaultSpec};
use crate::plan::Plan;
use crate::report::timeline::svg::Canvas;
use crate::report::words::plain;
use crate::run::events::{Event, What};

const HEIGHT: f64 = 34.0;
/// Samples of one fault on one disk that are drawn.
const SAMPLES_MAX: usize = 200;

/// What one fault did to one disk, sample by sample.
type Acts<'a> = BTreeMap<usize, Vec<(u64, &'a DiskSample)>>;

/// One lane for each disk that a fault acted on.
pub(super) fn lanes(canvas: &mut Canvas, plan: &Plan, events: &[Event]) {
    let mut disks: BTreeMap<DiskId, Acts<'_>> = BTreeMap::new();
    for event in events {
        if let What::Disks { number, disks: all } = &event.what {
            for sample in all {
                let acts = disks.entry(sample.disk).or_default();
                acts.entry(*number).or_default().push((event.time, sample));
            }
        }
    }
    for (disk, acts) in disks {
        lane(canvas, plan, disk, &acts);
    }
}

fn lane(canvas: &mut Canvas, plan: &Plan, disk: DiskId, acts: &Acts<'_>) {
    let top = canvas.ground(HEIGHT);
    canvas.label(top + 14.0, &format!("n{}/d{}", disk.node, disk.directory));
    canvas.note(top + 28.0, "▇ hit, ─ held");
    let floor = top + HEIGHT - 3.0;
    let room = HEIGHT - 16.0;
    for (number, samples) in acts {
        // The counts only grow, so that a sample that is left out is in the next one.
        let step = samples.len().div_ceil(SAMPLES_MAX).max(1);
        let samples: Vec<(u64, &DiskSample)> = samples.iter().step_by(step).copied().collect();
        let samples = samples.as_slice();
        let hits = deltas(samples);
        let most = hits.iter().map(|(_, hits)| *hits).max().unwrap_or(0).max(1);
        for (span, hits) in hits.iter().filter(|(_, hits)| *hits > 0) {
            let height = (room * *hits as f64 / most as f64).max(2.0);
            canvas.bar("leads", *span, floor - height, height);
        }
        let held = samples.iter().map(|(_, sample)| sample.held);
        let most_held = held.max().unwrap_or(0).max(1);
        let point = |(time, sample): &(u64, &DiskSample)| {
            let share = sample.held as f64 / most_held as f64;
            (canvas.axis.x(*time), floor - room * share)
        };
        let line: Vec<_> = samples.iter().map(point).collect();
        canvas.line("isr", &line);
        if let Some((time, _)) = samples.first() {
            let what = format!("{} {}", number + 1, action(plan, *number));
            canvas.text("soft", canvas.axis.x(*time) + 2.0, top + 11.0, &what);
        }
    }
}

/// Operations that were hit between two samples; what came before the first counts from it on.
fn deltas(samples: &[(u64, &DiskSample)]) -> Vec<((u64, u64), u64)> {
    let pairs = samples.windows(2);
    let delta = |pair: &[(u64, &DiskSample)]| match pair {
        [(from, before), (until, now)] => {
            Some(((*from, *until), now.hits.saturating_sub(before.hits)))
        }
        _ => None,
    };
    let first = samples
        .first()
        .map(|(time, sample)| ((*time, *time), sample.hits));
    first.into_iter().chain(pairs.filter_map(delta)).collect()
}

/// The word of a fault's action in the plan.
fn action(plan: &Plan, number: usize) -> String {
    match plan.faults.get(number).map(|fault| &fault.what) {
        Some(FaultSpec::Disk { rule, .. }) => {
            let action = json!(rule.action);
            action.get("do").map(plain).unwrap_or_default()
        }
        _ => String::new(),
    }
}
