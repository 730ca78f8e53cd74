//! A process that does file operations one by one and prints what came of each.
//!
//! `files SCRIPT DIRECTORY`: the script is a list of [`Op`]s as JSON. Each line of output is the
//! result of one: what was read, or the system's error by its name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use harness::sandbox::Mapping;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{
    AtFlags, FallocateFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, SeekFrom, Stat,
    Timespec, Timestamps, XattrFlags, accessat, chmodat, copy_file_range, fallocate, flock, fstat,
    fstatvfs, fsync, ftruncate, getxattr, linkat, listxattr, mkdirat, mknodat, openat, readlinkat,
    removexattr, renameat, renameat_with, seek, setxattr, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io;
use serde::{Deserialize, Serialize};

/// Times before this one were set, not taken from the clock, in seconds.
const TIMES_END: i64 = 1_000_000_000;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    Read,
    Write,
    Both,
    New,
    NewOnly,
    Append,
    Truncate,
    Sync,
    Direct,
    Directory,
    Temporary,
}

/// Whose a lock of a range of bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Owner {
    /// The process's, as the JVM's and RocksDB's.
    Process,
    /// The open file's.
    OpenFile,
}

/// One operation; files are named by paths or by the slot in which they are open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    Open(u8, String, How),
    Close(u8),
    Write(u8, Vec<u8>),
    WriteAt(u8, u64, Vec<u8>),
    Fill(u8, u64, u32),
    Read(u8, u64, u32),
    SetLength(u8, u64),
    Sync(u8),
    Stat(String),
    StatOpen(u8),
    List(String),
    Mkdir(String, u32),
    Rmdir(String),
    Unlink(String),
    Rename(String, String),
    RenameNew(String, String),
    Exchange(String, String),
    Link(String, String),
    Symlink(String, String),
    ReadLink(String),
    Fifo(String),
    Chmod(String, u32),
    /// Sets both times, in seconds, and prints them.
    Times(String, i64),
    /// The time of the last change if [`Op::Times`] set it.
    Time(String),
    Access(String),
    Allocate(u8, u32, u64, u64),
    SeekHole(u8, u64),
    SeekData(u8, u64),
    Copy(u8, u8, u64),
    SetXattr(String, String),
    GetXattr(String),
    ListXattr(String),
    RemoveXattr(String),
    Lock(u8),
    LockRange(u8, Owner, i64, i64),
    /// What another process does in the same folder, in one line.
    Beside(Vec<Op>),
    /// The size of the file system and what is free of it, in bytes.
    Space,
    /// Everything that is there, a line each; waits for writes that are held.
    Tree,
    /// What this process has open.
    Descriptors,
    /// Writes to mapped memory, and waits for msync.
    Map(u8, u64, Vec<u8>),
    /// Writes to mapped memory, which ends without an msync.
    MapUnsynced(u8, u64, Vec<u8>),
}

struct Child {
    root: OwnedFd,
    base: std::path::PathBuf,
    open: BTreeMap<u8, File>,
}

/// The process.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let [_, script, directory, ..] = args else {
        return ExitCode::FAILURE;
    };
    let script = std::fs::read(script).expect("a script");
    let script: Vec<Op> = serde_json::from_slice(&script).expect("operations");
    let base = Path::new(directory);
    let root = openat(rustix::fs::CWD, base, OFlags::DIRECTORY, Mode::empty()).expect("opens");
    let mut child = Child {
        root,
        base: base.to_owned(),
        open: BTreeMap::new(),
    };
    for op in script {
        // Flushed line by line: whoever watches wants to know how far it came.
        println!("{}", child.told(op));
    }
    ExitCode::SUCCESS
}

impl Child {
    fn told(&mut self, op: Op) -> String {
        match self.perform(op) {
            Ok(text) if text.is_empty() => "ok".to_owned(),
            Ok(text) => text,
            Err(errno) => format!("{:?}", Errno::from_raw(errno.raw_os_error())),
        }
    }

