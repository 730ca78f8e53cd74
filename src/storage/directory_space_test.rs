//! A disk without space: refused whole, answered with `NoSpace`, and well again by itself.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::damage_tests::durable;
use super::tests::{
    Directory, append, batch, checkpoint, close, create, create_request, fill, flush, fresh, log,
    only_log, open, read, segments,
};
use crate::id::{TopicId, TopicPartition};
use crate::log::LogState;
use crate::offset::Offset;
use crate::storage::ballast::WHOLE_BYTES;
use crate::storage::damage::DAMAGED;
use crate::storage::disk::{Disk, DiskFile, Operation};
use crate::storage::error::DiskError;
use crate::storage::memory_disk::{MemoryDisk, Survival};
use crate::storage::names::{METADATA_TOPIC_ID, metadata_partition};
use crate::storage::request::{DiskReply, DiskRequest, LogOptions, Retention};

fn try_append(directory: &mut Directory, batches: Bytes) -> Result<DiskReply, DiskError> {
    directory.execute(DiskRequest::Append {
        log: log(),
        batches,
    })
}

/// Leaves `free` bytes.
fn fill_disk(disk: &MemoryDisk, free: u64) {
    disk.set_space(Some(disk.used() + free));
}

/// Leaves nothing to be given up.
fn spend_ballast(directory: &mut Directory) {
    while directory.ballast.give_up_part(&directory.disk).unwrap() {}
}

fn batches(from: Offset, to: Offset) -> Bytes {
    let all: Vec<u8> = (from..to)
        .step_by(2)
        .flat_map(|base| batch(base, 1))
        .collect();
    all.into()
}

fn retain_1000_bytes() -> DiskRequest {
    let retention = Retention {
        age: None,
        bytes: Some(1000),
        producer_expiration: Duration::from_hours(24),
    };
    DiskRequest::Retain {
        log: log(),
        retention,
        high_watermark: 60,
        wall_millis: 0,
    }
}

/// Whether the log's directory holds the mark of its damage.
fn marked(disk: &MemoryDisk) -> bool {
    let names = disk.list(Path::new("data/t-0")).unwrap();
    names.iter().any(|name| name == DAMAGED)
}

fn check_whole(directory: &mut Directory, end: Offset) {
    for start in 0..end {
        assert_eq!(read(directory, start, end, 1), [start / 2 * 2]);
    }
    assert_eq!(read(directory, end, 1000, 1), [0; 0]);
}

#[test]
fn an_append_without_space_leaves_nothing_however_much_was_free() {
    let needed = batches(10, 50).len() as u64 + 4000;
    for free in (0..needed).step_by(37) {
        let (disk, mut directory) = fresh();
        fill(&mut directory, 0, 10, 1);
        let before = create(&mut directory);
        fill_disk(&disk, free);
        let Err(error) = try_append(&mut directory, batches(10, 50)) else {
            continue;
        };
        assert!(error.is_no_space(), "{error}");
        assert_eq!(create(&mut directory), before, "{free} bytes were free");
        check_whole(&mut directory, 10);
        assert_eq!(flush(&mut directory), 10, "a flush needs no space");
        disk.set_space(None);
        append(&mut directory, &batches(10, 50));
        check_whole(&mut directory, 50);
        flush(&mut directory);
        disk.crash();
        let (mut directory, recovered) = open(&disk);
        assert_eq!(only_log(&recovered).state.log_end_offset, 50);
        check_whole(&mut directory, 50);
    }
}

#[test]
fn what_continues_a_refused_append_is_refused_until_it_comes_again() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 4, 1);
    fill_disk(&disk, 50);
    try_append(&mut directory, batch(4, 1)).unwrap_err();
    disk.set_space(None);
    for base in [6, 8, 10] {
        let error = try_append(&mut directory, batch(base, 1)).unwrap_err();
        assert!(error.is_no_space(), "there is no hole for {base}: {error}");
    }
    let cut = DiskRequest::Truncate { log: log(), to: 4 };
    let Ok(DiskReply::Truncated { state }) = directory.execute(cut) else {
        panic!("nothing is to be cut");
    };
    assert_eq!(state.log_end_offset, 4);
    append(&mut directory, &batch(4, 1));
    append(&mut directory, &batch(6, 1));
    check_whole(&mut directory, 8);
}

#[test]
fn the_producers_of_a_refused_append_are_forgotten() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 4, 1);
    fill_disk(&disk, 30);
    try_append(&mut directory, batch(4, 2)).unwrap_err();
    let LogState {
        producers, epochs, ..
    } = create(&mut directory);
    let last = producers.get(9).unwrap().batches.back().unwrap();
    assert_eq!(last.last_offset, 3);
    assert_eq!(epochs.latest_epoch(), Some(1));
}

