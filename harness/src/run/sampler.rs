//! Looks at the run four times a second: what every node does, who holds the partitions of each
//! topic, and what the clients achieve.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::run::events::What;
use crate::run::stage::Stage;
use crate::workload::stats::Counts;

/// Between two samples.
const PERIOD: Duration = Duration::from_millis(250);

/// Samples until it is dropped.
#[derive(Debug)]
pub struct Sampler {
    tasks: [AbortHandle; 2],
}

impl Drop for Sampler {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Starts to sample `stage`.
pub fn start(stage: &Stage) -> Sampler {
    let observer = stage.cluster.observer().clone();
    let looks = tokio::spawn(async move {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            // A look that fails leaves the last view; the next one comes soon.
            let _ = observer.look().await;
        }
    });
    let (cluster, session) = (stage.cluster.clone(), stage.session.clone());
    let events = stage.events.clone();
    let samples = tokio::spawn(async move {
        let mut ticks = ticks();
        let mut before = session.stats.counts();
        let mut begin = Instant::now();
        let mut held = BTreeMap::new();
        loop {
            ticks.tick().await;
            let now = cluster.sample_further();
            for (topic, partitions) in &now {
                if held.get(topic) != Some(partitions) {
                    events.append(What::Partitions {
                        topic: topic.clone(),
                        partitions: partitions.clone(),
                    });
                }
            }
            held = now;
            events.append(What::Nodes {
                nodes: cluster.sample(),
            });
            let now = session.stats.counts();
            events.append(What::Throughput {
                bucket: begin.elapsed().as_nanos() as u64,
                counts: difference(now, before),
                latency: session.stats.take_bucket(),
            });
            (before, begin) = (now, Instant::now());
        }
    });
    Sampler {
        tasks: [looks.abort_handle(), samples.abort_handle()],
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn difference(now: Counts, before: Counts) -> Counts {
    Counts {
        invoked: now.invoked - before.invoked,
        acked: now.acked - before.acked,
        failed: now.failed - before.failed,
        unknown: now.unknown - before.unknown,
        polls: now.polls - before.polls,
        failed_reads: now.failed_reads - before.failed_reads,
        records: now.records - before.records,
        processed: now.processed - before.processed,
        commits: now.commits - before.commits,
        rebalances: now.rebalances - before.rebalances,
    }
}
