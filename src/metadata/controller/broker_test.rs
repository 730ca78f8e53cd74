//! Registration, heartbeats, fencing, and controlled shutdown.

use uuid::Uuid;

use super::fixture::{Cluster, SESSION, code, ids};
use super::{AllocateProducerIds, BrokerHeartbeat, NewTopic};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::metadata::record::MetadataRecord;
use crate::offset::NO_BROKER_EPOCH;

#[test]
fn the_epoch_is_the_offset_of_the_registration_and_a_broker_begins_fenced() {
    let mut cluster = Cluster::new();
    let epoch = cluster.register(1, NO_BROKER_EPOCH).unwrap();
    assert_eq!(epoch, cluster.next_offset - 1);
    let MetadataRecord::RegisterBroker(registration) = &cluster.records[0] else {
        panic!()
    };
    assert_eq!(
        (registration.broker_epoch, registration.fenced),
        (epoch, true)
    );
}

#[test]
fn another_cluster_and_senseless_registrations_are_refused() {
    let mut cluster = Cluster::new();
    let mut request = super::RegisterBroker {
        broker_id: BrokerId(1),
        cluster_id: "other".to_owned(),
        incarnation_id: Uuid::from_u128(1),
        endpoints: Vec::new(),
        rack: None,
        directories: Vec::new(),
        previous_broker_epoch: NO_BROKER_EPOCH,
    };
    let decision = cluster
        .controller
        .handle_broker_registration(cluster.now, 0, request.clone());
    let refusal = cluster.take(decision).unwrap_err();
    assert_eq!(
        refusal.message,
        "broker 1 belongs to cluster other, this is cluster c"
    );
    assert_eq!(refusal.code, ErrorCode::InconsistentClusterId);
    request.cluster_id = "c".to_owned();
    let decision = cluster
        .controller
        .handle_broker_registration(cluster.now, 0, request);
    assert_eq!(
        code(cluster.take(decision)),
        Some(ErrorCode::InvalidRegistration)
    );
}

#[test]
fn the_same_process_keeps_its_epoch_another_waits_for_the_session_to_lapse() {
    let mut cluster = Cluster::new();
    let incarnation = Uuid::from_u128(1 << 80);
    let epoch = cluster
        .register_as(1, NO_BROKER_EPOCH, incarnation)
        .unwrap();
    cluster.beat(1);
    assert_eq!(
        cluster.register_as(1, NO_BROKER_EPOCH, incarnation),
        Ok(epoch)
    );
    assert!(cluster.records.is_empty());
    let other = cluster.register(1, NO_BROKER_EPOCH);
    assert_eq!(code(other), Some(ErrorCode::DuplicateBrokerRegistration));
    cluster.advance(SESSION.as_millis() as u64);
    assert!(cluster.register(1, NO_BROKER_EPOCH).unwrap() > epoch);
}

#[test]
fn a_session_that_a_new_controller_inherited_keeps_no_restart_waiting() {
    let mut cluster = Cluster::of(1);
    cluster.fail_over();
    assert!(cluster.register(1, NO_BROKER_EPOCH).is_ok());
}

#[test]
fn m53_a_broker_unfences_only_when_it_has_seen_its_own_registration() {
    let mut cluster = Cluster::new();
    let epoch = cluster.register(1, NO_BROKER_EPOCH).unwrap();
    let behind = BrokerHeartbeat {
        metadata_offset: epoch - 1,
        ..cluster.heartbeat_of(1)
    };
    let response = cluster.heartbeat(behind).unwrap();
    assert!(response.is_fenced && !response.is_caught_up);
    let wants_fence = BrokerHeartbeat {
        wants_fence: true,
        ..cluster.heartbeat_of(1)
    };
    assert!(cluster.heartbeat(wants_fence).unwrap().is_fenced);
    let response = cluster.beat(1);
    assert!(!response.is_fenced && response.is_caught_up && !response.should_shut_down);
}

