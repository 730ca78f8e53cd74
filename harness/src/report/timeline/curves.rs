//! The curves: acknowledged sends a second, and their latency.

use crate::report::timeline::svg::{Canvas, LEFT};
use crate::report::words::thousands;
use crate::run::events::{Event, What};
use crate::workload::stats::{Counts, Latency};

const HEIGHT: f64 = 84.0;

struct Bucket {
    time: u64,
    seconds: f64,
    counts: Counts,
    latency: Latency,
}

fn buckets(events: &[Event]) -> Vec<Bucket> {
    let bucket = |event: &Event| match &event.what {
        What::Throughput {
            bucket,
            counts,
            latency,
        } if *bucket > 0 => Some(Bucket {
            time: event.time,
            seconds: *bucket as f64 / 1e9,
            counts: *counts,
            latency: *latency,
        }),
        _ => None,
    };
    events.iter().filter_map(bucket).collect()
}

/// Acknowledged sends a second, and those whose outcome is unknown.
pub(super) fn throughput(canvas: &mut Canvas, events: &[Event]) {
    let buckets = buckets(events);
    let rate = |count: u64, bucket: &Bucket| count as f64 / bucket.seconds;
    let top_rate = buckets
        .iter()
        .map(|bucket| rate(bucket.counts.acked.max(bucket.counts.unknown), bucket))
        .fold(1.0, f64::max);
    let top = frame(
        canvas,
        "sends a second",
        "─ acked, ╌ unknown",
        &thousands(top_rate as u64),
    );
    let y = |rate: f64| top + HEIGHT - 3.0 - (HEIGHT - 16.0) * rate / top_rate;
    let curve = |value: fn(&Counts) -> u64| -> Vec<(f64, f64)> {
        let point = |bucket: &Bucket| {
            (
                canvas.axis.x(bucket.time),
                y(rate(value(&bucket.counts), bucket)),
            )
        };
        buckets.iter().map(point).collect()
    };
    let (acked, unknown) = (curve(|counts| counts.acked), curve(|counts| counts.unknown));
    canvas.line("acked", &acked);
    canvas.line("unknown", &unknown);
}

/// Median and 99th percentile of the latency, on a logarithmic scale.
pub(super) fn latency(canvas: &mut Canvas, events: &[Event]) {
    let buckets = buckets(events);
    let answered: Vec<&Bucket> = buckets
        .iter()
        .filter(|bucket| bucket.latency.count > 0)
        .collect();
    let top_micros = answered
        .iter()
        .map(|bucket| bucket.latency.p99_us)
        .max()
        .unwrap_or(1)
        .max(10);
    let label = format!("{} ms", top_micros.div_ceil(1000));
    let top = frame(canvas, "latency, log", "─ median, ┄ p99", &label);
    let floor = top + HEIGHT - 3.0;
    let scale = (HEIGHT - 16.0) / ((top_micros as f64) / 100.0).ln().max(1.0);
    let y = |micros: u64| floor - scale * (micros.max(100) as f64 / 100.0).ln();
    let curve = |value: fn(&Latency) -> u64| -> Vec<(f64, f64)> {
        let point = |bucket: &&Bucket| (canvas.axis.x(bucket.time), y(value(&bucket.latency)));
        answered.iter().map(point).collect()
    };
    let (median, p99) = (
        curve(|latency| latency.p50_us),
        curve(|latency| latency.p99_us),
    );
    canvas.line("p50", &median);
    canvas.line("p99", &p99);
}

/// The frame of a curve: its name, its key, and the value at its top.
fn frame(canvas: &mut Canvas, name: &str, key: &str, top_value: &str) -> f64 {
    let top = canvas.lane(HEIGHT);
    canvas.label(top + 14.0, name);
    canvas.label(top + 28.0, key);
    canvas.bar("lane", (0, canvas.axis.end()), top, HEIGHT);
    canvas.text("soft", LEFT + 4.0, top + 12.0, top_value);
    top
}
