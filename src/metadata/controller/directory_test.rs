//! Log directories of brokers: failure, return, loss of a log, and another directory in place.

use uuid::Uuid;

use super::fixture::{Cluster, DIRECTORY, SESSION, code};
use super::{ApiError, AssignReplicas, BrokerHeartbeat, ReplicaDirectory};
use crate::error::ErrorCode;
use crate::id::{BrokerId, LOST_DIRECTORY, UNASSIGNED_DIRECTORY};
use crate::offset::NO_BROKER_EPOCH;

const FIRST: Uuid = Uuid::from_u128(0xa1);
const SECOND: Uuid = Uuid::from_u128(0xa2);

/// Brokers with two directories each, and topic `t` on all of them, in the second directory.
fn in_second(brokers: &[i32], configs: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.directories = vec![FIRST, SECOND];
    for id in brokers {
        cluster.start(*id, NO_BROKER_EPOCH);
    }
    cluster.topic_on(brokers, configs);
    for id in brokers {
        assign(&mut cluster, *id, SECOND).unwrap();
    }
    cluster
}

fn assign(cluster: &mut Cluster, id: i32, directory: Uuid) -> Result<(), ApiError> {
    let replica = ReplicaDirectory {
        directory,
        topic_id: cluster.partition().topic_id,
        partition: 0,
    };
    let request = AssignReplicas {
        broker_id: BrokerId(id),
        broker_epoch: cluster.epoch(id),
        replicas: vec![replica],
    };
    let next_offset = cluster.next_offset;
    let decision = cluster
        .controller
        .handle_assign_replicas(next_offset, request);
    cluster.take(decision).unwrap().remove(0).1
}

fn beat_without(cluster: &mut Cluster, id: i32, offline: &[Uuid]) {
    let request = BrokerHeartbeat {
        offline_directories: offline.to_vec(),
        ..cluster.heartbeat_of(id)
    };
    let response = cluster.heartbeat(request).unwrap();
    assert!(!response.is_fenced, "the broker itself is well");
}

#[test]
fn kip858_a_broker_with_one_directory_gets_its_replicas_there() {
    let mut cluster = Cluster::of(1);
    cluster.directories = vec![FIRST, SECOND];
    cluster.start(2, NO_BROKER_EPOCH);
    cluster.topic_on(&[1, 2], &[]);
    assert_eq!(
        cluster.partition().directories,
        [DIRECTORY, UNASSIGNED_DIRECTORY]
    );
}

#[test]
fn kip858_leaderships_leave_a_directory_that_is_offline_and_only_that() {
    let mut cluster = in_second(&[1, 2, 3], &[]);
    beat_without(&mut cluster, 1, &[FIRST]);
    assert_eq!(cluster.state(), (Some(1), vec![1, 2, 3], vec![]));
    let epoch = cluster.partition().leader_epoch;
    beat_without(&mut cluster, 1, &[SECOND]);
    assert_eq!(cluster.state(), (Some(2), vec![2, 3], vec![]));
    assert_eq!(cluster.partition().leader_epoch, epoch + 1);
    beat_without(&mut cluster, 1, &[SECOND]);
    assert_eq!(cluster.records, [], "told once");
    cluster.check_snapshot();
}

#[test]
fn kip858_a_replica_in_an_offline_directory_does_not_join_the_isr() {
    let mut cluster = in_second(&[1, 2], &[]);
    beat_without(&mut cluster, 2, &[SECOND]);
    let refused = cluster.alter(cluster.alteration(&[1, 2]));
    assert_eq!(code(refused), Some(ErrorCode::IneligibleReplica));
    beat_without(&mut cluster, 2, &[]);
    cluster.alter(cluster.alteration(&[1, 2])).unwrap();
}

#[test]
fn kip966_the_replica_in_an_offline_directory_stays_eligible_its_log_is_whole() {
    let mut cluster = in_second(&[1, 2, 3], &[("min.insync.replicas", "2")]);
    beat_without(&mut cluster, 1, &[SECOND]);
    beat_without(&mut cluster, 2, &[SECOND]);
    assert_eq!(cluster.state(), (Some(3), vec![3], vec![2]));
    beat_without(&mut cluster, 3, &[SECOND]);
    assert_eq!(cluster.state(), (None, vec![3], vec![2]));
    beat_without(&mut cluster, 2, &[]);
    assert_eq!(cluster.state(), (Some(2), vec![2], vec![3]));
}

#[test]
fn the_last_in_sync_replica_leads_again_when_its_directory_returns() {
    let mut cluster = in_second(&[1, 2], &[]);
    beat_without(&mut cluster, 2, &[SECOND]);
    beat_without(&mut cluster, 1, &[SECOND]);
    assert_eq!(cluster.state(), (None, vec![1], vec![]));
    beat_without(&mut cluster, 2, &[]);
    assert_eq!(cluster.state(), (None, vec![1], vec![]), "2 lacks records");
    let epoch = cluster.partition().leader_epoch;
    beat_without(&mut cluster, 1, &[]);
    assert_eq!(cluster.state(), (Some(1), vec![1], vec![]));
    assert_eq!(cluster.partition().leader_epoch, epoch + 1);
}

