//! Whether the healed cluster is whole again: all nodes, all replicas in sync, and progress.
//!
//! In: a cluster without faults. Out: how long it took, or what was still missing at the deadline.
//! The liveness half of a run: availability after healing is a promise.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::cluster::view::Lack;
use crate::cluster::{Cluster, LOOK};

/// The cluster was not available again in time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not available again {limit:?} after healing: {missing}")]
pub struct NotRecovered {
    /// How long it had.
    pub limit: Duration,
    /// What was missing at the end.
    pub missing: String,
}

impl Cluster {
    /// Waits until every node is registered and every partition has a leader and all replicas in
    /// sync.
    pub async fn wait_until_whole(&self, deadline: Instant) -> Result<(), Lack> {
        loop {
            let lack = match self.observer.look().await {
                Ok(view) => match view.lack(&self.plan) {
                    None => return Ok(()),
                    Some(lack) => lack,
                },
                Err(error) => error.into(),
            };
            // A node that is gone for good explains more than what is missing because of it.
            if let Some(death) = self.first_death() {
                return Err(death.into());
            }
            if Instant::now() >= deadline {
                return Err(lack);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
