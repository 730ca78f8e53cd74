//! A disk without space: refused whole, answered with `NoSpace`, and well again by itself.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::damage_tests::checkpoint;
use super::tests::{
    Directory, append, batch, close, create, fill, flush, fresh, log, only_log, open, read,
};
use crate::log::LogState;
use crate::offset::Offset;
use crate::storage::disk::Operation;
use crate::storage::error::DiskError;
use crate::storage::memory_disk::MemoryDisk;
use crate::storage::request::{DiskReply, DiskRequest, Retention};

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

fn batches(from: Offset, to: Offset) -> Bytes {
    let all: Vec<u8> = (from..to)
        .step_by(2)
        .flat_map(|base| batch(base, 1))
        .collect();
    all.into()
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
    fill_disk(&disk, 0);
    try_append(&mut directory, batch(60, 1)).unwrap_err();
    let retention = Retention {
        age: None,
        bytes: Some(1000),
        producer_expiration: Duration::from_hours(24),
    };
    let retain = DiskRequest::Retain {
        log: log(),
        retention,
        high_watermark: 60,
        wall_millis: 0,
    };
    let Ok(DiskReply::Retained { log_start_offset }) = directory.execute(retain) else {
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