#[test]
fn a_full_disk_refuses_checkpoints_and_keeps_the_old_ones() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 10, 1);
    flush(&mut directory);
    checkpoint(&mut directory, 4);
    fill(&mut directory, 10, 20, 2);
    fill_disk(&disk, 5);
    assert_eq!(flush(&mut directory), 20, "the records are durable");
    let high_watermarks = BTreeMap::from([(log(), 20)]);
    let request = DiskRequest::CheckpointHighWatermarks { high_watermarks };
    let error = directory.execute(request).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    disk.crash();
    let (mut directory, recovered) = open(&disk);
    let found = only_log(&recovered);
    assert_eq!((found.high_watermark, found.state.log_end_offset), (4, 20));
    assert_eq!(
        found.state.epochs.latest_epoch(),
        Some(2),
        "from the batches"
    );
    disk.set_space(None);
    checkpoint(&mut directory, 20);
    close(&mut directory);
}

#[test]
fn retention_frees_space_on_a_full_disk() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    flush(&mut directory);
    spend_ballast(&mut directory);
    fill_disk(&disk, 0);
    try_append(&mut directory, batch(60, 1)).unwrap_err();
    let Ok(DiskReply::Retained { log_start_offset }) = directory.execute(retain_1000_bytes())
    else {
        panic!("nothing was removed");
    };
    assert!(log_start_offset > 0);
    append(&mut directory, &batch(60, 1));
    flush(&mut directory);
    disk.crash();
    disk.set_space(None);
    let (_, recovered) = open(&disk);
    assert_eq!(only_log(&recovered).damage, None);
    assert_eq!(
        only_log(&recovered).state.log_start_offset,
        log_start_offset
    );
}

/// Without the stored start, a crash between the removals would make the rest pass for lost.
#[test]
fn retention_on_a_full_disk_removes_nothing_that_a_crash_makes_pass_for_lost() {
    for crash_at in 0..40 {
        let (disk, mut directory) = fresh();
        fill(&mut directory, 0, 60, 1);
        flush(&mut directory);
        checkpoint(&mut directory, 60);
        spend_ballast(&mut directory);
        fill_disk(&disk, 0);
        let mut left: u64 = crash_at;
        disk.set_fault(move |_, _: &Path| {
            let stops = left == 0;
            left = left.saturating_sub(1);
            stops.then_some(io::ErrorKind::Other)
        });
        let _ = directory.execute(retain_1000_bytes());
        drop(directory);
        disk.clear_fault();
        disk.crash_with(|_| Survival::Kept);
        disk.set_space(None);
        let (_, recovered) = open(&disk);
        assert_eq!(only_log(&recovered).damage, None, "after {crash_at} calls");
        assert_eq!(only_log(&recovered).state.log_end_offset, 60);
    }
}

#[test]
fn deleting_a_log_frees_space_on_a_full_disk() {
    for space in [Some(0), None] {
        for crash_at in 0..40 {
            let (disk, mut directory) = durable();
            spend_ballast(&mut directory);
            if space.is_some() {
                fill_disk(&disk, 0);
            }
            let full = disk.used();
            let delete = DiskRequest::DeleteLog { log: log() };
            let mut left: u64 = crash_at;
            disk.set_fault(move |_, _: &Path| {
                let stops = left == 0;
                left = left.saturating_sub(1);
                stops.then_some(io::ErrorKind::Other)
            });
            let deleted = directory.execute(delete);
            drop(directory);
            disk.clear_fault();
            if deleted.is_ok() {
                assert!(disk.used() < full / 2, "{} of {full}", disk.used());
            }
            disk.crash_with(|_| Survival::Kept);
            let (_, recovered) = open(&disk);
            let damaged = recovered.logs.iter().find(|log| log.damage.is_some());
            assert_eq!(damaged, None, "a deleted log is not lost: {crash_at} calls");
            assert!(deleted.is_err() || recovered.logs.is_empty());
        }
    }
}

