//! Random operations as the kernel asks for them: after a loss of power the backing folder is one
//! that was there before, and the space in use is that of the files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nix::libc::O_RDWR;
use proptest::prelude::*;
use rustix::fs::{FallocateFlags, FileType};
use tempfile::TempDir;

use super::attributes::Changes;
use super::names::New;
use super::space::Space;
use super::{Files, ROOT};
use crate::disk::journal::Journal;
use crate::disk::rule::Survival;

const NAMES: [&str; 4] = ["w", "x", "y", "z"];
const OPEN_MAX: usize = 3;

/// An operation on drawn names and open files; it may fail, as in any process.
#[derive(Clone, Debug)]
enum Ask {
    Create(usize),
    Make(usize, bool),
    Open(usize),
    Close(usize),
    Write(usize, u64, usize, u8),
    SetLength(usize, u64),
    Allocate(usize, FallocateFlags, u64, u64),
    Copy(usize, usize, u64, u64),
    Link(usize, usize),
    Remove(usize),
    Rename(usize, usize),
    Exchange(usize, usize),
    Sync,
}

struct Disk {
    _folder: TempDir,
    root: PathBuf,
    journal: Arc<Mutex<Journal>>,
    files: Files,
    open: Vec<(u64, u64)>,
}

/// Of each path the kind, and the bytes of a file.
type Listing = BTreeMap<PathBuf, Option<Vec<u8>>>;

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("d0");
        fs::create_dir_all(root.join("d")).unwrap();
        let journal = Arc::new(Mutex::new(Journal::new(&root).unwrap()));
        let space = Space::measure(&root, None).unwrap();
        let mut files = Files::new(&root, Arc::clone(&journal), space).unwrap();
        files.look_up(ROOT, OsStr::new("d")).unwrap();
        Self {
            _folder: folder,
            root,
            journal,
            files,
            open: Vec::new(),
        }
    }

    /// One of the names in the root or, while that is there, in the directory `d`.
    fn place(&mut self, draw: usize) -> (u64, &'static OsStr) {
        let name = OsStr::new(NAMES[draw % NAMES.len()]);
        if draw < NAMES.len() {
            return (ROOT, name);
        }
        let inner = self.files.look_up(ROOT, OsStr::new("d")).unwrap();
        (inner.ino.0, name)
    }

    fn look_up(&mut self, draw: usize) -> Option<u64> {
        let (parent, name) = self.place(draw);
        Some(self.files.look_up(parent, name).ok()?.ino.0)
    }

    fn opened(&self, draw: usize) -> Option<(u64, u64)> {
        let at = draw.checked_rem(self.open.len())?;
        self.open.get(at).copied()
    }

    fn keep_open(&mut self, number: u64, handle: u64) {
        self.open.push((number, handle));
        if self.open.len() > OPEN_MAX {
            self.files.close(self.open.remove(0).1);
        }
    }

    fn ask(&mut self, ask: &Ask) {
        // What is refused is refused on any file system; what is left says whether it was.
        match *ask {
            Ask::Create(at) => {
                let (parent, name) = self.place(at);
                if let Ok((made, handle)) = self.files.create(parent, name, 0o644, O_RDWR) {
                    self.keep_open(made.ino.0, handle);
                }
            }
            Ask::Make(at, is_directory) => {
                let (parent, name) = self.place(at);
                let new = if is_directory {
                    New::Directory(0o755)
                } else {
                    New::Node(FileType::RegularFile.as_raw_mode() | 0o644)
                };
                let _ = self.files.make(parent, name, new);
            }
            Ask::Open(at) => {
                if let Some(number) = self.look_up(at)
                    && let Ok(handle) = self.files.open(number, O_RDWR)
                {
                    self.keep_open(number, handle);
                }
            }
            Ask::Close(at) => {
                if let Some(at) = at.checked_rem(self.open.len()) {
                    self.files.close(self.open.remove(at).1);
                }
            }
            Ask::Link(from, to) => {
                if let Some(number) = self.look_up(from) {
                    let (parent, name) = self.place(to);
                    let _ = self.files.link(number, parent, name);
                }
            }
            Ask::Remove(at) => {
                let (parent, name) = self.place(at);
                if self.files.remove(parent, name, false).is_err() {
                    let _ = self.files.remove(parent, name, true);
                }
            }
            Ask::Rename(from, to) => {
                let (from, to) = (self.place(from), self.place(to));
                let _ = self.files.rename(from, to, true);
            }
            Ask::Exchange(one, other) => {
                let (one, other) = (self.place(one), self.place(other));
                let _ = self.files.exchange(one, other);
            }
            Ask::Write(..) | Ask::SetLength(..) | Ask::Allocate(..) | Ask::Copy(..) => {
                self.change(ask);
            }
            Ask::Sync => self.sync(),
        }
    }

    fn change(&mut self, ask: &Ask) {
        match *ask {
            Ask::Write(at, offset, count, fill) => {
                if let Some((_, handle)) = self.opened(at) {
                    let bytes = vec![fill; count];
                    self.files.write(handle, offset, &bytes, None).unwrap();
                }
            }
            Ask::SetLength(at, length) => {
                if let Some((number, handle)) = self.opened(at) {
                    let size = Some(length);
                    let changes = Changes {
                        size,
                        ..Changes::default()
                    };
                    let changed = self.files.change(number, Some(handle), changes, None);
                    assert_eq!(changed.unwrap().size, length);
                }
            }
            Ask::Allocate(at, how, offset, count) => {
                if let Some((_, handle)) = self.opened(at) {
                    let (range, how) = ((offset, count), how.bits() as i32);
                    self.files.allocate(handle, range, how, None).unwrap();
                }
            }
            Ask::Copy(from, to, offset, count) => {
                if let (Some((_, from)), Some((_, to))) = (self.opened(from), self.opened(to)) {
                    // Ranges of one file that overlap are refused.
                    let (from, to) = ((from, offset), (to, offset));
                    let _ = self.files.copy(from, to, count, None);
                }
            }
            _ => unreachable!("not of open files"),
        }
    }

    /// Everything is durable.
    fn sync(&mut self) {
        let mut numbers: Vec<u64> = self.open.iter().map(|(number, _)| *number).collect();
        numbers.extend((0..2 * NAMES.len()).filter_map(|at| self.look_up(at)));
        numbers.extend([ROOT, self.place(NAMES.len()).0]);
        for number in numbers {
            let mark = self.files.mark(number);
            self.files.sync(number, mark).unwrap();
            self.files.sync_directory(number, mark).unwrap();
        }
    }

    fn listing(&self) -> Listing {
        tree(&self.root)
    }

    fn assert_space(&self) {
        let measured = Space::measure(&self.root, None).unwrap().used;
        assert_eq!(self.files.space.used, measured, "space in use");
    }
}

