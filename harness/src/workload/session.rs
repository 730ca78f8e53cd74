//! What all tasks of a run share: the plan, the history, the counters and the sign to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::sync::watch;

use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::workload::group::Roster;
use crate::workload::stats::Stats;

/// The process number of the nemesis and the harness; clients have higher ones.
pub const HARNESS_PROCESS: u64 = 0;

/// Shared by all tasks of a run.
#[derive(Debug)]
pub struct Session {
    /// What was decided before.
    pub plan: Arc<Plan>,
    /// The history.
    pub recorder: Recorder,
    /// The counters.
    pub stats: Stats,
    /// Who shall be a member of the group; nobody without one.
    pub roster: Roster,
    stop: watch::Sender<bool>,
    last_process: AtomicU64,
    last_value: AtomicU64,
}

impl Session {
    /// A session that has not begun.
    pub fn new(plan: Arc<Plan>, recorder: Recorder) -> Self {
        Self {
            roster: Roster::new(&plan),
            plan,
            recorder,
            stats: Stats::default(),
            stop: watch::Sender::new(false),
            last_process: AtomicU64::new(HARNESS_PROCESS),
            last_value: AtomicU64::new(0),
        }
    }

    /// A process number that was never used in this run.
    pub fn new_process(&self) -> u64 {
        self.last_process.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A value that was never sent in this run; far below 2^53.
    pub fn new_value(&self) -> u64 {
        self.last_value.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Asks the tasks of the workload to end after their open operation.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Lets tasks work again: the final phase follows the main one.
    pub fn resume(&self) {
        self.stop.send_replace(false);
    }

    /// Whether the tasks shall end.
    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Sleeps, but not beyond the sign to stop.
    pub async fn sleep(&self, duration: Duration) {
        let mut stop = self.stop.subscribe();
        let _ = tokio::time::timeout(duration, stop.wait_for(|stopped| *stopped)).await;
    }

    /// The source of the choices of one task: the seed and the task's own number decide it.
    pub fn rng(&self, task: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
        rng.set_stream(task + 1);
        rng
    }
}
