//! The file operations that storage needs, as a trait: the only way to files below the shell.
//!
//! Implemented by `shell::disk::RealDisk` over `std::fs` and by `MemoryDisk` for tests and the
//! simulation. Contract: what a file holds is durable after `sync` of the file, which names a
//! directory holds after `sync_dir` of the directory; `rename` within a directory replaces the
//! target atomically. Everything else may be lost, in part or whole, at a loss of power.

use std::io;
use std::path::Path;

/// What a file operation was about, for errors and fault hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Open or create a file.
    Open,
    /// Read from a file or ask for its length.
    Read,
    /// Write to a file.
    Write,
    /// Cut or extend a file.
    SetLength,
    /// Make a file's content durable.
    Sync,
    /// Make a directory's names durable.
    SyncDirectory,
    /// List a directory.
    List,
    /// Create a directory.
    CreateDirectory,
    /// Rename a file or a directory.
    Rename,
    /// Remove a file or a directory.
    Remove,
}

/// A directory tree. All calls block.
pub trait Disk {
    /// An open file.
    type File: DiskFile + std::fmt::Debug;

    /// Opens an existing file for reading and writing; `NotFound` if there is none.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Creates an empty file for reading and writing, in place of an existing one.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// The names in a directory, sorted; `NotFound` if there is no such directory.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Whether `path` is a directory.
    fn is_dir(&self, path: &Path) -> bool;

    /// Creates a directory and those above it that are missing.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, replacing the target, or a directory. Both lie in the same directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all it holds.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file with positional access.
pub trait DiskFile {
    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Reads into `buffer` from `position`; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `position`.
    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()>;

    /// Cuts the file to `length` bytes.
    fn set_length(&mut self, length: u64) -> io::Result<()>;

    /// Makes the content and the length durable. Never repeated after an error: the kernel may have
    /// dropped the dirty pages and would report success.
    fn sync(&mut self) -> io::Result<()>;
}

/// Reads the `length` bytes at `position`, or as many as the file has.
pub(super) fn read_range(
    file: &impl DiskFile,
    position: u64,
    length: usize,
) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    let read = file.read_at(&mut buffer, position)?;
    buffer.truncate(read);
    Ok(buffer)
}