    fn perform(&mut self, op: Op) -> io::Result<String> {
        match op {
            Op::Open(..)
            | Op::Close(_)
            | Op::Write(..)
            | Op::WriteAt(..)
            | Op::Fill(..)
            | Op::Read(..)
            | Op::SetLength(..)
            | Op::Sync(_)
            | Op::StatOpen(_) => self.perform_open(op),
            Op::Allocate(..)
            | Op::SeekHole(..)
            | Op::SeekData(..)
            | Op::Copy(..)
            | Op::Lock(_)
            | Op::LockRange(..)
            | Op::Beside(_)
            | Op::Space
            | Op::Tree
            | Op::Descriptors
            | Op::Map(..)
            | Op::MapUnsynced(..) => self.perform_special(op),
            Op::SetXattr(..) | Op::GetXattr(_) | Op::ListXattr(_) | Op::RemoveXattr(_) => {
                self.perform_xattr(op)
            }
            _ => self.perform_name(op),
        }
    }

    fn perform_open(&mut self, op: Op) -> io::Result<String> {
        match op {
            Op::Open(slot, path, how) => {
                let file = openat(&self.root, path, flags(how), Mode::from_raw_mode(0o666))?;
                self.open.insert(slot, File::from(file));
            }
            Op::Close(slot) => drop(self.open.remove(&slot).ok_or(io::Errno::BADF)?),
            Op::Write(slot, bytes) => {
                return Ok(told(self.slot(slot)?.write(&bytes))?.to_string());
            }
            Op::WriteAt(slot, at, bytes) => {
                return Ok(told(self.slot(slot)?.write_at(&bytes, at))?.to_string());
            }
            Op::Fill(slot, at, length) => {
                let mut buffer = Vec::new();
                let bytes = aligned(&mut buffer, length);
                for (i, byte) in bytes.iter_mut().enumerate() {
                    *byte = (i / 7) as u8;
                }
                return Ok(told(self.slot(slot)?.write_at(bytes, at))?.to_string());
            }
            Op::Read(slot, at, length) => {
                let mut buffer = Vec::new();
                let bytes = aligned(&mut buffer, length);
                let count = told(self.slot(slot)?.read_at(bytes, at))?;
                return Ok(shown(&bytes[..count]));
            }
            Op::SetLength(slot, length) => ftruncate(self.slot(slot)?, length)?,
            Op::Sync(slot) => fsync(self.slot(slot)?)?,
            Op::StatOpen(slot) => return Ok(status(&fstat(self.slot(slot)?)?)),
            _ => unreachable!("not of open files"),
        }
        Ok(String::new())
    }

    fn perform_special(&mut self, op: Op) -> io::Result<String> {
        match op {
            Op::Allocate(slot, mode, at, length) => {
                let mode = FallocateFlags::from_bits_retain(mode);
                fallocate(self.slot(slot)?, mode, at, length)?;
            }
            Op::SeekHole(slot, at) => {
                return Ok(seek(self.slot(slot)?, SeekFrom::Hole(at))?.to_string());
            }
            Op::SeekData(slot, at) => {
                return Ok(seek(self.slot(slot)?, SeekFrom::Data(at))?.to_string());
            }
            Op::Copy(from, to, length) => {
                let (mut at, mut end) = (0, 0);
                let (from, to) = (self.slot(from)?, self.slot(to)?);
                let copied =
                    copy_file_range(from, Some(&mut at), to, Some(&mut end), length as usize)?;
                return Ok(copied.to_string());
            }
            Op::Lock(slot) => {
                flock(self.slot(slot)?, FlockOperation::NonBlockingLockExclusive)?;
            }
            Op::Space => {
                let disk = fstatvfs(&self.root)?;
                let (size, free) = (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize);
                return Ok(format!("of {size} {free} free"));
            }
            Op::Tree => tell_tree(&self.base, Path::new("")),
            Op::Descriptors => {
                let entries = told(std::fs::read_dir("/proc/self/fd"))?;
                let targets =
                    entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
                return Ok(format!("{:?}", targets.collect::<Vec<_>>()));
            }
            Op::LockRange(slot, owner, at, length) => lock(self.slot(slot)?, owner, at, length)?,
            Op::Beside(ops) => return told(beside(&ops, &self.base)),
            Op::Map(slot, at, bytes) => return self.map(slot, at, &bytes, true),
            Op::MapUnsynced(slot, at, bytes) => return self.map(slot, at, &bytes, false),
            _ => unreachable!("not special"),
        }
        Ok(String::new())
    }

