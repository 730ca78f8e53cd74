//! Compaction of a log in memory: what stays, what a reader sees, crashes at every step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{Directory, append, close, create, flush, fresh, log, only_log, open};
use super::*;
use crate::record::{BatchBuilder, Batches, Compression, DECOMPRESSED_BYTES_MAX, ProducerFields};
use crate::storage::memory_disk::{MemoryDisk, Survival};
use crate::storage::request::{DiskReply, DiskRequest};

type Entry = (Offset, Vec<u8>, Option<Vec<u8>>);

/// A batch of the log to be: keys and values, the codec, the epoch, whether it has a producer.
#[derive(Clone, Debug)]
struct Spec {
    records: Vec<(u8, Option<u8>)>,
    codec: Compression,
    new_epoch: bool,
    produced: bool,
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let codec = prop_oneof![Just(Compression::None), Just(Compression::Lz4)];
    let record = (0..6_u8, prop::option::weighted(0.8, any::<u8>()));
    let spec = (
        prop::collection::vec(record, 1..5),
        codec,
        prop::bool::weighted(0.1),
        any::<bool>(),
    )
        .prop_map(|(records, codec, new_epoch, produced)| Spec {
            records,
            codec,
            new_epoch,
            produced,
        });
    prop::collection::vec(spec, 1..60)
}

fn build(directory: &mut Directory, specs: &[Spec]) {
    let (mut base, mut epoch) = (0, 1);
    for spec in specs {
        epoch += i32::from(spec.new_epoch);
        let mut builder = BatchBuilder::new(spec.codec).with_position(base, epoch);
        if spec.produced {
            builder = builder.with_producer(ProducerFields {
                id: 9,
                epoch: 0,
                base_sequence: base as i32,
            });
        }
        for (key, value) in &spec.records {
            let value = value.map(|value| [value; 40]);
            let value = value.as_ref().map(<[u8; 40]>::as_slice);
            builder.append(base, Some(&[*key]), value, &[]);
        }
        base = append(directory, &builder.build());
    }
    flush(directory);
}

fn compact(directory: &mut Directory, high_watermark: Offset, wall_millis: i64) {
    let request = DiskRequest::Compact {
        log: log(),
        delete_retention: Duration::from_secs(1),
        high_watermark,
        wall_millis,
    };
    loop {
        match directory.execute(request.clone()) {
            Ok(DiskReply::Compacted { more: true }) => {}
            Ok(DiskReply::Compacted { more: false }) => return,
            other => panic!("{other:?}"),
        }
    }
}

/// Reads all records from `start`; the batches must follow one another without holes.
fn read_all(directory: &mut Directory, start: Offset, end: Offset) -> Vec<Entry> {
    let (mut next, mut entries) = (start, Vec::new());
    while next < end {
        let request = DiskRequest::Read {
            log: log(),
            start: next,
            end,
            max_bytes: 300,
            minimum_one_batch: true,
        };
        let Ok(DiskReply::Read { batches }) = directory.execute(request) else {
            panic!("no read at {next}");
        };
        let before = next;
        for batch in Batches::new(batches) {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            assert!(batch.header().base_offset <= next, "a hole at {next}");
            next = batch.header().next_offset();
            for record in batch.records(DECOMPRESSED_BYTES_MAX).unwrap() {
                let record = record.unwrap();
                let value = record.value.map(|value| value.to_vec());
                entries.push((record.offset, record.key.unwrap().to_vec(), value));
            }
        }
        assert!(next > before, "no batch at {before}");
    }
    entries.retain(|(offset, ..)| *offset >= start);
    entries
}

fn state(directory: &Directory) -> LogState {
    directory.logs[&log()].state.clone()
}

fn last_values(entries: &[Entry]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut values = BTreeMap::new();
    for (_, key, value) in entries {
        match value {
            Some(value) => values.insert(key.clone(), value.clone()),
            None => values.remove(key),
        };
    }
    values
}

/// Where the closed segments below `limit` end.
fn closed_end(directory: &Directory, limit: Offset) -> Offset {
    let bases = directory.logs[&log()].segments.iter();
    bases
        .map(|segment| segment.base_offset)
        .filter(|base| *base <= limit)
        .max()
        .unwrap_or(0)
}

