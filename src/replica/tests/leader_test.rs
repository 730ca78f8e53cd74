//! Tests of leadership: the epoch's start, the high watermark, registrations.

use super::*;
use crate::log::EpochEnd;
use crate::replica::RoleName;

#[test]
fn kafka7415_the_epoch_starts_before_any_record_of_it() {
    let leader = replica(&[0, 0, 1], 3, &led_by(ONE, 5, &[ONE, TWO, THREE]));
    assert_eq!(leader.log().epochs().latest_epoch(), Some(5));
    let end = leader.offset_for_leader_epoch(5, 1);
    assert_eq!(
        end,
        Ok(EpochEnd {
            epoch: 1,
            end_offset: 3
        })
    );
}

#[test]
fn the_high_watermark_is_the_lowest_end_of_the_isr() {
    let mut leader = replica(&[0, 0, 0, 0], 0, &led_by(ONE, 1, &[ONE, TWO, THREE]));
    leader.handle_follower_fetch(at(1), &fetch_after(TWO, 1, 4, 0));
    assert_eq!(leader.high_watermark(), 0, "broker 3 has not fetched");
    leader.handle_follower_fetch(at(2), &fetch_after(THREE, 1, 2, 0));
    assert_eq!(leader.high_watermark(), 2);
    leader.handle_follower_fetch(at(3), &fetch_after(THREE, 1, 4, 0));
    assert_eq!(leader.high_watermark(), 4);
}

#[test]
fn kip966_the_high_watermark_stands_still_below_min_isr() {
    let mut leader = replica(&[0, 0], 0, &led_by(ONE, 1, &[ONE]));
    leader.handle_timeout(at(10_000));
    assert_eq!(leader.high_watermark(), 0);
    leader.handle_min_insync_replicas(at(10_001), 1);
    assert_eq!(
        leader.high_watermark(),
        2,
        "KAFKA-15583: one replica is enough now"
    );
}

#[test]
fn kafka10301_reassignment_never_empties_the_followers() {
    let mut leader = replica(&[0, 0], 0, &led_by(ONE, 1, &[ONE, TWO, THREE]));
    let mut moved = led_by(ONE, 1, &[ONE, TWO, THREE]);
    moved.partition_epoch = 2;
    moved.replicas = vec![ONE, TWO, THREE, BrokerId(4)];
    leader.handle_registration(at(1), &moved, &eligible());
    assert_eq!(leader.high_watermark(), 0, "nobody has fetched");
}

#[test]
fn kafka2334_the_high_watermark_never_falls_within_an_epoch() {
    let mut leader = replica(&[0, 0, 0], 3, &led_by(ONE, 1, &[ONE, TWO, THREE]));
    for (follower, offset) in [(TWO, 1), (THREE, 0)] {
        leader.handle_follower_fetch(at(1), &fetch_after(follower, 1, offset, 0));
    }
    assert_eq!(leader.high_watermark(), 3);
}

#[test]
fn a_replica_that_keeps_up_is_waited_for_before_it_is_in_the_isr() {
    let mut leader = replica(&[0], 1, &led_by(ONE, 1, &[ONE, TWO]));
    leader.handle_follower_fetch(at(1), &fetch_after(TWO, 1, 1, 0));
    leader.handle_follower_fetch(at(1), &fetch_after(THREE, 1, 1, 0));
    produce(&mut leader, 1, Acks::One);
    leader.handle_follower_fetch(at(2), &fetch(TWO, 1, 2));
    assert_eq!(leader.high_watermark(), 1, "broker 3 has proposed itself");
}

#[test]
fn kip320_positions_of_an_earlier_epoch_count_for_nothing() {
    let mut leader = replica(&[0, 0], 0, &led_by(ONE, 1, &[ONE, TWO, THREE]));
    leader.handle_follower_fetch(at(1), &fetch_after(TWO, 1, 2, 0));
    // Another leader ruled in epoch 2, and broker 2 may have truncated to its log.
    leader.handle_registration(at(2), &led_by(ONE, 3, &[ONE, TWO, THREE]), &eligible());
    leader.handle_follower_fetch(at(3), &fetch_after(THREE, 3, 2, 0));
    assert_eq!(leader.high_watermark(), 0);
    leader.handle_follower_fetch(at(4), &fetch_after(TWO, 3, 2, 0));
    assert_eq!(leader.high_watermark(), 2);
}

