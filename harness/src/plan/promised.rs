//! What of a plan the promises depend on: the settings in the history's first line.
//!
//! In: a plan. Out: the settings by which the checkers judge its run.
//! Invariant: what the plan leaves to the brokers has Kafka's default here, too.

use checkers::history::{Acks as HistoryAcks, FaultClass, GroupSettings, OffsetsTopic, Settings};

use crate::disk::rule::DiskAction;
use crate::nemesis::{FaultSpec, Target};
use crate::plan::disk::STALL_TIMEOUT;
use crate::plan::{ClusterPlan, GroupPlan, Plan, ScheduledFault, TopicPlan, tolerance};
use crate::run::faults::class;
use crate::worker::protocol::Acks;

/// `offsets.topic.replication.factor` where the plan does not say.
const OFFSETS_COPIES: u32 = 3;

/// `min.insync.replicas` of the brokers where the plan does not say.
const MIN_INSYNC: u32 = 1;

/// How long it may take until produce goes on at a new leader, from the moment on in which a
/// directory that hangs is given up.
const NEW_LEADER_MS: u64 = 2_000;

/// How long it may take until a partition acknowledges again once its log directory has space.
pub(crate) const FREED_MS: u64 = 5_000;

/// How many records may wait for their fsync.
pub(super) const FLUSH: &str = "log.flush.interval.messages";

impl Plan {
    /// The settings that the promises of a run of this plan depend on: those of its own topic.
    pub fn settings(&self) -> Settings {
        self.settings_of(&self.own_topic())
    }

    /// The settings that the promises about a topic of this plan depend on.
    pub fn settings_of(&self, topic: &TopicPlan) -> Settings {
        let (cluster, producer) = (&self.cluster, &self.workload.producer);
        let unclean = cluster.setting("unclean.leader.election.enable");
        Settings {
            acks: match topic.acks {
                Acks::Zero => HistoryAcks::Zero,
                Acks::One => HistoryAcks::One,
                Acks::All => HistoryAcks::All,
            },
            idempotence: topic.idempotence,
            max_in_flight: producer.max_in_flight as u32,
            replication_factor: topic.replication_factor as u32,
            min_insync_replicas: topic.min_insync_replicas as u32,
            unclean_leader_election: unclean == Some("true"),
            flush_every_message: cluster.flushes_every_message(),
            available_within_ms: self.available_within_ms(),
            controllers: Some(cluster.nodes),
            offset_gaps: false,
            group: self
                .workload
                .group
                .as_ref()
                .map(|group| group.settings(cluster)),
        }
    }
}

impl Plan {
    /// How long a partition may acknowledge nothing while the faults of the plan act. Only
    /// promised if no more brokers are down than are tolerated, or if one node's log directories
    /// hang at a time, and the others may go on without it: there are more copies than
    /// min.insync.replicas, and some other one is in sync; and the controllers keep a majority. A
    /// directory that is slow, but completes operations, is not given up, and how long it takes
    /// depends on how much it is asked for. A run of several topics is about losses, not about
    /// waiting.
    fn available_within_ms(&self) -> Option<u64> {
        if self.has_several_topics() {
            return None;
        }
        if let Some(bound) = tolerance::available_within_ms(self) {
            return Some(bound);
        }
        let hangs = |fault: &ScheduledFault| {
            let is_spared = !matches!(
                fault.what.target(),
                Target::All | Target::Followers { .. } | Target::OnlyReplicaInIsr
            );
            is_spared && class(&fault.what) == FaultClass::DiskStall && !is_slow(&fault.what)
        };
        if let Some(bound) = self.freed_within_ms() {
            return Some(bound);
        }
        let span = |fault: &ScheduledFault| {
            let heal_ms = fault.heal_ms(&self.cluster);
            (fault.at_ms, heal_ms.unwrap_or(u64::MAX))
        };
        let mut spans: Vec<(u64, u64)> = self.faults.iter().map(span).collect();
        spans.sort_unstable();
        let apart = |pair: &[(u64, u64)]| !matches!(pair, [first, second] if first.1 > second.0);
        let cluster = &self.cluster;
        let is_promised = !self.faults.is_empty()
            && tolerance::has_majority_without(cluster, 1)
            && cluster.replication_factor > cluster.min_insync_replicas
            && self.faults.iter().all(hangs)
            && spans.windows(2).all(apart);
        let timeout = self.cluster.setting(STALL_TIMEOUT)?.parse::<u64>().ok()?;
        is_promised.then_some(timeout + NEW_LEADER_MS)
    }
}

