//! Damage told apart from the torn tail of a crash: at recovery and when a batch is read.

use std::path::{Path, PathBuf};

use super::tests::{
    Directory, append, checkpoint, close, fill, flush, fresh, log, only_log, open, read, segments,
};
use super::{LogDamage, RecoveredDirectory};
use crate::offset::Offset;
use crate::storage::disk::Disk;
use crate::storage::error::DiskError;
use crate::storage::memory_disk::{MemoryDisk, Survival};
use crate::storage::request::{DiskReply, DiskRequest};

/// A log of 60 records in small segments, all of them durable, and known to be.
pub(super) fn durable() -> (MemoryDisk, Directory) {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    flush(&mut directory);
    checkpoint(&mut directory, 60);
    (disk, directory)
}

pub(super) fn segment_path(disk: &MemoryDisk, index: usize) -> PathBuf {
    Path::new("data/t-0").join(&segments(disk)[index])
}

fn base_of(disk: &MemoryDisk, index: usize) -> Offset {
    segments(disk)[index][..20].parse().unwrap()
}

/// Flips a bit of the records of the second batch of a segment; returns the batch's offset.
fn flip(disk: &MemoryDisk, index: usize) -> Offset {
    let path = segment_path(disk, index);
    disk.corrupt(&path, |content| {
        let size = content.len() / (content.len() / 117);
        content[size + 90] ^= 1;
    });
    base_of(disk, index) + 2
}

fn damage(recovered: &RecoveredDirectory) -> LogDamage {
    only_log(recovered).damage.clone().expect("damage")
}

pub(super) fn try_read(directory: &mut Directory, start: Offset) -> Result<DiskReply, DiskError> {
    directory.execute(DiskRequest::Read {
        log: log(),
        start,
        end: 1000,
        max_bytes: 1,
        minimum_one_batch: true,
    })
}

/// Cut at its damage the log is whole again, and takes records from there on.
fn repair(directory: &mut Directory, at: Offset) {
    let request = DiskRequest::Truncate { log: log(), to: at };
    let Ok(DiskReply::Truncated { state }) = directory.execute(request) else {
        panic!("the log cannot be cut at {at}");
    };
    assert_eq!(state.log_end_offset, at);
    fill(directory, at, 80, 2);
    flush(directory);
    for start in at..80 {
        assert_eq!(read(directory, start, 80, 1), [start / 2 * 2]);
    }
}

#[test]
fn damage_below_the_recovery_point_is_kept_and_never_served() {
    for index in [0, 1, 2] {
        let (disk, _) = durable();
        let at = flip(&disk, index);
        let is_last = index + 1 == segments(&disk).len();
        let (mut directory, recovered) = open(&disk);
        if !is_last && only_log(&recovered).damage.is_none() {
            // A trusted segment is not read at the start: reading it tells.
            assert!(try_read(&mut directory, at).unwrap_err().is_damage());
            continue;
        }
        let found = damage(&recovered);
        assert_eq!((found.offset, found.lost_to >= 60), (at, true), "{found}");
        assert_eq!(only_log(&recovered).state.log_end_offset, at);
    }
}

#[test]
fn a_damaged_log_serves_what_is_below_and_takes_nothing() {
    let (disk, _) = durable();
    let last = segments(&disk).len() - 1;
    let at = flip(&disk, last);
    let before = segments(&disk);
    for _ in 0..2 {
        let (mut directory, recovered) = open(&disk);
        assert_eq!(damage(&recovered).offset, at, "also after another restart");
        for start in 0..at {
            assert_eq!(read(&mut directory, start, 60, 1), [start / 2 * 2]);
        }
        assert!(try_read(&mut directory, at).unwrap_err().is_damage());
        let request = DiskRequest::Append {
            log: log(),
            batches: super::tests::batch(at, 2),
        };
        assert!(directory.execute(request).unwrap_err().is_damage());
        checkpoint(&mut directory, 60);
        close(&mut directory);
        assert_eq!(segments(&disk), before, "nothing was cut");
    }
    let (mut directory, _) = open(&disk);
    repair(&mut directory, at);
    close(&mut directory);
    let (_, recovered) = open(&disk);
    assert_eq!(only_log(&recovered).damage, None);
    assert_eq!(only_log(&recovered).state.log_end_offset, 80);
}

