//! The inodes that the kernel knows, each pinned by a descriptor that is only a place (`O_PATH`).
//!
//! In: names in directories, numbers from the kernel. Out: descriptors that survive renames and
//! removals. Invariant: a number means one file for as long as the kernel knows it, because the
//! descriptor keeps the file alive; the number is that of the backing file, but for the root.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use crate::disk::classify::classify;
use crate::disk::rule::FileClass;

/// The kernel's number of a file system's root.
pub(in crate::disk) const ROOT: u64 = 1;

/// A file, directory or other node that the kernel knows.
#[derive(Debug)]
pub(super) struct Inode {
    /// The place.
    pub(super) place: OwnedFd,
    /// What it is.
    pub(super) kind: FileType,
    /// Its class, by its last name.
    pub(super) class: FileClass,
    /// Bytes that were written.
    pub(super) written: u64,
    /// Those among them that no fsync has to care for any more.
    pub(super) settled: u64,
    parent: u64,
    name: OsString,
    lookups: u64,
}

/// The inodes that the kernel knows.
#[derive(Debug)]
pub(super) struct Inodes {
    known: BTreeMap<u64, Inode>,
    /// The root's number in the backing file system.
    root: u64,
    /// `/proc/self/fd`, through which places become open files.
    descriptors: OwnedFd,
}

impl Inodes {
    /// Only the root.
    pub(super) fn new(backing: &Path) -> Result<Self, Errno> {
        let place = OFlags::PATH | OFlags::CLOEXEC;
        let descriptors = openat(CWD, "/proc/self/fd", place, Mode::empty())?;
        let place = openat(CWD, backing, place | OFlags::DIRECTORY, Mode::empty())?;
        let root = status(&place)?.st_ino;
        let inode = Inode {
            place,
            kind: FileType::Directory,
            class: FileClass::Directory,
            written: 0,
            settled: 0,
            parent: ROOT,
            name: OsString::new(),
            lookups: 1,
        };
        Ok(Self {
            known: [(ROOT, inode)].into(),
            root,
            descriptors,
        })
    }

    /// The number in the backing file system, which is the journal's.
    pub(super) fn backing(&self, number: u64) -> u64 {
        if number == ROOT { self.root } else { number }
    }

    /// The kernel's number of a file of the backing file system.
    pub(super) fn number(&self, backing: u64) -> u64 {
        if backing == self.root { ROOT } else { backing }
    }

    /// A known inode.
    pub(super) fn get(&self, number: u64) -> Result<&Inode, Errno> {
        self.known.get(&number).ok_or(Errno::STALE)
    }

    /// A known inode.
    pub(super) fn get_mut(&mut self, number: u64) -> Result<&mut Inode, Errno> {
        self.known.get_mut(&number).ok_or(Errno::STALE)
    }

    /// Looks `name` up and counts that the kernel knows it.
    pub(super) fn look_up(&mut self, parent: u64, name: &OsStr) -> Result<Stat, Errno> {
        let place = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = openat(&self.get(parent)?.place, name, place, Mode::empty())?;
        let found = status(&place)?;
        let number = self.number(found.st_ino);
        if let Some(inode) = self.known.get_mut(&number) {
            inode.lookups += 1;
        } else {
            let inode = Inode {
                place,
                kind: FileType::from_raw_mode(found.st_mode),
                class: FileClass::Other,
                written: 0,
                settled: 0,
                parent,
                name: OsString::new(),
                lookups: 1,
            };
            self.known.insert(number, inode);
        }
        self.rename(number, parent, name);
        Ok(found)
    }

    /// The kernel forgets `count` look-ups.
    pub(super) fn forget(&mut self, number: u64, count: u64) {
        let Some(inode) = self.known.get_mut(&number) else {
            return;
        };
        inode.lookups = inode.lookups.saturating_sub(count);
        if inode.lookups == 0 && number != ROOT {
            self.known.remove(&number);
        }
    }

    /// An inode has a new name.
    pub(super) fn rename(&mut self, number: u64, parent: u64, name: &OsStr) {
        let path = self.path(parent).join(name);
        if let Some(inode) = self.known.get_mut(&number) {
            inode.parent = parent;
            name.clone_into(&mut inode.name);
            inode.class = classify(&path, inode.kind == FileType::Directory);
        }
    }

    /// The path of an inode by its last name, relative to the root.
    pub(super) fn path(&self, number: u64) -> PathBuf {
        let mut names = Vec::new();
        let mut at = number;
        while at != ROOT
            && let Some(inode) = self.known.get(&at)
            && names.len() < 64
        {
            names.push(inode.name.as_os_str());
            at = inode.parent;
        }
        names.into_iter().rev().collect()
    }

    /// The numbers of all regular files of classes that `wanted` accepts.
    pub(super) fn files(&self, wanted: impl Fn(FileClass) -> bool) -> Vec<u64> {
        let is_wanted = |inode: &Inode| inode.kind == FileType::RegularFile && wanted(inode.class);
        let files = self.known.iter().filter(|(_, inode)| is_wanted(inode));
        files.map(|(number, _)| *number).collect()
    }

    /// Opens a known inode.
    pub(super) fn open(&self, number: u64, flags: OFlags) -> Result<File, Errno> {
        let name = self.get(number)?.place.as_raw_fd().to_string();
        let flags = flags | OFlags::CLOEXEC;
        openat(&self.descriptors, name, flags, Mode::empty()).map(File::from)
    }

    /// The path of a known inode for calls that take no descriptor of a place.
    pub(super) fn proc_path(&self, number: u64) -> Result<String, Errno> {
        let descriptor = self.get(number)?.place.as_raw_fd();
        Ok(format!("/proc/self/fd/{descriptor}"))
    }
}

/// The attributes of what a descriptor stands for, even if it is only a place.
pub(super) fn status(place: impl AsFd) -> Result<Stat, Errno> {
    statat(place, "", AtFlags::EMPTY_PATH)
}
