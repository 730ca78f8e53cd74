//! The order of an election, as a table; ElectLeaders and rebalancing.

use std::time::Duration;

use super::election::{ElectionRules, Loss, elect};
use super::fixture::{Cluster, config, ids};
use super::{Controller, ElectLeaders, ElectionKind};
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicPartition};
use crate::metadata::image::BrokersImage;
use crate::offset::NO_BROKER_EPOCH;
use crate::replica::{LeaderRecoveryState, PartitionRegistration};

struct Case {
    leader: Option<i32>,
    isr: &'static [i32],
    elr: &'static [i32],
    loss: Loss,
    active: &'static [i32],
    unclean: bool,
}

const CASE: Case = Case {
    leader: Some(1),
    isr: &[1, 2, 3],
    elr: &[],
    loss: Loss::Nothing,
    active: &[1, 2, 3],
    unclean: false,
};

/// Replicas 1, 2, 3 and min.insync.replicas 2: leader, ISR and ELR after the election.
fn check(case: Case, leader: Option<i32>, isr: &[i32], elr: &[i32]) {
    let partition = PartitionRegistration {
        replicas: ids(&[1, 2, 3]),
        isr: ids(case.isr),
        elr: ids(case.elr),
        leader: case.leader.map(BrokerId),
        ..PartitionRegistration::default()
    };
    let rules = ElectionRules {
        active: ids(case.active).into_iter().collect(),
        brokers: BrokersImage::default(),
        min_insync_replicas: 2,
        unclean: case.unclean,
        loss: case.loss,
    };
    let elected = elect(&partition, case.loss.survivors(&partition.isr), &rules);
    assert_eq!(elected.leader, leader.map(BrokerId));
    assert_eq!((elected.isr, elected.elr), (ids(isr), ids(elr)));
}

const FENCED_1: Loss = Loss::Fenced(BrokerId(1));
const UNCLEAN_1: Loss = Loss::UncleanShutdown(BrokerId(1));

#[test]
fn the_current_leader_stays_while_it_can() {
    check(
        Case {
            leader: Some(3),
            ..CASE
        },
        Some(3),
        &[1, 2, 3],
        &[],
    );
}

#[test]
fn then_the_isr_in_replica_order() {
    let case = Case {
        isr: &[3, 1, 2],
        loss: FENCED_1,
        active: &[2, 3],
        ..CASE
    };
    check(case, Some(2), &[3, 2], &[]);
    let case = Case {
        isr: &[1, 3],
        loss: FENCED_1,
        active: &[2, 3],
        ..CASE
    };
    check(case, Some(3), &[3], &[1]);
}

#[test]
fn kip966_then_the_elr_and_the_last_member_of_the_isr_becomes_eligible() {
    let case = Case {
        isr: &[1],
        elr: &[2, 3],
        loss: FENCED_1,
        active: &[3],
        ..CASE
    };
    check(case, Some(3), &[3], &[1, 2]);
}

#[test]
fn kip966_a_member_whose_log_may_be_short_is_no_longer_eligible() {
    let case = Case {
        isr: &[1],
        elr: &[2, 3],
        loss: UNCLEAN_1,
        active: &[3],
        ..CASE
    };
    check(case, Some(3), &[3], &[2]);
    let case = Case {
        leader: Some(2),
        isr: &[2],
        elr: &[1, 3],
        loss: UNCLEAN_1,
        ..CASE
    };
    check(case, Some(2), &[2], &[3]);
    let case = Case {
        isr: &[1],
        elr: &[2, 3],
        loss: UNCLEAN_1,
        active: &[],
        ..CASE
    };
    check(case, None, &[2], &[3]);
}

#[test]
fn kafka19522_a_last_member_that_is_fenced_does_not_lead() {
    let case = Case {
        isr: &[1],
        loss: FENCED_1,
        active: &[2, 3],
        ..CASE
    };
    check(case, None, &[1], &[]);
    let case = Case {
        leader: None,
        isr: &[1],
        active: &[2, 3],
        ..CASE
    };
    check(case, None, &[1], &[]);
    let case = Case {
        isr: &[1],
        loss: UNCLEAN_1,
        active: &[2, 3],
        ..CASE
    };
    check(case, None, &[1], &[]);
}

