//! The note of what was flushed: with it, damage above the stored recovery point is told; without
//! it, or with one of another time, nothing passes for damage that is the torn tail of a crash.

use std::path::{Path, PathBuf};

use super::damage_tests::segment_path;
use super::tests::{
    Directory, checkpoint, close, fill, flush, fresh, log, only_log, open, segments, try_open,
};
use crate::offset::Offset;
use crate::storage::checkpoint::{Offsets, RECOVERY_POINTS, format_offsets};
use crate::storage::disk::{Disk, DiskFile, Operation};
use crate::storage::flushed_note::FLUSHED;
use crate::storage::memory_disk::{MemoryDisk, Survival};
use crate::storage::request::{DiskReply, DiskRequest};

fn note(directory: &mut Directory) {
    assert_eq!(
        directory.execute(DiskRequest::NoteFlushed),
        Ok(DiskReply::Done)
    );
}

fn path() -> PathBuf {
    Path::new("data").join(FLUSHED)
}

/// A log of 60 records, all flushed, of which the stored recovery point knows the first 20.
fn flushed() -> (MemoryDisk, Directory) {
    let (disk, mut directory) = fresh();
    fill(&mut directory, 0, 20, 1);
    flush(&mut directory);
    checkpoint(&mut directory, 20);
    fill(&mut directory, 20, 60, 1);
    flush(&mut directory);
    (disk, directory)
}

/// Flips a bit of the last batch but one; returns its offset.
fn flip(disk: &MemoryDisk) -> Offset {
    let path = segment_path(disk, segments(disk).len() - 1);
    disk.corrupt(&path, |content| {
        let batch = content.len() / (content.len() / 117);
        let at = content.len() - 2 * batch + 90;
        content[at] ^= 1;
    });
    56
}

/// Whether the next start finds damage, and where the log ends for it.
fn found(disk: &MemoryDisk) -> (bool, Offset) {
    let (_, recovered) = open(disk);
    let log = only_log(&recovered);
    (log.damage.is_some(), log.state.log_end_offset)
}

#[test]
fn a_flipped_bit_in_what_was_flushed_since_the_checkpoint_is_damage_and_no_torn_tail() {
    let (disk, mut directory) = flushed();
    let without = disk.deep_copy();
    note(&mut directory);
    let at = flip(&disk);
    let before = segments(&disk);
    // SIGKILL: the page cache stays.
    let (_, recovered) = open(&disk);
    let damage = only_log(&recovered).damage.clone().expect("damage");
    assert_eq!((damage.offset, damage.lost_to), (at, 60));
    assert_eq!(segments(&disk), before, "nothing was cut");
    assert_eq!(
        found(&disk),
        (true, at),
        "the stored recovery point says it now"
    );

    assert_eq!(flip(&without), at);
    assert_eq!(
        found(&without),
        (false, at),
        "nobody knows that it was flushed"
    );
}

#[test]
fn a_note_that_the_power_took_leaves_the_stored_recovery_point() {
    let (disk, mut directory) = flushed();
    note(&mut directory);
    disk.crash();
    assert_eq!(found(&disk), (false, 60));
    // Its name is there, and its content is not.
    let (disk, mut directory) = flushed();
    note(&mut directory);
    disk.sync_dir(Path::new("data")).unwrap();
    disk.crash();
    let at = flip(&disk);
    assert_eq!(found(&disk), (false, at));
    assert!(disk.open(&path()).is_err(), "it is not kept");
}

#[test]
fn what_is_appended_after_a_cut_below_the_note_is_a_tail_and_no_damage() {
    for survival in [Survival::Kept, Survival::Torn(60)] {
        let (disk, mut directory) = flushed();
        note(&mut directory);
        let cut = DiskRequest::Truncate { log: log(), to: 30 };
        directory.execute(cut).unwrap();
        fill(&mut directory, 30, 50, 2);
        let mut writes = 0;
        disk.crash_with(|bytes| {
            writes += usize::from(bytes > 0);
            if bytes > 0 && writes > 3 {
                Survival::Lost
            } else {
                survival
            }
        });
        let (is_damaged, end) = found(&disk);
        assert!(
            !is_damaged && (30..50).contains(&end),
            "{survival:?}: {end}"
        );
    }
}

/// The same, where a loss of power leaves the note.
fn durably_noted() -> (MemoryDisk, Directory) {
    let (disk, mut directory) = flushed();
    note(&mut directory);
    disk.open(&path()).unwrap().sync().unwrap();
    disk.sync_dir(Path::new("data")).unwrap();
    (disk, directory)
}

