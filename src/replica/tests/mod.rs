//! Tests of the replica: one file for each part, and a simulated cluster.
//!
//! The fixture is broker 1 of the brokers 1, 2 and 3, with `min.insync.replicas` 2.

mod follower_test;
mod isr_test;
mod leader_test;
mod produce_test;
mod serve_test;
mod sim;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::log::{BatchSummary, LogBatch, LogState};
use crate::offset::{BrokerEpoch, LeaderEpoch, NO_PRODUCER_ID, Offset};
use crate::replica::{
    Acks, AlterPartitionRequest, Effect, EligibleBrokers, FetchAnswer, FetchPosition,
    FollowerFetch, PartitionRegistration, ProduceOutcome, ProduceRequest, ProduceToken, Replica,
    ReplicaSettings,
};
use crate::time::{Now, Time};

const ONE: BrokerId = BrokerId(1);
const TWO: BrokerId = BrokerId(2);
const THREE: BrokerId = BrokerId(3);
const LAG_MAX: Duration = Duration::from_secs(3);

fn at(millis: u64) -> Now {
    Now {
        time: Time::from_millis(millis),
        wall_millis: 0,
    }
}

fn settings() -> ReplicaSettings {
    ReplicaSettings {
        broker_id: ONE,
        min_insync_replicas: 2,
        replica_lag_time_max: LAG_MAX,
        replica_fetch_backoff: Duration::from_millis(100),
        alter_partition_backoff: Duration::from_millis(50),
        flush_messages: i64::MAX,
    }
}

/// Version `epoch` of both kinds: broker `leader` leads the brokers 1, 2, 3.
fn led_by(leader: BrokerId, epoch: i32, isr: &[BrokerId]) -> PartitionRegistration {
    PartitionRegistration {
        replicas: vec![ONE, TWO, THREE],
        isr: isr.to_vec(),
        leader: Some(leader),
        leader_epoch: epoch,
        partition_epoch: epoch,
        ..PartitionRegistration::default()
    }
}

/// Brokers 1, 2, 3 in the lives 101, 102, 103.
fn eligible() -> Arc<EligibleBrokers> {
    Arc::new([(ONE, 101), (TWO, 102), (THREE, 103)].into())
}

/// A batch without producer.
fn batch(base_offset: Offset, count: i64, leader_epoch: LeaderEpoch) -> LogBatch {
    let summary = BatchSummary {
        base_offset,
        last_offset: base_offset + count - 1,
        leader_epoch,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: -1,
        base_sequence: -1,
        last_sequence: -1,
        max_timestamp: 0,
        is_control: false,
        is_transactional: false,
    };
    LogBatch {
        summary,
        bytes: Bytes::from_static(&[0; 24]),
    }
}

/// A log with one record for each epoch in `epochs`.
fn log_of(epochs: &[LeaderEpoch]) -> LogState {
    let mut state = LogState::default();
    for (offset, &epoch) in (0..).zip(epochs) {
        state.append(&batch(offset, 1, epoch).summary);
    }
    state
}

/// Broker 1's replica with a log of `epochs` and this high watermark, obeying `registration`.
fn replica(epochs: &[LeaderEpoch], hw: Offset, registration: &PartitionRegistration) -> Replica {
    replica_with(settings(), epochs, hw, registration)
}

fn replica_with(
    settings: ReplicaSettings,
    epochs: &[LeaderEpoch],
    high_watermark: Offset,
    registration: &PartitionRegistration,
) -> Replica {
    let mut replica = Replica::recovered(settings, log_of(epochs), high_watermark);
    replica.handle_registration(at(0), registration, &eligible());
    replica.take_effects();
    replica
}

/// A fetch of `follower` in its known life.
fn fetch(follower: BrokerId, epoch: LeaderEpoch, offset: Offset) -> FollowerFetch {
    let broker_epoch = 100 + BrokerEpoch::from(follower.0);
    FollowerFetch {
        replica: follower,
        broker_epoch,
        position: position(epoch, offset, epoch),
    }
}

fn position(epoch: LeaderEpoch, offset: Offset, last_fetched: LeaderEpoch) -> FetchPosition {
    FetchPosition {
        current_leader_epoch: epoch,
        fetch_offset: offset,
        last_fetched_epoch: last_fetched,
        log_start_offset: 0,
    }
}

/// A fetch of a follower that has everything of `epoch` and nothing of an epoch after it.
fn fetch_after(
    follower: BrokerId,
    epoch: LeaderEpoch,
    offset: Offset,
    last: LeaderEpoch,
) -> FollowerFetch {
    FollowerFetch {
        position: position(epoch, offset, last),
        ..fetch(follower, epoch, offset)
    }
}

fn is_read(answer: FetchAnswer) -> bool {
    matches!(answer, FetchAnswer::Read { .. })
}

/// Produces one record and lets the disk write it; returns what was asked for until then.
fn produce(replica: &mut Replica, token: u64, acks: Acks) -> Vec<Effect> {
    let request = ProduceRequest {
        token: ProduceToken(token),
        deadline: Time::from_millis(60_000),
        acks,
        batch: batch(0, 1, -1),
    };
    produce_request(replica, request)
}

fn produce_request(replica: &mut Replica, request: ProduceRequest) -> Vec<Effect> {
    replica.handle_produce(at(0), request);
    let mut effects = replica.take_effects();
    replica.handle_append_completed(at(0), replica.log().log_end_offset());
    effects.extend(replica.take_effects());
    effects
}

fn outcome(effects: &[Effect]) -> Option<ProduceOutcome> {
    effects.iter().find_map(|effect| match effect {
        Effect::CompleteProduce { outcome, .. } => Some(*outcome),
        _ => None,
    })
}

fn error(effects: &[Effect]) -> Option<ErrorCode> {
    outcome(effects).and_then(Result::err)
}

fn proposed(effects: &[Effect]) -> Option<AlterPartitionRequest> {
    effects.iter().find_map(|effect| match effect {
        Effect::AlterPartition(request) => Some(request.clone()),
        _ => None,
    })
}
