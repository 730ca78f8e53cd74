//! Tests of the epoch cache: tables from Kafka's rules, and the invariant under random calls.

use proptest::prelude::*;

use super::*;

fn cache(entries: &[(LeaderEpoch, Offset)]) -> EpochCache {
    let entries = entries.iter().map(|&(epoch, start_offset)| EpochEntry {
        epoch,
        start_offset,
    });
    EpochCache::from_entries(entries)
}

fn pairs(cache: &EpochCache) -> Vec<(LeaderEpoch, Offset)> {
    cache
        .entries()
        .iter()
        .map(|entry| (entry.epoch, entry.start_offset))
        .collect()
}

#[test]
fn end_offset_for_follows_the_table() {
    let cache = cache(&[(2, 10), (4, 20), (7, 35)]);
    let check = |epoch, expected: Option<(LeaderEpoch, Offset)>| {
        let end = cache
            .end_offset_for(epoch, 50)
            .map(|end| (end.epoch, end.end_offset));
        assert_eq!(end, expected, "epoch {epoch}");
    };
    check(NO_LEADER_EPOCH, None);
    check(7, Some((7, 50)));
    check(8, None);
    check(4, Some((4, 35)));
    check(2, Some((2, 20)));
    check(1, Some((1, 10)));
}

#[test]
fn kip279_a_missing_epoch_answers_with_the_floor_epoch() {
    let cache = cache(&[(2, 10), (4, 20), (7, 35)]);
    assert_eq!(
        cache.end_offset_for(3, 50),
        Some(EpochEnd {
            epoch: 2,
            end_offset: 20
        })
    );
    assert_eq!(
        cache.end_offset_for(6, 50),
        Some(EpochEnd {
            epoch: 4,
            end_offset: 35
        })
    );
}

#[test]
fn an_empty_cache_knows_nothing() {
    assert_eq!(EpochCache::default().end_offset_for(0, 0), None);
    assert_eq!(EpochCache::default().epoch_of(0), None);
}

#[test]
fn assign_removes_what_contradicts_it() {
    let check = |epoch, start, expected: &[(LeaderEpoch, Offset)]| {
        let mut cache = cache(&[(2, 10), (4, 20)]);
        cache.assign(epoch, start);
        assert_eq!(pairs(&cache), expected, "assign({epoch}, {start})");
    };
    check(5, 30, &[(2, 10), (4, 20), (5, 30)]);
    check(4, 25, &[(2, 10), (4, 20)]);
    check(4, 15, &[(2, 10), (4, 15)]);
    check(5, 20, &[(2, 10), (5, 20)]);
    check(5, 5, &[(5, 5)]);
    check(3, 30, &[(2, 10), (3, 30)]);
    check(-1, 30, &[(2, 10), (4, 20)]);
    check(5, -1, &[(2, 10), (4, 20)]);
}

#[test]
fn kafka10706_truncation_to_the_log_end_drops_an_epoch_without_records() {
    let mut cache = cache(&[(2, 10), (4, 20)]);
    cache.truncate_from_end(20);
    assert_eq!(pairs(&cache), [(2, 10)]);
    cache.truncate_from_end(11);
    assert_eq!(pairs(&cache), [(2, 10)]);
}

#[test]
fn truncate_from_start_keeps_the_epoch_in_force() {
    let check = |start, expected: &[(LeaderEpoch, Offset)]| {
        let mut cache = cache(&[(2, 10), (4, 20), (7, 35)]);
        cache.truncate_from_start(start);
        assert_eq!(pairs(&cache), expected, "start {start}");
    };
    check(5, &[(2, 10), (4, 20), (7, 35)]);
    check(10, &[(2, 10), (4, 20), (7, 35)]);
    check(25, &[(4, 25), (7, 35)]);
    check(35, &[(7, 35)]);
    check(99, &[(7, 99)]);
}

#[test]
fn epoch_of_finds_the_writer() {
    let cache = cache(&[(2, 10), (4, 20)]);
    let found: Vec<_> = [9, 10, 19, 20, 99]
        .map(|offset| cache.epoch_of(offset))
        .into();
    assert_eq!(found, [None, Some(2), Some(2), Some(4), Some(4)]);
}

proptest! {
    #[test]
    fn entries_grow_strictly(calls in prop::collection::vec((0..4u8, 0..9i32, 0..60i64), 0..60)) {
        let mut cache = EpochCache::default();
        for (call, epoch, offset) in calls {
            match call {
                0 => cache.truncate_from_end(offset),
                1 => cache.truncate_from_start(offset),
                _ => { cache.assign(epoch, offset); }
            }
            for pair in cache.entries().windows(2) {
                prop_assert!(pair[0].epoch < pair[1].epoch);
                prop_assert!(pair[0].start_offset < pair[1].start_offset);
            }
        }
    }
}
