//! Names: what is made, renamed, linked and removed in directories.
//!
//! In: directories by inode number, names. Out: attributes of what the names stand for.
//! Invariant: the journal hears of a removal or renaming before, and takes it back if it fails.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use fuser::FileAttr;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat, chmodat, linkat, mkdirat, mknodat,
    openat, readlinkat, renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::inodes::status;
use super::{Answer, Files, errno_of};
use crate::disk::journal::NodeKind;

/// What is made.
#[derive(Clone, Copy, Debug)]
pub(in crate::disk) enum New<'a> {
    /// A directory with these permissions.
    Directory(u32),
    /// A file, pipe or socket with this type and these permissions.
    Node(u32),
    /// A symbolic link to there.
    Symlink(&'a Path),
}

impl Files {
    /// What `name` stands for; the kernel knows it from now on.
    pub(in crate::disk) fn look_up(&mut self, parent: u64, name: &OsStr) -> Answer<FileAttr> {
        let found = self.inodes.look_up(parent, name)?;
        Ok(self.shown(&found))
    }

    /// The path that a name in a directory has, relative to the log directory.
    pub(in crate::disk) fn path_in(&self, parent: u64, name: &OsStr) -> std::path::PathBuf {
        self.inodes.path(parent).join(name)
    }

    /// Makes something new.
    pub(in crate::disk) fn make(
        &mut self,
        parent: u64,
        name: &OsStr,
        new: New<'_>,
    ) -> Answer<FileAttr> {
        let place = &self.inodes.get(parent)?.place;
        match new {
            New::Directory(mode) => mkdirat(place, name, permissions(mode))?,
            New::Symlink(target) => symlinkat(target, place, name)?,
            New::Node(mode) => {
                let kind = FileType::from_raw_mode(mode);
                if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
                    return Err(Errno::PERM);
                }
                mknodat(place, name, kind, permissions(mode), 0)?;
            }
        }
        let mut found = self.inodes.look_up(parent, name)?;
        let kind = match new {
            New::Directory(_) => NodeKind::Directory,
            New::Node(_) | New::Symlink(_) => NodeKind::File,
        };
        let directory = self.inodes.backing(parent);
        self.journal()
            .did_create(directory, name, found.st_ino, kind);
        if let New::Directory(mode) | New::Node(mode) = new {
            found = self.permit(found, mode)?;
        }
        Ok(self.shown(&found))
    }

    /// Makes a regular file and opens it: its attributes and its handle.
    pub(in crate::disk) fn create(
        &mut self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        flags: i32,
    ) -> Answer<(FileAttr, u64)> {
        let place = &self.inodes.get(parent)?.place;
        let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = match openat(place, name, how, permissions(mode)) {
            Ok(file) => File::from(file),
            // Somebody was faster; that is as good unless the file had to be new.
            Err(Errno::EXIST) if flags as u32 & OFlags::EXCL.bits() == 0 => {
                let attributes = self.look_up(parent, name)?;
                let handle = self.open(attributes.ino.0, flags)?;
                return Ok((attributes, handle));
            }
            Err(error) => return Err(error),
        };
        let found = self.inodes.look_up(parent, name)?;
        let directory = self.inodes.backing(parent);
        self.journal()
            .did_create(directory, name, found.st_ino, NodeKind::File);
        let found = self.permit(found, mode)?;
        let handle = self.keep_open(self.inodes.number(found.st_ino), file);
        Ok((self.shown(&found), handle))
    }

    /// Gives a file one more name.
    pub(in crate::disk) fn link(
        &mut self,
        number: u64,
        parent: u64,
        name: &OsStr,
    ) -> Answer<FileAttr> {
        let place = &self.inodes.get(parent)?.place;
        let file = self.inodes.proc_path(number)?;
        linkat(CWD, file, place, name, AtFlags::SYMLINK_FOLLOW)?;
        let found = self.inodes.look_up(parent, name)?;
        let directory = self.inodes.backing(parent);
        self.journal()
            .did_create(directory, name, found.st_ino, NodeKind::HardLink);
        Ok(self.shown(&found))
    }

    /// Where a symbolic link leads.
    pub(in crate::disk) fn read_link(&self, number: u64) -> Answer<Vec<u8>> {
        let place = &self.inodes.get(number)?.place;
        Ok(readlinkat(place, "", Vec::new())?.into_bytes())
    }

    /// Removes a name, or an empty directory.
    pub(in crate::disk) fn remove(
        &mut self,
        parent: u64,
        name: &OsStr,
        is_directory: bool,
    ) -> Answer<()> {
        let found = self.name_of(parent, name)?;
        let is_last = self.shown(&found).nlink <= 1;
        let place = self.parent(parent)?;
        let mut journal = self.journal();
        journal
            .will_remove(place, name, found.st_ino)
            .map_err(|error| errno_of(&error))?;
        let flags = if is_directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        if let Err(error) = unlinkat(place.directory, name, flags) {
            journal.cancel();
            return Err(error);
        }
        drop(journal);
        self.count_removed(&found, is_last);
        Ok(())
    }

    /// Renames, replacing what has the new name unless that is forbidden.
    pub(in crate::disk) fn rename(
        &mut self,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        may_replace: bool,
    ) -> Answer<()> {
        let moved = self.name_of(from.0, from.1)?;
        let replaced = match self.name_of(to.0, to.1) {
            Ok(_) if !may_replace => return Err(Errno::EXIST),
            Ok(replaced) => Some(replaced),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error),
        };
        let is_last = replaced.is_some_and(|found| self.shown(&found).nlink <= 1);
        let number = replaced.map(|found| found.st_ino);
        let (source, target) = (self.parent(from.0)?, self.parent(to.0)?);
        let mut journal = self.journal();
        journal
            .will_rename((source, from.1), (target, to.1), moved.st_ino, number)
            .map_err(|error| errno_of(&error))?;
        let (old, new) = (source.directory, target.directory);
        if let Err(error) = renameat_with(old, from.1, new, to.1, RenameFlags::empty()) {
            // Of two names of one file nothing was said.
            if number != Some(moved.st_ino) {
                journal.cancel();
            }
            return Err(error);
        }
        drop(journal);
        if number == Some(moved.st_ino) {
            return Ok(());
        }
        if let Some(replaced) = replaced {
            self.count_removed(&replaced, is_last);
        }
        self.inodes
            .rename(self.inodes.number(moved.st_ino), to.0, to.1);
        Ok(())
    }

    /// Gives two names each other's files.
    pub(in crate::disk) fn exchange(
        &mut self,
        one: (u64, &OsStr),
        other: (u64, &OsStr),
    ) -> Answer<()> {
        let first = self.name_of(one.0, one.1)?.st_ino;
        let second = self.name_of(other.0, other.1)?.st_ino;
        let (source, target) = (self.parent(one.0)?, self.parent(other.0)?);
        let mut journal = self.journal();
        journal
            .will_exchange((source, one.1), (target, other.1), (first, second))
            .map_err(|error| errno_of(&error))?;
        let (here, there) = (source.directory, target.directory);
        if let Err(error) = renameat_with(here, one.1, there, other.1, RenameFlags::EXCHANGE) {
            if first != second {
                journal.cancel();
            }
            return Err(error);
        }
        drop(journal);
        for (inode, (parent, name)) in [(first, other), (second, one)] {
            self.inodes.rename(self.inodes.number(inode), parent, name);
        }
        Ok(())
    }

    fn name_of(&self, parent: u64, name: &OsStr) -> Answer<Stat> {
        let place = &self.inodes.get(parent)?.place;
        statat(place, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn count_removed(&mut self, found: &Stat, is_last: bool) {
        if is_last && FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            self.space.resized(found.st_size as u64, 0);
        }
    }

    /// The caller's umask has been heeded already; the harness's own must not take more away.
    fn permit(&self, found: Stat, mode: u32) -> Answer<Stat> {
        if found.st_mode & 0o1777 == mode & 0o1777 {
            return Ok(found);
        }
        let number = self.inodes.number(found.st_ino);
        let path = self.inodes.proc_path(number)?;
        let inherited = found.st_mode & 0o2000;
        let mode = Mode::from_raw_mode((mode & 0o7777) | inherited);
        chmodat(CWD, path, mode, AtFlags::empty())?;
        status(&self.inodes.get(number)?.place)
    }
}

fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}
