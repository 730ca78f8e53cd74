//! The undo journal of a log directory: everything that a loss of power may take.
//!
//! In: each operation of the file system just before it is done (names of new files: just after),
//! and each fsync. Out: a backing folder that is rolled back to what survives, and crash images.
//! Invariants: bytes and length of a file become durable by its fsync, names by the fsync of their
//! directory (`order` says what else comes along); what is durable is never taken back, and what is
//! not durable can be, in any combination that `order` allows. Modes, owners, times and extended
//! attributes are not journaled: brokers keep nothing in them.
//!
//! Memory is bounded. Appends need no copy; overwritten and cut bytes lie in a file (`spill`).
//! Beyond [`Limits`] appends of one file are joined, and if that is not enough the oldest half
//! becomes durable, as a kernel writes back what has been dirty for long. Source: `sandbox.md` §4.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::linkat;
use serde::{Deserialize, Serialize};

pub use image::{CrashImage, CrashState, Saved, states};
pub use operation::{NodeKind, Parent};

use operation::{Data, DataChange, Entry, Gone, NameChange, Side};
use roll_back::Undone;
use spill::Spill;

mod bound;
mod image;
#[cfg(test)]
mod image_test;
mod missed;
#[cfg(test)]
mod model_test;
mod operation;
mod order;
mod replay;
#[cfg(test)]
mod rig_test;
mod roll_back;
#[cfg(test)]
mod roll_back_test;
mod spill;
mod survivors;
mod sync;
mod tree;

/// How much a journal keeps before it joins and writes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Operations in memory, about a hundred bytes each.
    pub operations: usize,
    /// Overwritten and cut bytes in the spill file.
    pub spilled_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 65_536,
            spilled_bytes: 256 << 20,
        }
    }
}

/// What a file's fsync does to its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameDurability {
    /// It makes a new file's name durable too, as ext4 and XFS do.
    #[default]
    WithFile,
    /// It does not: only the fsync of the directory does, which is all that POSIX says.
    DirectoryOnly,
}

/// What is not durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsynced {
    /// Operations.
    pub operations: u64,
    /// Bytes of writes among them.
    pub bytes: u64,
}

/// The operations of one log directory that are not durable, in order.
#[derive(Debug)]
pub struct Journal {
    backing: PathBuf,
    graveyard: PathBuf,
    graveyard_handle: File,
    names_rule: NameDurability,
    limits: Limits,
    next: u64,
    /// What was done before may have been joined with what came later.
    joined_until: u64,
    data: BTreeMap<u64, DataChange>,
    names: BTreeMap<u64, NameChange>,
    /// The data changes of each file that its next fsync makes durable.
    by_file: BTreeMap<u64, BTreeSet<u64>>,
    /// Keeps the system from giving the numbers of removed directories to others, by sequence.
    pins: BTreeMap<u64, OwnedFd>,
    /// How many name changes need each file of the graveyard.
    parked: BTreeMap<u64, usize>,
    spill: Spill,
    /// Set between saving and rolling back.
    undone: Option<Undone>,
    /// Where the next roll-back saves, and in how many bytes at most.
    save_to: Option<(PathBuf, u64)>,
    saved: Option<io::Result<Saved>>,
    /// What was fsynced since the power went, in order; nothing while it is there.
    put_off: Option<Vec<sync::PutOff>>,
}

