//! The curves of latency: median, 99th percentile and maximum, on a logarithmic scale.

use crate::report::timeline::buckets::Bucket;
use crate::report::timeline::svg::{Canvas, LEFT, RIGHT};
use crate::workload::stats::Latency;

const HEIGHT: f64 = 92.0;
/// The floor of the scale, in microseconds.
const LEAST_MICROS: u64 = 100;
/// The values that have a line, in microseconds.
const LINES: &[(u64, &str)] = &[
    (1_000, "1 ms"),
    (10_000, "10 ms"),
    (100_000, "100 ms"),
    (1_000_000, "1 s"),
    (10_000_000, "10 s"),
];

/// The lane.
pub(super) fn lane(canvas: &mut Canvas, buckets: &[Bucket]) {
    let answered: Vec<&Bucket> = buckets
        .iter()
        .filter(|bucket| bucket.latency.count > 0)
        .collect();
    let top_micros = answered
        .iter()
        .map(|bucket| bucket.latency.max_us)
        .max()
        .unwrap_or(0);
    let top_micros = top_micros.max(2_000);
    let top = canvas.ground(HEIGHT);
    canvas.label(top + 13.0, "latency of acks");
    canvas.note(top + 28.0, "── median");
    canvas.note(top + 42.0, "╌╌ p99");
    canvas.note(top + 56.0, "···· maximum");
    let floor = top + HEIGHT - 3.0;
    let height = |micros: u64| (micros.max(LEAST_MICROS) as f64 / LEAST_MICROS as f64).ln();
    let scale = (HEIGHT - 8.0) / height(top_micros);
    let y = |micros: u64| floor - scale * height(micros);
    for (micros, label) in LINES.iter().filter(|(micros, _)| *micros <= top_micros) {
        let at = y(*micros);
        canvas.path("grid", &format!("M{LEFT:.1} {at:.1}H{RIGHT:.1}"));
        canvas.text("tiny soft", LEFT + 4.0, at - 2.0, label);
    }
    let curve = |canvas: &mut Canvas, class: &str, value: fn(&Latency) -> u64| {
        let point = |bucket: &&Bucket| (canvas.axis.x(bucket.time), y(value(&bucket.latency)));
        let points: Vec<(f64, f64)> = answered.iter().map(point).collect();
        canvas.line(class, &points);
    };
    curve(canvas, "max", |latency| latency.max_us);
    curve(canvas, "p99", |latency| latency.p99_us);
    curve(canvas, "p50", |latency| latency.p50_us);
}
