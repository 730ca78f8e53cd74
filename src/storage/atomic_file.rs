//! Small files that are replaced as a whole.
//!
//! In: a path and its new content. Out: after `replace` the content is durable. Invariant: at any
//! moment, crashes included, the path holds the whole old or the whole new content: the new one is
//! written aside, synced, renamed over the old one, and the directory synced. Without space the old
//! content stays.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, Operation, read_range};
use super::error::{DiskError, IoContext};
use super::names::TEMPORARY_SUFFIX;

/// Replaces the file at `path`.
pub(super) fn replace(disk: &impl Disk, path: &Path, content: &[u8]) -> Result<(), DiskError> {
    replace_without_directory_sync(disk, path, content)?;
    let directory = parent(path);
    disk.sync_dir(directory)
        .during(Operation::SyncDirectory, directory)
}

/// Like [`replace`], for a directory whose names are synced later: until then a crash brings back
/// the old content.
pub(super) fn replace_without_directory_sync(
    disk: &impl Disk,
    path: &Path,
    content: &[u8],
) -> Result<(), DiskError> {
    let aside = aside(path);
    let replaced = write_aside(disk, &aside, content).and_then(|()| {
        let renamed = disk.rename(&aside, path);
        renamed.during(Operation::Rename, path)
    });
    if replaced.as_ref().is_err_and(DiskError::is_no_space) {
        // What was written of it would only take more space.
        let _ = disk.remove_file(&aside);
    }
    replaced
}

fn write_aside(disk: &impl Disk, aside: &Path, content: &[u8]) -> Result<(), DiskError> {
    let mut file = disk.create(aside).during(Operation::Open, aside)?;
    file.write_at(content, 0).during(Operation::Write, aside)?;
    file.sync().during(Operation::Sync, aside)
}

/// Replaces the file for all but a loss of power, after which the name may be there sooner than the
/// content: enough for a note with a checksum, and what planted bugs do to other files.
pub(super) fn replace_without_any_sync(
    disk: &impl Disk,
    path: &Path,
    content: &[u8],
) -> Result<(), DiskError> {
    let aside = aside(path);
    let written = || {
        let mut file = disk.create(&aside).during(Operation::Open, &aside)?;
        file.write_at(content, 0).during(Operation::Write, &aside)?;
        disk.rename(&aside, path).during(Operation::Rename, path)
    };
    let replaced = written();
    if replaced.as_ref().is_err_and(DiskError::is_no_space) {
        // What was written of it would only take more space.
        let _ = disk.remove_file(&aside);
    }
    replaced
}

/// The content of the file at `path`, if there is one.
pub(super) fn read(disk: &impl Disk, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).during(Operation::Open, path),
    };
    let length = file.length().during(Operation::Read, path)?;
    let content = read_range(&file, 0, length as usize).during(Operation::Read, path)?;
    Ok(Some(content))
}

/// The directory that holds `path`.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(TEMPORARY_SUFFIX);
    PathBuf::from(aside)
}