#[test]
fn a_log_made_anew_inherits_nothing_of_one_whose_deletion_found_no_space() {
    let (disk, mut directory) = durable();
    disk.set_fault(|operation, path: &Path| {
        let is_checkpoint = path.parent() == Some(Path::new("data"));
        (operation == Operation::Write && is_checkpoint).then_some(io::ErrorKind::StorageFull)
    });
    let delete = DiskRequest::DeleteLog { log: log() };
    let error = directory.execute(delete).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    drop(directory);
    disk.crash();
    let (mut directory, recovered) = open(&disk);
    assert!(recovered.logs.is_empty(), "a deleted log is not lost");
    disk.clear_fault();
    create(&mut directory);
    fill(&mut directory, 0, 4, 1);
    flush(&mut directory);
    drop(directory);
    disk.crash();
    let (_, recovered) = open(&disk);
    let found = only_log(&recovered);
    assert_eq!((&found.damage, found.state.log_end_offset), (&None, 4));
}

#[test]
fn a_missing_log_stays_lost_though_its_mark_finds_no_space() {
    let (disk, directory) = durable();
    drop(directory);
    disk.remove_dir(Path::new("data/t-0")).unwrap();
    disk.sync_dir(Path::new("data")).unwrap();
    let (mut directory, recovered) = open(&disk);
    assert!(only_log(&recovered).damage.is_some());
    // The segment and `partition.metadata` find space, the mark does not.
    let free = (0..400).find(|free| {
        let trial = disk.deep_copy();
        fill_disk(&trial, *free);
        let (mut directory, _) = open(&trial);
        directory.execute(create_request()).is_ok()
    });
    fill_disk(&disk, free.unwrap());
    create(&mut directory);
    assert!(!marked(&disk), "the mark finds space");
    disk.set_space(None);
    checkpoint(&mut directory, 0);
    drop(directory);
    disk.crash();
    let (_, recovered) = open(&disk);
    let damage = only_log(&recovered).damage.as_ref();
    assert_eq!(damage.map(|damage| damage.lost_to), Some(60));
}

/// Descriptors that run out anywhere in an append with rolls, before it or in a deletion.
#[test]
fn nothing_is_given_up_for_want_of_a_descriptor() {
    for count in 0..30 {
        let (disk, mut directory) = durable();
        disk.set_descriptors(Some(count));
        if let Err(error) = try_append(&mut directory, batches(60, 120)) {
            assert!(error.is_no_space(), "{error}");
            disk.set_descriptors(None);
            check_whole(&mut directory, 60);
            append(&mut directory, &batches(60, 120));
        }
        disk.set_descriptors(None);
        flush(&mut directory);
        disk.crash();
        let (mut directory, recovered) = open(&disk);
        assert_eq!(only_log(&recovered).state.log_end_offset, 120);
        check_whole(&mut directory, 120);
        let delete = DiskRequest::DeleteLog { log: log() };
        disk.set_descriptors(Some(count));
        if let Err(error) = directory.execute(delete.clone()) {
            assert!(error.is_no_space(), "{error}");
            disk.set_descriptors(None);
            directory.execute(delete).unwrap();
        }
        disk.set_descriptors(None);
        disk.crash();
        let (_, recovered) = open(&disk);
        assert!(recovered.logs.is_empty(), "with {count} descriptors");
    }
}

/// Segments may be tiny, and all partitions of a node share its descriptors.
#[test]
fn an_append_over_many_segments_has_few_open_files() {
    let (disk, mut directory) = durable();
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, probe) = (most.clone(), disk.clone());
    disk.set_fault(move |_, _: &Path| {
        seen.fetch_max(probe.handles(), Ordering::Relaxed);
        None
    });
    let before = disk.handles();
    append(&mut directory, &batches(60, 1000));
    disk.clear_fault();
    assert!(segments(&disk).len() > 30, "{}", segments(&disk).len());
    let opened = most.load(Ordering::Relaxed) - before;
    assert!((1..12).contains(&opened), "{opened} open files");
}

/// Index files are only hints: there may be none to make the space for storing the new start.
#[test]
fn retention_without_index_files_gives_up_the_ballast_of_a_full_disk() {
    let (disk, mut directory) = durable();
    for name in disk.list(Path::new("data/t-0")).unwrap() {
        if name.ends_with("index") {
            disk.remove_file(&Path::new("data/t-0").join(name)).unwrap();
        }
    }
    fill_disk(&disk, 0);
    let Ok(DiskReply::Retained { log_start_offset }) = directory.execute(retain_1000_bytes())
    else {
        panic!("nothing was removed");
    };
    assert!(log_start_offset > 0);
    disk.set_space(None);
    checkpoint(&mut directory, 60);
    let ballast = disk.open(Path::new("data/ballast")).unwrap();
    assert_eq!(ballast.length().unwrap(), WHOLE_BYTES, "it is whole again");
}

