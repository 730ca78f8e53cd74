//! Tests of following: which answers count, truncation, high watermark, errors of the leader.

use super::*;
use crate::log::EpochEnd;
use crate::replica::{FetchedPartition, LeaderOffsets};

/// A follower of broker 2 in epoch 5, with the epochs 1, 1, 3, 3 and a high watermark of 2.
fn follower() -> Replica {
    replica(&[1, 1, 3, 3], 2, &led_by(TWO, 5, &[TWO, THREE]))
}

fn records(batches: Vec<LogBatch>, high_watermark: Offset) -> FetchedPartition {
    FetchedPartition::Records {
        batches,
        high_watermark,
        log_start_offset: 0,
    }
}

fn fetched(follower: &mut Replica, answer: FetchedPartition) -> Vec<Effect> {
    let next = follower.next_fetch().expect("it fetches");
    follower.handle_fetch_response(at(1), &next.position, answer);
    follower.take_effects()
}

#[test]
fn it_fetches_from_its_end_and_names_its_last_epoch() {
    let next = follower().next_fetch().expect("it fetches");
    assert_eq!((next.leader, next.position), (TWO, position(5, 4, 3)));
}

#[test]
fn it_appends_as_the_leader_stamped() {
    let mut follower = follower();
    let batches = vec![batch(4, 2, 3), batch(6, 1, 5)];
    let effects = fetched(&mut follower, records(batches.clone(), 5));
    assert_eq!(effects, [Effect::Append { batches }]);
    assert_eq!(
        (follower.log().log_end_offset(), follower.high_watermark()),
        (7, 5)
    );
    assert_eq!(follower.log().epochs().latest_epoch(), Some(5));
    assert_eq!(follower.next_fetch(), None, "the disk has not answered");
    follower.handle_append_completed(at(2), 7);
    assert_eq!(
        follower.next_fetch().map(|next| next.position),
        Some(position(5, 7, 5))
    );
}

#[test]
fn kafka18991_an_answer_to_another_epoch_or_offset_is_ignored() {
    let mut follower = follower();
    for stale in [position(4, 4, 3), position(5, 3, 3), position(5, 4, 2)] {
        let end = EpochEnd {
            epoch: 0,
            end_offset: 0,
        };
        follower.handle_fetch_response(at(1), &stale, FetchedPartition::Diverging(end));
        follower.handle_fetch_response(at(1), &stale, records(vec![batch(4, 1, 5)], 5));
    }
    assert_eq!(follower.take_effects(), []);
    assert_eq!(
        (follower.log().log_end_offset(), follower.high_watermark()),
        (4, 2)
    );
}

#[test]
fn kafka13207_a_leader_ignores_answers_from_when_it_followed() {
    let mut replica = follower();
    let next = replica.next_fetch().expect("it fetches");
    replica.handle_registration(at(1), &led_by(ONE, 6, &[ONE]), &eligible());
    replica.take_effects();
    let end = EpochEnd {
        epoch: 1,
        end_offset: 2,
    };
    replica.handle_fetch_response(at(2), &next.position, FetchedPartition::Diverging(end));
    assert_eq!(replica.take_effects(), []);
    assert_eq!(replica.log().log_end_offset(), 4);
}

#[test]
fn kip101_it_truncates_by_epochs_not_to_its_high_watermark() {
    let mut follower = follower();
    let end = EpochEnd {
        epoch: 3,
        end_offset: 3,
    };
    let effects = fetched(&mut follower, FetchedPartition::Diverging(end));
    assert_eq!(effects, [Effect::Truncate { to: 3 }]);
    assert_eq!(follower.next_fetch(), None, "the disk has not answered");
    follower.handle_truncated(at(2), log_of(&[1, 1, 3]));
    assert_eq!(
        follower.next_fetch().map(|next| next.position),
        Some(position(5, 3, 3))
    );
}

#[test]
fn kip279_it_goes_back_epoch_by_epoch() {
    let mut follower = replica(&[1, 2, 3, 3], 1, &led_by(TWO, 5, &[TWO]));
    let step = |follower: &mut Replica, epoch, end_offset| {
        let end = EpochEnd { epoch, end_offset };
        fetched(follower, FetchedPartition::Diverging(end))
    };
    assert_eq!(step(&mut follower, 2, 4), [Effect::Truncate { to: 2 }]);
    follower.handle_truncated(at(2), log_of(&[1, 2]));
    assert_eq!(step(&mut follower, 1, 3), [Effect::Truncate { to: 1 }]);
}

#[test]
fn kafka14704_a_diverging_answer_never_raises_the_high_watermark() {
    let mut follower = follower();
    let end = EpochEnd {
        epoch: 1,
        end_offset: 1,
    };
    fetched(&mut follower, FetchedPartition::Diverging(end));
    assert_eq!(
        (follower.log().log_end_offset(), follower.high_watermark()),
        (1, 1)
    );
}

