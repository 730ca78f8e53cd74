//! What a member looks at by itself before it reads on: its session, its subscription, its topics.
//!
//! In: what the coordinator and the metadata said last. Out: alarms, and whether records may be
//! given out. Invariant: a consumer that was silent for the session timeout gives nothing out
//! before the coordinator has confirmed it. Source: Java's `rejoinNeededOrPending`.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::client::consumer::Consumer;
use crate::client::consumer::group::heartbeat::beat_once;
use crate::client::consumer::group::join::Watched;
use crate::client::consumer::group::state::{Alarm, NO_GENERATION};

/// How old metadata may get while a subscribed topic is unknown.
const UNKNOWN_AGE: Duration = Duration::from_secs(1);

impl Consumer {
    /// Whether the coordinator has said within the session timeout that this is a member; asks if
    /// not. A consumer that was frozen learns here that others may own its partitions by now.
    pub(super) async fn session_holds(&self) -> bool {
        let Some(group) = &self.group else {
            return true;
        };
        let (shared, config) = (group.shared(), &group.config);
        if !shared.is_in_doubt(Instant::now(), config.session_timeout) {
            return true;
        }
        if let Some((identity, _)) = shared.beating() {
            let coordinator = &group.committer.coordinator;
            beat_once(coordinator, shared, config, &identity).await;
        }
        !shared.is_in_doubt(Instant::now(), config.session_timeout) && shared.alarm().is_none()
    }

    /// Joins again when the subscription has changed, or, as the leader, when a topic has.
    pub(super) async fn watch_topics(&mut self, deadline: Instant) {
        let Some(group) = &mut self.group else {
            return;
        };
        let identity = group.identity();
        if !group.joining.is_empty() || identity.generation_id == NO_GENERATION {
            return;
        }
        if group.joined_topics != group.topics {
            group.shared().raise(&identity, Alarm::Rejoin);
        }
        let Some(watched) = &group.watched else {
            return;
        };
        let seen = self.cluster.generation();
        let now = Instant::now();
        if now >= group.next_refresh {
            let is_complete = watched.topics.len() == watched.counts.len();
            let max_age = self.config.metadata_max_age;
            group.next_refresh = now + max_age.min(if is_complete { max_age } else { UNKNOWN_AGE });
            let refresh = self.cluster.refresh(Some(&watched.topics), seen, false);
            if let Ok(Err(error)) = timeout_at(deadline, refresh).await {
                tracing::debug!(%error, "no metadata");
            }
        }
        let known = self.cluster.generation();
        if known == group.compared {
            return;
        }
        group.compared = known;
        if Watched::now(&self.cluster, watched.topics.clone()) != *watched {
            group.shared().raise(&identity, Alarm::Rejoin);
        }
    }
}