#[test]
fn a_flipped_bit_is_found_when_it_is_read_after_a_clean_shutdown() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 60, 1);
    close(&mut directory);
    let at = flip(&disk, 1);
    let (mut directory, recovered) = open(&disk);
    assert_eq!(only_log(&recovered).damage, None, "nothing is scanned");
    let error = try_read(&mut directory, at + 1).unwrap_err();
    assert!(
        matches!(&error, DiskError::DamagedLog(found) if found.offset == at),
        "{error}"
    );
    assert_eq!(directory.offline_cause(), None);
    assert_eq!(read(&mut directory, at - 1, 60, 1), [at - 2]);
    close(&mut directory);
    let (mut directory, recovered) = open(&disk);
    assert_eq!(damage(&recovered).offset, at, "it is remembered");
    repair(&mut directory, at);
}

#[test]
fn a_log_of_zeroes_behind_a_torn_batch_is_cut_there() {
    for is_clean in [false, true] {
        let (disk, mut directory) = durable();
        if is_clean {
            close(&mut directory);
        }
        let last = segments(&disk).len() - 1;
        let size = super::tests::batch(0, 1).len();
        let path = segment_path(&disk, last);
        // The header of the batch before the last one stays whole: only its records are gone.
        disk.corrupt(&path, |content| {
            let from = content.len() - size - 20;
            content[from..].fill(0);
        });
        let (mut directory, recovered) = open(&disk);
        let at = damage(&recovered).offset;
        assert_eq!(at, 56);
        for start in 0..at {
            assert_eq!(read(&mut directory, start, 60, 1), [start / 2 * 2]);
        }
        repair(&mut directory, at);
        close(&mut directory);
        let (_, recovered) = open(&disk);
        assert_eq!(only_log(&recovered).damage, None);
    }
}

#[test]
fn every_bit_of_a_batch_is_guarded_on_read() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 6, 1);
    close(&mut directory);
    let path = segment_path(&disk, 0);
    let size = super::tests::batch(0, 1).len();
    for bit in 0..size * 8 {
        let (disk, place) = (disk.deep_copy(), size + bit / 8);
        disk.corrupt(&path, |content| content[place] ^= 1 << (bit % 8));
        let (mut directory, recovered) = open(&disk);
        assert_eq!(recovered.logs.len(), 1);
        let answer = try_read(&mut directory, 2);
        let is_refused = answer.as_ref().is_err_and(DiskError::is_damage);
        assert!(is_refused, "bit {bit} of the batch: {answer:?}");
        assert_eq!(read(&mut directory, 0, 6, 1), [0], "bit {bit}");
    }
}

#[test]
fn what_was_never_durable_is_a_torn_tail_even_with_holes() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 10, 1);
    flush(&mut directory);
    checkpoint(&mut directory, 10);
    fill(&mut directory, 10, 20, 1);
    let mut writes = 0;
    disk.crash_with(|bytes| {
        writes += usize::from(bytes > 0);
        if bytes > 0 && writes == 2 {
            Survival::Lost
        } else {
            Survival::Kept
        }
    });
    let (mut directory, recovered) = open(&disk);
    let found = only_log(&recovered);
    assert_eq!((&found.damage, found.state.log_end_offset), (&None, 12));
    assert!(found.cut_bytes > 0, "it says what it cut");
    assert_eq!(found.cut_whole_from, Some(14), "and that it was a hole");
    append(&mut directory, &super::tests::batch(12, 2));
    assert_eq!(read(&mut directory, 12, 14, 1), [12]);
}

