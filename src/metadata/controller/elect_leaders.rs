//! ElectLeaders: an operator moves leadership to the preferred replica, or forces an election.
//!
//! In: ElectLeaders (43). Out: a partition change for each election that succeeds.
//! Invariant: only an unclean election, asked for by name, gives the leadership to a replica that
//! may lack committed records. Source: Kafka's `ReplicationControlManager.electLeaders` (KIP-460).

use std::sync::Arc;

use super::draft::Draft;
use super::election::{self, ElectionRules, Loss};
use super::{ApiError, Controller, Decision};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::metadata::record::{LeaderChange, PartitionChange};
use crate::offset::Offset;
use crate::replica::PartitionRegistration;

/// The most leaderships that one rebalancing moves; bounds the batch of records.
const MOVES_MAX: usize = 1000;

/// Which leader is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionKind {
    /// The first replica, if it is in the ISR and alive.
    Preferred,
    /// Anyone alive, for partitions without a leader; may lose committed records.
    Unclean,
}

/// An operator asks for elections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectLeaders {
    /// Which leader is wanted.
    pub kind: ElectionKind,
    /// For which partitions; `None` for all, without answers where no election is needed.
    pub partitions: Option<Vec<TopicPartition>>,
}

/// The answer for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionOutcome {
    /// The partition.
    pub partition: TopicPartition,
    /// Nothing, or why no leader was elected.
    pub result: Result<(), ApiError>,
}

impl Controller {
    /// Holds elections.
    ///
    /// # Errors
    /// For one partition: `UNKNOWN_TOPIC_OR_PARTITION`, `ELECTION_NOT_NEEDED`,
    /// `PREFERRED_LEADER_NOT_AVAILABLE`, `ELIGIBLE_LEADERS_NOT_AVAILABLE`.
    pub fn handle_elect_leaders(
        &mut self,
        next_offset: Offset,
        request: ElectLeaders,
    ) -> Decision<Vec<ElectionOutcome>> {
        let mut draft = self.draft(next_offset);
        let wants_all = request.partitions.is_none();
        let partitions = request.partitions.unwrap_or_else(|| all_partitions(&draft));
        let mut outcomes = Vec::new();
        for partition in partitions {
            let result = elect_one(&mut draft, &partition, request.kind);
            let is_needless = matches!(
                &result,
                Err(ApiError {
                    code: ErrorCode::ElectionNotNeeded,
                    ..
                })
            );
            if !(wants_all && is_needless) {
                outcomes.push(ElectionOutcome { partition, result });
            }
        }
        self.decide(draft, outcomes)
    }
}

/// Gives every partition that can have it back to its preferred leader, within reason.
pub(super) fn rebalance(draft: &mut Draft) {
    let mut moved = 0;
    for partition in all_partitions(draft) {
        moved += usize::from(elect_one(draft, &partition, ElectionKind::Preferred).is_ok());
        if moved == MOVES_MAX {
            break;
        }
    }
}

fn all_partitions(draft: &Draft) -> Vec<TopicPartition> {
    let mut all = Vec::new();
    for topic in draft.image().topics().iter() {
        let name = |(index, _)| TopicPartition::new(Arc::clone(topic.name()), index);
        all.extend(topic.partitions().map(name));
    }
    all
}

fn elect_one(
    draft: &mut Draft,
    wanted: &TopicPartition,
    kind: ElectionKind,
) -> Result<(), ApiError> {
    let topic = draft.image().topics().named(&wanted.topic);
    let Some(partition) = topic
        .and_then(|topic| topic.partition(wanted.partition))
        .cloned()
    else {
        let message = format!("partition {wanted} does not exist");
        return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message));
    };
    let rules = draft.election_rules(&wanted.topic, Loss::Nothing);
    let change = match kind {
        ElectionKind::Preferred => preferred(wanted, &partition, &rules)?,
        ElectionKind::Unclean => unclean(wanted, &partition, rules)?,
    };
    draft.push_change(Some(change));
    Ok(())
}

fn not_needed(wanted: &TopicPartition) -> ApiError {
    let message = format!("partition {wanted} has the wanted leader");
    ApiError::new(ErrorCode::ElectionNotNeeded, message)
}

fn preferred(
    wanted: &TopicPartition,
    partition: &PartitionRegistration,
    rules: &ElectionRules,
) -> Result<PartitionChange, ApiError> {
    let first = partition.replicas.first().copied();
    if first == partition.leader {
        return Err(not_needed(wanted));
    }
    match first.filter(|id| partition.isr.contains(id) && rules.may_lead(partition, *id)) {
        Some(leader) => Ok(PartitionChange {
            leader: LeaderChange::Leader(leader),
            ..PartitionChange::new(partition.topic_id, wanted.partition)
        }),
        None => Err(ApiError::new(
            ErrorCode::PreferredLeaderNotAvailable,
            format!("the preferred leader of {wanted} is not alive or not in sync"),
        )),
    }
}

fn unclean(
    wanted: &TopicPartition,
    partition: &PartitionRegistration,
    rules: ElectionRules,
) -> Result<PartitionChange, ApiError> {
    if partition.leader.is_some() {
        return Err(not_needed(wanted));
    }
    let rules = ElectionRules {
        unclean: true,
        ..rules
    };
    let elected = election::elect(partition, partition.isr.clone(), &rules);
    if elected.leader.is_none() {
        return Err(ApiError::new(
            ErrorCode::EligibleLeadersNotAvailable,
            format!("no replica of {wanted} is alive"),
        ));
    }
    let change = elected.change(partition, wanted.partition);
    Ok(change.expect("invariant: the partition had no leader and has one now"))
}
