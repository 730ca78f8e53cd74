//! What the files of a disk are when nothing is wrong: a passthrough to the backing folder that
//! tells the journal what a loss of power may take.
//!
//! In: operations by inode number. Out: the backing file system's answers. Invariants: the journal
//! hears of each change before it is made (of new names: just after); files of the backing folder
//! belong to the harness's user, who is also the brokers'. Source: fuse(4), `sandbox.md` §4.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::disk::journal::{Journal, Parent};
use crate::disk::rule::FileClass;

pub(super) mod attributes;
pub(super) mod data;
mod inodes;
pub(super) mod listing;
pub(super) mod names;
#[cfg(test)]
mod power_test;
pub(super) mod space;
pub(super) mod xattr;

use inodes::Inodes;
pub(super) use inodes::ROOT;
use listing::Listing;
use space::Space;

/// An answer, or the system's error.
pub(super) type Answer<T> = Result<T, Errno>;

/// An open file.
#[derive(Debug)]
struct OpenFile {
    inode: u64,
    /// Open for reading too whenever it is open for writing, as the journal reads from it.
    file: File,
}

/// The files of one mounted disk.
#[derive(Debug)]
pub(super) struct Files {
    inodes: Inodes,
    open: BTreeMap<u64, OpenFile>,
    listings: BTreeMap<u64, Listing>,
    next_handle: u64,
    journal: Arc<Mutex<Journal>>,
    /// How full the disk is.
    pub(super) space: Space,
}

impl Files {
    /// The files of `backing`.
    pub(super) fn new(backing: &Path, journal: Arc<Mutex<Journal>>, space: Space) -> Answer<Self> {
        Ok(Self {
            inodes: Inodes::new(backing)?,
            open: BTreeMap::new(),
            listings: BTreeMap::new(),
            next_handle: 1,
            journal,
            space,
        })
    }

    /// The class of a known inode.
    pub(super) fn class(&self, number: u64) -> FileClass {
        self.inodes
            .get(number)
            .map_or(FileClass::Other, |inode| inode.class)
    }

    /// The path of a known inode, relative to the log directory.
    pub(super) fn path(&self, number: u64) -> std::path::PathBuf {
        self.inodes.path(number)
    }

    /// The numbers of all regular files that the kernel knows, of classes that `wanted` accepts.
    pub(super) fn known_files(&self, wanted: impl Fn(FileClass) -> bool) -> Vec<u64> {
        self.inodes.files(wanted)
    }

    /// The kernel forgets `count` look-ups of an inode.
    pub(super) fn forget(&mut self, number: u64, count: u64) {
        self.inodes.forget(number, count);
    }

    fn handle(&mut self) -> u64 {
        self.next_handle += 1;
        self.next_handle - 1
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A directory as the journal sees it.
    fn parent(&self, number: u64) -> Answer<Parent<'_>> {
        use std::os::fd::AsFd;
        Ok(Parent {
            inode: self.inodes.backing(number),
            directory: self.inodes.get(number)?.place.as_fd(),
        })
    }
}

/// The system's number of an error of the standard library.
fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
