//! How much of a disk is in use, counted by the lengths of its files, holes included.
//!
//! In: growth and removal. Out: what still fits. Invariant: nothing is counted twice: each file
//! counts with its length, whatever its number of names, until its last name is gone.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;

use crate::disk::rule::DiskErrno;

/// The space of one disk.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::disk) struct Space {
    /// Bytes in use.
    pub(in crate::disk) used: u64,
    /// Bytes that may be in use, unless the machine's own disk is the limit.
    pub(in crate::disk) quota: Option<u64>,
}

/// What an operation may use, beyond the quota.
#[derive(Clone, Copy, Debug)]
pub(in crate::disk) struct Limit {
    /// Bytes that may be in use.
    pub(in crate::disk) bytes: u64,
    /// The answer when nothing fits.
    pub(in crate::disk) errno: DiskErrno,
}

impl Space {
    /// The space that the files below `backing` use.
    pub(in crate::disk) fn measure(backing: &Path, quota: Option<u64>) -> io::Result<Self> {
        let mut used = 0;
        let mut linked = BTreeSet::new();
        let mut todo = vec![backing.to_owned()];
        while let Some(folder) = todo.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                if metadata.is_dir() {
                    todo.push(entry.path());
                } else if metadata.nlink() == 1 || linked.insert(metadata.ino()) {
                    used += metadata.len();
                }
            }
        }
        Ok(Self { used, quota })
    }

    /// How much of `growth` fits under the quota and `limit`; an error if nothing of it does.
    pub(super) fn fit(&self, growth: u64, limit: Option<Limit>) -> Result<u64, Errno> {
        let quota = self.quota.map(|bytes| Limit {
            bytes,
            errno: DiskErrno::Enospc,
        });
        let tightest = quota
            .into_iter()
            .chain(limit)
            .min_by_key(|limit| limit.bytes);
        let Some(limit) = tightest else {
            return Ok(growth);
        };
        match growth.min(limit.bytes.saturating_sub(self.used)) {
            0 if growth > 0 => Err(errno(limit.errno)),
            fits => Ok(fits),
        }
    }

    /// Whether there is room for one more name: it needs some, however little.
    pub(in crate::disk) fn fits_name(&self, limit: Option<Limit>) -> Result<(), Errno> {
        self.fit(1, limit).map(drop)
    }

    /// A file went from `before` to `after` bytes.
    pub(super) fn resized(&mut self, before: u64, after: u64) {
        self.used = self.used.saturating_add(after).saturating_sub(before);
    }
}

/// The system's number of an error.
pub(in crate::disk) fn errno(errno: DiskErrno) -> Errno {
    match errno {
        DiskErrno::Eio => Errno::IO,
        DiskErrno::Enospc => Errno::NOSPC,
        DiskErrno::Edquot => Errno::DQUOT,
        DiskErrno::Erofs => Errno::ROFS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_of_quota_and_limit_decides_and_names_the_error() {
        let space = Space {
            used: 90,
            quota: Some(100),
        };
        let limit = |bytes| Limit {
            bytes,
            errno: DiskErrno::Edquot,
        };
        assert_eq!(space.fit(20, None), Ok(10));
        assert_eq!(space.fit(20, Some(limit(95))), Ok(5));
        assert_eq!(space.fit(20, Some(limit(90))), Err(Errno::DQUOT));
        assert_eq!(space.fit(0, Some(limit(0))), Ok(0));
        let full = Space { used: 100, ..space };
        assert_eq!(full.fit(1, Some(limit(200))), Err(Errno::NOSPC));
        let free = Space {
            quota: None,
            ..full
        };
        assert_eq!(free.fit(1 << 40, None), Ok(1 << 40));
    }

    #[test]
    fn space_is_measured_by_the_lengths_of_files_whatever_their_number_of_names() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("t-0")).expect("made");
        fs::write(dir.path().join("a"), [0; 10]).expect("written");
        fs::write(dir.path().join("t-0/b"), [0; 7]).expect("written");
        fs::hard_link(dir.path().join("a"), dir.path().join("t-0/a")).expect("linked");
        assert_eq!(Space::measure(dir.path(), None).expect("measured").used, 17);
    }
}
