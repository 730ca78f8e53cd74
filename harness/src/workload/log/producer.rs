//! One logical producer: sends at its share of the planned rate, for a while to one partition.
//!
//! It stays with a partition for a while, so that a partition without a leader holds up those who
//! send to it and nobody else: were every send's partition drawn, all producers would soon wait
//! for it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};

use crate::workload::process::Process;
use crate::workload::session::Session;
use crate::workload::worker::Worker;

/// How many sends go to one partition before another is drawn.
const SENDS_PER_PARTITION: Range<u32> = 20..200;

/// The pause after a send that failed, and between attempts to revive a worker.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Sends until the session stops to partitions of `partitions`, which are those of the worker's way
/// to send; `task` numbers the logical process within the plan.
pub async fn produce(
    session: Arc<Session>,
    worker: Arc<Worker>,
    partitions: Arc<[(String, i32)]>,
    task: u64,
) {
    let mut rng = session.rng(task);
    let mut process = Process::new(&session, worker.endpoint().to_string());
    let mean_pause = mean_pause(&session);
    let mut turns = Turns::of(&session, partitions.len(), task);
    let [bytes_min, bytes_max] = session.plan.workload.payload_bytes;
    let (mut partition, mut sends_left) = (0, 0);
    while !session.is_stopped() {
        if sends_left == 0 {
            let (topic, index) = turns.next(&mut rng, &partitions);
            process.turn_to(topic);
            partition = *index;
            sends_left = rng.random_range(SENDS_PER_PARTITION);
        }
        sends_left -= 1;
        let bytes = rng.random_range(bytes_min..=bytes_max);
        let driver = worker.driver();
        let sent = process.send(&driver, partition, bytes).await;
        if driver.is_gone() {
            process.crash("its worker died");
            while worker.revive().await.is_err() && !session.is_stopped() {
                session.sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        let pause = if sent.is_ok() {
            drawn_pause(&mut rng, mean_pause)
        } else {
            PAUSE_AFTER_FAILURE
        };
        if !pause.is_zero() {
            session.sleep(pause).await;
        }
    }
}

/// Which partition is next: a drawn one. Of several topics every partition has somebody from the
/// beginning, so the first ones are dealt.
struct Turns {
    dealt: Option<usize>,
}

impl Turns {
    fn of(session: &Session, partitions: usize, task: u64) -> Self {
        let is_dealt = session.plan.has_several_topics();
        Self {
            dealt: is_dealt.then(|| task as usize % partitions.max(1)),
        }
    }

    fn next<'a>(
        &mut self,
        rng: &mut impl Rng,
        partitions: &'a [(String, i32)],
    ) -> &'a (String, i32) {
        let dealt = self.dealt.take();
        let index = dealt.unwrap_or_else(|| rng.random_range(0..partitions.len() as i32) as usize);
        let next = partitions.get(index);
        next.expect("invariant: every worker's way to send is that of some topic")
    }
}

/// The mean time between sends of one logical process that makes the planned rate.
fn mean_pause(session: &Session) -> Duration {
    let workload = &session.plan.workload;
    let processes = workload.producers * workload.processes_per_producer;
    match workload.sends_per_second {
        0 => Duration::ZERO,
        rate => Duration::from_secs(1) * processes / rate,
    }
}

/// Even around the mean, so that processes do not march in step.
fn drawn_pause(rng: &mut impl Rng, mean: Duration) -> Duration {
    mean.mul_f64(rng.random_range(0.0..2.0))
}