impl Journal {
    /// The journal of `backing`, whose present state is durable.
    ///
    /// Removed files wait in a hidden folder beside it, on the same file system; there is one
    /// journal of a folder at a time.
    pub fn new(backing: &Path) -> io::Result<Self> {
        let backing = backing.canonicalize()?;
        let graveyard = graveyard_of(&backing)?;
        match fs::remove_dir_all(&graveyard) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir(&graveyard)?,
        }
        Ok(Self {
            graveyard_handle: File::open(&graveyard)?,
            spill: Spill::new(&graveyard)?,
            undone: None,
            save_to: None,
            saved: None,
            put_off: None,
            backing,
            graveyard,
            names_rule: NameDurability::default(),
            limits: Limits::default(),
            next: 0,
            joined_until: 0,
            data: BTreeMap::new(),
            names: BTreeMap::new(),
            by_file: BTreeMap::new(),
            pins: BTreeMap::new(),
            parked: BTreeMap::new(),
        })
    }

    /// What a file's fsync does to its name.
    #[must_use]
    pub fn with_names(mut self, rule: NameDurability) -> Self {
        self.names_rule = rule;
        self
    }

    /// How much it keeps.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// `length` bytes at `offset` of a file, which must be open for reading too, will be written.
    ///
    /// If fewer are, or none, that is no harm. A hole that is punched is a write.
    pub fn will_write(
        &mut self,
        inode: u64,
        file: &File,
        offset: u64,
        length: u64,
    ) -> io::Result<()> {
        let length_before = file.metadata()?.len();
        let overwritten = length_before.saturating_sub(offset).min(length);
        let what = Data::Write { offset, length };
        self.add_data(inode, file, what, length_before, (offset, overwritten))
    }

    /// A file, which must be open for reading too, will be cut, extended or allocated to `length`.
    pub fn will_set_length(&mut self, inode: u64, file: &File, length: u64) -> io::Result<()> {
        let length_before = file.metadata()?.len();
        let cut = length_before.saturating_sub(length);
        let what = Data::SetLength(length);
        self.add_data(inode, file, what, length_before, (length, cut))
    }

    fn add_data(
        &mut self,
        inode: u64,
        file: &File,
        what: Data,
        length_before: u64,
        (at, count): (u64, u64),
    ) -> io::Result<()> {
        let saved = match count {
            0 => None,
            count => Some(self.spill.keep(file, at, count)?),
        };
        let sequence = self.sequence();
        self.data.insert(
            sequence,
            DataChange {
                inode,
                what,
                length_before,
                saved,
                doomed: None,
            },
        );
        self.by_file.entry(inode).or_default().insert(sequence);
        self.keep_within_limits();
        Ok(())
    }

    /// `name` was made in the directory `parent`.
    pub fn did_create(&mut self, parent: u64, name: &OsStr, inode: u64, kind: NodeKind) {
        if kind != NodeKind::HardLink {
            // The number may have belonged to a file that is gone for good.
            self.drop_data(inode);
        }
        let at = Entry::new(parent, name);
        self.add_name(NameChange::Create { at, inode, kind }, None);
    }

    /// `name` will be removed, or the directory of that name.
    pub fn will_remove(&mut self, parent: Parent<'_>, name: &OsStr, inode: u64) -> io::Result<()> {
        let (gone, pin) = self.bury(parent, name, inode)?;
        let at = Entry::new(parent.inode, name);
        self.add_name(NameChange::Remove { at, gone }, pin);
        Ok(())
    }

    /// A file or directory will get another name; `replaced` is what has that name now.
    pub fn will_rename(
        &mut self,
        from: (Parent<'_>, &OsStr),
        to: (Parent<'_>, &OsStr),
        inode: u64,
        replaced: Option<u64>,
    ) -> io::Result<()> {
        if replaced == Some(inode) {
            // Two names of one file: rename(2) does nothing.
            return Ok(());
        }
        let moved = fstatat(from.0.directory, from.1, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let (replaced, pin) = match replaced {
            Some(inode) => {
                let (gone, pin) = self.bury(to.0, to.1, inode)?;
                (Some(gone), pin)
            }
            None => (None, None),
        };
        let change = NameChange::Rename {
            from: Entry::new(from.0.inode, from.1),
            to: Entry::new(to.0.inode, to.1),
            inode,
            is_directory: is_directory(moved.st_mode),
            replaced,
        };
        self.add_name(change, pin);
        Ok(())
    }

    /// Two names, which stand for these inodes, will be exchanged.
    pub fn will_exchange(
        &mut self,
        one: (Parent<'_>, &OsStr),
        other: (Parent<'_>, &OsStr),
        inodes: (u64, u64),
    ) -> io::Result<()> {
        if inodes.0 == inodes.1 {
            // Two names of one file: nothing changes.
            return Ok(());
        }
        let side = |(parent, name): (Parent<'_>, &OsStr), inode| -> io::Result<Side> {
            let found = fstatat(parent.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            Ok(Side {
                at: Entry::new(parent.inode, name),
                inode,
                is_directory: is_directory(found.st_mode),
            })
        };
        let (one, other) = (side(one, inodes.0)?, side(other, inodes.1)?);
        self.add_name(NameChange::Exchange { one, other }, None);
        Ok(())
    }

    /// The removal, renaming or exchange that was announced last failed.
    pub fn cancel(&mut self) {
        if let Some((&sequence, _)) = self.names.last_key_value()
            && sequence + 1 == self.next
        {
            self.settle_name(sequence);
        }
    }

    /// Whether the graveyard holds one more link of a file than the broker made.
    pub fn is_parked(&self, inode: u64) -> bool {
        self.parked.contains_key(&inode)
    }

    /// What is not durable.
    pub fn unsynced(&self) -> Unsynced {
        Unsynced {
            operations: (self.data.len() + self.names.len()) as u64,
            bytes: self.data.values().map(DataChange::bytes).sum(),
        }
    }

    fn sequence(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn add_name(&mut self, change: NameChange, pin: Option<OwnedFd>) {
        let sequence = self.sequence();
        self.names.insert(sequence, change);
        self.pins.extend(pin.map(|pin| (sequence, pin)));
        self.keep_within_limits();
    }

    /// Keeps what is about to lose a name: a file by one more link, a directory by its number.
    fn bury(
        &mut self,
        parent: Parent<'_>,
        name: &OsStr,
        inode: u64,
    ) -> io::Result<(Gone, Option<OwnedFd>)> {
        let status = fstatat(parent.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if is_directory(status.st_mode) {
            let place = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
            let pin = openat(parent.directory, name, place, Mode::empty())?;
            let directory = Some(status.st_mode & 0o7777);
            return Ok((Gone { inode, directory }, Some(pin)));
        }
        if !self.parked.contains_key(&inode) {
            link_into(&self.graveyard_handle, parent.directory, name, inode)?;
        }
        *self.parked.entry(inode).or_default() += 1;
        let directory = None;
        Ok((Gone { inode, directory }, None))
    }

    /// Takes a name change out, since it is durable or never was; what it kept is given up.
    fn settle_name(&mut self, sequence: u64) {
        self.pins.remove(&sequence);
        let change = self.names.remove(&sequence);
        let Some(Gone {
            inode,
            directory: None,
        }) = change.and_then(|change| change.gone())
        else {
            return;
        };
        let Some(count) = self.parked.get_mut(&inode) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.parked.remove(&inode);
        let grave = grave(&self.graveyard, inode);
        if fs::symlink_metadata(&grave).is_ok_and(|file| file.nlink() == 1) {
            self.drop_data(inode);
        }
        // If it stays, it only takes space until the journal ends.
        let _ = fs::remove_file(grave);
    }

    /// Forgets all changes of the bytes of a file that no name leads to.
    fn drop_data(&mut self, inode: u64) {
        let mine = |change: &DataChange| change.inode == inode;
        if self.by_file.remove(&inode).is_none() && !self.data.values().any(mine) {
            return;
        }
        let gone = self.data.extract_if(.., |_, change| mine(change));
        for (_, change) in gone {
            self.spill.release(change.saved);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A folder that stays is removed by the next journal of the same backing folder.
        let _ = fs::remove_dir_all(&self.graveyard);
    }
}

fn link_into(
    graveyard: &File,
    parent: BorrowedFd<'_>,
    name: &OsStr,
    inode: u64,
) -> nix::Result<()> {
    let grave = inode.to_string();
    linkat(
        parent,
        name,
        graveyard.as_fd(),
        grave.as_str(),
        AtFlags::empty(),
    )
}

fn is_directory(mode: u32) -> bool {
    mode & nix::libc::S_IFMT == nix::libc::S_IFDIR
}

/// Where removed files of `backing` wait.
fn graveyard_of(backing: &Path) -> io::Result<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(backing.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(".graveyard");
    Ok(backing.with_file_name(name))
}

/// The place of one inode in a graveyard.
fn grave(graveyard: &Path, inode: u64) -> PathBuf {
    graveyard.join(inode.to_string())
}