fn tree(root: &Path) -> Listing {
    let mut found = Listing::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let within = path.strip_prefix(root).unwrap().to_owned();
            if path.is_dir() {
                found.insert(within, None);
                todo.push(path);
            } else {
                found.insert(within, Some(fs::read(path).unwrap()));
            }
        }
    }
    found
}

fn ask() -> impl Strategy<Value = Ask> {
    let at = || 0..2 * NAMES.len();
    let two = || (0..2 * NAMES.len(), 0..2 * NAMES.len());
    let range = || (0..6000u64, 1..6000u64);
    let how = prop::sample::select(vec![
        FallocateFlags::empty(),
        FallocateFlags::KEEP_SIZE,
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        FallocateFlags::ZERO_RANGE,
        FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
    ]);
    prop_oneof![
        5 => at().prop_map(Ask::Create),
        2 => (at(), any::<bool>()).prop_map(|(at, is_directory)| Ask::Make(at, is_directory)),
        2 => at().prop_map(Ask::Open),
        1 => at().prop_map(Ask::Close),
        4 => (at(), 0..6000u64, 1..6000usize, 1..9u8)
            .prop_map(|(at, offset, count, fill)| Ask::Write(at, offset, count, fill)),
        2 => (at(), 0..6000u64).prop_map(|(at, length)| Ask::SetLength(at, length)),
        4 => (at(), how, range())
            .prop_map(|(at, how, (offset, count))| Ask::Allocate(at, how, offset, count)),
        2 => (two(), range())
            .prop_map(|((from, to), (offset, count))| Ask::Copy(from, to, offset, count)),
        2 => two().prop_map(|(from, to)| Ask::Link(from, to)),
        2 => at().prop_map(Ask::Remove),
        3 => two().prop_map(|(from, to)| Ask::Rename(from, to)),
        2 => two().prop_map(|(one, other)| Ask::Exchange(one, other)),
        1 => Just(Ask::Sync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn power_takes_back_exactly_what_was_not_synced(
        asks in prop::collection::vec(ask(), 0..60),
        is_all_kept in any::<bool>(),
    ) {
        let mut disk = Disk::new();
        let mut durable = disk.listing();
        for ask in &asks {
            disk.ask(ask);
            disk.assert_space();
            if matches!(ask, Ask::Sync) {
                durable = disk.listing();
            }
        }
        let live = disk.listing();
        let mut journal = disk.journal.lock().unwrap();
        let (survival, expected) = if is_all_kept {
            (Survival::Subset(1000), live)
        } else {
            (Survival::None, durable)
        };
        journal.roll_back(survival, 0).unwrap();
        drop(journal);
        prop_assert_eq!(disk.listing(), expected);
    }
}

#[track_caller]
fn assert_space_after(asks: &[Ask]) {
    let mut disk = Disk::new();
    for ask in asks {
        disk.ask(ask);
        disk.assert_space();
    }
}

#[test]
fn a_copy_of_nothing_takes_no_space() {
    assert_space_after(&[Ask::Create(0), Ask::Create(1), Ask::Copy(0, 1, 1, 1)]);
}

#[test]
fn a_file_without_a_name_takes_no_space_however_it_changes() {
    assert_space_after(&[
        Ask::Create(0),
        Ask::Write(0, 0, 10, 1),
        Ask::Create(1),
        Ask::Write(1, 0, 70, 1),
        Ask::Remove(0),
        Ask::Allocate(0, FallocateFlags::empty(), 0, 50),
        Ask::Copy(1, 0, 0, 70),
        Ask::SetLength(0, 0),
    ]);
}