#[test]
fn stale_registrations_are_ignored() {
    let mut leader = replica(&[], 0, &led_by(ONE, 5, &[ONE, TWO, THREE]));
    leader.handle_registration(at(1), &led_by(TWO, 4, &[TWO]), &eligible());
    assert_eq!(
        (leader.role(), leader.leader_epoch()),
        (RoleName::Leader, 5)
    );
}

#[test]
fn kafka10778_a_failed_write_takes_the_replica_offline_for_good() {
    let mut leader = replica(&[0], 1, &led_by(ONE, 1, &[ONE, TWO, THREE]));
    produce(&mut leader, 1, Acks::All);
    leader.handle_storage_failed(at(1));
    assert_eq!(
        error(&leader.take_effects()),
        Some(ErrorCode::KafkaStorageError)
    );
    leader.handle_registration(at(2), &led_by(ONE, 2, &[ONE, TWO, THREE]), &eligible());
    assert_eq!(
        error(&produce(&mut leader, 2, Acks::One)),
        Some(ErrorCode::KafkaStorageError)
    );
}

#[test]
fn flush_messages_1_counts_only_what_is_durable() {
    let settings = ReplicaSettings {
        flush_messages: 1,
        ..settings()
    };
    let mut leader = replica_with(settings, &[], 0, &led_by(ONE, 1, &[ONE, TWO, THREE]));
    let effects = produce(&mut leader, 1, Acks::All);
    assert!(effects.contains(&Effect::Flush));
    for follower in [TWO, THREE] {
        leader.handle_follower_fetch(at(1), &fetch(follower, 1, 1));
    }
    assert_eq!(
        leader.high_watermark(),
        0,
        "the leader's own copy is not durable"
    );
    leader.handle_flushed(at(2), 1);
    assert_eq!(leader.high_watermark(), 1);
    assert!(outcome(&leader.take_effects()).is_some_and(|outcome| outcome.is_ok()));
}

#[test]
fn flush_messages_that_becomes_1_asks_for_what_no_flush_was_asked_for() {
    let mut leader = replica(&[], 0, &led_by(ONE, 1, &[ONE, TWO, THREE]));
    let effects = produce(&mut leader, 1, Acks::All);
    assert!(!effects.contains(&Effect::Flush));
    leader.handle_flush_messages(at(1), 1);
    assert!(leader.take_effects().contains(&Effect::Flush));
    for follower in [TWO, THREE] {
        leader.handle_follower_fetch(at(2), &fetch(follower, 1, 1));
    }
    assert_eq!(leader.high_watermark(), 0);
    leader.handle_flushed(at(3), 1);
    assert_eq!(leader.high_watermark(), 1);
}

#[test]
fn a_leadership_that_ends_in_the_middle_of_a_truncation_keeps_its_epoch() {
    let mut replica = replica(&[0, 0, 3], 2, &led_by(TWO, 4, &[TWO]));
    let diverging = crate::replica::FetchedPartition::Diverging(EpochEnd {
        epoch: 0,
        end_offset: 2,
    });
    replica.handle_fetch_response(at(1), &position(4, 3, 3), diverging);
    assert!(replica.take_effects().contains(&Effect::Truncate { to: 2 }));
    replica.handle_registration(at(2), &led_by(ONE, 5, &[ONE, TWO]), &eligible());
    let refused = produce(&mut replica, 1, Acks::One);
    assert_eq!(
        error(&refused),
        Some(ErrorCode::NotLeaderOrFollower),
        "producers are unknown"
    );
    replica.handle_truncated(at(3), log_of(&[0, 0]));
    assert_eq!(replica.log().epochs().latest_epoch(), Some(5));
    assert!(outcome(&produce(&mut replica, 2, Acks::One)).is_some_and(|outcome| outcome.is_ok()));
}
