//! Changes of the bytes and names of a stopped node's files.
//!
//! In: a log directory, a [`Damage`], a draw, and an earlier copy where one is needed. Out: each
//! change that was made, as read back from the file.
//! Invariant: what is reported was read from the file after the change; the same files, damage and
//! draw give the same changes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::nemesis::damage::copy::{empty, replace};
use crate::nemesis::damage::{Damage, FileKind, Place};
use crate::nemesis::files::there;

/// One change of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    /// Relative to the log directory; `.` for all of it.
    pub(super) file: String,
    /// What became of it.
    pub(super) what: String,
}

impl Change {
    fn new(path: &Path, what: String) -> Self {
        let file = path.display().to_string();
        Self { file, what }
    }
}

/// Carries out `damage` on the log directory at `root`; `copy` is what is put in its place, or
/// where files are taken from. Nothing if there is nothing to damage.
///
/// # Errors
/// Those of the files, and a change that cannot be read back.
pub(super) fn carry_out(
    root: &Path,
    damage: &Damage,
    copy: Option<&Path>,
    draw: u64,
) -> io::Result<Vec<Change>> {
    let mut rng = ChaCha8Rng::seed_from_u64(draw);
    match damage {
        Damage::FlipBits {
            files,
            files_max,
            bits,
            place,
        } => some(root, *files, *files_max, &mut rng, |path, rng| {
            flip(&root.join(path), *bits, *place, rng)
        }),
        Damage::Truncate {
            files,
            files_max,
            bytes,
        } => some(root, *files, *files_max, &mut rng, |path, _| {
            truncate(&root.join(path), *bytes)
        }),
        Damage::ZeroTail {
            files,
            files_max,
            bytes,
        } => some(root, *files, *files_max, &mut rng, |path, _| {
            zero_tail(&root.join(path), *bytes)
        }),
        Damage::Delete { files } => all(files.find(root)?, |path| delete(&root.join(path))),
        Damage::RollBack { files, .. } => roll_back(root, copy.unwrap_or(root), *files),
        Damage::Wipe => {
            let files = empty(root)?;
            Ok(whole(files, &format!("emptied: {files} files are gone")))
        }
        Damage::Swap { .. } | Damage::Backup { .. } => {
            let files = replace(copy.unwrap_or(root), root)?;
            Ok(whole(
                files,
                &format!("{files} files differ from what was there"),
            ))
        }
    }
}

fn whole(files: usize, what: &str) -> Vec<Change> {
    let change = Change::new(Path::new("."), what.to_owned());
    Some(change).filter(|_| files > 0).into_iter().collect()
}

/// Changes at most `files_max` files, in drawn order; those without such a place do not count.
fn some(
    root: &Path,
    kind: FileKind,
    files_max: u32,
    rng: &mut ChaCha8Rng,
    mut change: impl FnMut(&Path, &mut ChaCha8Rng) -> io::Result<Option<String>>,
) -> io::Result<Vec<Change>> {
    let mut paths = kind.find(root)?;
    paths.shuffle(rng);
    let mut made = Vec::new();
    for path in paths {
        if made.len() == files_max as usize {
            break;
        }
        if fs::metadata(root.join(&path))?.len() > 0 {
            let what = change(&path, rng)?;
            made.extend(what.map(|what| Change::new(&path, what)));
        }
    }
    Ok(made)
}

fn all(
    paths: Vec<PathBuf>,
    mut change: impl FnMut(&Path) -> io::Result<Option<String>>,
) -> io::Result<Vec<Change>> {
    let mut made = Vec::new();
    for path in paths {
        let what = change(&path)?;
        made.extend(what.map(|what| Change::new(&path, what)));
    }
    Ok(made)
}

fn flip(path: &Path, bits: u32, place: Place, rng: &mut ChaCha8Rng) -> io::Result<Option<String>> {
    let before = fs::read(path)?;
    let range = place.range(&before, rng.random());
    if range.is_empty() {
        return Ok(None);
    }
    let mut wanted = before.clone();
    for _ in 0..bits {
        let at = rng.random_range(range.clone());
        if let Some(byte) = wanted.get_mut(at) {
            *byte ^= 1 << rng.random_range(0..8_u32);
        }
    }
    let file = OpenOptions::new().write(true).open(path)?;
    let differing = || {
        before
            .iter()
            .zip(&wanted)
            .enumerate()
            .filter(|(_, (a, b))| a != b)
    };
    for (at, (_, byte)) in differing() {
        file.write_all_at(&[*byte], at as u64)?;
    }
    expect(path, &wanted)?;
    let told: Vec<String> = differing()
        .take(8)
        .map(|(at, (a, b))| format!("{at}: {a:02x} to {b:02x}"))
        .collect();
    let count = differing().count();
    let told = format!(
        "{count} of {} bytes flipped: {}",
        before.len(),
        told.join(", ")
    );
    // Two flips of one bit undo each other.
    Ok((count > 0).then_some(told))
}

fn truncate(path: &Path, bytes: u64) -> io::Result<Option<String>> {
    let before = fs::metadata(path)?.len();
    let after = before.saturating_sub(bytes);
    OpenOptions::new().write(true).open(path)?.set_len(after)?;
    let found = fs::metadata(path)?.len();
    check(found == after, path)?;
    Ok((after < before).then(|| format!("cut from {before} to {after} bytes")))
}

fn zero_tail(path: &Path, bytes: u64) -> io::Result<Option<String>> {
    let mut wanted = fs::read(path)?;
    let from = wanted.len().saturating_sub(bytes as usize);
    let tail = wanted.get_mut(from..).unwrap_or_default();
    let changed = tail.iter().filter(|byte| **byte != 0).count();
    tail.fill(0);
    let length = tail.len();
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&vec![0; length], from as u64)?;
    expect(path, &wanted)?;
    let told = format!("{length} bytes from {from} on are zero, {changed} of them were not");
    Ok((changed > 0).then_some(told))
}

fn delete(path: &Path) -> io::Result<Option<String>> {
    let bytes = fs::metadata(path)?.len();
    fs::remove_file(path)?;
    check(!path.exists(), path)?;
    Ok(Some(format!("deleted, it had {bytes} bytes")))
}

/// Files that did not exist when the copy was taken are gone, those that differ are as they were.
fn roll_back(root: &Path, copy: &Path, kind: FileKind) -> io::Result<Vec<Change>> {
    let (now, then) = (kind.find(root)?, kind.find(copy)?);
    let newer = now.iter().filter(|path| !then.contains(path)).cloned();
    let mut made = all(newer.collect(), |path| delete(&root.join(path)))?;
    made.extend(all(then, |path| {
        let old = fs::read(copy.join(path))?;
        let path = root.join(path);
        let new = there(fs::read(&path))?;
        // A log that was deleted since does not come back for one file.
        if new.as_ref() == Some(&old) || !path.parent().is_some_and(Path::is_dir) {
            return Ok(None);
        }
        File::create(&path)?.write_all_at(&old, 0)?;
        expect(&path, &old)?;
        let had = new.map_or("was missing".to_owned(), |new| {
            format!("had {} bytes", new.len())
        });
        Ok(Some(format!(
            "rolled back to {} bytes, it {had}",
            old.len()
        )))
    })?);
    Ok(made)
}

fn expect(path: &Path, wanted: &[u8]) -> io::Result<()> {
    check(fs::read(path)? == wanted, path)
}

fn check(holds: bool, path: &Path) -> io::Result<()> {
    let lost = || io::Error::other(format!("{} is not what was written to it", path.display()));
    if holds { Ok(()) } else { Err(lost()) }
}