/// Cuts the log below the note and lets it grow to 50, durably.
fn cut_and_grow(directory: &mut Directory) {
    let cut = DiskRequest::Truncate { log: log(), to: 30 };
    directory.execute(cut).unwrap();
    fill(directory, 30, 50, 2);
    assert_eq!(flush(directory), 50);
}

#[test]
fn a_loss_of_power_after_a_cut_brings_no_note_back() {
    let (disk, mut directory) = durably_noted();
    cut_and_grow(&mut directory);
    disk.crash();
    assert_eq!(found(&disk), (false, 50));
}

#[test]
fn a_note_whose_removal_was_cut_short_by_a_kill_does_not_come_back() {
    let (disk, mut directory) = durably_noted();
    disk.set_fault(|operation, _| {
        (operation == Operation::SyncDirectory).then_some(std::io::ErrorKind::Other)
    });
    let cut = DiskRequest::Truncate { log: log(), to: 30 };
    directory.execute(cut).unwrap_err();
    disk.clear_fault();
    assert!(disk.open(&path()).is_err(), "it is removed, not durably");
    // Without space nothing else of the next start syncs the directory.
    disk.set_fault(|operation, path| {
        let is_full =
            operation == Operation::Write && path.to_string_lossy().contains(RECOVERY_POINTS);
        is_full.then_some(std::io::ErrorKind::StorageFull)
    });
    let (mut directory, _) = open(&disk);
    disk.clear_fault();
    cut_and_grow(&mut directory);
    disk.crash();
    assert_eq!(found(&disk), (false, 50));
}

#[test]
fn a_missing_log_that_only_the_note_knows_is_noted_again() {
    let (disk, mut directory) = flushed();
    note(&mut directory);
    disk.remove_dir(Path::new("data/t-0")).unwrap();
    disk.set_space(Some(disk.used() + 3));
    let (mut directory, _) = open(&disk);
    disk.set_space(None);
    note(&mut directory);
    let (_, recovered) = open(&disk);
    let damage = only_log(&recovered).damage.clone().expect("it is missed");
    assert_eq!(damage.lost_to, 60);
}

#[test]
fn a_log_that_is_deleted_or_begins_anew_is_not_missed() {
    for request in [
        DiskRequest::DeleteLog { log: log() },
        DiskRequest::RestartAt {
            log: log(),
            offset: 5,
        },
    ] {
        let (disk, mut directory) = flushed();
        note(&mut directory);
        directory.execute(request).unwrap();
        let (_, recovered) = open(&disk);
        assert!(recovered.logs.iter().all(|log| log.damage.is_none()));
    }
    let (disk, mut directory) = flushed();
    note(&mut directory);
    disk.remove_dir(Path::new("data/t-0")).unwrap();
    let (_, recovered) = open(&disk);
    let damage = only_log(&recovered).damage.clone().expect("it is missed");
    assert_eq!(damage.lost_to, 60);
}

#[test]
fn a_lost_note_is_harmless_and_one_that_is_not_whole_says_nothing() {
    let (disk, mut directory) = flushed();
    note(&mut directory);
    let bits = format_offsets(&Offsets::from([(log(), 60)])).len() * 8;
    for bit in (0..bits).step_by(7) {
        let disk = disk.deep_copy();
        disk.corrupt(&path(), |content| content[bit / 8] ^= 1 << (bit % 8));
        assert_eq!(found(&disk), (false, 60), "bit {bit}");
    }
    disk.corrupt(&path(), |content| content.fill(0xa5));
    assert_eq!(found(&disk), (false, 60));
    assert!(disk.open(&path()).is_err(), "it is not kept");
}

#[test]
fn after_a_start_and_after_a_clean_stop_the_checkpoint_says_as_much() {
    let (disk, mut directory) = flushed();
    note(&mut directory);
    close(&mut directory);
    let left = "one of before the note may start next, and cut the log";
    assert!(disk.open(&path()).is_err(), "{left}");
    assert_eq!(found(&disk), (false, 60));
    assert!(disk.open(&path()).is_err());
    assert!(try_open(&disk).is_ok());
}

#[test]
fn a_full_disk_takes_no_note_and_keeps_the_old_one() {
    let (disk, mut directory) = flushed();
    note(&mut directory);
    fill(&mut directory, 60, 70, 1);
    flush(&mut directory);
    disk.set_space(Some(disk.used() + 3));
    note(&mut directory);
    disk.set_space(None);
    flip(&disk);
    let (is_damaged, end) = found(&disk);
    assert!(
        !is_damaged && (60..68).contains(&end),
        "{end}: it was not noted"
    );
}