/// The name of the deleted log is too long to tell later what is to be forgotten.
#[test]
fn a_log_with_the_longest_name_can_be_deleted_on_a_full_disk() {
    let (disk, mut directory) = fresh();
    let long = TopicPartition::new("t".repeat(249), 0);
    let request = DiskRequest::CreateLog {
        log: long.clone(),
        topic_id: TopicId(Uuid::from_u128(8)),
        options: LogOptions::default(),
    };
    directory.execute(request).unwrap();
    directory
        .execute(DiskRequest::Flush { log: long.clone() })
        .unwrap();
    checkpoint(&mut directory, 0);
    fill_disk(&disk, 0);
    let delete = DiskRequest::DeleteLog { log: long };
    assert_eq!(directory.execute(delete), Ok(DiskReply::Done));
}

/// Else nobody could delete a topic to make space.
#[test]
fn the_metadata_log_goes_on_for_a_while_on_a_full_disk_and_no_other() {
    let (disk, mut directory) = fresh();
    let create = DiskRequest::CreateLog {
        log: metadata_partition(),
        topic_id: METADATA_TOPIC_ID,
        options: LogOptions::default(),
    };
    directory.execute(create).unwrap();
    fill_disk(&disk, 0);
    let error = try_append(&mut directory, batch(0, 1)).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    let append = |base| DiskRequest::Append {
        log: metadata_partition(),
        batches: batch(base, 1),
    };
    let mut base = 0;
    while let Ok(reply) = directory.execute(append(base)) {
        base += 2;
        let log_end_offset = base;
        assert_eq!(reply, DiskReply::Appended { log_end_offset });
        let flush = DiskRequest::Flush {
            log: metadata_partition(),
        };
        directory.execute(flush).unwrap();
    }
    let most = WHOLE_BYTES as usize / batch(0, 1).len();
    assert!((most / 2..=most).contains(&(base as usize / 2)), "{base}");
    assert_eq!(directory.offline_cause(), None);
}

/// What does not fit must not take the last space from others.
#[test]
fn a_ballast_without_space_takes_none() {
    let (disk, mut directory) = fresh();
    spend_ballast(&mut directory);
    for free in [0, 1, 700, WHOLE_BYTES - 1] {
        fill_disk(&disk, free);
        let used = disk.used();
        directory.ballast.fill(&directory.disk).unwrap();
        assert_eq!(disk.used(), used, "{free} bytes were free");
    }
    fill_disk(&disk, WHOLE_BYTES);
    directory.ballast.fill(&directory.disk).unwrap();
    fill_disk(&disk, 0);
    assert_eq!(directory.ballast.give_up_part(&directory.disk), Ok(true));
    let (_, recovered) = open(&disk);
    assert_eq!(only_log(&recovered).damage, None);
}

#[test]
fn requests_that_found_no_space_may_come_again() {
    let cut = DiskRequest::Truncate { log: log(), to: 20 };
    let restart = DiskRequest::RestartAt {
        log: log(),
        offset: 20,
    };
    for request in [cut, restart] {
        for free in (0..400).step_by(13) {
            let (disk, mut directory) = fresh();
            fill(&mut directory, 0, 40, 1);
            flush(&mut directory);
            checkpoint(&mut directory, 40);
            spend_ballast(&mut directory);
            fill_disk(&disk, free);
            if let Err(error) = directory.execute(request.clone()) {
                assert!(error.is_no_space(), "{error}");
                disk.set_space(None);
                directory.execute(request.clone()).unwrap();
            }
            disk.set_space(None);
            fill(&mut directory, 20, 30, 2);
            flush(&mut directory);
            disk.crash();
            let (mut directory, recovered) = open(&disk);
            let found = only_log(&recovered);
            assert_eq!((&found.damage, found.state.log_end_offset), (&None, 30));
            assert_eq!(read(&mut directory, 20, 30, 1), [20]);
        }
    }
}

#[test]
fn a_full_disk_does_not_hinder_the_start() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 10, 1);
    flush(&mut directory);
    disk.crash();
    fill_disk(&disk, 0);
    let (mut directory, recovered) = open(&disk);
    assert_eq!(only_log(&recovered).state.log_end_offset, 10);
    check_whole(&mut directory, 10);
}

#[test]
fn a_sync_without_space_has_lost_data_and_is_fatal() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        let (disk, mut directory) = fresh();
        fill(&mut directory, 0, 4, 1);
        disk.set_fault(move |operation, path: &Path| {
            let is_log = path.extension().is_some_and(|kind| kind == "log");
            (operation == Operation::Sync && is_log).then_some(kind)
        });
        let flush = DiskRequest::Flush { log: log() };
        let error = directory.execute(flush).unwrap_err();
        assert!(error.is_fatal(), "{error}");
    }
}