const LATER: i64 = 1 << 40;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn compaction_keeps_the_last_value_of_each_key(specs in specs(), below in 0..40_i64, old: bool) {
        let (disk, mut directory) = fresh();
        build(&mut directory, &specs);
        let before = state(&directory);
        let end = before.log_end_offset;
        let all = read_all(&mut directory, 0, end);
        let high_watermark = (end - below).max(0);
        let clean_end = closed_end(&directory, high_watermark);
        compact(&mut directory, high_watermark, if old { LATER } else { 0 });
        prop_assert_eq!(&state(&directory), &before);
        let kept = read_all(&mut directory, 0, end);
        prop_assert!(kept.iter().all(|entry| all.contains(entry)));
        prop_assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
        prop_assert_eq!(last_values(&kept), last_values(&all));
        let clean: Vec<_> = kept.iter().filter(|entry| entry.0 < clean_end).collect();
        let keys: std::collections::BTreeSet<_> = clean.iter().map(|entry| &entry.1).collect();
        prop_assert_eq!(keys.len(), clean.len(), "a key is there once");
        if old {
            prop_assert!(clean.iter().all(|entry| entry.2.is_some()), "no tombstone stays");
        } else {
            let last: BTreeMap<_, _> =
                all.iter().filter(|entry| entry.0 < clean_end).map(|e| (&e.1, e)).collect();
            prop_assert_eq!(clean.len(), last.len(), "each tombstone stays");
        }
        for start in 0..end {
            let rest: Vec<_> = kept.iter().filter(|entry| entry.0 >= start).cloned().collect();
            prop_assert_eq!(read_all(&mut directory, start, end), rest);
        }
        disk.crash();
        let (mut directory, recovered) = open(&disk);
        prop_assert_eq!(&only_log(&recovered).state, &before);
        prop_assert_eq!(&read_all(&mut directory, 0, end), &kept);
        create(&mut directory);
        compact(&mut directory, high_watermark, 0);
        prop_assert_eq!(&read_all(&mut directory, 0, end), &kept, "again is no change");
        close(&mut directory);
        let (mut directory, recovered) = open(&disk);
        prop_assert_eq!(&only_log(&recovered).state, &before);
        prop_assert_eq!(&read_all(&mut directory, 0, end), &kept);
    }

    #[test]
    fn a_cut_after_compaction_leaves_a_log_without_holes(specs in specs(), to in 0..100_i64) {
        let (_disk, mut directory) = fresh();
        build(&mut directory, &specs);
        let end = state(&directory).log_end_offset;
        compact(&mut directory, end, LATER);
        let kept = read_all(&mut directory, 0, end);
        let to = to.min(end);
        directory.execute(DiskRequest::Truncate { log: log(), to }).unwrap();
        let cut = state(&directory).log_end_offset;
        prop_assert!(cut <= to);
        let rest: Vec<_> = kept.into_iter().filter(|entry| entry.0 < cut).collect();
        prop_assert_eq!(read_all(&mut directory, 0, cut), rest);
    }
}

/// A log in which most records are obsolete.
fn obsolete() -> Vec<Spec> {
    let spec = |index: usize| Spec {
        records: vec![
            (
                index as u8 % 3,
                (!index.is_multiple_of(5)).then_some(index as u8),
            ),
            (7, Some(1)),
        ],
        codec: Compression::None,
        new_epoch: index.is_multiple_of(11),
        produced: index.is_multiple_of(13),
    };
    (0..40).map(spec).collect()
}

/// Stops the disk at its `step`th operation of a compaction; whether it came so far.
fn compact_until(directory: &mut Directory, disk: &MemoryDisk, step: usize, end: Offset) -> bool {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    disk.set_fault(move |_, _| {
        let at = seen.fetch_add(1, Ordering::Relaxed);
        (at >= step).then_some(std::io::ErrorKind::Other)
    });
    let request = DiskRequest::Compact {
        log: log(),
        delete_retention: Duration::from_secs(1),
        high_watermark: end,
        wall_millis: LATER,
    };
    while let Ok(DiskReply::Compacted { more: true }) = directory.execute(request.clone()) {}
    disk.clear_fault();
    count.load(Ordering::Relaxed) > step
}

