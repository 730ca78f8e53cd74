//! A disk in memory that tells what is durable from what merely was written.
//!
//! For tests and the simulation. Every file has its live content, its durable content and the
//! operations in between, in order; so has every directory for its names. `crash` falls back to the
//! durable state; `crash_with` lets any of the operations in between survive, in part or whole, as
//! a real disk may. Faults are injected by a hook. Deterministic: no clock, no randomness.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, Operation};

/// What becomes of an operation that was not synced when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// It never happened.
    Lost,
    /// It happened.
    Kept,
    /// Of a write, only the first bytes; of anything else, nothing.
    Torn(usize),
}

type Inode = u64;

const ROOT: Inode = 0;

/// Too many open files; the number is the same on every Unix.
const EMFILE: i32 = 24;

/// A name that is too long; the number is that of Linux.
const ENAMETOOLONG: i32 = 36;

/// Bytes that a name may have.
const NAME_BYTES_MAX: usize = 255;

type FaultHook = Box<dyn FnMut(Operation, &Path) -> Option<io::ErrorKind> + Send>;

/// A shared handle of a disk: clones see the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

/// An open file of a [`MemoryDisk`].
#[derive(Clone, Debug)]
pub struct MemoryFile {
    disk: MemoryDisk,
    path: PathBuf,
    inode: Inode,
}

#[derive(Default)]
struct State {
    last_inode: Inode,
    files: BTreeMap<Inode, Content>,
    directories: BTreeMap<Inode, Names>,
    fault: Option<FaultHook>,
    syncs: u64,
    /// How many bytes all files together may have.
    space: Option<u64>,
    /// How many more descriptors can be had.
    descriptors: Option<u64>,
    flip: Option<Flip>,
}

/// A byte that some reads get wrong.
#[derive(Debug)]
struct Flip {
    path: PathBuf,
    position: u64,
    /// Which reads, counted from the next one on.
    reads: Range<u32>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    SetLength(u64),
}

/// The files in a directory, and the directories below it.
#[derive(Clone, Debug, Default)]
struct Names {
    live: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    pending: Vec<NameChange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(Inode),
    Directory(Inode),
}

#[derive(Clone, Debug)]
enum NameChange {
    Insert(String, Node),
    Remove(String),
    Rename(String, String),
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDisk").finish_non_exhaustive()
    }
}

impl MemoryDisk {
    /// Loses everything that was not synced. Open files must be dropped.
    pub fn crash(&self) {
        self.crash_with(|_| Survival::Lost);
    }

    /// Loses what `survival` says of the operations that were not synced; it is asked for each with
    /// the bytes of the write (0 for other operations), in a fixed order.
    pub fn crash_with(&self, mut survival: impl FnMut(usize) -> Survival) {
        let mut state = self.state();
        for content in state.files.values_mut() {
            for change in std::mem::take(&mut content.pending) {
                let fate = survival(change.bytes());
                change.survive(&mut content.durable, fate);
            }
            content.live = content.durable.clone();
        }
        for names in state.directories.values_mut() {
            for change in std::mem::take(&mut names.pending) {
                if survival(0) == Survival::Kept {
                    change.apply(&mut names.durable);
                }
            }
            names.live = names.durable.clone();
        }
        state.drop_unreachable();
    }

    /// Asks `hook` before each operation; the error it returns is what the operation returns.
    pub fn set_fault(
        &self,
        hook: impl FnMut(Operation, &Path) -> Option<io::ErrorKind> + Send + 'static,
    ) {
        self.state().fault = Some(Box::new(hook));
    }

    /// Removes the hook.
    pub fn clear_fault(&self) {
        self.state().fault = None;
    }

