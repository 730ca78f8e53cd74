//! What of a plan the promises depend on: the settings in the history's first line.
//!
//! In: a plan. Out: the settings by which the checkers judge its run.
//! Invariant: what the plan leaves to the brokers has Kafka's default here, too.

use checkers::history::{Acks as HistoryAcks, GroupSettings, OffsetsTopic, Settings};

use crate::plan::{ClusterPlan, GroupPlan, Plan};
use crate::worker::protocol::Acks;

/// `offsets.topic.replication.factor` where the plan does not say.
const OFFSETS_COPIES: u32 = 3;

/// `min.insync.replicas` of the brokers where the plan does not say.
const MIN_INSYNC: u32 = 1;

/// How many records may wait for their fsync.
pub(super) const FLUSH: &str = "log.flush.interval.messages";

impl Plan {
    /// The settings that the promises of a run of this plan depend on.
    pub fn settings(&self) -> Settings {
        let (cluster, producer) = (&self.cluster, &self.workload.producer);
        let unclean = cluster.setting("unclean.leader.election.enable");
        Settings {
            acks: match producer.acks {
                Acks::Zero => HistoryAcks::Zero,
                Acks::One => HistoryAcks::One,
                Acks::All => HistoryAcks::All,
            },
            idempotence: producer.idempotence,
            max_in_flight: producer.max_in_flight as u32,
            replication_factor: cluster.replication_factor as u32,
            min_insync_replicas: cluster.min_insync_replicas as u32,
            unclean_leader_election: unclean == Some("true"),
            flush_every_message: cluster.flushes_every_message(),
            offset_gaps: false,
            group: self
                .workload
                .group
                .as_ref()
                .map(|group| group.settings(cluster)),
        }
    }
}

impl GroupPlan {
    fn settings(&self, cluster: &ClusterPlan) -> GroupSettings {
        let number = |key, default| {
            let value = cluster.setting(key).and_then(|value| value.parse().ok());
            value.unwrap_or(default)
        };
        GroupSettings {
            mode: self.mode,
            auto_commit_interval_ms: self.auto_commit_interval_ms,
            reset: self.reset,
            session_timeout_ms: self.session_timeout_ms,
            max_poll_interval_ms: self.max_poll_interval_ms,
            assignors: self.assignors.clone(),
            offsets_topic: Some(OffsetsTopic {
                replication_factor: number("offsets.topic.replication.factor", OFFSETS_COPIES),
                min_insync_replicas: number("min.insync.replicas", MIN_INSYNC),
                flush_every_message: cluster.flushes_every_message(),
            }),
        }
    }
}

impl ClusterPlan {
    /// The brokers' setting called `key`, if the plan names it.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.broker_settings.get(key).map(String::as_str)
    }

    /// Whether the brokers acknowledge only what is fsynced.
    pub fn flushes_every_message(&self) -> bool {
        self.setting(FLUSH) == Some("1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::profile;

    #[test]
    fn the_header_knows_the_flush_policy_of_both_topics() {
        let group = profile::find("group").expect("a profile");
        let mut plan = Plan::draw(1, group);
        let topics = |plan: &Plan| {
            let settings = plan.settings();
            let offsets = settings.group.and_then(|group| group.offsets_topic);
            (settings.flush_every_message, offsets.expect("a topic"))
        };
        let (every, offsets) = topics(&plan);
        assert!(!every && !offsets.flush_every_message);
        assert_eq!(
            (offsets.replication_factor, offsets.min_insync_replicas),
            (3, 2)
        );
        let settings = &mut plan.cluster.broker_settings;
        settings.insert(FLUSH.to_owned(), "1".to_owned());
        let (every, offsets) = topics(&plan);
        assert!(every && offsets.flush_every_message);
        let settings = &mut plan.cluster.broker_settings;
        settings.insert(FLUSH.to_owned(), "100".to_owned());
        assert!(!topics(&plan).0, "99 acknowledged records may be lost");
    }
}
