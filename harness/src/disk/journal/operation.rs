//! What a journal remembers of one operation.
//!
//! In: what the file system is about to do. Out: plain values that say how to take it back.
//! Invariant: an operation names inodes, never paths, so that renames in between do not matter.

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

use super::spill::Span;

/// A directory of the backing folder that is open, if only as a place (`O_PATH`).
#[derive(Clone, Copy, Debug)]
pub struct Parent<'a> {
    /// Its inode number.
    pub inode: u64,
    /// The open directory.
    pub directory: BorrowedFd<'a>,
}

/// What a new name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// A new file, symbolic link, socket or pipe.
    File,
    /// A new directory.
    Directory,
    /// One more name of a file that exists.
    HardLink,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) parent: u64,
    pub(super) name: OsString,
}

impl Entry {
    pub(super) fn new(parent: u64, name: &OsStr) -> Self {
        let name = name.to_owned();
        Self { parent, name }
    }
}

/// A change of a file's bytes or length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataChange {
    pub(super) inode: u64,
    pub(super) what: Data,
    /// The length of the file before.
    pub(super) length_before: u64,
    /// The bytes that were overwritten, or cut off the end.
    pub(super) saved: Option<Span>,
    /// Set once an fsync of it failed: it never becomes durable.
    pub(super) doomed: Option<Doomed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Write { offset: u64, length: u64 },
    SetLength(u64),
}

/// What is left to take back of a write whose fsync failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doomed {
    /// Ranges `[start, end)` that no later write made durable.
    pub(super) ranges: Vec<(u64, u64)>,
    /// Whether a later fsync fixed the file's length.
    pub(super) is_length_durable: bool,
}

impl DataChange {
    /// Bytes that are gone if it is lost.
    pub(super) fn bytes(&self) -> u64 {
        match self.what {
            Data::Write { length, .. } => length,
            Data::SetLength(_) => 0,
        }
    }

    /// Whether it only adds bytes behind the end.
    pub(super) fn is_append(&self) -> bool {
        matches!(self.what, Data::Write { offset, .. } if offset == self.length_before)
            && self.saved.is_none()
            && self.doomed.is_none()
    }
}

/// A change of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum NameChange {
    Create {
        at: Entry,
        inode: u64,
        kind: NodeKind,
    },
    Remove {
        at: Entry,
        gone: Gone,
    },
    Rename {
        from: Entry,
        to: Entry,
        inode: u64,
        is_directory: bool,
        replaced: Option<Gone>,
    },
    /// Each gets the other's name.
    Exchange {
        one: Side,
        other: Side,
    },
}

/// What one of two names stood for before they were exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Side {
    pub(super) at: Entry,
    pub(super) inode: u64,
    pub(super) is_directory: bool,
}

/// What a change took a name from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gone {
    pub(super) inode: u64,
    /// The mode of a directory; `None` of anything else, which is kept in the graveyard.
    pub(super) directory: Option<u32>,
}

impl NameChange {
    pub(super) fn gone(&self) -> Option<Gone> {
        match self {
            Self::Create { .. } | Self::Exchange { .. } => None,
            Self::Remove { gone, .. } => Some(*gone),
            Self::Rename { replaced, .. } => *replaced,
        }
    }
}

/// An operation that was taken back, with all that it needs to be done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// Bytes of a file.
    Write {
        inode: u64,
        offset: u64,
        bytes: Span,
        is_doomed: bool,
    },
    /// The length of a file.
    SetLength {
        inode: u64,
        length: u64,
        is_cut: bool,
        is_doomed: bool,
    },
    /// Names.
    Name(NameChange),
}

impl Step {
    /// Whether an fsync of it failed, so that it cannot survive.
    pub(super) fn is_doomed(&self) -> bool {
        match self {
            Self::Write { is_doomed, .. } | Self::SetLength { is_doomed, .. } => *is_doomed,
            Self::Name(_) => false,
        }
    }

    /// Bytes that are gone with it.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Write { bytes, .. } => bytes.length,
            Self::SetLength { .. } | Self::Name(_) => 0,
        }
    }
}
