//! Replicas that a client chose itself for a new topic.
//!
//! In: an assignment as a client wrote it. Out: the replicas of each partition, or a refusal.
//! Invariants: partitions are numbered from 0 without gaps; a partition's replicas are on different
//! live brokers, and every partition has the same number of them.
//! Source: Kafka's `ReplicationControlManager.validateManualPartitionAssignment`.

use std::collections::{BTreeMap, BTreeSet};

use super::ApiError;
use super::draft::Draft;
use crate::error::ErrorCode;
use crate::id::BrokerId;

/// Checks an assignment and puts it in the order of the partitions.
///
/// # Errors
/// `INVALID_REPLICA_ASSIGNMENT`.
pub(super) fn check_assignment(
    draft: &Draft,
    assignments: &[(i32, Vec<BrokerId>)],
) -> Result<Vec<Vec<BrokerId>>, ApiError> {
    let by_index: BTreeMap<i32, &Vec<BrokerId>> = assignments
        .iter()
        .map(|(index, replicas)| (*index, replicas))
        .collect();
    let is_gapless = by_index.keys().copied().eq(0..assignments.len() as i32);
    if !is_gapless {
        return Err(bad_assignment(
            "the partitions have to be numbered from 0 without gaps",
        ));
    }
    let factor = by_index
        .values()
        .next()
        .map_or(0, |replicas| replicas.len());
    for replicas in by_index.values() {
        check_replicas(draft, replicas, factor)?;
    }
    Ok(by_index.into_values().cloned().collect())
}

/// Checks the replicas that a client chose for one partition (KAFKA-1653).
fn check_replicas(draft: &Draft, replicas: &[BrokerId], factor: usize) -> Result<(), ApiError> {
    if replicas.is_empty() || replicas.len() != factor {
        return Err(bad_assignment(
            "every partition needs the same number of replicas, above 0",
        ));
    }
    if replicas.iter().collect::<BTreeSet<_>>().len() != replicas.len() {
        return Err(bad_assignment("a broker is named twice for one partition"));
    }
    match replicas
        .iter()
        .find(|id| !draft.image().brokers().is_active(**id))
    {
        Some(id) => Err(bad_assignment(&format!("broker {id} is not a live broker"))),
        None => Ok(()),
    }
}

fn bad_assignment(reason: &str) -> ApiError {
    ApiError::new(
        ErrorCode::InvalidReplicaAssignment,
        format!("bad assignment: {reason}"),
    )
}