#[test]
fn kafka18723_batches_of_a_later_epoch_are_dropped() {
    let mut follower = follower();
    let batches = vec![batch(4, 1, 5), batch(5, 1, 6)];
    let effects = fetched(&mut follower, records(batches, 6));
    assert_eq!(
        effects,
        [Effect::Append {
            batches: vec![batch(4, 1, 5)]
        }]
    );
    assert_eq!(
        (follower.log().log_end_offset(), follower.high_watermark()),
        (5, 5)
    );
}

#[test]
fn kafka3047_batches_that_do_not_continue_the_log_are_dropped() {
    for wrong in [
        batch(3, 1, 5),
        batch(5, 1, 5),
        batch(4, 1, 2),
        batch(4, 0, 5),
    ] {
        let mut follower = follower();
        assert_eq!(fetched(&mut follower, records(vec![wrong], 4)), []);
        assert_eq!(follower.next_fetch(), None, "it backs off");
        follower.handle_timeout(at(101));
        assert!(follower.next_fetch().is_some());
    }
}

#[test]
fn kafka7164_every_epoch_starts_the_fetches_anew() {
    let mut follower = follower();
    let before = follower.next_fetch().expect("it fetches");
    fetched(
        &mut follower,
        FetchedPartition::Error(ErrorCode::FencedLeaderEpoch),
    );
    assert_eq!(follower.next_fetch(), None, "until metadata says who leads");
    follower.handle_timeout(at(60_000));
    assert_eq!(follower.next_fetch(), None);
    follower.handle_registration(at(60_001), &led_by(TWO, 6, &[TWO]), &eligible());
    assert_eq!(
        follower.next_fetch().map(|next| next.position),
        Some(position(6, 4, 3))
    );
    follower.handle_fetch_response(at(60_002), &before.position, records(vec![], 4));
    assert_eq!(follower.high_watermark(), 2, "an answer of the old epoch");
}

#[test]
fn errors_of_the_leader_cost_a_pause() {
    for code in [
        ErrorCode::UnknownLeaderEpoch,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::KafkaStorageError,
        ErrorCode::NetworkException,
    ] {
        let mut follower = follower();
        fetched(&mut follower, FetchedPartition::Error(code));
        assert_eq!(follower.next_fetch(), None);
        assert_eq!(follower.next_timeout(), Some(Time::from_millis(101)));
        follower.handle_timeout(at(101));
        assert!(follower.next_fetch().is_some(), "{code:?}");
    }
}

/// What a follower does after OFFSET_OUT_OF_RANGE, when its leader has `start..end`.
fn after_out_of_range(start: Offset, end: Offset) -> Vec<Effect> {
    let mut follower = follower();
    let asked = fetched(
        &mut follower,
        FetchedPartition::Error(ErrorCode::OffsetOutOfRange),
    );
    assert_eq!(
        asked,
        [Effect::ListLeaderOffsets {
            leader: TWO,
            leader_epoch: 5
        }]
    );
    let offsets = LeaderOffsets {
        log_start_offset: start,
        log_end_offset: end,
    };
    follower.handle_leader_offsets(at(2), 4, Ok(offsets));
    assert_eq!(follower.take_effects(), [], "an answer of another epoch");
    follower.handle_leader_offsets(at(2), 5, Ok(offsets));
    follower.take_effects()
}

#[test]
fn kafka2143_out_of_range_asks_before_it_cuts() {
    assert_eq!(after_out_of_range(0, 3), [Effect::Truncate { to: 3 }]);
    assert_eq!(after_out_of_range(9, 12), [Effect::RestartAt { offset: 9 }]);
    assert_eq!(after_out_of_range(0, 9), []);
}

/// Of epoch 5 under broker 2, whose two batches name epoch `damaged` after a flip of bits.
fn with_damaged_epoch(damaged: LeaderEpoch, isr: &[BrokerId], elr: &[BrokerId]) -> Replica {
    let mut registration = led_by(TWO, 5, isr);
    registration.elr = elr.to_vec();
    replica(&[damaged, damaged], 0, &registration)
}

#[test]
fn a_damaged_epoch_above_the_leaders_is_cut_off() {
    let cut = |isr: &[BrokerId], elr: &[BrokerId]| {
        let mut follower = with_damaged_epoch(8, isr, elr);
        let out_of_range = FetchedPartition::Error(ErrorCode::OffsetOutOfRange);
        fetched(&mut follower, out_of_range);
        let offsets = LeaderOffsets {
            log_start_offset: 0,
            log_end_offset: 9,
        };
        follower.handle_leader_offsets(at(2), 5, Ok(offsets));
        (follower.cut_contradicted(), follower.take_effects())
    };
    let off = (Some(0), vec![Effect::Truncate { to: 0 }]);
    assert_eq!(cut(&[TWO], &[THREE]), off);
    assert_eq!(cut(&[ONE, TWO], &[]), (None, vec![]), "its copies count");
    assert_eq!(cut(&[TWO], &[ONE]), (None, vec![]), "it may lead");
}

