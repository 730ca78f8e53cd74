//! Directories that are being read.
//!
//! In: open directories and positions. Out: entries. Invariant: a listing is taken when it is read
//! from its beginning, so that entries neither come twice nor are left out while others change.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{Dir, OFlags};
use rustix::io::Errno;

use super::attributes::kind;
use super::{Answer, Files};

/// One name of a directory.
#[derive(Clone, Debug)]
pub(in crate::disk) struct Entry {
    /// The kernel's number of what it stands for.
    pub(in crate::disk) number: u64,
    /// What it stands for.
    pub(in crate::disk) kind: fuser::FileType,
    /// The name.
    pub(in crate::disk) name: OsString,
}

/// A directory that is open.
#[derive(Debug)]
pub(super) struct Listing {
    inode: u64,
    entries: Vec<Entry>,
}

impl Files {
    /// Opens a directory for reading.
    pub(in crate::disk) fn open_directory(&mut self, number: u64) -> Answer<u64> {
        self.inodes.get(number)?;
        let handle = self.handle();
        let listing = Listing {
            inode: number,
            entries: Vec::new(),
        };
        self.listings.insert(handle, listing);
        Ok(handle)
    }

    /// The entries from position `offset` on.
    pub(in crate::disk) fn entries(&mut self, handle: u64, offset: u64) -> Answer<&[Entry]> {
        if offset == 0 {
            let inode = self.listings.get(&handle).ok_or(Errno::BADF)?.inode;
            let entries = self.list(inode)?;
            if let Some(listing) = self.listings.get_mut(&handle) {
                listing.entries = entries;
            }
        }
        let entries = &self.listings.get(&handle).ok_or(Errno::BADF)?.entries;
        Ok(entries.get(offset as usize..).unwrap_or_default())
    }

    /// Ends the reading of a directory.
    pub(in crate::disk) fn close_directory(&mut self, handle: u64) {
        self.listings.remove(&handle);
    }

    fn list(&self, number: u64) -> Answer<Vec<Entry>> {
        let directory = self
            .inodes
            .open(number, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in Dir::new(directory)? {
            let entry = entry?;
            entries.push(Entry {
                number: self.inodes.number(entry.ino()),
                kind: kind(entry.file_type()),
                name: OsString::from_vec(entry.file_name().to_bytes().to_vec()),
            });
        }
        Ok(entries)
    }
}