/// A controller that takes over knows of offline directories from the log, not from heartbeats.
#[test]
fn offline_directories_survive_a_change_of_the_controller() {
    let mut cluster = in_second(&[1, 2], &[]);
    beat_without(&mut cluster, 1, &[SECOND]);
    cluster.fail_over();
    cluster.check_snapshot();
    cluster.fall_silent(&[2]);
    beat_without(&mut cluster, 1, &[SECOND]);
    assert_eq!(cluster.state(), (None, vec![2], vec![]));
}

#[test]
fn kip858_a_lost_log_is_in_no_isr_and_no_elr() {
    let mut cluster = in_second(&[1, 2, 3], &[("min.insync.replicas", "2")]);
    assign(&mut cluster, 1, LOST_DIRECTORY).unwrap();
    assert_eq!(cluster.state(), (Some(2), vec![2, 3], vec![]));
    beat_without(&mut cluster, 3, &[SECOND]);
    assert_eq!(cluster.state(), (Some(2), vec![2], vec![3]));
    assign(&mut cluster, 3, LOST_DIRECTORY).unwrap();
    assert_eq!(cluster.state(), (Some(2), vec![2], vec![]));
    assign(&mut cluster, 1, FIRST).unwrap();
    assert_eq!(cluster.state(), (Some(2), vec![2], vec![]));
    cluster.alter(cluster.alteration(&[1, 2])).unwrap();
}

#[test]
fn kafka16234_the_last_in_sync_replica_is_not_replaced_by_an_empty_log() {
    let mut cluster = in_second(&[1, 2], &[]);
    beat_without(&mut cluster, 2, &[SECOND]);
    assign(&mut cluster, 1, LOST_DIRECTORY).unwrap();
    assert_eq!(cluster.state(), (None, vec![1], vec![]));
    let refused = assign(&mut cluster, 1, FIRST);
    assert_eq!(code(refused), Some(ErrorCode::IneligibleReplica));
    assert_eq!(cluster.state(), (None, vec![1], vec![]));
    // A reported directory that is gone altogether is no better than a lost log.
    let mut cluster = in_second(&[1], &[]);
    cluster.advance(SESSION.as_millis() as u64 + 1);
    cluster.directories = vec![FIRST];
    cluster.start(1, NO_BROKER_EPOCH);
    assert_eq!(cluster.state(), (None, vec![1], vec![]));
    let refused = assign(&mut cluster, 1, FIRST);
    assert_eq!(code(refused), Some(ErrorCode::IneligibleReplica));
}

#[test]
fn an_empty_log_takes_the_place_of_a_lost_one_where_the_topic_allows_it() {
    let mut cluster = in_second(&[1], &[("unclean.leader.election.enable", "true")]);
    assign(&mut cluster, 1, LOST_DIRECTORY).unwrap();
    assert_eq!(cluster.state(), (None, vec![1], vec![]));
    assign(&mut cluster, 1, FIRST).unwrap();
    assert_eq!(cluster.state(), (Some(1), vec![1], vec![]));
}

#[test]
fn kip858_replicas_in_a_directory_that_did_not_open_are_offline() {
    let mut cluster = in_second(&[1, 2], &[]);
    cluster.fall_silent(&[1]);
    cluster.directories = vec![FIRST];
    cluster.start(1, NO_BROKER_EPOCH);
    let refused = cluster.alter(cluster.alteration(&[1, 2]));
    assert_eq!(code(refused), Some(ErrorCode::IneligibleReplica));
    cluster.fall_silent(&[1, 2]);
    cluster.directories = vec![FIRST, SECOND];
    cluster.start(1, NO_BROKER_EPOCH);
    assert_eq!(cluster.state(), (None, vec![2], vec![]));
    cluster.start(2, NO_BROKER_EPOCH);
    assert_eq!(cluster.state(), (Some(2), vec![2], vec![]));
}

#[test]
fn a_directory_that_opens_late_is_registered_as_offline_and_leads_when_it_is_back() {
    let mut cluster = in_second(&[1], &[]);
    cluster.fall_silent(&[1]);
    cluster.directories = vec![FIRST];
    cluster.start(1, NO_BROKER_EPOCH);
    assert_eq!(cluster.state(), (None, vec![1], vec![]));
    beat_without(&mut cluster, 1, &[SECOND, LOST_DIRECTORY]);
    assert_eq!(cluster.state(), (None, vec![1], vec![]));
    beat_without(&mut cluster, 1, &[]);
    assert_eq!(cluster.state(), (Some(1), vec![1], vec![]));
    let registration = cluster.image().brokers().get(BrokerId(1)).unwrap();
    assert_eq!(registration.directories, [FIRST, SECOND]);
}

#[test]
fn assignments_that_cannot_be_are_refused_one_by_one() {
    let mut cluster = in_second(&[1, 2], &[]);
    let strange = assign(&mut cluster, 1, Uuid::from_u128(0xff));
    assert_eq!(code(strange), Some(ErrorCode::InvalidRequest));
    cluster.start(3, NO_BROKER_EPOCH);
    let stranger = assign(&mut cluster, 3, FIRST);
    assert_eq!(code(stranger), Some(ErrorCode::NotLeaderOrFollower));
    let stale = AssignReplicas {
        broker_id: BrokerId(1),
        broker_epoch: cluster.epoch(1) - 1,
        replicas: Vec::new(),
    };
    let next_offset = cluster.next_offset;
    let decision = cluster
        .controller
        .handle_assign_replicas(next_offset, stale);
    assert_eq!(
        code(cluster.take(decision)),
        Some(ErrorCode::StaleBrokerEpoch)
    );
}
