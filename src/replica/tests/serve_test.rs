//! Tests of serving: epochs, divergence, fencing, what each reader may see.

use super::*;
use crate::log::EpochEnd;
use crate::replica::{Isolation, OffsetAnswer, OffsetAsker, OffsetQuery};

const CLIENT: OffsetAsker = OffsetAsker::Client(Isolation::ReadUncommitted);

/// A leader of epoch 5 with the epochs 1, 1, 3, 3 and a high watermark of 2.
fn leader() -> Replica {
    replica(&[1, 1, 3, 3], 2, &led_by(ONE, 5, &[ONE, TWO, THREE]))
}

fn diverging(epoch: LeaderEpoch, end_offset: Offset) -> Option<EpochEnd> {
    Some(EpochEnd { epoch, end_offset })
}

fn divergence(answer: FetchAnswer) -> Option<EpochEnd> {
    match answer {
        FetchAnswer::Diverging { end, .. } => Some(end),
        _ => None,
    }
}

#[test]
fn kip320_a_fetch_of_another_epoch_is_fenced_and_counts_for_nothing() {
    let mut leader = leader();
    let check = |leader: &mut Replica, epoch, code| {
        for follower in [TWO, THREE] {
            let answer = leader.handle_follower_fetch(at(1), &fetch_after(follower, epoch, 4, 3));
            assert_eq!(answer, FetchAnswer::Error(code));
        }
    };
    check(&mut leader, 4, ErrorCode::FencedLeaderEpoch);
    check(&mut leader, 6, ErrorCode::UnknownLeaderEpoch);
    assert_eq!(leader.high_watermark(), 2, "KAFKA-7395");
}

#[test]
fn kip595_divergence_follows_the_table() {
    let leader = leader();
    let check = |offset, last, expected| {
        let answer = leader.review_follower_fetch(&fetch_after(TWO, 5, offset, last));
        assert_eq!(
            divergence(answer),
            expected,
            "offset {offset} after epoch {last}"
        );
    };
    check(4, 3, None);
    check(2, 1, None);
    check(5, 3, diverging(3, 4));
    check(3, 1, diverging(1, 2));
    check(4, 2, diverging(1, 2));
    check(4, 4, diverging(3, 4));
}

#[test]
fn kafka13141_a_diverging_fetch_counts_for_nothing() {
    let mut leader = leader();
    leader.handle_follower_fetch(at(1), &fetch_after(TWO, 5, 4, 3));
    let answer = leader.handle_follower_fetch(at(2), &fetch_after(THREE, 5, 4, 2));
    assert_eq!(divergence(answer), diverging(1, 2));
    assert_eq!(
        leader.high_watermark(),
        2,
        "broker 3 does not have offsets 2 and 3"
    );
}

#[test]
fn kafka12996_below_the_log_start_is_out_of_range_whatever_the_epoch() {
    let mut leader = replica(&[1, 1, 3, 3], 3, &led_by(ONE, 5, &[ONE, TWO, THREE]));
    leader.handle_log_start_advanced(at(1), 3);
    let answer = leader.handle_follower_fetch(at(2), &fetch_after(TWO, 5, 1, 2));
    assert_eq!(answer, FetchAnswer::Error(ErrorCode::OffsetOutOfRange));
}

#[test]
fn kafka15221_a_fetch_of_an_earlier_life_is_fenced() {
    let mut leader = leader();
    let late = FollowerFetch {
        broker_epoch: 99,
        ..fetch_after(TWO, 5, 4, 3)
    };
    let answer = leader.handle_follower_fetch(at(1), &late);
    assert_eq!(answer, FetchAnswer::Error(ErrorCode::NotLeaderOrFollower));
    leader.handle_follower_fetch(at(1), &fetch_after(THREE, 5, 4, 3));
    assert_eq!(leader.high_watermark(), 2);
}