    fn map(&self, slot: u8, at: u64, bytes: &[u8], is_synced: bool) -> io::Result<String> {
        let file = self.slot(slot)?;
        let length = fstat(file)?.st_size as usize;
        let length = NonZeroUsize::new(length).ok_or(io::Errno::INVAL)?;
        let mut mapping = told(Mapping::new(file, length))?;
        mapping.write(at as usize, bytes);
        if is_synced {
            told(mapping.sync())?;
        }
        let mut back = vec![0; length.get()];
        mapping.read(0, &mut back);
        Ok(shown(&back))
    }

    fn perform_xattr(&mut self, op: Op) -> io::Result<String> {
        const NAME: &str = "user.verdict";
        match op {
            Op::SetXattr(path, value) => {
                setxattr(
                    self.base.join(path),
                    NAME,
                    value.as_bytes(),
                    XattrFlags::empty(),
                )?;
            }
            Op::GetXattr(path) => {
                let mut value = [0; 64];
                let length = getxattr(self.base.join(path), NAME, &mut value[..])?;
                return Ok(shown(&value[..length]));
            }
            Op::ListXattr(path) => {
                let mut names = [0; 256];
                let length = listxattr(self.base.join(path), &mut names[..])?;
                return Ok(shown(&names[..length]));
            }
            Op::RemoveXattr(path) => removexattr(self.base.join(path), NAME)?,
            _ => unreachable!("not of extended attributes"),
        }
        Ok(String::new())
    }

    fn perform_name(&mut self, op: Op) -> io::Result<String> {
        let root = &self.root;
        match op {
            Op::Stat(path) => {
                return Ok(status(&statat(root, path, AtFlags::SYMLINK_NOFOLLOW)?));
            }
            Op::List(path) => {
                let entries = told(std::fs::read_dir(self.base.join(path)))?;
                let names = entries.map(|entry| Ok(entry?.file_name()));
                let mut names: Vec<_> = told(names.collect::<std::io::Result<_>>())?;
                names.sort();
                return Ok(format!("{names:?}"));
            }
            Op::Mkdir(path, mode) => mkdirat(root, path, Mode::from_raw_mode(mode))?,
            Op::Rmdir(path) => unlinkat(root, path, AtFlags::REMOVEDIR)?,
            Op::Unlink(path) => unlinkat(root, path, AtFlags::empty())?,
            Op::Rename(from, to) => renameat(root, from, root, to)?,
            Op::RenameNew(from, to) => {
                renameat_with(root, from, root, to, RenameFlags::NOREPLACE)?;
            }
            Op::Exchange(from, to) => {
                renameat_with(root, from, root, to, RenameFlags::EXCHANGE)?;
            }
            Op::Link(from, to) => linkat(root, from, root, to, AtFlags::empty())?,
            Op::Symlink(target, path) => symlinkat(target, root, path)?,
            Op::ReadLink(path) => return Ok(format!("{:?}", readlinkat(root, path, [])?)),
            Op::Fifo(path) => {
                mknodat(root, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
            }
            Op::Chmod(path, mode) => {
                chmodat(root, path, Mode::from_raw_mode(mode), AtFlags::empty())?;
            }
            Op::Times(path, seconds) => {
                let time = Timespec {
                    tv_sec: seconds,
                    tv_nsec: 5,
                };
                let times = Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                utimensat(root, &path, &times, AtFlags::empty())?;
                let found = statat(root, path, AtFlags::empty())?;
                let nanos = (found.st_atime_nsec, found.st_mtime_nsec);
                return Ok(format!("{} {} {nanos:?}", found.st_atime, found.st_mtime));
            }
            Op::Time(path) => {
                let changed = statat(root, path, AtFlags::SYMLINK_NOFOLLOW)?.st_mtime;
                let is_set = changed < TIMES_END;
                return Ok(if is_set {
                    changed.to_string()
                } else {
                    "now".to_owned()
                });
            }
            Op::Access(path) => {
                accessat(root, path, rustix::fs::Access::WRITE_OK, AtFlags::empty())?;
            }
            _ => unreachable!("not of names"),
        }
        Ok(String::new())
    }

    fn slot(&self, slot: u8) -> io::Result<&File> {
        self.open.get(&slot).ok_or(io::Errno::BADF)
    }
}

/// Locks a range for writing, or fails at once.
fn lock(file: &File, owner: Owner, at: i64, length: i64) -> io::Result<()> {
    let range = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: at,
        l_len: length,
        l_pid: 0,
    };
    let wanted = match owner {
        Owner::Process => FcntlArg::F_SETLK(&range),
        Owner::OpenFile => FcntlArg::F_OFD_SETLK(&range),
    };
    match fcntl(file, wanted) {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Errno::from_raw_os_error(error as i32)),
    }
}

