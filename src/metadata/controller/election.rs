//! Who leads a partition, and which replicas can be trusted to.
//!
//! In: a partition's registration, a target ISR, and the rules of the moment. Out: the partition's
//! next leader, ISR and ELR, and the record that gets it there.
//! Invariants: the leader is in the ISR; the ISR is never empty (its last member stays, without
//! leading, while nobody else has all committed records); ISR and ELR are disjoint; the ELR is
//! empty when the ISR has min.insync.replicas members.
//! Source: Kafka's `PartitionChangeBuilder` (KIP-966). Kafka empties the ISR when its last member
//! is fenced and keeps that member in the ELR; here it stays in the ISR, which elects the same
//! leaders and lets clients see where the data is. So `last_known_elr` is never needed.

use std::collections::BTreeSet;

use crate::id::BrokerId;
use crate::metadata::image::BrokersImage;
use crate::metadata::record::{LeaderChange, PartitionChange};
use crate::replica::{LeaderRecoveryState, PartitionRegistration};

/// What happens to a broker while an election is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// No broker is lost.
    Nothing,
    /// The broker is fenced or shuts down, or its directory is offline; its log is whole.
    Fenced(BrokerId),
    /// The broker came back from an unclean shutdown and the end of its log may be gone (KIP-966);
    /// or it says itself that the log is lost.
    UncleanShutdown(BrokerId),
}

impl Loss {
    /// The broker that is lost.
    pub(super) fn broker(self) -> Option<BrokerId> {
        match self {
            Self::Nothing => None,
            Self::Fenced(broker_id) | Self::UncleanShutdown(broker_id) => Some(broker_id),
        }
    }

    /// The broker whose log can no longer be trusted.
    fn untrusted(self) -> Option<BrokerId> {
        match self {
            Self::UncleanShutdown(broker_id) => Some(broker_id),
            Self::Nothing | Self::Fenced(_) => None,
        }
    }

    /// Whether the loss changes anything about `partition`.
    pub(super) fn concerns(self, partition: &PartitionRegistration) -> bool {
        let leads_or_follows = self
            .broker()
            .is_some_and(|id| partition.isr.contains(&id) || partition.leader == Some(id));
        let was_eligible = self
            .untrusted()
            .is_some_and(|id| partition.elr.contains(&id));
        leads_or_follows || was_eligible
    }

    /// `isr` without the broker that is lost.
    pub(super) fn survivors(self, isr: &[BrokerId]) -> Vec<BrokerId> {
        isr.iter()
            .copied()
            .filter(|id| self.broker() != Some(*id))
            .collect()
    }
}

/// The rules of one election.
#[derive(Clone, Debug)]
pub(super) struct ElectionRules {
    /// The brokers that may lead: registered, unfenced, not shutting down, not lost.
    pub(super) active: BTreeSet<BrokerId>,
    /// The topic's `min.insync.replicas`.
    pub(super) min_insync_replicas: usize,
    /// Whose log directories are online; a replica in another one may not lead.
    pub(super) brokers: BrokersImage,
    /// Whether a replica without all committed records may lead if no other can.
    pub(super) unclean: bool,
    /// What happens to a broker meanwhile.
    pub(super) loss: Loss,
}

impl ElectionRules {
    /// Whether `broker_id` could lead `partition` if its log were complete.
    pub(super) fn may_lead(&self, partition: &PartitionRegistration, broker_id: BrokerId) -> bool {
        self.active.contains(&broker_id) && self.brokers.is_replica_online(partition, broker_id)
    }
}

/// The state that an election leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elected {
    pub(super) leader: Option<BrokerId>,
    pub(super) isr: Vec<BrokerId>,
    pub(super) elr: Vec<BrokerId>,
    pub(super) recovery_state: LeaderRecoveryState,
}

