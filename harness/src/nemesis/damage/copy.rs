//! Copies of log directories, taken while a node runs or is down, and put in place of another.
//!
//! In: directories. Out: how many files differ. Invariant: the directory itself stays, so that a
//! mount over it or a process's idea of it stays valid; a file that vanishes while it is copied
//! from a running node is left out.

use std::path::{Path, PathBuf};
use std::{fs, io};

use tempfile::TempDir;

use crate::nemesis::damage::FileKind;
use crate::nemesis::files::{list, there};

/// Copies of one log directory live beside it, until they are dropped.
#[derive(Debug)]
pub(super) struct Copy {
    directory: TempDir,
}

impl Copy {
    /// Copies the directory at `root`.
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        Self::beside(root, root)
    }

    /// Copies the directory at `from` to a place beside `root`.
    pub(super) fn beside(root: &Path, from: &Path) -> io::Result<Self> {
        let beside = root.parent().unwrap_or(root);
        let directory = tempfile::Builder::new()
            .prefix(".copy-")
            .tempdir_in(beside)?;
        for path in list(from)? {
            let to = directory.path().join(&path);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            there(fs::copy(from.join(&path), to))?;
        }
        Ok(Self { directory })
    }

    /// Takes the files of `kind` from the directory at `root` instead of its own.
    pub(super) fn take(&self, root: &Path, kind: FileKind) -> io::Result<()> {
        for path in kind.find(self.path())? {
            fs::remove_file(self.path().join(path))?;
        }
        for path in kind.find(root)? {
            fs::copy(root.join(&path), self.path().join(&path))?;
        }
        Ok(())
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes everything in `root`; how many files that were.
pub(super) fn empty(root: &Path) -> io::Result<usize> {
    let files = list(root)?.len();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    match list(root)?.first() {
        None => Ok(files),
        Some(left) => Err(io::Error::other(format!(
            "{} is still there",
            left.display()
        ))),
    }
}

/// Puts copies of the files in `from` in place of those in `root`; how many files differ from
/// those that were there.
pub(super) fn replace(from: &Path, root: &Path) -> io::Result<usize> {
    let content = |root: &Path| -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let read = |path: PathBuf| fs::read(root.join(&path)).map(|bytes| (path, bytes));
        list(root)?.into_iter().map(read).collect()
    };
    let (before, wanted) = (content(root)?, content(from)?);
    empty(root)?;
    for (path, bytes) in &wanted {
        let to = root.join(path);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(to, bytes)?;
    }
    if content(root)? != wanted {
        let root = root.display();
        return Err(io::Error::other(format!(
            "{root} is not what was copied to it"
        )));
    }
    let gone = before.iter().filter(|file| !wanted.contains(file)).count();
    Ok(gone.max(wanted.iter().filter(|file| !before.contains(file)).count()))
}
