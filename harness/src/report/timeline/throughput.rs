//! The curve of sends a second: acknowledged, failed for certain, and in doubt.

use crate::report::timeline::buckets::Bucket;
use crate::report::timeline::svg::{Canvas, LEFT};
use crate::report::words::thousands;
use crate::workload::stats::Counts;

const HEIGHT: f64 = 76.0;

/// The lane.
pub(super) fn lane(canvas: &mut Canvas, buckets: &[Bucket]) {
    let rate = |count: u64, bucket: &Bucket| count as f64 / bucket.seconds;
    let highest = |bucket: &Bucket| {
        let Counts {
            acked,
            failed,
            unknown,
            ..
        } = bucket.counts;
        rate(acked.max(failed).max(unknown), bucket)
    };
    let top_rate = buckets.iter().map(highest).fold(1.0, f64::max);
    let top = canvas.ground(HEIGHT);
    canvas.label(top + 13.0, "sends a second");
    canvas.note(top + 28.0, "── acked");
    canvas.note(top + 42.0, "╌╌ unknown");
    canvas.note(top + 56.0, "···· failed");
    let y = |rate: f64| top + HEIGHT - 3.0 - (HEIGHT - 16.0) * rate / top_rate;
    let curve = |canvas: &mut Canvas, class: &str, value: fn(&Counts) -> u64| {
        if buckets.iter().all(|bucket| value(&bucket.counts) == 0) {
            return;
        }
        let point = |bucket: &Bucket| {
            (
                canvas.axis.x(bucket.time),
                y(rate(value(&bucket.counts), bucket)),
            )
        };
        let points: Vec<(f64, f64)> = buckets.iter().map(point).collect();
        canvas.line(class, &points);
    };
    curve(canvas, "acked", |counts| counts.acked);
    curve(canvas, "unknown", |counts| counts.unknown);
    curve(canvas, "failed", |counts| counts.failed);
    canvas.text("soft", LEFT + 4.0, top + 12.0, &thousands(top_rate as u64));
}
