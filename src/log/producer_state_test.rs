//! Tests of the producer state: the five-batch window, sequences, epochs, wraparound, expiration.

use super::*;

/// A batch of producer 7 with `count` records from `sequence` on, at offset `base_offset`.
fn batch(epoch: ProducerEpoch, sequence: i32, count: i32, base_offset: Offset) -> BatchSummary {
    BatchSummary {
        base_offset,
        last_offset: base_offset + i64::from(count) - 1,
        leader_epoch: 0,
        producer_id: 7,
        producer_epoch: epoch,
        base_sequence: sequence,
        last_sequence: (i64::from(sequence) + i64::from(count) - 1).rem_euclid(1 << 31) as i32,
        max_timestamp: 1_000 + base_offset,
        is_control: false,
        is_transactional: false,
    }
}

fn state_after(batches: &[BatchSummary]) -> ProducerState {
    let mut state = ProducerState::default();
    for batch in batches {
        state.update(batch);
    }
    state
}

const OUT_OF_ORDER: ProducerCheck = ProducerCheck::Reject(ErrorCode::OutOfOrderSequenceNumber);
const FENCED: ProducerCheck = ProducerCheck::Reject(ErrorCode::InvalidProducerEpoch);

#[test]
fn kip360_a_producer_without_state_may_start_anywhere() {
    let check = ProducerState::default().check(&batch(3, 99, 2, 0), AppendOrigin::Client);
    assert_eq!(check, ProducerCheck::Append);
}

#[test]
fn sequences_are_checked_by_the_table() {
    let state = state_after(&[batch(3, 0, 10, 0), batch(3, 10, 5, 10)]);
    let check = |epoch, sequence, count, expected| {
        let got = state.check(&batch(epoch, sequence, count, 0), AppendOrigin::Client);
        assert_eq!(
            got, expected,
            "epoch {epoch} sequence {sequence} count {count}"
        );
    };
    check(3, 15, 1, ProducerCheck::Append);
    check(3, 16, 1, OUT_OF_ORDER);
    check(3, 14, 1, OUT_OF_ORDER);
    check(3, 0, 9, OUT_OF_ORDER);
    check(2, 15, 1, FENCED);
    check(4, 0, 1, ProducerCheck::Append);
    check(4, 15, 1, OUT_OF_ORDER);
    let duplicate = ProducerCheck::Duplicate {
        base_offset: 0,
        last_offset: 9,
        timestamp: 1_000,
    };
    check(3, 0, 10, duplicate);
}

#[test]
fn the_window_holds_exactly_five_batches() {
    let batches: Vec<_> = (0..6).map(|i| batch(0, i, 1, Offset::from(i))).collect();
    let state = state_after(&batches);
    assert_eq!(
        state.check(&batch(0, 0, 1, 9), AppendOrigin::Client),
        OUT_OF_ORDER
    );
    for i in 1..6 {
        let check = state.check(&batch(0, i, 1, 9), AppendOrigin::Client);
        assert!(
            matches!(check, ProducerCheck::Duplicate { .. }),
            "sequence {i}: {check:?}"
        );
    }
}

#[test]
fn kafka7692_sequences_wrap_within_and_between_batches() {
    let state = state_after(&[batch(0, i32::MAX - 1, 2, 0)]);
    assert_eq!(
        state.check(&batch(0, 0, 1, 2), AppendOrigin::Client),
        ProducerCheck::Append
    );
    let state = state_after(&[batch(0, i32::MAX, 3, 0)]);
    assert_eq!(
        state.check(&batch(0, 2, 1, 3), AppendOrigin::Client),
        ProducerCheck::Append
    );
    assert_eq!(
        state.check(&batch(0, 0, 1, 3), AppendOrigin::Client),
        OUT_OF_ORDER
    );
}

#[test]
fn replication_is_never_refused() {
    let state = state_after(&[batch(3, 0, 10, 0)]);
    for wrong in [
        batch(1, 50, 1, 10),
        batch(3, 99, 1, 10),
        batch(3, 0, 10, 10),
    ] {
        assert_eq!(
            state.check(&wrong, AppendOrigin::Replication),
            ProducerCheck::Append
        );
    }
}

#[test]
fn a_new_epoch_forgets_the_old_window() {
    let state = state_after(&[batch(3, 0, 10, 0), batch(4, 0, 1, 10)]);
    assert_eq!(
        state.check(&batch(3, 0, 10, 0), AppendOrigin::Client),
        FENCED
    );
    assert_eq!(
        state.check(&batch(4, 1, 1, 11), AppendOrigin::Client),
        ProducerCheck::Append
    );
}

#[test]
fn kafka9144_markers_fence_and_keep_alive_without_a_sequence() {
    let marker = BatchSummary {
        is_control: true,
        base_sequence: -1,
        ..batch(5, -1, 1, 10)
    };
    let mut state = state_after(&[batch(3, 0, 10, 0), marker]);
    assert_eq!(
        state.check(&batch(4, 0, 1, 11), AppendOrigin::Client),
        FENCED
    );
    assert_eq!(
        state.check(&batch(5, 0, 1, 11), AppendOrigin::Client),
        ProducerCheck::Append
    );
    state.expire(1_010, Duration::ZERO);
    assert!(state.get(7).is_some());
    state.expire(1_011, Duration::ZERO);
    assert!(state.get(7).is_none());
}

#[test]
fn entries_round_trip() {
    let state = state_after(&[batch(3, 0, 10, 0), batch(3, 10, 5, 10)]);
    let stored: Vec<_> = state
        .entries()
        .map(|(id, entry)| (id, entry.clone()))
        .collect();
    assert_eq!(ProducerState::from_entries(stored), state);
}
