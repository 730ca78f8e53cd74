//! The curves of latency: median, 99th percentile and maximum, on a logarithmic scale.
//!
//! Invariant: where nothing was acknowledged there is no curve, for there is no latency.

use crate::report::timeline::buckets::Bucket;
use crate::report::timeline::svg::{Canvas, LEFT, RIGHT};
use crate::workload::stats::Latency;

const HEIGHT: f64 = 92.0;
/// The floor of the scale, in microseconds.
const LEAST_MICROS: u64 = 100;
/// The width of a point without neighbours.
const ALONE: f64 = 3.0;
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
    let stretches: Vec<&[Bucket]> = buckets
        .split(|bucket| bucket.latency.count == 0)
        .filter(|stretch| !stretch.is_empty())
        .collect();
    let most = stretches.iter().copied().flatten();
    let most = most.map(|bucket| bucket.latency.max_us).max();
    let top_micros = most.unwrap_or(0).max(2_000);
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
        for stretch in &stretches {
            let point = |bucket: &Bucket| (canvas.axis.x(bucket.time), y(value(&bucket.latency)));
            let mut points: Vec<(f64, f64)> = stretch.iter().map(point).collect();
            // One alone is seen, too.
            if let [(x, y)] = points[..] {
                points.push((x + ALONE, y));
            }
            canvas.line(class, &points);
        }
    };
    curve(canvas, "max", |latency| latency.max_us);
    curve(canvas, "p99", |latency| latency.p99_us);
    curve(canvas, "p50", |latency| latency.p50_us);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::timeline::svg::Axis;
    use crate::workload::stats::Counts;

    #[test]
    fn a_curve_does_not_lead_over_a_silence() {
        let bucket = |(index, count): (usize, u64)| Bucket {
            time: index as u64 * 1_000_000_000,
            seconds: 1.0,
            counts: Counts::default(),
            latency: Latency {
                count,
                p50_us: 900,
                p99_us: 4_000,
                max_us: 9_000,
            },
        };
        let counts = [5, 5, 0, 0, 5, 0, 5, 5].into_iter().enumerate();
        let buckets: Vec<Bucket> = counts.map(bucket).collect();
        let mut canvas = Canvas::new(Axis::new(8_000_000_000));
        lane(&mut canvas, &buckets);
        let picture = canvas.finish("", "");
        assert_eq!(picture.matches("class=\"p50\"").count(), 3, "{picture}");
    }
}