#[test]
fn a_damaged_epoch_that_the_leader_knows_is_cut_off() {
    let cut = |damaged, isr: &[BrokerId], elr: &[BrokerId]| {
        let mut follower = with_damaged_epoch(damaged, isr, elr);
        fetched(&mut follower, records(vec![batch(2, 1, 3)], 0));
        (follower.cut_contradicted(), follower.log().log_end_offset())
    };
    assert_eq!(cut(4, &[TWO], &[]), (Some(0), 0));
    assert_eq!(cut(4, &[ONE, TWO], &[]), (None, 2), "its copies count");
    assert_eq!(cut(4, &[TWO], &[ONE]), (None, 2), "it may lead");
    assert_eq!(cut(3, &[TWO], &[]), (None, 3), "nothing is damaged");
}

#[test]
fn a_leader_that_contradicts_itself_costs_no_record() {
    let mut follower = with_damaged_epoch(3, &[TWO], &[]);
    let batches = vec![batch(2, 1, 5), batch(3, 1, 4)];
    fetched(&mut follower, records(batches, 0));
    assert_eq!(follower.cut_contradicted(), None);
    assert_eq!(follower.log().log_end_offset(), 3);
}

#[test]
fn kafka9491_a_restarted_log_has_bounds_and_producers_at_once() {
    let mut follower = follower();
    fetched(
        &mut follower,
        FetchedPartition::Error(ErrorCode::OffsetOutOfRange),
    );
    let offsets = LeaderOffsets {
        log_start_offset: 9,
        log_end_offset: 12,
    };
    follower.handle_leader_offsets(at(2), 5, Ok(offsets));
    assert_eq!(
        (follower.high_watermark(), follower.log().log_end_offset()),
        (9, 9)
    );
    follower.handle_truncated(at(3), LogState::empty_at(9));
    let next = follower.next_fetch().expect("it fetches").position;
    assert_eq!((next.fetch_offset, next.last_fetched_epoch), (9, -1));
}

#[test]
fn the_log_start_follows_the_leader_up_to_the_high_watermark() {
    let mut follower = follower();
    let answer = FetchedPartition::Records {
        batches: vec![],
        high_watermark: 3,
        log_start_offset: 9,
    };
    let effects = fetched(&mut follower, answer);
    assert_eq!(
        effects,
        [Effect::LogStartAdvanced {
            log_start_offset: 3
        }]
    );
}

#[test]
fn what_retention_removed_stays_committed_when_the_high_watermark_dips() {
    let mut follower = follower();
    fetched(&mut follower, records(vec![], 1));
    follower.handle_log_start_advanced(at(2), 2);
    assert_eq!(
        (follower.high_watermark(), follower.log().log_start_offset()),
        (2, 2)
    );
}

#[test]
fn kafka1647_a_follower_without_leader_keeps_its_log_and_high_watermark() {
    let mut leaderless = led_by(TWO, 5, &[TWO]);
    leaderless.leader = None;
    let follower = replica(&[1, 1, 3, 3], 2, &leaderless);
    assert_eq!(follower.next_fetch(), None);
    assert_eq!(
        (follower.log().log_end_offset(), follower.high_watermark()),
        (4, 2)
    );
}

#[test]
fn a_follower_with_durable_acks_fetches_on_only_when_it_has_flushed() {
    let settings = ReplicaSettings {
        flush_messages: 1,
        ..settings()
    };
    let mut follower = replica_with(settings, &[1], 1, &led_by(TWO, 5, &[TWO]));
    let effects = fetched(&mut follower, records(vec![batch(1, 1, 5)], 1));
    assert_eq!(effects.last(), Some(&Effect::Flush));
    follower.handle_append_completed(at(2), 2);
    assert_eq!(follower.next_fetch(), None);
    follower.handle_flushed(at(3), 2);
    assert!(follower.next_fetch().is_some());
}

#[test]
fn a_follower_without_space_backs_off_and_fetches_the_same_again() {
    let mut follower = follower();
    let before = follower.next_fetch().expect("it fetches");
    fetched(&mut follower, records(vec![batch(4, 1, 5)], 5));
    assert_eq!(follower.log().log_end_offset(), 5);
    follower.handle_append_refused(at(2));
    assert_eq!(follower.take_effects(), [Effect::Truncate { to: 4 }]);
    follower.handle_truncated(at(3), log_of(&[1, 1, 3, 3]));
    assert_eq!(follower.next_fetch(), None, "it waits");
    let retry = follower.next_timeout().expect("a time to try again");
    follower.handle_timeout(Now {
        time: retry,
        wall_millis: 0,
    });
    assert_eq!(follower.next_fetch(), Some(before));
}