#[test]
fn kip380_requests_of_an_earlier_life_are_stale() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2], &[]);
    let (beat, alter) = (cluster.heartbeat_of(1), cluster.alteration(&[1]));
    let ids = AllocateProducerIds {
        broker_id: BrokerId(1),
        broker_epoch: cluster.epoch(1),
    };
    cluster.fall_silent(&[1]);
    cluster.start(1, NO_BROKER_EPOCH);
    assert_eq!(
        code(cluster.heartbeat(beat)),
        Some(ErrorCode::StaleBrokerEpoch)
    );
    assert_eq!(
        code(cluster.alter(alter)),
        Some(ErrorCode::StaleBrokerEpoch)
    );
    let decision = cluster
        .controller
        .handle_allocate_producer_ids(cluster.next_offset, ids);
    assert_eq!(
        code(cluster.take(decision)),
        Some(ErrorCode::StaleBrokerEpoch)
    );
    let stranger = BrokerHeartbeat {
        broker_id: BrokerId(9),
        ..cluster.heartbeat_of(1)
    };
    assert_eq!(
        code(cluster.heartbeat(stranger)),
        Some(ErrorCode::BrokerIdNotRegistered)
    );
}

#[test]
fn silence_fences_one_broker_an_event_and_moves_its_leaderships() {
    let mut cluster = Cluster::of(3);
    cluster.topic_on(&[1, 2, 3], &[]);
    cluster.fall_silent(&[1]);
    assert_eq!(cluster.state(), (Some(2), vec![2, 3], vec![]));
    assert!(cluster.image().brokers().get(BrokerId(1)).unwrap().fenced);

    cluster.now.time = cluster.now.time + SESSION + SESSION;
    let decision = cluster
        .controller
        .handle_timeout(cluster.now, cluster.next_offset);
    cluster.take(decision);
    let fenced = cluster
        .image()
        .brokers()
        .iter()
        .filter(|broker| broker.fenced)
        .count();
    assert_eq!(fenced, 2);
    assert!(cluster.controller.next_timeout().unwrap() <= cluster.now.time);
}

#[test]
fn a_new_controller_gives_every_broker_a_fresh_session() {
    let mut cluster = Cluster::of(2);
    cluster.advance(SESSION.as_millis() as u64 - 1);
    cluster.fail_over();
    cluster.advance(SESSION.as_millis() as u64 - 1);
    assert!(
        cluster
            .image()
            .brokers()
            .iter()
            .all(|broker| !broker.fenced)
    );
    cluster.advance(1);
    assert!(cluster.image().brokers().iter().all(|broker| broker.fenced));
}

#[test]
fn the_last_member_of_the_isr_stays_in_it_and_leads_again() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2], &[]);
    cluster.fall_silent(&[1]);
    cluster.fall_silent(&[1, 2]);
    assert_eq!(cluster.state(), (None, vec![2], vec![]));
    cluster.start(1, NO_BROKER_EPOCH);
    assert_eq!(cluster.state(), (None, vec![2], vec![]));
    let epoch = cluster.partition().leader_epoch;
    cluster.start(2, NO_BROKER_EPOCH);
    assert_eq!(cluster.state(), (Some(2), vec![2], vec![]));
    assert_eq!(cluster.partition().leader_epoch, epoch + 1);
}

#[test]
fn kafka18106_an_unclean_restart_leaves_every_isr_where_others_remain() {
    let mut cluster = Cluster::of(3);
    cluster.topic_on(&[1, 2, 3], &[]);
    cluster.fail_over();
    // Nobody noticed that broker 1 died; it comes back without a clean-shutdown marker.
    cluster.register(1, NO_BROKER_EPOCH).unwrap();
    assert_eq!(cluster.state(), (Some(2), vec![2, 3], vec![]));
    let last = cluster.records.last().unwrap();
    assert!(
        matches!(last, MetadataRecord::RegisterBroker(_)),
        "the registration comes last"
    );
}

#[test]
fn kip966_an_unclean_restart_leaves_the_elr_and_a_clean_one_stays() {
    for clean in [true, false] {
        let mut cluster = Cluster::of(3);
        cluster.topic_on(&[1, 2, 3], &[("min.insync.replicas", "2")]);
        let epoch = cluster.epoch(2);
        cluster.fall_silent(&[1]);
        cluster.fall_silent(&[1, 2]);
        assert_eq!(cluster.state(), (Some(3), vec![3], vec![2]));
        cluster
            .register(2, if clean { epoch } else { NO_BROKER_EPOCH })
            .unwrap();
        let elr = if clean { vec![2] } else { vec![] };
        assert_eq!(cluster.state(), (Some(3), vec![3], elr));
    }
}

