//! One logical producer: sends at its share of the planned rate, for a while to one partition.
//!
//! It stays with a partition, so that a partition without a leader holds up those who send to it
//! and nobody else: were every send's partition drawn, all producers would soon wait for it.

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

/// Sends until the session stops; `task` numbers the logical process within the plan.
pub async fn produce(session: Arc<Session>, worker: Arc<Worker>, task: u64) {
    let mut rng = session.rng(task);
    let mut process = Process::new(&session, worker.endpoint().to_string());
    let mean_pause = mean_pause(&session);
    let partitions = session.plan.cluster.partitions;
    let [bytes_min, bytes_max] = session.plan.workload.payload_bytes;
    let (mut partition, mut sends_left) = (0, 0);
    while !session.is_stopped() {
        if sends_left == 0 {
            partition = rng.random_range(0..partitions);
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
