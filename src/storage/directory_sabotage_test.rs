//! Each planted bug of storage breaks what the same steps keep without it.

use std::io;

use super::tests::{
    Directory, append, batch, checkpoint, create, fill, flush, fresh, log, only_log, open, read,
    segments, try_open,
};
use super::*;
use crate::config::sabotage::{Sabotage, plant_in_thread};
use crate::id::BrokerId;
use crate::log::LogState;
use crate::storage::disk::Operation;
use crate::storage::memory_disk::{MemoryDisk, Survival};
use crate::storage::quorum_state::QuorumElection;
use crate::storage::request::DiskRequest;

/// `keeps` holds, and with `bug` planted it does not.
fn breaks(bug: Sabotage, keeps: fn() -> bool) {
    assert!(keeps(), "without {} all is well", bug.name());
    plant_in_thread(Some(bug));
    let kept = keeps();
    plant_in_thread(None);
    assert!(!kept, "{} shows", bug.name());
}

/// What a start finds of the log, of which everything was flushed.
fn is_found_again(disk: &MemoryDisk, before: &LogState) -> bool {
    let (_, recovered) = open(disk);
    only_log(&recovered).state == *before
}

/// Loses the second half of the second segment, as if the power took its last writes.
fn lose_end_of_second_segment(disk: &MemoryDisk) {
    disk.crash_with(|_| Survival::Kept);
    let name = segments(disk).into_iter().nth(1).unwrap();
    let path = Path::new("data/t-0").join(name);
    disk.corrupt(&path, |content| {
        let header = content.get(..12).unwrap();
        let first_batch = 12 + i32::from_be_bytes(header[8..].try_into().unwrap()) as usize;
        content.truncate(first_batch);
    });
}

/// Whether every offset below the end can be read.
fn is_without_gaps(directory: &mut Directory) -> bool {
    let end = create(directory).log_end_offset;
    let mut due = 0;
    while due < end {
        let batches = read(directory, due, end, 1);
        if batches != [due] {
            return false;
        }
        due += 2;
    }
    true
}

#[test]
fn fsync_error_ignored() {
    breaks(Sabotage::FsyncErrorIgnored, || {
        let (disk, mut directory) = fresh();
        fill(&mut directory, 0, 4, 1);
        assert_eq!(flush(&mut directory), 4);
        append(&mut directory, &batch(4, 1));
        disk.set_fault(|operation, path| {
            let is_segment = path.extension().is_some_and(|kind| kind == "log");
            (operation == Operation::Sync && is_segment).then_some(io::ErrorKind::Other)
        });
        let was_flushed = directory.execute(DiskRequest::Flush { log: log() }).is_ok();
        disk.clear_fault();
        disk.crash();
        let (_, recovered) = open(&disk);
        !was_flushed || only_log(&recovered).state.log_end_offset == 6
    });
}

#[test]
fn recovery_skips_crc() {
    breaks(Sabotage::RecoverySkipsCrc, || {
        let (disk, mut directory) = fresh();
        fill(&mut directory, 0, 6, 1);
        drop(directory);
        disk.crash_with(|_| Survival::Kept);
        let path = Path::new("data/t-0/00000000000000000000.log");
        disk.corrupt(path, |content| *content.last_mut().unwrap() ^= 1);
        let (_, recovered) = open(&disk);
        only_log(&recovered).state.log_end_offset == 4
    });
}

#[test]
fn kafka10101_recovery_point_ahead_of_fsync() {
    breaks(Sabotage::RecoveryPointAheadOfFsync, || {
        let (disk, mut directory) = fresh();
        fill(&mut directory, 0, 2, 1);
        // The epochs, without which nothing is trusted.
        flush(&mut directory);
        fill(&mut directory, 2, 60, 1);
        checkpoint(&mut directory, 0);
        drop(directory);
        lose_end_of_second_segment(&disk);
        let (mut directory, _) = open(&disk);
        is_without_gaps(&mut directory)
    });
}

#[test]
fn kafka16541_epoch_checkpoint_not_fsynced() {
    breaks(Sabotage::EpochCheckpointNotFsynced, || {
        let (disk, mut directory) = fresh();
        fill(&mut directory, 0, 20, 1);
        fill(&mut directory, 20, 60, 3);
        flush(&mut directory);
        checkpoint(&mut directory, 0);
        let before = create(&mut directory);
        drop(directory);
        disk.crash();
        is_found_again(&disk, &before)
    });
}

#[test]
fn kafka9892_producer_snapshot_not_fsynced() {
    breaks(Sabotage::ProducerSnapshotNotFsynced, || {
        let (disk, mut directory) = fresh();
        fill(&mut directory, 0, 22, 1);
        flush(&mut directory);
        checkpoint(&mut directory, 0);
        let before = create(&mut directory);
        drop(directory);
        disk.crash();
        is_found_again(&disk, &before)
    });
}

#[test]
fn kafka10471_crash_during_recovery_counted_as_clean() {
    breaks(Sabotage::CrashDuringRecoveryCountedAsClean, || {
        let (disk, mut directory) = fresh();
        fill(&mut directory, 0, 60, 1);
        // The epochs, without which nothing is trusted.
        flush(&mut directory);
        drop(directory);
        lose_end_of_second_segment(&disk);
        disk.set_fault(|operation, path| {
            let is_log = path.ends_with("partition.metadata");
            (operation == Operation::Open && is_log).then_some(io::ErrorKind::Other)
        });
        try_open(&disk).unwrap_err();
        disk.clear_fault();
        disk.crash();
        let (mut directory, _) = open(&disk);
        is_without_gaps(&mut directory)
    });
}

#[test]
fn kafka10778_appends_go_on_after_failed_write() {
    breaks(Sabotage::AppendsGoOnAfterFailedWrite, || {
        let (disk, mut directory) = fresh();
        append(&mut directory, &batch(0, 1));
        disk.set_fault(|operation, path| {
            let is_segment = path.extension().is_some_and(|kind| kind == "log");
            (operation == Operation::Write && is_segment).then_some(io::ErrorKind::Other)
        });
        let go_on = |directory: &mut Directory, base| {
            let (log, batches) = (log(), batch(base, 1));
            directory
                .execute(DiskRequest::Append { log, batches })
                .is_ok()
        };
        go_on(&mut directory, 2);
        disk.clear_fault();
        let was_appended = go_on(&mut directory, 4);
        drop(directory);
        disk.crash_with(|_| Survival::Kept);
        let (_, recovered) = open(&disk);
        !was_appended || only_log(&recovered).state.log_end_offset == 6
    });
}

#[test]
fn vote_not_fsynced() {
    breaks(Sabotage::VoteNotFsynced, || {
        let (disk, mut directory) = fresh();
        let election = QuorumElection {
            epoch: 4,
            voted_for: Some(BrokerId(2)),
        };
        let request = DiskRequest::WriteElection { election };
        directory.execute(request).unwrap();
        checkpoint(&mut directory, 0);
        drop(directory);
        disk.crash();
        open(&disk).1.election == election
    });
}

#[test]
fn directory_entry_not_fsynced_after_roll() {
    breaks(Sabotage::DirectoryEntryNotFsyncedAfterRoll, || {
        let (disk, mut directory) = fresh();
        flush(&mut directory);
        fill(&mut directory, 0, 60, 1);
        flush(&mut directory);
        let before = create(&mut directory);
        drop(directory);
        disk.crash();
        is_found_again(&disk, &before)
    });
}