#[test]
fn anyone_alive_only_where_the_topic_allows_it() {
    let case = Case {
        isr: &[1],
        loss: FENCED_1,
        active: &[3],
        unclean: true,
        ..CASE
    };
    check(case, Some(3), &[3], &[1]);
    let case = Case {
        isr: &[1],
        loss: FENCED_1,
        active: &[],
        unclean: true,
        ..CASE
    };
    check(case, None, &[1], &[]);
}

fn elect_leaders(cluster: &mut Cluster, kind: ElectionKind, all: bool) -> Vec<Option<ErrorCode>> {
    let request = ElectLeaders {
        kind,
        partitions: (!all).then(|| vec![TopicPartition::new("t", 0)]),
    };
    let decision = cluster
        .controller
        .handle_elect_leaders(cluster.next_offset, request);
    let outcomes = cluster.take(decision);
    outcomes
        .into_iter()
        .map(|o| o.result.err().map(|refusal| refusal.code))
        .collect()
}

#[test]
fn kip460_a_preferred_election_returns_the_leadership() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2], &[]);
    let kind = ElectionKind::Preferred;
    assert_eq!(
        elect_leaders(&mut cluster, kind, false),
        [Some(ErrorCode::ElectionNotNeeded)]
    );
    assert_eq!(elect_leaders(&mut cluster, kind, true), []);
    cluster.fall_silent(&[1]);
    let unavailable = [Some(ErrorCode::PreferredLeaderNotAvailable)];
    assert_eq!(elect_leaders(&mut cluster, kind, false), unavailable);
    cluster.start(1, NO_BROKER_EPOCH);
    assert_eq!(elect_leaders(&mut cluster, kind, false), unavailable);
    cluster.alter(cluster.alteration(&[1, 2])).unwrap();
    assert_eq!(elect_leaders(&mut cluster, kind, false), [None]);
    assert_eq!(cluster.state().0, Some(1));
}

#[test]
fn kip460_an_unclean_election_is_held_on_demand() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2], &[]);
    let kind = ElectionKind::Unclean;
    assert_eq!(
        elect_leaders(&mut cluster, kind, false),
        [Some(ErrorCode::ElectionNotNeeded)]
    );
    cluster.alter(cluster.alteration(&[1])).unwrap();
    cluster.fall_silent(&[1]);
    assert_eq!(cluster.state(), (None, vec![1], vec![]));
    assert_eq!(elect_leaders(&mut cluster, kind, false), [None]);
    assert_eq!(cluster.state(), (Some(2), vec![2], vec![]));
    assert_eq!(
        cluster.partition().leader_recovery_state,
        LeaderRecoveryState::Recovering
    );
    cluster.fall_silent(&[1, 2]);
    let unavailable = [Some(ErrorCode::EligibleLeadersNotAvailable)];
    assert_eq!(elect_leaders(&mut cluster, kind, true), unavailable);
}

#[test]
fn leaderships_return_to_preferred_replicas_now_and_then() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2], &[]);
    cluster.fall_silent(&[1]);
    cluster.start(1, NO_BROKER_EPOCH);
    cluster.alter(cluster.alteration(&[1, 2])).unwrap();
    assert_eq!(cluster.state().0, Some(2));
    let rebalancing = super::ControllerConfig {
        rebalance_interval: Some(Duration::from_secs(1)),
        ..config()
    };
    let image = cluster.image().clone();
    cluster.controller = Controller::activate(cluster.now, rebalancing, image, [0; 32]);
    cluster.advance(999);
    assert_eq!(cluster.state().0, Some(2));
    cluster.advance(1);
    assert_eq!(cluster.state().0, Some(1));
}
