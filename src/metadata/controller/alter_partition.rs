//! AlterPartition: the leader of a partition asks for another ISR.
//!
//! In: AlterPartition (56). Out: a partition change for each alteration that passes every check.
//! Invariants: the ISR holds only replicas whose broker is active in exactly the life that the
//! leader saw (KIP-841, KIP-903); a leader or a partition state of the past changes nothing.
//! Source: Kafka's `ReplicationControlManager.alterPartition`, `validateAlterPartitionData`; the
//! checks are made in its order.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::draft::Draft;
use super::election::{self, Loss};
use super::{ApiError, Controller, Decision};
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId};
use crate::offset::{BrokerEpoch, LeaderEpoch, Offset, PartitionEpoch};
use crate::replica::{LeaderRecoveryState, PartitionRegistration};

/// A broker asks to change the ISR of partitions that it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartition {
    /// The broker that asks.
    pub broker_id: BrokerId,
    /// The life of it that asks.
    pub broker_epoch: BrokerEpoch,
    /// What it asks for.
    pub alterations: Vec<PartitionAlteration>,
}

/// The ISR that a leader wants for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionAlteration {
    /// The partition's topic.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: i32,
    /// The epoch in which the broker leads.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch that the alteration starts from.
    pub partition_epoch: PartitionEpoch,
    /// The wanted ISR.
    pub isr: Vec<IsrMember>,
    /// Whether the leader has recovered from an unclean election.
    pub recovery_state: LeaderRecoveryState,
}

/// A member of a wanted ISR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsrMember {
    /// The broker.
    pub broker_id: BrokerId,
    /// The life of it that caught up.
    pub broker_epoch: BrokerEpoch,
}

/// The answer to one alteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredPartition {
    /// The partition's topic.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: i32,
    /// The partition's state now, or why it did not change.
    pub result: Result<Arc<PartitionRegistration>, ApiError>,
}

/// The answer to [`AlterPartition`]: one answer for each alteration, in order; or for all of them
/// `STALE_BROKER_EPOCH` or `BROKER_ID_NOT_REGISTERED`.
pub type AlterPartitionResponse = Result<Vec<AlteredPartition>, ApiError>;

impl Controller {
    /// Changes ISRs as their leaders ask.
    ///
    /// # Errors
    /// For one partition: `UNKNOWN_TOPIC_ID`, `UNKNOWN_TOPIC_OR_PARTITION`, `NOT_CONTROLLER`,
    /// `FENCED_LEADER_EPOCH`, `INVALID_REQUEST`, `INVALID_UPDATE_VERSION`, `INELIGIBLE_REPLICA`.
    pub fn handle_alter_partition(
        &mut self,
        next_offset: Offset,
        request: AlterPartition,
    ) -> Decision<AlterPartitionResponse> {
        let mut draft = self.draft(next_offset);
        if let Err(refusal) = self.check_broker_epoch(request.broker_id, request.broker_epoch) {
            let refusal = ApiError {
                code: ErrorCode::StaleBrokerEpoch,
                ..refusal
            };
            return self.decide(draft, Err(refusal));
        }
        let mut answers = Vec::with_capacity(request.alterations.len());
        for alteration in request.alterations {
            let (topic_id, partition) = (alteration.topic_id, alteration.partition);
            let result = alter(&mut draft, request.broker_id, alteration);
            answers.push(AlteredPartition {
                topic_id,
                partition,
                result,
            });
        }
        self.decide(draft, Ok(answers))
    }
}

fn alter(
    draft: &mut Draft,
    broker_id: BrokerId,
    alteration: PartitionAlteration,
) -> Result<Arc<PartitionRegistration>, ApiError> {
    let (topic_id, index) = (alteration.topic_id, alteration.partition);
    let Some(topic) = draft.image().topics().get(topic_id).cloned() else {
        return Err(ApiError::new(
            ErrorCode::UnknownTopicId,
            format!("no topic has the id {topic_id}"),
        ));
    };
    let Some(partition) = topic.partition(index) else {
        return Err(ApiError::new(
            ErrorCode::UnknownTopicOrPartition,
            format!("topic {} has no partition {index}", topic.name()),
        ));
    };
    check_leader(partition, broker_id, &alteration)?;
    check_isr(partition, broker_id, &alteration)?;
    for member in &alteration.isr {
        check_eligible(draft, partition, *member)?;
    }
    let wanted = |id: &BrokerId| alteration.isr.iter().any(|member| member.broker_id == *id);
    let isr = partition.replicas.iter().copied().filter(wanted).collect();
    let rules = draft.election_rules(topic.name(), Loss::Nothing);
    let mut elected = election::elect(partition, isr, &rules);
    elected.recovery_state = alteration.recovery_state;
    let change = elected.change(partition, index);
    draft.push_change(change);
    Ok(Arc::clone(draft.partition(topic_id, index)))
}