    /// Lets all files together have no more than `bytes`: a write beyond it writes what fits, then
    /// fails. Without any space nothing can be created either.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.state().space = bytes;
    }

    /// Lets whatever needs a new descriptor fail, once `count` of them were had. Those that are
    /// given back do not count: others take them.
    pub fn set_descriptors(&self, count: Option<u64>) {
        self.state().descriptors = count;
    }

    /// Flips a bit of the byte at `position` in some of the next reads of it; on disk it is right.
    pub fn flip_reads(&self, path: &Path, position: u64, reads: Range<u32>) {
        let path = path.to_owned();
        self.state().flip = Some(Flip {
            path,
            position,
            reads,
        });
    }

    /// How many handles of this disk and of files on it there are.
    pub fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// The bytes of all files that a name leads to.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// How many file and directory syncs were done.
    pub fn sync_count(&self) -> u64 {
        self.state().syncs
    }

    /// Another disk with the same content.
    pub fn deep_copy(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            last_inode: state.last_inode,
            files: state.files.clone(),
            directories: state.directories.clone(),
            ..State::default()
        })))
    }

    /// Changes a file behind everyone's back, durably: a damaged sector.
    pub fn corrupt(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if let Ok(inode) = state.file(path)
            && let Some(content) = state.files.get_mut(&inode)
        {
            change(&mut content.live);
            content.durable = content.live.clone();
            content.pending.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, operation: Operation, path: &Path) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let fault = state.fault.as_mut().and_then(|hook| hook(operation, path));
        if let Some(kind) = fault {
            return Err(io::Error::new(kind, "injected fault"));
        }
        let needs_descriptor = matches!(
            operation,
            Operation::Open | Operation::List | Operation::SyncDirectory
        );
        if needs_descriptor && let Some(left) = &mut state.descriptors {
            let rest = left.checked_sub(1);
            *left = rest.ok_or_else(|| io::Error::from_raw_os_error(EMFILE))?;
        }
        Ok(state)
    }
}

