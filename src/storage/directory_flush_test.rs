//! Flushes that are done while records are appended.

use super::tests::{Directory, append, batch, fill, flush, fresh, log, open};
use super::*;
use crate::storage::disk::Operation;
use crate::storage::error::DiskError;
use crate::storage::{DiskRequest, MemoryDisk, PlainFlush};

/// Syncs what a plain flush asks for.
fn sync(disk: &MemoryDisk, flush: &PlainFlush) -> Result<(), DiskError> {
    flush.perform(&mut disk.open(&flush.path).unwrap())
}

/// A log of two batches, the second of which is not durable yet.
fn half_flushed() -> (MemoryDisk, Directory) {
    let (disk, mut directory) = fresh();
    append(&mut directory, &batch(0, 1));
    flush(&mut directory);
    append(&mut directory, &batch(2, 1));
    (disk, directory)
}

#[test]
fn only_a_flush_that_has_one_file_to_sync_is_plain() {
    let (_disk, mut directory) = fresh();
    assert_eq!(
        directory.plain_flush(&log()),
        None,
        "its name is not durable"
    );
    flush(&mut directory);
    assert_eq!(directory.plain_flush(&log()), None, "nothing to sync");
    append(&mut directory, &batch(0, 1));
    assert_eq!(directory.plain_flush(&log()), None, "a new epoch");
    flush(&mut directory);
    append(&mut directory, &batch(2, 1));
    assert_eq!(directory.plain_flush(&log()).unwrap().upto, 4);
    fill(&mut directory, 4, 40, 1);
    assert_eq!(directory.plain_flush(&log()), None, "a segment was closed");
    assert_eq!(directory.plain_flush(&TopicPartition::new("u", 0)), None);
}

#[test]
fn a_plain_flush_makes_durable_what_was_there_when_it_began() {
    let (disk, mut directory) = half_flushed();
    let plain = directory.plain_flush(&log()).unwrap();
    let synced = sync(&disk, &plain);
    append(&mut directory, &batch(4, 1));
    directory.plainly_flushed(&log(), &plain, &synced);
    let again = directory.plain_flush(&log()).unwrap();
    assert_eq!(again.upto, 6, "what came meanwhile is to be synced yet");
    drop(directory);
    disk.crash();
    let (mut directory, recovered) = open(&disk);
    assert_eq!(recovered.logs.first().unwrap().state.log_end_offset, 4);
    append(&mut directory, &batch(4, 1));
    let plain = directory.plain_flush(&log()).unwrap();
    let synced = sync(&disk, &plain);
    directory.plainly_flushed(&log(), &plain, &synced);
    assert_eq!(
        directory.plain_flush(&log()),
        None,
        "nothing is left to sync"
    );
}

#[test]
fn a_segment_that_grew_before_it_was_closed_is_synced_by_the_next_flush() {
    let (disk, mut directory) = half_flushed();
    let plain = directory.plain_flush(&log()).unwrap();
    let synced = sync(&disk, &plain);
    fill(&mut directory, 4, 40, 1);
    directory.plainly_flushed(&log(), &plain, &synced);
    assert_eq!(flush(&mut directory), 40);
    drop(directory);
    disk.crash();
    let recovered = open(&disk).1;
    assert_eq!(recovered.logs.first().unwrap().state.log_end_offset, 40);
}

#[test]
fn a_plain_flush_that_fails_takes_the_directory_offline() {
    let (disk, mut directory) = half_flushed();
    let plain = directory.plain_flush(&log()).unwrap();
    disk.set_fault(|operation, _| {
        (operation == Operation::Sync).then_some(std::io::ErrorKind::Other)
    });
    let synced = sync(&disk, &plain);
    assert!(synced.as_ref().unwrap_err().is_fatal());
    directory.plainly_flushed(&log(), &plain, &synced);
    assert!(directory.offline_cause().is_some());
    assert_eq!(directory.plain_flush(&log()), None);
    let refused = directory.execute(DiskRequest::Flush { log: log() });
    assert!(refused.unwrap_err().is_fatal());
}
