//! The table of checks that AlterPartition makes, in order, and what a change does.

use super::fixture::{Cluster, code};
use super::{AlterPartition, BrokerHeartbeat, PartitionAlteration};
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId};
use crate::offset::NO_BROKER_EPOCH;
use crate::replica::LeaderRecoveryState;

/// Three brokers, topic `t` on all of them, leader 1, ISR of 1 and 2 at partition epoch 1.
fn cluster() -> Cluster {
    let mut cluster = Cluster::of(4);
    cluster.topic_on(&[1, 2, 3], &[("min.insync.replicas", "2")]);
    cluster.alter(cluster.alteration(&[1, 2])).unwrap();
    cluster
}

fn check(edit: impl Fn(&mut PartitionAlteration), expected: Option<ErrorCode>) {
    let mut cluster = cluster();
    let mut request = cluster.alteration(&[1, 2, 3]);
    edit(&mut request.alterations[0]);
    let before = cluster.partition().clone();
    assert_eq!(code(cluster.alter(request)), expected);
    assert_eq!(cluster.partition() == &before, expected.is_some());
}

#[test]
fn the_table_of_checks() {
    check(|_| {}, None);
    check(
        |a| a.topic_id = TopicId::ZERO,
        Some(ErrorCode::UnknownTopicId),
    );
    check(
        |a| a.partition = 1,
        Some(ErrorCode::UnknownTopicOrPartition),
    );
    check(
        |a| a.partition = -1,
        Some(ErrorCode::UnknownTopicOrPartition),
    );
    check(|a| a.leader_epoch += 1, Some(ErrorCode::NotController));
    check(|a| a.partition_epoch += 1, Some(ErrorCode::NotController));
    check(|a| a.leader_epoch -= 1, Some(ErrorCode::FencedLeaderEpoch));
    check(|a| a.isr.swap(0, 2), None);
    check(
        |a| a.isr.retain(|member| member.broker_id.0 != 1),
        Some(ErrorCode::InvalidRequest),
    );
    check(|a| a.isr.push(a.isr[1]), Some(ErrorCode::InvalidRequest));
    check(
        |a| a.isr[2].broker_id = BrokerId(4),
        Some(ErrorCode::InvalidRequest),
    );
    check(
        |a| a.recovery_state = LeaderRecoveryState::Recovering,
        Some(ErrorCode::InvalidRequest),
    );
    check(
        |a| {
            a.isr.truncate(1);
            a.recovery_state = LeaderRecoveryState::Recovering;
        },
        Some(ErrorCode::InvalidRequest),
    );
}

#[test]
fn kafka12686_an_alteration_of_an_older_partition_epoch_is_refused() {
    check(
        |a| a.partition_epoch -= 1,
        Some(ErrorCode::InvalidUpdateVersion),
    );
}

#[test]
fn kip903_a_replica_of_an_earlier_life_is_ineligible() {
    check(
        |a| a.isr[2].broker_epoch -= 1,
        Some(ErrorCode::IneligibleReplica),
    );
    check(
        |a| a.isr[2].broker_epoch = NO_BROKER_EPOCH,
        Some(ErrorCode::IneligibleReplica),
    );
}

#[test]
fn kip903_a_replica_that_restarted_while_the_request_travelled_is_ineligible() {
    let mut cluster = cluster();
    let request = cluster.alteration(&[1, 2, 3]);
    cluster.fall_silent(&[3]);
    cluster.start(3, NO_BROKER_EPOCH);
    assert_eq!(
        code(cluster.alter(request)),
        Some(ErrorCode::IneligibleReplica)
    );
    assert_eq!(cluster.state(), (Some(1), vec![1, 2], vec![]));
}

#[test]
fn kip841_a_fenced_replica_is_ineligible() {
    let mut cluster = cluster();
    let request = cluster.alteration(&[1, 2, 3]);
    cluster.fall_silent(&[3]);
    assert_eq!(
        code(cluster.alter(request)),
        Some(ErrorCode::IneligibleReplica)
    );
}

#[test]
fn kafka14140_a_replica_that_shuts_down_is_ineligible() {
    let mut cluster = Cluster::of(3);
    cluster.topic_on(&[1, 2, 3], &[]);
    let more = super::NewTopic {
        name: "led-by-3".to_owned(),
        partitions: -1,
        replication_factor: -1,
        assignments: vec![(0, vec![BrokerId(3), BrokerId(1)])],
        configs: Vec::new(),
    };
    cluster.create(more).unwrap();
    let stop = BrokerHeartbeat {
        wants_shutdown: true,
        ..cluster.heartbeat_of(3)
    };
    assert!(!cluster.heartbeat(stop).unwrap().should_shut_down);
    let request = cluster.alteration(&[1, 2, 3]);
    assert_eq!(
        code(cluster.alter(request)),
        Some(ErrorCode::IneligibleReplica)
    );
}

#[test]
fn only_the_leader_is_heard() {
    let mut cluster = cluster();
    let request = AlterPartition {
        broker_id: BrokerId(2),
        broker_epoch: cluster.epoch(2),
        ..cluster.alteration(&[1, 2])
    };
    assert_eq!(
        code(cluster.alter(request)),
        Some(ErrorCode::InvalidRequest)
    );
}

#[test]
fn kafka15021_a_shrinking_isr_leaves_the_leader_epoch_alone() {
    let mut cluster = cluster();
    let before = cluster.partition().clone();
    let after = cluster.alter(cluster.alteration(&[1])).unwrap();
    assert_eq!(after.leader_epoch, before.leader_epoch);
    assert_eq!(after.partition_epoch, before.partition_epoch + 1);
}

#[test]
fn kip966_replicas_that_leave_a_short_isr_stay_eligible_until_it_is_full() {
    let mut cluster = cluster();
    cluster.alter(cluster.alteration(&[1])).unwrap();
    assert_eq!(cluster.state(), (Some(1), vec![1], vec![2]));
    cluster.alter(cluster.alteration(&[1, 3])).unwrap();
    assert_eq!(cluster.state(), (Some(1), vec![1, 3], vec![]));
}

#[test]
fn the_same_isr_again_is_a_success_that_changes_nothing() {
    let mut cluster = cluster();
    let same = cluster.alter(cluster.alteration(&[2, 1])).unwrap();
    assert!(cluster.records.is_empty());
    assert_eq!(&*same, cluster.partition());
}

#[test]
fn an_unclean_leader_recovers_alone_first() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2], &[("unclean.leader.election.enable", "true")]);
    cluster.alter(cluster.alteration(&[1])).unwrap();
    cluster.fall_silent(&[1]);
    assert_eq!(cluster.state(), (Some(2), vec![2], vec![]));
    assert_eq!(
        cluster.partition().leader_recovery_state,
        LeaderRecoveryState::Recovering
    );
    cluster.start(1, NO_BROKER_EPOCH);
    let mut request = cluster.alteration(&[2, 1]);
    request.alterations[0].recovery_state = LeaderRecoveryState::Recovering;
    assert_eq!(
        code(cluster.alter(request)),
        Some(ErrorCode::InvalidRequest)
    );
    let after = cluster.alter(cluster.alteration(&[2])).unwrap();
    assert_eq!(after.leader_recovery_state, LeaderRecoveryState::Recovered);
    assert!(cluster.alter(cluster.alteration(&[2, 1])).is_ok());
}
