//! Whether the healed cluster is whole again: all nodes, all replicas in sync, and progress.
//!
//! In: a cluster without faults. Out: how long it took, or what was still missing at the deadline.
//! The liveness half of a run: availability after healing is a promise.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::cluster::view::Missing;
use crate::cluster::{Cluster, LOOK};
use crate::plan::TopicPlan;

/// How long partitions are waited for that may have no leader any more, if there are others.
const SILENCE_PATIENCE: Duration = Duration::from_secs(2);

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
    /// sync; what the topics lack that do not come so far. Once all that is missing `may_stay` so,
    /// it is not waited longer than a moment.
    pub async fn wait_until_whole(
        &self,
        deadline: Instant,
        may_stay: impl Fn(&Missing) -> bool,
    ) -> Missing {
        let patience = Instant::now() + SILENCE_PATIENCE;
        loop {
            let missing = self.lacks().await;
            if missing.is_empty() {
                return missing;
            }
            // A node that is gone for good explains more than what is missing because of it.
            if let Some(death) = self.first_death() {
                return self.all_lack(&death);
            }
            let now = Instant::now();
            if now >= deadline || now >= patience && may_stay(&missing) {
                return missing;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What topics lack at this moment.
    pub async fn lacks(&self) -> Missing {
        match self.observer.look().await {
            Ok(view) => view.lacks(&self.plan),
            Err(error) => self.all_lack(&error),
        }
    }

    fn all_lack(&self, reason: &str) -> Missing {
        let topics = self.plan.topics().into_iter();
        let lack = |topic: TopicPlan| (topic.name, reason.to_owned().into());
        topics.map(lack).collect()
    }
}
