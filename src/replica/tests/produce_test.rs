//! Tests of produce: what each acks waits for, duplicates, what ends the wait.

use super::*;
use crate::replica::{Produced, RoleName};

fn leader(isr: &[BrokerId]) -> Replica {
    replica(&[], 0, &led_by(ONE, 1, isr))
}

fn at_offset(base_offset: Offset) -> Option<ProduceOutcome> {
    Some(Ok(Produced {
        base_offset,
        timestamp: 0,
        log_start_offset: 0,
    }))
}

fn idempotent(token: u64, sequence: i32) -> ProduceRequest {
    let mut batch = batch(0, 1, -1);
    batch.summary.producer_id = 7;
    batch.summary.producer_epoch = 0;
    (batch.summary.base_sequence, batch.summary.last_sequence) = (sequence, sequence);
    let deadline = Time::from_millis(60_000);
    ProduceRequest {
        token: ProduceToken(token),
        deadline,
        acks: Acks::All,
        batch,
    }
}

#[test]
fn acks_all_waits_for_the_high_watermark() {
    let mut leader = leader(&[ONE, TWO, THREE]);
    let effects = produce(&mut leader, 1, Acks::All);
    assert_eq!(outcome(&effects), None);
    leader.handle_follower_fetch(at(1), &fetch(TWO, 1, 1));
    assert_eq!(outcome(&leader.take_effects()), None);
    leader.handle_follower_fetch(at(2), &fetch(THREE, 1, 1));
    assert_eq!(outcome(&leader.take_effects()), at_offset(0));
}

#[test]
fn acks_one_waits_for_the_leaders_disk() {
    let mut leader = leader(&[ONE, TWO, THREE]);
    let request = ProduceRequest {
        acks: Acks::One,
        ..idempotent(1, 0)
    };
    leader.handle_produce(at(0), request);
    assert_eq!(outcome(&leader.take_effects()), None);
    leader.handle_append_completed(at(1), 1);
    assert_eq!(outcome(&leader.take_effects()), at_offset(0));
}

#[test]
fn acks_zero_hears_nothing() {
    let mut leader = leader(&[ONE, TWO, THREE]);
    assert_eq!(outcome(&produce(&mut leader, 1, Acks::Zero)), None);
    leader.handle_registration(at(1), &led_by(TWO, 2, &[TWO]), &eligible());
    leader.take_effects();
    assert_eq!(outcome(&produce(&mut leader, 2, Acks::Zero)), None);
}

#[test]
fn the_leader_stamps_offsets_and_epoch() {
    let mut leader = replica(&[0, 0], 0, &led_by(ONE, 4, &[ONE, TWO, THREE]));
    let effects = produce(&mut leader, 1, Acks::One);
    let Some(Effect::Append { batches }) = effects.first() else {
        panic!("{effects:?}")
    };
    let summary = batches[0].summary;
    assert_eq!(
        (
            summary.base_offset,
            summary.last_offset,
            summary.leader_epoch
        ),
        (2, 2, 4)
    );
    assert_eq!(batches[0].bytes[..8], 2i64.to_be_bytes());
    assert_eq!(batches[0].bytes[12..16], 4i32.to_be_bytes());
}

#[test]
fn too_small_an_isr_refuses_before_the_append() {
    let mut leader = leader(&[ONE]);
    let effects = produce(&mut leader, 1, Acks::All);
    assert_eq!(error(&effects), Some(ErrorCode::NotEnoughReplicas));
    assert_eq!(leader.log().log_end_offset(), 0, "it is not in the log");
    assert!(outcome(&produce(&mut leader, 2, Acks::One)).is_some_and(|it| it.is_ok()));
}

#[test]
fn kip966_an_isr_too_small_after_the_append_keeps_the_request_waiting() {
    let mut leader = leader(&[ONE, TWO]);
    produce(&mut leader, 1, Acks::All);
    let mut shrunk = led_by(ONE, 1, &[ONE]);
    shrunk.partition_epoch = 2;
    leader.handle_registration(at(1), &shrunk, &eligible());
    assert_eq!(
        outcome(&leader.take_effects()),
        None,
        "below min ISR nothing commits"
    );
    leader.handle_min_insync_replicas(at(2), 1);
    assert_eq!(outcome(&leader.take_effects()), at_offset(0));
}

#[test]
fn the_end_of_a_leadership_is_an_unknown_outcome() {
    let mut leader = leader(&[ONE, TWO, THREE]);
    produce(&mut leader, 1, Acks::All);
    leader.handle_registration(at(1), &led_by(TWO, 2, &[TWO, THREE]), &eligible());
    assert_eq!(
        error(&leader.take_effects()),
        Some(ErrorCode::NotLeaderOrFollower)
    );
}

