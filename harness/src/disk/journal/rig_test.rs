//! A folder with a journal, used as a file system would: for the tests of the journal.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, RenameFlags, copy_file_range, fallocate, renameat_with};
use tempfile::TempDir;

use super::{Journal, NodeKind, Parent};

/// A file's bytes, or `None` for a directory, by path.
pub(super) type Listing = BTreeMap<String, Option<Vec<u8>>>;

pub(super) struct Rig {
    pub(super) _folder: TempDir,
    pub(super) root: PathBuf,
    pub(super) journal: Journal,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// One whose folder holds durably what `fill` makes.
    pub(super) fn with(fill: impl FnOnce(&Path)) -> Self {
        Self::with_journal(fill, |journal| journal)
    }

    pub(super) fn with_journal(
        fill: impl FnOnce(&Path),
        set_up: impl FnOnce(Journal) -> Journal,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("d0");
        fs::create_dir(&root).unwrap();
        fill(&root);
        let journal = set_up(Journal::new(&root).unwrap());
        Self {
            _folder: folder,
            root,
            journal,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn inode(&self, path: &str) -> u64 {
        fs::symlink_metadata(self.at(path)).unwrap().ino()
    }

    fn open(&self, path: &str) -> File {
        let mut options = File::options();
        options.read(true).write(true);
        options.open(self.at(path)).unwrap()
    }

    /// Opens the parent of `path`: its inode, the open directory, the name.
    fn parent(&self, path: &str) -> (u64, File, String) {
        let path = self.at(path);
        let parent = path.parent().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let inode = fs::metadata(parent).unwrap().ino();
        (inode, File::open(parent).unwrap(), name)
    }

    fn did_create(&mut self, path: &str, kind: NodeKind) {
        let (parent, _, name) = self.parent(path);
        let inode = self.inode(path);
        self.journal
            .did_create(parent, OsStr::new(&name), inode, kind);
    }

    pub(super) fn create(&mut self, path: &str) {
        File::create_new(self.at(path)).unwrap();
        self.did_create(path, NodeKind::File);
    }

    pub(super) fn make_directory(&mut self, path: &str) {
        fs::create_dir(self.at(path)).unwrap();
        self.did_create(path, NodeKind::Directory);
    }

    pub(super) fn link(&mut self, old: &str, new: &str) {
        fs::hard_link(self.at(old), self.at(new)).unwrap();
        self.did_create(new, NodeKind::HardLink);
    }

    pub(super) fn symlink(&mut self, target: &str, new: &str) {
        std::os::unix::fs::symlink(target, self.at(new)).unwrap();
        self.did_create(new, NodeKind::File);
    }

    pub(super) fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) {
        let file = self.open(path);
        let inode = self.inode(path);
        let length = bytes.len() as u64;
        self.journal
            .will_write(inode, &file, offset, length)
            .unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    pub(super) fn append(&mut self, path: &str, bytes: &[u8]) {
        let end = self.open(path).metadata().unwrap().len();
        self.write(path, end, bytes);
    }

    /// Bytes within the file, not behind its end.
    pub(super) fn punch(&mut self, path: &str, offset: u64, length: u64) {
        let file = self.open(path);
        let inode = self.inode(path);
        self.journal
            .will_write(inode, &file, offset, length)
            .unwrap();
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&file, flags, offset, length).unwrap();
    }

    /// Copies to the same offset of another file.
    pub(super) fn copy(&mut self, from: &str, to: &str, offset: u64, length: u64) {
        let (source, file) = (self.open(from), self.open(to));
        let inode = self.inode(to);
        self.journal
            .will_write(inode, &file, offset, length)
            .unwrap();
        let (mut begin, mut end) = (offset, offset);
        let asked = length as usize;
        let copied = copy_file_range(source, Some(&mut begin), file, Some(&mut end), asked);
        assert_eq!(copied.unwrap(), asked);
    }

    pub(super) fn set_length(&mut self, path: &str, length: u64) {
        let file = self.open(path);
        let inode = self.inode(path);
        self.journal.will_set_length(inode, &file, length).unwrap();
        file.set_len(length).unwrap();
    }

    pub(super) fn announce_removal(&mut self, path: &str) {
        let (inode, directory, name) = self.parent(path);
        let parent = Parent {
            inode,
            directory: directory.as_fd(),
        };
        let target = self.inode(path);
        self.journal
            .will_remove(parent, OsStr::new(&name), target)
            .unwrap();
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.announce_removal(path);
        let path = self.at(path);
        if path.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    pub(super) fn rename(&mut self, old: &str, new: &str) {
        let from = self.parent(old);
        let to = self.parent(new);
        let parent = |inode, directory| Parent { inode, directory };
        let replaced = fs::symlink_metadata(self.at(new)).ok().map(|m| m.ino());
        let moved = self.inode(old);
        self.journal
            .will_rename(
                (parent(from.0, from.1.as_fd()), OsStr::new(&from.2)),
                (parent(to.0, to.1.as_fd()), OsStr::new(&to.2)),
                moved,
                replaced,
            )
            .unwrap();
        fs::rename(self.at(old), self.at(new)).unwrap();
    }

    pub(super) fn exchange(&mut self, one: &str, other: &str) {
        let (first, second) = (self.parent(one), self.parent(other));
        let parent = |inode, directory| Parent { inode, directory };
        let inodes = (self.inode(one), self.inode(other));
        self.journal
            .will_exchange(
                (parent(first.0, first.1.as_fd()), OsStr::new(&first.2)),
                (parent(second.0, second.1.as_fd()), OsStr::new(&second.2)),
                inodes,
            )
            .unwrap();
        let (one, other) = (self.at(one), self.at(other));
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
    }

    pub(super) fn sync(&mut self, path: &str) {
        let inode = self.inode(path);
        let mark = self.journal.mark();
        self.journal.did_sync(inode, mark);
    }

    pub(super) fn sync_directory(&mut self, path: &str) {
        let inode = self.inode(path);
        let mark = self.journal.mark();
        self.journal.did_sync_directory(inode, mark);
    }

    pub(super) fn fail_sync(&mut self, path: &str) {
        let inode = self.inode(path);
        let mark = self.journal.mark();
        self.journal.forget_writes(inode, mark);
    }

    pub(super) fn listing(&self) -> Listing {
        listing(&self.root)
    }
}

/// Everything below `root`; of a symbolic link its target.
pub(super) fn listing(root: &Path) -> Listing {
    let mut found = Listing::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let kind = path.symlink_metadata().unwrap();
            if kind.is_dir() {
                found.insert(name, None);
                todo.push(path);
            } else if kind.is_symlink() {
                let target = fs::read_link(path).unwrap();
                found.insert(name, Some(target.into_os_string().into_encoded_bytes()));
            } else {
                found.insert(name, Some(fs::read(path).unwrap()));
            }
        }
    }
    found
}
