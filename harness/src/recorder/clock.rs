//! The one clock of a run: nanoseconds since its start, monotonic.
//!
//! Every operation, fault and sample of a run is stamped by a copy of the same clock, so that the
//! files of a result directory share one axis. What nodes print has the time of day, so the clock
//! also knows when it was started by that.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Tells the time since the run began. Copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    started: Timestamp,
}

impl Clock {
    /// Starts a run's clock at zero.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            started: Timestamp::now(),
        }
    }

    /// The time of day at zero.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Nanoseconds since the start.
    pub fn now_nanos(&self) -> u64 {
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