impl Plan {
    /// The longest that a partition may be silent while log directories fill up and are freed, and
    /// nothing else happens: as long as the longest fault, and what recovery takes by itself.
    fn freed_within_ms(&self) -> Option<u64> {
        let full = |fault: &ScheduledFault| class(&fault.what) == FaultClass::DiskFull;
        let mut spans: Vec<(u64, u64)> = self
            .faults
            .iter()
            .map(|fault| (fault.at_ms, fault.at_ms + fault.for_ms))
            .collect();
        spans.sort_unstable();
        // One that begins before everybody has recovered from the last makes one long silence.
        let apart =
            |pair: &[(u64, u64)]| !matches!(pair, [first, second] if first.1 + FREED_MS > second.0);
        let longest = self.faults.iter().map(|fault| fault.for_ms).max()?;
        let is_promised = self.faults.iter().all(full) && spans.windows(2).all(apart);
        is_promised.then_some(longest + FREED_MS)
    }
}

/// Whether the fault delays operations of a disk, each of which ends.
pub(super) fn is_slow(fault: &FaultSpec) -> bool {
    let slow = |action: &DiskAction| matches!(action, DiskAction::Slow { .. });
    matches!(fault, FaultSpec::Disk { rule, .. } if slow(&rule.action))
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

    #[test]
    fn a_disk_that_was_full_has_five_seconds_to_serve_again() {
        let profile = profile::find("disk-full").expect("a profile");
        for seed in 1..=30 {
            let mut plan = Plan::draw(seed, profile);
            let longest = plan.faults.iter().map(|fault| fault.for_ms).max();
            let within = longest.expect("a fault") + 5_000;
            assert_eq!(plan.settings().available_within_ms, Some(within), "{seed}");
            plan.faults.extend(Plan::draw(seed, profile).faults);
            assert_eq!(plan.settings().available_within_ms, None, "they overlap");
        }
        let full = crate::plan::script::named::find("disk-full-then-free").expect("a script");
        let plan = Plan::play(1, full);
        assert!(plan.settings().available_within_ms.is_some());
        assert!(plan.time.workload_ms > plan.last_heal_ms() + 5_000);
    }

    #[test]
    fn availability_is_promised_while_one_disk_hangs_and_nothing_else_happens() {
        let plan = |name| Plan::draw(3, profile::find(name).expect("a profile"));
        let mut hangs = plan("disk-stall");
        let timeout = hangs.cluster.setting(STALL_TIMEOUT).expect("drawn");
        let within = timeout.parse::<u64>().expect("a number") + 2_000;
        assert_eq!(hangs.settings().available_within_ms, Some(within));
        let mut slow = hangs.clone();
        for fault in &mut slow.faults {
            if let FaultSpec::Disk { rule, .. } = &mut fault.what {
                rule.action = DiskAction::Slow {
                    mean_ms: 60,
                    jitter_ms: 40,
                };
            }
        }
        assert_eq!(slow.settings().available_within_ms, None);
        let mut overlap = hangs.clone();
        overlap.faults.insert(0, overlap.faults[0].clone());
        assert_eq!(overlap.settings().available_within_ms, None);
        let mut no_spare_copy = hangs.clone();
        no_spare_copy.cluster.min_insync_replicas = no_spare_copy.cluster.replication_factor;
        assert_eq!(no_spare_copy.settings().available_within_ms, None);
        let mut nobody_else = hangs.clone();
        if let FaultSpec::Disk { target, .. } = &mut nobody_else.faults[0].what {
            *target = Target::OnlyReplicaInIsr;
        }
        assert_eq!(nobody_else.settings().available_within_ms, None);
        hangs.faults.extend(plan("kill").faults);
        assert_eq!(hangs.settings().available_within_ms, None);
        for other in ["none", "disk-error"] {
            assert_eq!(plan(other).settings().available_within_ms, None, "{other}");
        }
    }
}
