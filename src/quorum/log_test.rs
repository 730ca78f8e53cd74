//! The log alone: divergence, truncation, prefixes, reads, and what is flushed.

use bytes::Bytes;
use proptest::prelude::*;

use super::log::{Batch, BatchBody, LogEnd, QuorumLog, Relation};
use crate::offset::Offset;
use crate::quorum::SnapshotId;

const fn end(epoch: i32, offset: Offset) -> LogEnd {
    LogEnd { epoch, offset }
}

/// A log of `start` and then batches of (epoch, record count).
fn log(start: SnapshotId, batches: &[(i32, u32)]) -> QuorumLog {
    let mut log = QuorumLog::starting_at(start);
    for &(epoch, record_count) in batches {
        let base_offset = log.end().offset;
        log.append(Batch {
            base_offset,
            record_count,
            epoch,
            body: BatchBody::Records(Bytes::from_static(b"0123456789")),
        });
    }
    log
}

/// Offsets 0..2 of epoch 1, 2..5 of epoch 3, 5..6 of epoch 4.
fn leader() -> QuorumLog {
    log(SnapshotId::default(), &[(1, 2), (3, 1), (3, 2), (4, 1)])
}

/// The same behind a snapshot of offsets 0..3.
fn leader_with_snapshot() -> QuorumLog {
    let mut log = leader();
    let prefix = log.prefix(3).unwrap();
    log.drop_prefix(prefix);
    log
}

#[test]
fn kip595_the_leader_answers_by_the_table() {
    let cases = [
        (end(0, 0), Relation::Prefix),
        (end(1, 2), Relation::Prefix),
        (end(3, 3), Relation::Prefix),
        (end(3, 5), Relation::Prefix),
        (end(4, 6), Relation::Prefix),
        (end(1, 4), Relation::Diverging(end(1, 2))),
        (end(2, 4), Relation::Diverging(end(1, 2))),
        (end(2, 2), Relation::Diverging(end(1, 2))),
        (end(3, 9), Relation::Diverging(end(3, 5))),
        (end(4, 7), Relation::Diverging(end(4, 6))),
        (end(9, 3), Relation::Diverging(end(4, 6))),
        (end(0, 1), Relation::Diverging(end(0, 0))),
    ];
    for (follower, relation) in cases {
        assert_eq!(leader().relation(follower), relation, "{follower:?}");
    }
}

#[test]
fn kip630_a_follower_behind_or_beside_the_snapshot_must_load_it() {
    let cases = [
        (end(0, 0), Relation::BeforeStart),
        (end(1, 2), Relation::BeforeStart),
        (end(2, 3), Relation::BeforeStart),
        (end(2, 9), Relation::BeforeStart),
        (end(3, 3), Relation::Prefix),
        (end(3, 4), Relation::Prefix),
        (end(3, 6), Relation::Diverging(end(3, 5))),
        (end(4, 6), Relation::Prefix),
    ];
    for (follower, relation) in cases {
        assert_eq!(
            leader_with_snapshot().relation(follower),
            relation,
            "{follower:?}"
        );
    }
}

#[test]
fn kip595_the_follower_cuts_by_the_table() {
    let follower = log(SnapshotId::default(), &[(1, 2), (2, 3), (5, 1)]);
    let cases = [
        (end(1, 2), Some(2)),
        (end(1, 1), Some(1)),
        (end(3, 4), Some(5)),
        (end(2, 4), Some(4)),
        (end(2, 9), Some(5)),
        (end(0, 0), Some(0)),
    ];
    for (leader_end, to) in cases {
        assert_eq!(follower.truncation_point(leader_end), to, "{leader_end:?}");
    }
    assert_eq!(leader_with_snapshot().truncation_point(end(2, 2)), None);
    assert_eq!(leader_with_snapshot().truncation_point(end(3, 1)), None);
}