#[test]
fn a_crash_at_any_step_leaves_the_old_or_the_new_segment() {
    let survivals = [Survival::Kept, Survival::Lost];
    for step in 0.. {
        let mut came = false;
        for fate in survivals.iter().copied() {
            for alternate in [false, true] {
                let (disk, mut directory) = fresh();
                build(&mut directory, &obsolete());
                let before = state(&directory);
                let end = before.log_end_offset;
                let all = read_all(&mut directory, 0, end);
                came |= compact_until(&mut directory, &disk, step, end);
                let mut flip = 0;
                disk.crash_with(|_| {
                    flip += 1;
                    if alternate && flip % 2 == 0 {
                        Survival::Lost
                    } else {
                        fate
                    }
                });
                let (mut directory, recovered) = open(&disk);
                assert_eq!(only_log(&recovered).state, before, "step {step}");
                let kept = read_all(&mut directory, 0, end);
                assert_eq!(last_values(&kept), last_values(&all), "step {step}");
                create(&mut directory);
                compact(&mut directory, end, LATER);
                let kept = read_all(&mut directory, 0, end);
                assert_eq!(last_values(&kept), last_values(&all), "step {step}");
            }
        }
        if !came {
            assert!(step > 50, "compaction did only {step} operations");
            return;
        }
    }
}

#[test]
fn what_is_compacted_was_made_durable_first() {
    let (_disk, mut directory) = fresh();
    build(&mut directory, &obsolete());
    directory.logs.get_mut(&log()).unwrap().recovery_point = 0;
    let end = state(&directory).log_end_offset;
    let all = read_all(&mut directory, 0, end);
    compact(&mut directory, end, LATER);
    assert!(read_all(&mut directory, 0, end).len() < all.len() / 2);
    assert_eq!(directory.logs.get(&log()).unwrap().recovery_point, end);
}

/// A follower ends where a batch ended when it was appended, and takes only what begins there.
#[test]
fn a_follower_that_was_behind_finds_a_batch_that_begins_at_its_end() {
    let (_disk, mut directory) = fresh();
    build(&mut directory, &obsolete());
    let end = state(&directory).log_end_offset;
    compact(&mut directory, end, LATER);
    // Each batch of `obsolete` has two records.
    for follower_end in (0..end).step_by(2) {
        let request = DiskRequest::Read {
            log: log(),
            start: follower_end,
            end,
            max_bytes: 1 << 20,
            minimum_one_batch: true,
        };
        let Ok(DiskReply::Read { batches }) = directory.execute(request) else {
            panic!("no read at {follower_end}");
        };
        let first = Batches::new(batches).next().unwrap().unwrap();
        first.check_crc().unwrap();
        assert_eq!(first.header().base_offset, follower_end);
    }
}

/// What a read gets wrong must not be written back for good.
#[test]
fn a_bit_that_flips_while_a_log_is_compacted_is_not_written_back() {
    for nth in 0..8 {
        let (disk, mut directory) = fresh();
        for base in 0..40 {
            let mut builder = BatchBuilder::new(Compression::None).with_position(base, 1);
            let key = [(base % 5) as u8];
            builder.append(base, Some(&key), Some(&[base as u8; 40]), &[]);
            append(&mut directory, &builder.build());
        }
        flush(&mut directory);
        let first = Path::new("data/t-0").join(&tests::segments(&disk)[0]);
        disk.flip_reads(&first, 100, nth..nth + 1);
        compact(&mut directory, 40, 1_000_000);
        disk.flip_reads(&first, 100, 0..0);
        let entries = read_all(&mut directory, 0, 40);
        let expected = (35..40).map(|base| (base, vec![(base % 5) as u8]));
        for (offset, key) in expected {
            let value = Some(vec![offset as u8; 40]);
            assert!(entries.contains(&(offset, key, value)), "read {nth}");
        }
        for (offset, key, value) in entries {
            assert_eq!(key, [(offset % 5) as u8], "read {nth}");
            assert_eq!(value, Some(vec![offset as u8; 40]), "read {nth}");
        }
    }
}
