//! The buckets of throughput and latency, thinned to what a picture can show.

use crate::run::events::{Event, What};
use crate::workload::stats::{Counts, Latency};

/// Points of a curve: about one for each unit of the picture's width.
const POINTS_MAX: usize = 900;

/// What was counted until a moment.
pub(super) struct Bucket {
    pub(super) time: u64,
    pub(super) seconds: f64,
    pub(super) counts: Counts,
    pub(super) latency: Latency,
}

/// The buckets in order; where there are too many, neighbours are one, with the sum of their
/// counts and the worst of their latencies.
pub(super) fn buckets(events: &[Event]) -> Vec<Bucket> {
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
    let all: Vec<Bucket> = events.iter().filter_map(bucket).collect();
    let width = all.len().div_ceil(POINTS_MAX).max(1);
    all.chunks(width).filter_map(joined).collect()
}

fn joined(chunk: &[Bucket]) -> Option<Bucket> {
    let last = chunk.last()?;
    let sum = |value: fn(&Counts) -> u64| chunk.iter().map(|bucket| value(&bucket.counts)).sum();
    let worst = |value: fn(&Latency) -> u64| {
        chunk
            .iter()
            .map(|bucket| value(&bucket.latency))
            .max()
            .unwrap_or(0)
    };
    Some(Bucket {
        time: last.time,
        seconds: chunk.iter().map(|bucket| bucket.seconds).sum(),
        counts: Counts {
            acked: sum(|counts| counts.acked),
            failed: sum(|counts| counts.failed),
            unknown: sum(|counts| counts.unknown),
            ..last.counts
        },
        latency: Latency {
            count: chunk.iter().map(|bucket| bucket.latency.count).sum(),
            p50_us: worst(|latency| latency.p50_us),
            p99_us: worst(|latency| latency.p99_us),
            max_us: worst(|latency| latency.max_us),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_as_many_points_as_a_picture_can_show_and_loses_no_count() {
        let event = |index: u64| Event {
            time: index,
            what: What::Throughput {
                bucket: 250_000_000,
                counts: Counts {
                    acked: 1,
                    ..Counts::default()
                },
                latency: Latency {
                    count: 1,
                    max_us: index,
                    ..Latency::default()
                },
            },
        };
        let events: Vec<Event> = (0..10_000).map(event).collect();
        let buckets = buckets(&events);
        assert!(buckets.len() <= POINTS_MAX, "{}", buckets.len());
        assert_eq!(
            buckets
                .iter()
                .map(|bucket| bucket.counts.acked)
                .sum::<u64>(),
            10_000
        );
        assert_eq!(
            buckets.last().map(|bucket| bucket.latency.max_us),
            Some(9_999)
        );
        let rate = buckets[0].counts.acked as f64 / buckets[0].seconds;
        assert!((rate - 4.0).abs() < 1e-9, "{rate}");
    }
}