/// Whether the request comes from the leader, and from the partition's present.
fn check_leader(
    partition: &PartitionRegistration,
    broker_id: BrokerId,
    alteration: &PartitionAlteration,
) -> Result<(), ApiError> {
    let now = format!(
        "the partition is at leader epoch {} and partition epoch {}, the request at {} and {}",
        partition.leader_epoch,
        partition.partition_epoch,
        alteration.leader_epoch,
        alteration.partition_epoch
    );
    let is_ahead = alteration.leader_epoch > partition.leader_epoch
        || alteration.partition_epoch > partition.partition_epoch;
    let code = if is_ahead {
        ErrorCode::NotController
    } else if alteration.leader_epoch < partition.leader_epoch {
        ErrorCode::FencedLeaderEpoch
    } else if partition.leader != Some(broker_id) {
        ErrorCode::InvalidRequest
    } else if alteration.partition_epoch < partition.partition_epoch {
        ErrorCode::InvalidUpdateVersion
    } else {
        return Ok(());
    };
    Err(ApiError::new(code, now))
}

/// Whether the wanted ISR is one that the partition can have.
fn check_isr(
    partition: &PartitionRegistration,
    leader: BrokerId,
    alteration: &PartitionAlteration,
) -> Result<(), ApiError> {
    let refuse = |reason: String| Err(ApiError::new(ErrorCode::InvalidRequest, reason));
    let wanted: BTreeSet<_> = alteration
        .isr
        .iter()
        .map(|member| member.broker_id)
        .collect();
    if wanted.len() != alteration.isr.len() {
        return refuse("the wanted ISR names a broker twice".to_owned());
    }
    if let Some(stranger) = wanted.iter().find(|id| !partition.replicas.contains(id)) {
        return refuse(format!(
            "broker {stranger} has no replica, so it cannot be in the ISR"
        ));
    }
    if !wanted.contains(&leader) {
        return refuse(format!("the wanted ISR lacks the leader {leader}"));
    }
    let is_recovering = alteration.recovery_state == LeaderRecoveryState::Recovering;
    if is_recovering && wanted.len() > 1 {
        return refuse("a recovering leader has to be alone in the ISR".to_owned());
    }
    if is_recovering && partition.leader_recovery_state == LeaderRecoveryState::Recovered {
        return refuse("a recovered leader cannot return to recovering".to_owned());
    }
    Ok(())
}

/// Whether the broker is alive in the life that the leader saw (KIP-841, KIP-903), and has the
/// replica in a directory that is online (KIP-858).
fn check_eligible(
    draft: &Draft,
    partition: &PartitionRegistration,
    member: IsrMember,
) -> Result<(), ApiError> {
    let IsrMember {
        broker_id,
        broker_epoch,
    } = member;
    let brokers = draft.image().brokers();
    let reason = match brokers.get(broker_id) {
        None => "is not registered".to_owned(),
        Some(broker) if broker.fenced => "is fenced".to_owned(),
        Some(broker) if broker.in_controlled_shutdown => "is shutting down".to_owned(),
        Some(broker) if broker.broker_epoch != broker_epoch => {
            format!(
                "has epoch {}, the leader saw {broker_epoch}",
                broker.broker_epoch
            )
        }
        Some(_) if !brokers.is_replica_online(partition, broker_id) => {
            "has the replica in a log directory that is offline".to_owned()
        }
        Some(_) => return Ok(()),
    };
    Err(ApiError::new(
        ErrorCode::IneligibleReplica,
        format!("broker {broker_id} {reason}, so it cannot be in the ISR"),
    ))
}
