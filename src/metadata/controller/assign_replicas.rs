//! AssignReplicasToDirs: a broker says in which of its log directories its replicas lie.
//!
//! In: AssignReplicasToDirs (73). Out: a partition change for each replica that lies elsewhere than
//! the controller knew. Invariants: a replica whose log is lost leaves ISR and ELR unless it is the
//! last member that could be trusted, and then nobody leads; an empty log that takes the place of
//! a lost one is trusted with nothing, so the last in-sync replica cannot be replaced (KAFKA-16234)
//! unless the topic allows unclean elections.
//! Source: KIP-858, Kafka's `ReplicationControlManager.handleAssignReplicasToDirs`.

use uuid::Uuid;

use super::draft::Draft;
use super::election::{self, Loss};
use super::{ApiError, Controller, Decision};
use crate::error::ErrorCode;
use crate::id::{BrokerId, LOST_DIRECTORY, TopicId, UNASSIGNED_DIRECTORY};
use crate::metadata::record::{BrokerRegistration, PartitionChange};
use crate::offset::{BrokerEpoch, Offset};
use crate::replica::PartitionRegistration;

/// A broker says where its replicas lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignReplicas {
    /// The broker.
    pub broker_id: BrokerId,
    /// The life of it.
    pub broker_epoch: BrokerEpoch,
    /// Where each replica lies.
    pub replicas: Vec<ReplicaDirectory>,
}

/// Where one replica lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaDirectory {
    /// A registered directory of the broker, or [`LOST_DIRECTORY`].
    pub directory: Uuid,
    /// The partition's topic.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: i32,
}

/// The answer for one replica.
pub type AssignedReplica = (ReplicaDirectory, Result<(), ApiError>);

impl Controller {
    /// Takes note of where replicas lie; one answer for each, in order.
    ///
    /// # Errors
    /// For all: `STALE_BROKER_EPOCH`, `BROKER_ID_NOT_REGISTERED`. For one replica:
    /// `UNKNOWN_TOPIC_ID`, `UNKNOWN_TOPIC_OR_PARTITION`, `NOT_LEADER_OR_FOLLOWER`,
    /// `INVALID_REQUEST`; `INELIGIBLE_REPLICA` for the last in-sync replica, whose log is lost
    /// (retriable: another replica may come back).
    pub fn handle_assign_replicas(
        &mut self,
        next_offset: Offset,
        request: AssignReplicas,
    ) -> Decision<Result<Vec<AssignedReplica>, ApiError>> {
        let mut draft = self.draft(next_offset);
        let broker_id = request.broker_id;
        if let Err(refusal) = self.check_broker_epoch(broker_id, request.broker_epoch) {
            return self.decide(draft, Err(refusal));
        }
        let answers = request.replicas.into_iter().map(|replica| {
            let result = assign(&mut draft, broker_id, replica);
            (replica, result)
        });
        let answers = answers.collect();
        self.decide(draft, Ok(answers))
    }
}

fn assign(
    draft: &mut Draft,
    broker_id: BrokerId,
    replica: ReplicaDirectory,
) -> Result<(), ApiError> {
    let ReplicaDirectory {
        directory,
        topic_id,
        partition: index,
    } = replica;
    let refuse = |code, reason: String| Err(ApiError::new(code, reason));
    let Some(topic) = draft.image().topics().get(topic_id).cloned() else {
        let reason = format!("no topic has the id {topic_id}");
        return refuse(ErrorCode::UnknownTopicId, reason);
    };
    let Some(partition) = topic.partition(index) else {
        let reason = format!("topic {} has no partition {index}", topic.name());
        return refuse(ErrorCode::UnknownTopicOrPartition, reason);
    };
    if !partition.replicas.contains(&broker_id) {
        let reason = format!(
            "broker {broker_id} has no replica of {}-{index}",
            topic.name()
        );
        return refuse(ErrorCode::NotLeaderOrFollower, reason);
    }
    if partition.directory_of(broker_id) == directory {
        return Ok(());
    }
    let registration = draft.image().brokers().get(broker_id).cloned();
    let registration = registration.expect("invariant: the request's epoch was checked");
    let is_lost = directory == LOST_DIRECTORY;
    if !is_lost && !registration.directories.contains(&directory) {
        let reason = format!("broker {broker_id} has not registered the directory {directory}");
        return refuse(ErrorCode::InvalidRequest, reason);
    }
    let mut target = moved(partition, broker_id, directory);
    let loss = match () {
        () if is_lost => Loss::UncleanShutdown(broker_id),
        () if !registration.is_directory_online(directory) => Loss::Fenced(broker_id),
        () => Loss::Nothing,
    };
    let rules = draft.election_rules(topic.name(), loss);
    if !is_lost && is_replacement(&registration, partition) {
        let has_unclean_place = rules.unclean && rules.may_lead(&target, broker_id);
        if partition.isr == [broker_id] && !has_unclean_place {
            let reason = "the replica is the last in-sync one and its log is lost";
            return refuse(ErrorCode::IneligibleReplica, reason.to_owned());
        }
        target.isr.retain(|id| *id != broker_id);
        target.elr.retain(|id| *id != broker_id);
    }
    let isr = loss.survivors(&target.isr);
    let elected = election::elect(&target, isr, &rules);
    let change = elected.change(partition, index);
    draft.push_change(Some(PartitionChange {
        directories: Some(target.directories),
        ..change.unwrap_or_else(|| PartitionChange::new(topic_id, index))
    }));
    Ok(())
}

/// The partition with the broker's replica in `directory`.
fn moved(
    partition: &PartitionRegistration,
    broker_id: BrokerId,
    directory: Uuid,
) -> PartitionRegistration {
    let place = |id: &BrokerId| match *id {
        id if id == broker_id => directory,
        id => partition.directory_of(id),
    };
    PartitionRegistration {
        directories: partition.replicas.iter().map(place).collect(),
        ..partition.clone()
    }
}

/// Whether a replica that lies elsewhere now is another log than the one that was in sync: that
/// one was lost, or lies in a directory that the broker does not have any more.
fn is_replacement(registration: &BrokerRegistration, partition: &PartitionRegistration) -> bool {
    let directory = partition.directory_of(registration.broker_id);
    directory != UNASSIGNED_DIRECTORY && !registration.directories.contains(&directory)
}
