//! One process for each log directory.
//!
//! In: a directory's path. Out: a lock that the kernel drops when the process ends, however it
//! ends. Invariant: while it lives, no other process has one. Source: Kafka's `FileLock`.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

const LOCK: &str = ".lock";

/// The lock of a log directory, held until it is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Why a log directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "{} is in use by another process: stop that one or choose another log.dirs",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl DirectoryLock {
    /// Locks the directory at `path`, creating it if it is not there.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let refused = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(refused)?;
        let file = File::create(path.join(LOCK)).map_err(refused)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(refused(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let second = DirectoryLock::acquire(directory.path()).unwrap_err();
        assert!(
            second.to_string().contains("is in use by another process"),
            "{second}"
        );
        drop(lock);
        DirectoryLock::acquire(directory.path()).unwrap();
    }
}