#[test]
fn a_damaged_metadata_log_stops_the_start_with_one_line() {
    let metadata = crate::storage::metadata_partition();
    let disk = MemoryDisk::default();
    let (mut directory, _) = open(&disk);
    let create = DiskRequest::CreateLog {
        log: metadata.clone(),
        topic_id: crate::storage::METADATA_TOPIC_ID,
        options: crate::storage::LogOptions::default(),
    };
    directory.execute(create).unwrap();
    for base in (0..20).step_by(2) {
        let append = DiskRequest::Append {
            log: metadata.clone(),
            batches: super::tests::batch(base, 1),
        };
        directory.execute(append).unwrap();
    }
    let flush = DiskRequest::Flush { log: metadata };
    directory.execute(flush.clone()).unwrap();
    checkpoint(&mut directory, 0);
    let path = Path::new("data/__cluster_metadata-0/00000000000000000000.log");
    let size = super::tests::batch(0, 1).len();
    for is_clean in [false, true] {
        let disk = disk.deep_copy();
        if is_clean {
            let (mut directory, _) = open(&disk);
            close(&mut directory);
        }
        disk.corrupt(path, |content| content[4 * size + 80] ^= 1);
        let error = super::tests::try_open(&disk).unwrap_err().to_string();
        let byte = format!("byte {}", 4 * size);
        for part in [
            &byte,
            "00000000000000000000.log",
            "offset 8",
            "remove the data directory",
        ] {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
        assert!(!error.contains('\n'));
    }
}

/// Reads the whole log, batch by batch.
fn reads_whole(directory: &mut Directory, end: Offset) {
    for start in 0..end {
        assert_eq!(read(directory, start, end, 1), [start / 2 * 2]);
    }
}

#[test]
fn a_bit_that_flips_on_its_way_from_the_disk_is_no_damage() {
    // Each attempt reads the byte twice: on the way to the batch, and in it.
    for (flipped, is_believed) in [(0..1, false), (1..4, false), (0..6, true)] {
        let (disk, mut directory) = durable();
        let size = super::tests::batch(0, 1).len() as u64;
        disk.flip_reads(&segment_path(&disk, 0), size + 90, flipped.clone());
        let answer = try_read(&mut directory, 2);
        assert_eq!(answer.is_err(), is_believed, "{flipped:?}: {answer:?}");
        assert_eq!(try_read(&mut directory, 2).is_err(), is_believed);
        close(&mut directory);
        let (mut directory, recovered) = open(&disk);
        assert_eq!(only_log(&recovered).damage, None, "{flipped:?}");
        reads_whole(&mut directory, 60);
        assert!(
            !disk
                .list(Path::new("data/t-0"))
                .unwrap()
                .contains(&"damaged".to_owned())
        );
    }
}

#[test]
fn a_bit_that_flips_while_a_log_is_recovered_cuts_nothing() {
    for is_checkpointed in [false, true] {
        let (disk, mut directory) = fresh();
        fill(&mut directory, 0, 10, 1);
        flush(&mut directory);
        if is_checkpointed {
            checkpoint(&mut directory, 10);
        }
        disk.flip_reads(&segment_path(&disk, 0), 250, 0..2);
        let (mut directory, recovered) = open(&disk);
        let found = only_log(&recovered);
        assert_eq!((&found.damage, found.cut_bytes), (&None, 0));
        reads_whole(&mut directory, 10);
    }
}

#[test]
fn a_truncation_whose_read_flips_cuts_no_more_than_it_was_told() {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 10, 1);
    close(&mut directory);
    let (mut directory, _) = open(&disk);
    disk.flip_reads(&segment_path(&disk, 0), 0, 0..1);
    let request = DiskRequest::Truncate { log: log(), to: 8 };
    let Ok(DiskReply::Truncated { state }) = directory.execute(request) else {
        panic!("it cannot be cut");
    };
    assert_eq!(state.log_end_offset, 8);
    reads_whole(&mut directory, 8);
}