impl State {
    fn names(&mut self, directory: &Path) -> io::Result<&mut Names> {
        let mut inode = ROOT;
        self.directories.entry(ROOT).or_default();
        for part in directory.components() {
            let names = self.directories.get(&inode);
            let node = names.and_then(|names| names.live.get(&*part.as_os_str().to_string_lossy()));
            inode = match node {
                Some(Node::Directory(inode)) => *inode,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => return Err(io::ErrorKind::NotFound.into()),
            };
        }
        let names = self.directories.get_mut(&inode);
        names.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, path: &Path) -> io::Result<Inode> {
        let (directory, name) = split(path);
        match self.names(directory)?.live.get(&name) {
            Some(Node::File(inode)) => Ok(*inode),
            Some(Node::Directory(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn new_inode(&mut self) -> Inode {
        self.last_inode += 1;
        self.last_inode
    }

    fn change_names(&mut self, directory: &Path, change: NameChange) -> io::Result<()> {
        let names = self.names(directory)?;
        if let NameChange::Insert(new, _) | NameChange::Rename(_, new) = &change
            && new.len() > NAME_BYTES_MAX
        {
            return Err(io::Error::from_raw_os_error(ENAMETOOLONG));
        }
        change.clone().apply(&mut names.live);
        names.pending.push(change);
        Ok(())
    }

    fn used(&self) -> u64 {
        let reachable = self.reachable();
        let files = self.files.iter();
        let files = files.filter(|(inode, _)| reachable.contains(inode));
        files.map(|(_, content)| content.live.len() as u64).sum()
    }

    fn free(&self) -> u64 {
        let space = self.space.map(|space| space.saturating_sub(self.used()));
        space.unwrap_or(u64::MAX)
    }

    /// The files and directories that names lead to.
    fn reachable(&self) -> BTreeSet<Inode> {
        let mut reachable = BTreeSet::from([ROOT]);
        let mut todo = vec![ROOT];
        while let Some(inode) = todo.pop() {
            let names = self.directories.get(&inode).into_iter();
            for node in names.flat_map(|names| names.live.values()) {
                match node {
                    Node::File(inode) => _ = reachable.insert(*inode),
                    Node::Directory(inode) if reachable.insert(*inode) => todo.push(*inode),
                    Node::Directory(_) => {}
                }
            }
        }
        reachable
    }

    /// Forgets the files and directories that no name leads to.
    fn drop_unreachable(&mut self) {
        let reachable = self.reachable();
        self.files.retain(|inode, _| reachable.contains(inode));
        self.directories
            .retain(|inode, _| reachable.contains(inode));
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn open(&self, path: &Path) -> io::Result<MemoryFile> {
        let inode = self.begin(Operation::Open, path)?.file(path)?;
        Ok(self.handle(path, inode))
    }

    fn create(&self, path: &Path) -> io::Result<MemoryFile> {
        let mut state = self.begin(Operation::Open, path)?;
        if let Ok(inode) = state.file(path) {
            drop(state);
            let mut file = self.handle(path, inode);
            file.set_length(0)?;
            return Ok(file);
        }
        if state.free() == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = state.new_inode();
        let (directory, name) = split(path);
        state.change_names(directory, NameChange::Insert(name, Node::File(inode)))?;
        state.files.insert(inode, Content::default());
        Ok(self.handle(path, inode))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.begin(Operation::List, path)?;
        Ok(state.names(path)?.live.keys().cloned().collect())
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.state().names(path).is_ok()
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(Operation::CreateDirectory, path)?;
        let mut directory = PathBuf::new();
        for part in path.components() {
            let parent = directory.clone();
            directory.push(part);
            if state.names(&directory).is_err() {
                let name = part.as_os_str().to_string_lossy().into_owned();
                let inode = state.new_inode();
                state.directories.insert(inode, Names::default());
                let insert = NameChange::Insert(name, Node::Directory(inode));
                state.change_names(&parent, insert)?;
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.begin(Operation::Rename, from)?;
        let ((directory, old), (target, new)) = (split(from), split(to));
        if directory != target {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        if !state.names(directory)?.live.contains_key(&old) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(directory, NameChange::Rename(old, new))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(Operation::Remove, path)?;
        state.file(path)?;
        let (directory, name) = split(path);
        state.change_names(directory, NameChange::Remove(name))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.list(path)?;
        let mut state = self.begin(Operation::Remove, path)?;
        let (directory, name) = split(path);
        state.change_names(directory, NameChange::Remove(name))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(Operation::SyncDirectory, path)?;
        state.syncs += 1;
        let names = state.names(path)?;
        names.pending.clear();
        names.durable = names.live.clone();
        Ok(())
    }
}

impl MemoryDisk {
    fn handle(&self, path: &Path, inode: Inode) -> MemoryFile {
        MemoryFile {
            disk: self.clone(),
            path: path.to_owned(),
            inode,
        }
    }
}

impl MemoryFile {
    fn with<T>(&self, operation: Operation, act: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut state = self.disk.begin(operation, &self.path)?;
        let content = state.files.get_mut(&self.inode);
        content
            .map(act)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, operation: Operation, change: Change) -> io::Result<()> {
        self.with(operation, |content| {
            change.apply(&mut content.live);
            content.pending.push(change);
        })
    }
}

impl DiskFile for MemoryFile {
    fn length(&self) -> io::Result<u64> {
        self.with(Operation::Read, |content| content.live.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let count = self.with(Operation::Read, |content| {
            let rest = content.live.get(position as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(rest) {
                *to = *from;
            }
            count
        })?;
        let mut state = self.disk.state();
        if let Some(flip) = state.flip.as_mut().filter(|flip| flip.path == self.path)
            && let Some(at) = flip.position.checked_sub(position)
            && let Some(byte) = buffer
                .get_mut(..count)
                .and_then(|read| read.get_mut(at as usize))
        {
            *byte ^= u8::from(flip.reads.contains(&0));
            let earlier = |count: u32| count.saturating_sub(1);
            flip.reads = earlier(flip.reads.start)..earlier(flip.reads.end);
        }
        Ok(count)
    }

    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()> {
        let free = self.disk.state().free();
        let length = {
            let state = self.disk.state();
            let content = state.files.get(&self.inode);
            content.map_or(0, |content| content.live.len() as u64)
        };
        let most = length.saturating_add(free).saturating_sub(position);
        let fitting = bytes.get(..most as usize).unwrap_or(bytes);
        self.change(Operation::Write, Change::Write(position, fitting.to_vec()))?;
        if fitting.len() < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.change(Operation::SetLength, Change::SetLength(length))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(Operation::Sync, |content| {
            content.pending.clear();
            content.durable = content.live.clone();
        })?;
        self.disk.state().syncs += 1;
        Ok(())
    }
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Self::Write(_, bytes) => bytes.len(),
            Self::SetLength(_) => 0,
        }
    }

    fn survive(mut self, content: &mut Vec<u8>, fate: Survival) {
        match (&mut self, fate) {
            (_, Survival::Lost) | (Self::SetLength(_), Survival::Torn(_)) => return,
            (Self::Write(_, bytes), Survival::Torn(kept)) => bytes.truncate(kept),
            (_, Survival::Kept) => {}
        }
        self.apply(content);
    }

    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::SetLength(length) => content.resize(*length as usize, 0),
            Self::Write(position, bytes) => {
                let start = *position as usize;
                let end = start + bytes.len();
                content.resize(content.len().max(end), 0);
                if let Some(place) = content.get_mut(start..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Insert(name, node) => {
                names.insert(name, node);
            }
            Self::Remove(name) => {
                names.remove(&name);
            }
            Self::Rename(old, new) => {
                if let Some(node) = names.remove(&old) {
                    names.insert(new, node);
                }
            }
        }
    }
}

fn split(path: &Path) -> (&Path, String) {
    let name = path.file_name().unwrap_or_default();
    let directory = path.parent().unwrap_or(Path::new(""));
    (directory, name.to_string_lossy().into_owned())
}