#[test]
fn a_new_epoch_of_the_same_leader_keeps_the_wait() {
    let mut leader = leader(&[ONE, TWO]);
    produce(&mut leader, 1, Acks::All);
    leader.handle_registration(at(1), &led_by(ONE, 2, &[ONE, TWO]), &eligible());
    assert_eq!(outcome(&leader.take_effects()), None);
    leader.handle_follower_fetch(at(2), &fetch_after(TWO, 2, 1, 1));
    assert_eq!(outcome(&leader.take_effects()), at_offset(0));
}

#[test]
fn a_late_request_times_out_and_its_batch_stays() {
    let mut leader = leader(&[ONE, TWO, THREE]);
    produce(&mut leader, 1, Acks::All);
    assert!(
        leader
            .next_timeout()
            .is_some_and(|due| due <= Time::from_millis(60_000))
    );
    leader.handle_timeout(at(60_000));
    assert_eq!(
        error(&leader.take_effects()),
        Some(ErrorCode::RequestTimedOut)
    );
    assert_eq!(leader.log().log_end_offset(), 1);
}

#[test]
fn kip98_a_retry_in_flight_waits_for_the_same_offset() {
    let mut leader = leader(&[ONE, TWO]);
    produce_request(&mut leader, idempotent(1, 0));
    let retry = produce_request(&mut leader, idempotent(2, 0));
    assert_eq!(
        outcome(&retry),
        None,
        "not acknowledged before it is committed"
    );
    assert_eq!(leader.log().log_end_offset(), 1, "not appended twice");
    leader.handle_follower_fetch(at(1), &fetch(TWO, 1, 1));
    let answered = |effect| match effect {
        Effect::CompleteProduce { token, outcome } => Some((token.0, outcome)),
        _ => None,
    };
    let outcomes: Vec<_> = leader
        .take_effects()
        .into_iter()
        .filter_map(answered)
        .collect();
    let expected = at_offset(0).unwrap();
    assert_eq!(outcomes, [(1, expected), (2, expected)]);
}

#[test]
fn kip98_a_new_leader_knows_the_retries_of_its_predecessor() {
    let mut replica = replica(&[], 0, &led_by(TWO, 1, &[ONE, TWO]));
    let copied = idempotent(1, 0).batch.stamped(0, 1);
    let records = crate::replica::FetchedPartition::Records {
        batches: vec![copied],
        high_watermark: 0,
        log_start_offset: 0,
    };
    replica.handle_fetch_response(at(1), &position(1, 0, -1), records);
    replica.handle_append_completed(at(2), 1);
    replica.handle_registration(at(3), &led_by(ONE, 2, &[ONE, TWO]), &eligible());
    replica.take_effects();
    produce_request(&mut replica, idempotent(2, 0));
    assert_eq!(replica.log().log_end_offset(), 1);
    let gap = produce_request(&mut replica, idempotent(3, 2));
    assert_eq!(error(&gap), Some(ErrorCode::OutOfOrderSequenceNumber));
}

#[test]
fn acks_reads_the_wire() {
    let read: Vec<_> = [-1, 0, 1, 2, -2].map(Acks::try_from).into();
    let refused = Err(ErrorCode::InvalidRequiredAcks);
    assert_eq!(
        read,
        [
            Ok(Acks::All),
            Ok(Acks::Zero),
            Ok(Acks::One),
            refused,
            refused
        ]
    );
}

#[test]
fn a_full_disk_takes_back_what_it_did_not_write() {
    let mut leader = leader(&[ONE]);
    leader.handle_min_insync_replicas(at(0), 1);
    let send = |leader: &mut Replica, token, sequence| {
        leader.handle_produce(at(0), idempotent(token, sequence));
        leader.take_effects()
    };
    send(&mut leader, 1, 0);
    send(&mut leader, 2, 1);
    send(&mut leader, 3, 2);
    send(&mut leader, 4, 2);
    leader.handle_append_completed(at(1), 1);
    leader.take_effects();
    leader.handle_append_refused(at(2));
    let effects = leader.take_effects();
    let mut told: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::CompleteProduce { token, outcome } => Some((token.0, *outcome)),
            _ => None,
        })
        .collect();
    told.sort_by_key(|(token, _)| *token);
    let refused = Err(ErrorCode::KafkaStorageError);
    assert_eq!(told, [(2, refused), (3, refused), (4, refused)]);
    assert!(effects.contains(&Effect::Truncate { to: 1 }));
    leader.handle_append_refused(at(3));
    assert_eq!(leader.take_effects(), [], "one cut is for all of them");
    assert_eq!(leader.role(), RoleName::Leader);
    let mut state = LogState::default();
    state.append(&idempotent(1, 0).batch.stamped(0, 1).summary);
    leader.handle_truncated(at(4), state);
    leader.take_effects();
    let effects = send(&mut leader, 5, 1);
    assert!(
        matches!(effects.first(), Some(Effect::Append { batches })
            if batches[0].summary.base_offset == 1),
        "the next sequence is the refused one: {effects:?}"
    );
}