#[test]
fn who_has_no_replica_is_told_that_metadata_differs() {
    let mut leader = leader();
    let stranger = FollowerFetch {
        replica: BrokerId(9),
        ..fetch_after(TWO, 5, 4, 3)
    };
    let answer = leader.handle_follower_fetch(at(1), &stranger);
    assert_eq!(answer, FetchAnswer::Error(ErrorCode::UnknownLeaderEpoch));
}

#[test]
fn looking_again_at_a_fetch_counts_for_nothing() {
    let leader = leader();
    for follower in [TWO, THREE] {
        assert!(is_read(
            leader.review_follower_fetch(&fetch_after(follower, 5, 4, 3))
        ));
    }
    assert_eq!(leader.high_watermark(), 2);
}

#[test]
fn a_consumer_between_high_watermark_and_end_gets_nothing_and_no_error() {
    let leader = leader();
    let read =
        |offset| leader.consumer_fetch(&position(-1, offset, -1), Isolation::ReadUncommitted);
    let check = |offset, expected: Option<(Offset, Offset)>| {
        let found = match read(offset) {
            FetchAnswer::Read { start, upper, .. } => Some((start, upper)),
            _ => None,
        };
        assert_eq!(found, expected, "offset {offset}");
    };
    check(0, Some((0, 2)));
    check(2, Some((2, 2)));
    check(3, Some((3, 3)));
    check(4, Some((4, 4)));
    check(5, None);
    assert_eq!(read(5), FetchAnswer::Error(ErrorCode::OffsetOutOfRange));
}

#[test]
fn kip207_the_latest_offset_is_not_told_before_it_is_known() {
    let mut leader = leader();
    let latest = |leader: &Replica| leader.list_offset(-1, OffsetQuery::Latest, CLIENT);
    let unknown = OffsetAnswer::Error(ErrorCode::OffsetNotAvailable);
    assert_eq!(latest(&leader), unknown);
    let earliest = leader.list_offset(-1, OffsetQuery::Earliest, CLIENT);
    assert_eq!(
        earliest,
        OffsetAnswer::Found {
            offset: 0,
            leader_epoch: 1
        }
    );
    for follower in [TWO, THREE] {
        leader.handle_follower_fetch(at(1), &fetch_after(follower, 5, 4, 3));
    }
    assert_eq!(
        latest(&leader),
        OffsetAnswer::Found {
            offset: 4,
            leader_epoch: 5
        }
    );
    let by_time = leader.list_offset(-1, OffsetQuery::AtOrAfter(7), CLIENT);
    assert_eq!(by_time, OffsetAnswer::LookUp { upper: 4 });
}

#[test]
fn a_follower_is_told_the_end_of_the_log() {
    let latest = leader().list_offset(5, OffsetQuery::Latest, OffsetAsker::Replica);
    assert_eq!(
        latest,
        OffsetAnswer::Found {
            offset: 4,
            leader_epoch: 5
        }
    );
}

#[test]
fn kip320_epoch_ends_are_told_to_the_present_epoch_only() {
    let leader = leader();
    let end = |current, epoch| leader.offset_for_leader_epoch(current, epoch);
    assert_eq!(
        end(5, 3),
        Ok(EpochEnd {
            epoch: 3,
            end_offset: 4
        })
    );
    assert_eq!(
        end(5, 9),
        Ok(EpochEnd {
            epoch: -1,
            end_offset: -1
        })
    );
    assert_eq!(end(4, 3), Err(ErrorCode::FencedLeaderEpoch));
}

#[test]
fn a_follower_serves_nobody() {
    let mut follower = replica(&[1], 1, &led_by(TWO, 5, &[TWO]));
    let refused = FetchAnswer::Error(ErrorCode::NotLeaderOrFollower);
    assert_eq!(
        follower.handle_follower_fetch(at(1), &fetch_after(THREE, 5, 1, 1)),
        refused
    );
    let read = follower.consumer_fetch(&position(-1, 0, -1), Isolation::ReadUncommitted);
    assert_eq!(read, refused);
}