/// The lines of another process that does `ops`.
fn beside(ops: &[Op], base: &Path) -> std::io::Result<String> {
    let mut other = Command::new("/proc/self/exe")
        .args(["files".as_ref(), "/dev/stdin".as_ref(), base])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // Dropped once it is written, so that the other finds its end.
    let script = serde_json::to_vec(ops)?;
    if let Some(mut stdin) = other.stdin.take() {
        stdin.write_all(&script)?;
    }
    let output = other.wait_with_output()?;
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines.lines().collect::<Vec<_>>().join(", "))
}

/// Memory at a multiple of a block, as O_DIRECT wants it.
fn aligned(buffer: &mut Vec<u8>, length: u32) -> &mut [u8] {
    const BLOCK: usize = 4096;
    buffer.resize(length as usize + BLOCK, 0);
    let start = buffer.as_ptr().align_offset(BLOCK);
    &mut buffer[start..start + length as usize]
}

fn flags(how: How) -> OFlags {
    let new = OFlags::RDWR | OFlags::CREATE;
    OFlags::CLOEXEC
        | match how {
            How::Read => OFlags::RDONLY,
            How::Write => OFlags::WRONLY,
            How::Both => OFlags::RDWR,
            How::New => new,
            How::NewOnly => new | OFlags::EXCL,
            How::Append => new | OFlags::APPEND,
            How::Truncate => new | OFlags::TRUNC,
            How::Sync => new | OFlags::DSYNC,
            How::Direct => new | OFlags::DIRECT,
            How::Directory => OFlags::RDONLY | OFlags::DIRECTORY,
            How::Temporary => OFlags::RDWR | OFlags::TMPFILE,
        }
}

fn told<T>(result: std::io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Errno::from_io_error(&error).unwrap_or(io::Errno::IO))
}

/// Short bytes as text, long ones by a sum.
fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= 64 {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    format!("{} bytes, crc {:x}", bytes.len(), crc32c::crc32c(bytes))
}

/// What must be the same on every file system.
fn status(found: &Stat) -> String {
    let kind = FileType::from_raw_mode(found.st_mode);
    let mode = found.st_mode & 0o7777;
    // Directories have the sizes and links that their file system likes.
    if kind == FileType::Directory {
        return format!("{kind:?} {mode:o}");
    }
    format!(
        "{kind:?} {mode:o} links {} size {}",
        found.st_nlink, found.st_size
    )
}

fn tell_tree(base: &Path, below: &Path) {
    let folder = base.join(below);
    let entries = std::fs::read_dir(&folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    for name in names {
        let path = below.join(&name);
        let whole = base.join(&path);
        let metadata = std::fs::symlink_metadata(&whole).expect("metadata");
        let found = statat(rustix::fs::CWD, &whole, AtFlags::SYMLINK_NOFOLLOW);
        let found = found.expect("attributes");
        print!("{}: {}", path.display(), status(&found));
        if metadata.is_file() {
            let mut bytes = Vec::new();
            let read = File::open(&whole).and_then(|mut file| file.read_to_end(&mut bytes));
            print!(" {read:?} {}", shown(&bytes));
        }
        println!();
        if metadata.is_dir() {
            tell_tree(base, &path);
        }
    }
    std::io::stdout().flush().expect("stdout");
}