#[test]
fn a_truncation_takes_whole_batches_and_their_epochs() {
    let mut log = leader();
    assert_eq!(log.truncate(4), 3, "the batch at 3..5 goes as a whole");
    assert_eq!(log.end(), end(3, 3));
    assert_eq!(log.end_of_epoch(9), Some(end(3, 3)));
    assert_eq!(log.truncate(0), 0);
    assert_eq!(log.end(), end(0, 0));
}

#[test]
fn a_prefix_ends_where_a_batch_ends() {
    let log = leader_with_snapshot();
    assert_eq!(
        log.start(),
        SnapshotId {
            end_offset: 3,
            epoch: 3
        }
    );
    let found: Vec<_> = (0..8)
        .map(|offset| log.prefix(offset).map(|id| id.epoch))
        .collect();
    assert_eq!(
        found,
        [None, None, None, Some(3), None, Some(3), Some(4), None]
    );
}

#[test]
fn a_read_brings_whole_batches_below_the_bound_and_at_least_one() {
    let offsets = |from, upto, max_bytes| -> Vec<Offset> {
        let batches = leader().read(from, upto, max_bytes);
        batches.iter().map(|batch| batch.base_offset).collect()
    };
    assert_eq!(offsets(0, 6, 1000), [0, 2, 3, 5]);
    assert_eq!(offsets(2, 5, 1000), [2, 3]);
    assert_eq!(offsets(2, 4, 1000), [2]);
    assert_eq!(offsets(0, 6, 20), [0, 2]);
    assert_eq!(offsets(0, 6, 0), [0]);
    assert!(offsets(6, 6, 1000).is_empty());
}

#[test]
fn what_is_flushed_follows_the_writes_and_never_passes_a_truncation() {
    let mut log = leader();
    log.writing(1);
    log.append(Batch {
        base_offset: 6,
        record_count: 1,
        epoch: 4,
        body: BatchBody::Records(Bytes::new()),
    });
    log.writing(2);
    assert_eq!(log.flushed_end(), 0);
    log.persisted(1);
    assert_eq!(log.flushed_end(), 6);
    log.truncate(5);
    log.writing(3);
    assert_eq!(log.flushed_end(), 5);
    log.persisted(2);
    assert_eq!(log.flushed_end(), 5);
    log.persisted(3);
    assert_eq!(log.flushed_end(), 5);
}

proptest! {
    /// Two logs of the same history converge: the follower cuts until it is a prefix, never below
    /// what both share.
    #[test]
    fn kip595_truncation_ends_at_the_common_prefix(
        shared in proptest::collection::vec((1..3_i32, 1..3_u32), 0..5),
        mine in proptest::collection::vec((4..9_i32, 1..3_u32), 0..5),
        theirs in proptest::collection::vec((4..9_i32, 1..3_u32), 0..5),
    ) {
        // An epoch has one leader: the two sides own the even and the odd ones.
        let grown = |own: &[(i32, u32)], parity: i32| {
            let mut shared = shared.clone();
            let mut own: Vec<_> = own.iter().map(|&(e, n)| (e * 2 + parity, n)).collect();
            shared.sort_unstable();
            own.sort_unstable();
            shared.extend(own);
            log(SnapshotId::default(), &shared)
        };
        let leader = grown(&theirs, 0);
        let mut follower = grown(&mine, 1);
        let common = log(SnapshotId::default(), &{
            let mut shared = shared.clone();
            shared.sort_unstable();
            shared
        });
        let mut rounds = 0;
        while let Relation::Diverging(at) = leader.relation(follower.end()) {
            let to = follower.truncation_point(at).unwrap();
            prop_assert!(to < follower.end().offset, "every round cuts something");
            follower.truncate(to);
            rounds += 1;
            prop_assert!(rounds < 20);
        }
        prop_assert!(follower.end().offset >= common.end().offset);
        let kept = follower.read(0, Offset::MAX, usize::MAX);
        let whole = leader.read(0, Offset::MAX, usize::MAX);
        prop_assert!(whole.starts_with(&kept));
    }
}
