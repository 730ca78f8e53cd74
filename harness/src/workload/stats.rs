//! Counters of a run, for the progress line, the throughput buckets and the summary.
//!
//! Invariant: counters only grow; `take_bucket` hands every latency out once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use checkers::history::{Action, OpType};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies above this are counted as this, in microseconds.
const LATENCY_MICROS_MAX: u64 = 60_000_000;

/// What was counted since the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Operations that began.
    pub invoked: u64,
    /// Sends that were acknowledged.
    pub acked: u64,
    /// Sends that certainly had no effect.
    pub failed: u64,
    /// Sends with an unknown outcome.
    pub unknown: u64,
    /// Polls that were answered.
    pub polls: u64,
    /// Polls and reads of ends that were not.
    pub failed_reads: u64,
    /// Records that polls delivered.
    pub records: u64,
    /// Records that members of a group processed, each time counted.
    #[serde(default)]
    pub processed: u64,
    /// Commits that were acknowledged.
    #[serde(default)]
    pub commits: u64,
    /// What listeners were told of partitions that change hands.
    #[serde(default)]
    pub rebalances: u64,
}

/// Latencies of acknowledged sends in one bucket of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many sends.
    pub count: u64,
    /// The median, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
    /// The largest, in microseconds.
    pub max_us: u64,
}

/// The counters of a run, shared by its tasks.
#[derive(Debug)]
pub struct Stats {
    invoked: AtomicU64,
    acked: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
    polls: AtomicU64,
    failed_reads: AtomicU64,
    records: AtomicU64,
    processed: AtomicU64,
    commits: AtomicU64,
    rebalances: AtomicU64,
    crashes: AtomicU64,
    latencies: Mutex<Histogram<u64>>,
}

impl Default for Stats {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 2);
        Self {
            invoked: AtomicU64::default(),
            acked: AtomicU64::default(),
            failed: AtomicU64::default(),
            unknown: AtomicU64::default(),
            polls: AtomicU64::default(),
            failed_reads: AtomicU64::default(),
            records: AtomicU64::default(),
            processed: AtomicU64::default(),
            commits: AtomicU64::default(),
            rebalances: AtomicU64::default(),
            crashes: AtomicU64::default(),
            latencies: Mutex::new(histogram.expect("invariant: the bounds are constant and valid")),
        }
    }
}

impl Stats {
    /// Counts an operation that begins.
    pub fn invoked(&self) {
        self.invoked.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what a listener was told.
    pub fn rebalanced(&self) {
        self.rebalances.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a logical process that lost its client process.
    pub fn crashed(&self) {
        self.crashes.fetch_add(1, Ordering::Relaxed);
    }

    /// How many logical processes lost their client process although nobody asked for it.
    pub fn crashes(&self) -> u64 {
        self.crashes.load(Ordering::Relaxed)
    }

    /// Counts an operation that ended after `latency`.
    pub fn completed(&self, kind: OpType, action: &Action, latency: Duration) {
        let counter = match (action, kind) {
            (Action::Send(_), OpType::Ok) => {
                self.record_latency(latency);
                &self.acked
            }
            (Action::Send(_), OpType::Fail) => &self.failed,
            (Action::Send(_), _) => &self.unknown,
            (Action::Poll(poll), OpType::Ok) => {
                let records: usize = poll.records.values().map(Vec::len).sum();
                self.records.fetch_add(records as u64, Ordering::Relaxed);
                &self.polls
            }
            (Action::Process(_), OpType::Ok) => &self.processed,
            (Action::Commit(_), OpType::Ok) => &self.commits,
            (Action::Poll(_) | Action::ListOffsets(_), OpType::Fail | OpType::Info) => {
                &self.failed_reads
            }
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters now.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            invoked: read(&self.invoked),
            acked: read(&self.acked),
            failed: read(&self.failed),
            unknown: read(&self.unknown),
            polls: read(&self.polls),
            failed_reads: read(&self.failed_reads),
            records: read(&self.records),
            processed: read(&self.processed),
            commits: read(&self.commits),
            rebalances: read(&self.rebalances),
        }
    }

    /// The latencies since the last call.
    pub fn take_bucket(&self) -> Latency {
        let mut histogram = self
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let latency = Latency {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            max_us: histogram.max(),
        };
        histogram.reset();
        latency
    }

    fn record_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let mut histogram = self
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        histogram.saturating_record(micros.clamp(1, LATENCY_MICROS_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use checkers::history::{Key, Poll, Record, RecordValue, Send};

    #[test]
    fn operations_are_counted_by_what_became_of_them() {
        let stats = Stats::default();
        let send = Action::Send(vec![Send {
            key: Key::new("t", 0),
            value: 1,
            offset: None,
        }]);
        let record = Record(0, RecordValue::Unique(1));
        let records = [(Key::new("t", 0), vec![record.clone(), record])].into();
        let poll = Action::Poll(Poll { records });
        for (action, kind) in [
            (&send, OpType::Ok),
            (&send, OpType::Fail),
            (&send, OpType::Info),
            (&poll, OpType::Ok),
            (&poll, OpType::Fail),
        ] {
            stats.invoked();
            stats.completed(kind, action, Duration::from_millis(2));
        }
        let wanted = Counts {
            invoked: 5,
            acked: 1,
            failed: 1,
            unknown: 1,
            polls: 1,
            failed_reads: 1,
            records: 2,
            ..Counts::default()
        };
        assert_eq!(stats.counts(), wanted);
        assert_eq!(stats.take_bucket().count, 1);
        assert_eq!(
            stats.take_bucket(),
            Latency::default(),
            "a bucket is handed out once"
        );
    }
}