#[test]
fn kip966_the_elr_takes_over_from_a_last_member_that_lost_its_log() {
    let mut cluster = Cluster::of(3);
    cluster.topic_on(&[1, 2, 3], &[("min.insync.replicas", "2")]);
    let epoch = cluster.epoch(2);
    cluster.fall_silent(&[1]);
    cluster.fall_silent(&[1, 2]);
    cluster.fall_silent(&[1, 2, 3]);
    assert_eq!(cluster.state(), (None, vec![3], vec![2]));
    cluster.start(3, NO_BROKER_EPOCH);
    assert_eq!(cluster.state(), (None, vec![2], vec![]));
    cluster.start(2, epoch);
    assert_eq!(cluster.state(), (Some(2), vec![2], vec![]));
}

#[test]
fn controlled_shutdown_moves_leaderships_and_waits_for_the_others_to_know() {
    let mut cluster = Cluster::of(3);
    cluster.topic_on(&[1, 2, 3], &[]);
    let stop = |cluster: &Cluster| BrokerHeartbeat {
        wants_shutdown: true,
        ..cluster.heartbeat_of(1)
    };
    let response = cluster.heartbeat(stop(&cluster)).unwrap();
    assert!(!response.should_shut_down && !response.is_fenced);
    assert_eq!(cluster.state(), (Some(2), vec![2, 3], vec![]));
    cluster.beat(2);
    assert!(
        !cluster.heartbeat(stop(&cluster)).unwrap().should_shut_down,
        "3 does not know"
    );
    cluster.beat(3);
    let response = cluster.heartbeat(stop(&cluster)).unwrap();
    assert!(response.should_shut_down && response.is_fenced);
    // Once it stopped, it may come back at once, and cleanly.
    let epoch = cluster.epoch(1);
    assert!(cluster.start(1, epoch) > epoch);
}

#[test]
fn a_broker_that_leads_nothing_shuts_down_at_once() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2], &[]);
    let stop = BrokerHeartbeat {
        wants_shutdown: true,
        ..cluster.heartbeat_of(2)
    };
    assert!(cluster.heartbeat(stop).unwrap().should_shut_down);
    assert_eq!(cluster.state(), (Some(1), vec![1], vec![]));
}

#[test]
fn a_sole_replica_shuts_down_without_a_successor() {
    let mut cluster = Cluster::of(1);
    cluster.topic_on(&[1], &[]);
    let stop = |cluster: &Cluster| BrokerHeartbeat {
        wants_shutdown: true,
        ..cluster.heartbeat_of(1)
    };
    assert!(!cluster.heartbeat(stop(&cluster)).unwrap().should_shut_down);
    assert!(cluster.heartbeat(stop(&cluster)).unwrap().should_shut_down);
    assert_eq!(cluster.state(), (None, vec![1], vec![]));
}

#[test]
fn producer_ids_are_handed_out_once_also_across_controllers() {
    let mut cluster = Cluster::of(1);
    let mut firsts = Vec::new();
    for _ in 0..3 {
        let request = AllocateProducerIds {
            broker_id: BrokerId(1),
            broker_epoch: cluster.epoch(1),
        };
        let decision = cluster
            .controller
            .handle_allocate_producer_ids(cluster.next_offset, request);
        let block = cluster.take(decision).unwrap();
        assert_eq!(block.count, 1000);
        firsts.push(block.first);
        cluster.check_snapshot();
        cluster.fail_over();
    }
    assert_eq!(firsts, [0, 1000, 2000]);
}

#[test]
fn a_fenced_broker_gets_no_new_replicas() {
    let mut cluster = Cluster::of(3);
    cluster.fall_silent(&[3]);
    let topic = |replication_factor| NewTopic {
        name: "n".to_owned(),
        partitions: 2,
        replication_factor,
        ..NewTopic::default()
    };
    let refusal = cluster.create(topic(3)).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidReplicationFactor);
    assert_eq!(
        refusal.message,
        "replication factor 3 needs 3 live brokers, but only 2 of 3 registered brokers are live"
    );
    cluster.create(topic(2)).unwrap();
    for (_, partition) in cluster.topic("n").partitions() {
        assert!(!partition.replicas.contains(&ids(&[3])[0]));
    }
}