/// Holds an election for `partition` among `isr`, which may be empty.
///
/// The order is: the current leader; the ISR in replica order; the ELR; anyone, if unclean.
pub(super) fn elect(
    partition: &PartitionRegistration,
    isr: Vec<BrokerId>,
    rules: &ElectionRules,
) -> Elected {
    let eligible = eligible(partition, rules);
    let choose = |is_complete: &dyn Fn(BrokerId) -> bool| {
        let mut candidates = partition.leader.iter().chain(&partition.replicas).copied();
        candidates.find(|id| rules.may_lead(partition, *id) && is_complete(*id))
    };
    let recovery_state = partition.leader_recovery_state;
    if let Some(leader) = choose(&|id| isr.contains(&id)) {
        return elected(partition, rules, Some(leader), isr, recovery_state);
    }
    if let Some(leader) = choose(&|id| eligible.contains(&id)) {
        return elected(partition, rules, Some(leader), vec![leader], recovery_state);
    }
    if rules.unclean
        && let Some(leader) = choose(&|_| true)
    {
        let recovering = LeaderRecoveryState::Recovering;
        return elected(partition, rules, Some(leader), vec![leader], recovering);
    }
    let isr = if isr.is_empty() {
        last_member(partition, &eligible, rules)
    } else {
        isr
    };
    elected(partition, rules, None, isr, recovery_state)
}

/// The members of the ELR that can still be trusted, in replica order.
fn eligible(partition: &PartitionRegistration, rules: &ElectionRules) -> Vec<BrokerId> {
    let trusted = |id: &BrokerId| rules.loss.untrusted() != Some(*id);
    let replicas = partition.replicas.iter().copied();
    replicas
        .filter(|id| partition.elr.contains(id) && trusted(id))
        .collect()
}

/// Who stays in the ISR when its last member is lost and nobody can lead.
///
/// The last member itself, unless its log can no longer be trusted while the log of a member of
/// the ELR can (KAFKA-18106).
fn last_member(
    partition: &PartitionRegistration,
    eligible: &[BrokerId],
    rules: &ElectionRules,
) -> Vec<BrokerId> {
    match (rules.loss.untrusted(), eligible.first()) {
        (Some(_), Some(trusted)) => vec![*trusted],
        _ => partition.isr.clone(),
    }
}

fn elected(
    partition: &PartitionRegistration,
    rules: &ElectionRules,
    leader: Option<BrokerId>,
    isr: Vec<BrokerId>,
    recovery_state: LeaderRecoveryState,
) -> Elected {
    let elr = if isr.len() >= rules.min_insync_replicas.min(partition.replicas.len()) {
        Vec::new()
    } else {
        let complete = |id: &BrokerId| {
            let was = partition.elr.contains(id) || partition.isr.contains(id);
            was && !isr.contains(id) && rules.loss.untrusted() != Some(*id)
        };
        partition
            .replicas
            .iter()
            .copied()
            .filter(complete)
            .collect()
    };
    Elected {
        leader,
        isr,
        elr,
        recovery_state,
    }
}

impl Elected {
    /// The record that takes `partition`, the one with this index, to this state; `None` if it is
    /// in it. The leader epoch grows if and only if the leader changes, not when the ISR shrinks
    /// (KAFKA-15021).
    pub(super) fn change(
        self,
        partition: &PartitionRegistration,
        index: i32,
    ) -> Option<PartitionChange> {
        let nothing = PartitionChange::new(partition.topic_id, index);
        let change = PartitionChange {
            isr: differs(self.isr, &partition.isr),
            elr: differs(self.elr, &partition.elr),
            recovery_state: differs(self.recovery_state, &partition.leader_recovery_state),
            leader: match self.leader {
                leader if leader == partition.leader => LeaderChange::Unchanged,
                Some(leader) => LeaderChange::Leader(leader),
                None => LeaderChange::NoLeader,
            },
            ..nothing.clone()
        };
        (change != nothing).then_some(change)
    }
}

fn differs<T: PartialEq>(target: T, current: &T) -> Option<T> {
    (target != *current).then_some(target)
}
