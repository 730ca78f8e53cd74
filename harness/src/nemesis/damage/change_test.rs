//! Each damage on a made-up log directory: what it reports is what the files then are.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::change::{Change, carry_out};
use super::copy::{Copy, replace};
use super::{Damage, FileKind, Place};

/// Two partitions of one segment with three batches each, and the files beside them.
fn directory() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let mut segment = Vec::new();
    for offset in 0..3_u64 {
        segment.extend(offset.to_be_bytes());
        segment.extend(60_u32.to_be_bytes());
        segment.extend([offset as u8 + 1; 60]);
    }
    for log in ["t-0", "t-1"] {
        let folder = root.path().join(log);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("00000000000000000000.log"), &segment).unwrap();
        fs::write(folder.join("00000000000000000000.index"), b"").unwrap();
        fs::write(folder.join("leader-epoch-checkpoint"), b"0\n1\n0 0\n").unwrap();
    }
    fs::write(root.path().join("meta.properties"), b"node.id=1\n").unwrap();
    root
}

fn apply(root: &TempDir, damage: &Damage, draw: u64) -> Vec<Change> {
    carry_out(root.path(), damage, None, draw).unwrap()
}

/// The files that differ, and their content in the first.
fn differing(a: &Path, b: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let all = crate::nemesis::files::list(a).unwrap().into_iter();
    let all = all.chain(crate::nemesis::files::list(b).unwrap());
    let mut found: Vec<_> = all
        .filter(|path| fs::read(a.join(path)).ok() != fs::read(b.join(path)).ok())
        .map(|path| (path.display().to_string(), fs::read(a.join(&path)).ok()))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn flips(place: Place) -> Damage {
    Damage::FlipBits {
        files: FileKind::Segment,
        files_max: 1,
        bits: 1,
        place,
    }
}

#[test]
fn a_flip_changes_one_bit_of_one_file_in_its_place() {
    for (place, range) in [(Place::Middle, 0..144), (Place::LastBatch, 144..216)] {
        for draw in 0..20 {
            let (root, same) = (directory(), directory());
            let made = apply(&root, &flips(place), draw);
            let changed = differing(root.path(), same.path());
            assert_eq!(changed.len(), 1);
            assert_eq!(made.len(), 1);
            assert_eq!(made[0].file, changed[0].0);
            let now = changed[0].1.clone().unwrap();
            let then = fs::read(same.path().join(&changed[0].0)).unwrap();
            let at: Vec<usize> = (0..now.len()).filter(|at| now[*at] != then[*at]).collect();
            assert_eq!(at.len(), 1);
            assert!(range.contains(&at[0]), "{place:?} at {at:?}");
            assert_eq!((now[at[0]] ^ then[at[0]]).count_ones(), 1);
            let told = format!("{}: {:02x} to {:02x}", at[0], then[at[0]], now[at[0]]);
            assert!(made[0].what.contains(&told), "{made:?}");
            assert_eq!(
                apply(&same, &flips(place), draw),
                made,
                "the same draw, the same bit"
            );
        }
    }
}

#[test]
fn tails_are_cut_and_zeroed_by_as_much_as_is_there() {
    let segment = FileKind::Segment;
    let cut = |bytes| Damage::Truncate {
        files: segment,
        files_max: 2,
        bytes,
    };
    let zero = |bytes| Damage::ZeroTail {
        files: segment,
        files_max: 1,
        bytes,
    };
    let root = directory();
    assert_eq!(apply(&root, &cut(16), 1).len(), 2);
    assert_eq!(
        fs::metadata(root.path().join("t-1/00000000000000000000.log"))
            .unwrap()
            .len(),
        200
    );
    let zeroed = apply(&root, &zero(40), 1);
    let bytes = fs::read(root.path().join(&zeroed[0].file)).unwrap();
    assert!(bytes[160..].iter().all(|byte| *byte == 0) && bytes[159] != 0);
    assert!(apply(&root, &cut(1_000), 1).len() == 2, "all that is there");
    assert!(
        apply(&root, &cut(1_000), 1).is_empty(),
        "nothing is left to cut"
    );
    assert!(apply(&root, &zero(40), 1).is_empty());
}

#[test]
fn deleted_files_are_gone_and_missing_ones_are_nothing_to_damage() {
    let root = directory();
    let delete = |files| Damage::Delete { files };
    assert_eq!(apply(&root, &delete(FileKind::EpochCheckpoint), 0).len(), 2);
    assert!(apply(&root, &delete(FileKind::EpochCheckpoint), 0).is_empty());
    assert!(apply(&root, &delete(FileKind::QuorumState), 0).is_empty());
    assert!(root.path().join("t-0/00000000000000000000.log").exists());
    assert_eq!(apply(&root, &Damage::Wipe, 0).len(), 1);
    assert!(fs::read_dir(root.path()).unwrap().next().is_none() && root.path().is_dir());
    assert!(apply(&root, &Damage::Wipe, 0).is_empty());
}

#[test]
fn files_of_one_kind_go_back_to_what_a_copy_has() {
    let root = directory();
    let copy = Copy::of(root.path()).unwrap();
    let roll_back = Damage::RollBack {
        files: FileKind::Segment,
        age_ms: 0,
    };
    let go = || carry_out(root.path(), &roll_back, Some(copy.path()), 0).unwrap();
    assert!(go().is_empty(), "nothing has changed since");
    fs::write(root.path().join("t-0/00000000000000000000.log"), b"longer").unwrap();
    fs::write(root.path().join("t-0/00000000000000000003.log"), b"new").unwrap();
    fs::write(root.path().join("meta.properties"), b"new").unwrap();
    fs::remove_dir_all(root.path().join("t-1")).unwrap();
    assert_eq!(
        go().len(),
        2,
        "one shrinks, one vanishes, a deleted log stays deleted"
    );
    let left = differing(root.path(), copy.path());
    assert!(
        left.iter()
            .all(|(path, _)| path.starts_with("t-1") || path == "meta.properties")
    );
}

#[test]
fn a_directory_is_replaced_except_for_what_is_kept() {
    let (mine, other) = (directory(), directory());
    fs::write(other.path().join("meta.properties"), b"node.id=2\n").unwrap();
    fs::write(other.path().join("quorum-state"), b"version=1\n").unwrap();
    let copy = Copy::beside(mine.path(), other.path()).unwrap();
    copy.take(mine.path(), FileKind::Identity).unwrap();
    assert_eq!(
        replace(copy.path(), mine.path()).unwrap(),
        1,
        "only the quorum state differs"
    );
    assert_eq!(
        fs::read(mine.path().join("meta.properties")).unwrap(),
        b"node.id=1\n"
    );
    assert!(mine.path().join("quorum-state").exists());
}
