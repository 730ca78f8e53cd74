//! The only clocks of the node: the monotonic one that decides, the wall clock that labels.
//!
//! In: nothing. Out: `Now` for the cores, and instants of the runtime for their timeouts.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Now, Time};

/// The clocks of one node, with the origin of its monotonic time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// The present.
    pub fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            time: Time::from_duration(self.origin.elapsed()),
            wall_millis: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// The instant of the runtime's clock at `time`.
    pub fn instant(&self, time: Time) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + time.as_duration())
    }
}
