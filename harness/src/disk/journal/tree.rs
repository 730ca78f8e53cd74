//! The names of a backing folder, changed by inode number, forwards and backwards.
//!
//! In: name changes that a journal recorded. Out: names in the folder.
//! Invariant: every file that a change names has a link in the graveyard meanwhile, and every
//! directory that has no name lies there, so that any change can be done and undone.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::grave;
use super::operation::{Entry, Gone, NameChange, NodeKind, Side};

/// A folder and its graveyard.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) root_inode: u64,
    pub(super) graveyard: PathBuf,
    /// Where each directory is; those of the graveyard and the root have no entry.
    pub(super) homes: BTreeMap<u64, Entry>,
    /// Some path of each file below the root when it was scanned.
    pub(super) files: BTreeMap<u64, PathBuf>,
}

impl Tree {
    /// Reads all names below `root`; its directories are known by the numbers they have now.
    pub(super) fn scan(root: &Path, graveyard: &Path) -> io::Result<Self> {
        let root_inode = fs::metadata(root)?.ino();
        let mut tree = Self::empty(root, root_inode, graveyard);
        let mut todo = vec![(root_inode, root.to_owned())];
        while let Some((parent, folder)) = todo.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let inode = entry.metadata()?.ino();
                if entry.file_type()?.is_dir() {
                    tree.add_directory(inode, parent, entry.file_name());
                    todo.push((inode, entry.path()));
                } else {
                    tree.files.insert(inode, entry.path());
                }
            }
        }
        Ok(tree)
    }

    fn empty(root: &Path, root_inode: u64, graveyard: &Path) -> Self {
        Self {
            root: root.to_owned(),
            root_inode,
            graveyard: graveyard.to_owned(),
            homes: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    fn add_directory(&mut self, inode: u64, parent: u64, name: OsString) {
        self.homes.insert(inode, Entry { parent, name });
    }

    /// Some path of a file within the root, if it had a name when the root was scanned.
    pub(super) fn path_within(&self, inode: u64) -> Option<PathBuf> {
        let path = self.files.get(&inode)?;
        path.strip_prefix(&self.root).ok().map(Path::to_owned)
    }

    /// Where an entry is, within the root.
    pub(super) fn entry_within(&self, entry: &Entry) -> Option<PathBuf> {
        let path = self.place(entry);
        path.strip_prefix(&self.root).ok().map(Path::to_owned)
    }

    /// Opens a file that [`gather_file`](Self::gather_file) found.
    pub(super) fn open(&self, inode: u64) -> io::Result<Option<File>> {
        let mut options = File::options();
        let opened = options
            .read(true)
            .write(true)
            .open(grave(&self.graveyard, inode));
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Gives a file a link in the graveyard, if any name leads to it.
    pub(super) fn gather_file(&self, inode: u64) -> io::Result<()> {
        let grave = grave(&self.graveyard, inode);
        match self.files.get(&inode) {
            Some(path) if fs::symlink_metadata(&grave).is_err() => fs::hard_link(path, grave),
            _ => Ok(()),
        }
    }

    /// Gathers everything that `change` names.
    pub(super) fn gather(&self, change: &NameChange) -> io::Result<()> {
        match change {
            NameChange::Create { inode, kind, .. } if *kind != NodeKind::Directory => {
                self.gather_file(*inode)?;
            }
            NameChange::Rename {
                inode,
                is_directory: false,
                ..
            } => self.gather_file(*inode)?,
            NameChange::Exchange { one, other } => {
                for side in [one, other].into_iter().filter(|side| !side.is_directory) {
                    self.gather_file(side.inode)?;
                }
            }
            _ => {}
        }
        match change.gone() {
            Some(Gone {
                inode,
                directory: Some(mode),
            }) => DirBuilder::new()
                .mode(mode)
                .create(grave(&self.graveyard, inode)),
            Some(Gone { inode, .. }) => self.gather_file(inode),
            None => Ok(()),
        }
    }

    /// Does `change` again.
    pub(super) fn redo(&mut self, change: &NameChange) -> io::Result<()> {
        match change {
            NameChange::Create { at, inode, kind } => {
                self.bring(at, *inode, *kind == NodeKind::Directory)
            }
            NameChange::Remove { at, gone } => self.take(at, gone.inode, gone.directory.is_some()),
            NameChange::Rename {
                from,
                to,
                inode,
                is_directory,
                replaced,
            } => {
                if let Some(gone) = replaced {
                    self.take(to, gone.inode, gone.directory.is_some())?;
                }
                self.relocate(from, to, *inode, *is_directory)
            }
            NameChange::Exchange { one, other } => {
                self.exchange(one, other)?;
                self.settle(one, &other.at);
                self.settle(other, &one.at);
                Ok(())
            }
        }
    }

    /// Takes `change` back; everything done after it must have been taken back.
    pub(super) fn undo(&mut self, change: &NameChange) -> io::Result<()> {
        match change {
            NameChange::Create { at, inode, kind } => {
                self.take(at, *inode, *kind == NodeKind::Directory)
            }
            NameChange::Remove { at, gone } => self.bring(at, gone.inode, gone.directory.is_some()),
            NameChange::Rename {
                from,
                to,
                inode,
                is_directory,
                replaced,
            } => {
                self.relocate(to, from, *inode, *is_directory)?;
                match replaced {
                    Some(gone) => self.bring(to, gone.inode, gone.directory.is_some()),
                    None => Ok(()),
                }
            }
            NameChange::Exchange { one, other } => {
                self.exchange(one, other)?;
                self.settle(one, &one.at);
                self.settle(other, &other.at);
                Ok(())
            }
        }
    }

    /// Takes a name away; what it named is in the graveyard.
    fn take(&mut self, at: &Entry, inode: u64, is_directory: bool) -> io::Result<()> {
        let path = self.place(at);
        if is_directory {
            self.homes.remove(&inode);
            fs::rename(path, grave(&self.graveyard, inode))
        } else {
            fs::remove_file(path)
        }
    }

    /// Gives a name to something in the graveyard.
    fn bring(&mut self, at: &Entry, inode: u64, is_directory: bool) -> io::Result<()> {
        let path = self.place(at);
        let grave = grave(&self.graveyard, inode);
        if is_directory {
            self.homes.insert(inode, at.clone());
            fs::rename(grave, path)
        } else {
            fs::hard_link(grave, path)
        }
    }

    fn relocate(
        &mut self,
        from: &Entry,
        to: &Entry,
        inode: u64,
        is_directory: bool,
    ) -> io::Result<()> {
        fs::rename(self.place(from), self.place(to))?;
        if is_directory {
            self.homes.insert(inode, to.clone());
        }
        Ok(())
    }

    /// Gives two names each other's files, which is its own reverse.
    fn exchange(&self, one: &Side, other: &Side) -> io::Result<()> {
        let (one, other) = (self.place(&one.at), self.place(&other.at));
        Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    /// What was exchanged is at `at` now.
    fn settle(&mut self, side: &Side, at: &Entry) {
        if side.is_directory {
            self.homes.insert(side.inode, at.clone());
        }
    }

    fn place(&self, entry: &Entry) -> PathBuf {
        self.directory(entry.parent).join(&entry.name)
    }

    fn directory(&self, inode: u64) -> PathBuf {
        let mut names = Vec::new();
        let mut at = inode;
        while let Some(home) = self.homes.get(&at) {
            names.push(&home.name);
            at = home.parent;
        }
        let base = if at == self.root_inode {
            self.root.clone()
        } else {
            grave(&self.graveyard, at)
        };
        names.iter().rev().fold(base, |path, name| path.join(name))
    }
}
