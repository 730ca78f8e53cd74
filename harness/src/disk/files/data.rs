//! The bytes of files, and when they are durable.
//!
//! In: reads, writes, allocations and fsyncs by open file. Out: what the backing file system
//! answers. Invariants: the kernel decides where an append goes, so that backing files are never
//! opened for appending; an fsync touches only the journal, as it is the journal's power that
//! goes, not the machine's.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, CWD};
use rustix::fs::{
    FallocateFlags, Mode, OFlags, SeekFrom, chmodat, copy_file_range, fallocate, fstat, seek,
};
use rustix::io::Errno;

use super::space::Limit;
use super::{Answer, Files, OpenFile, errno_of};

/// The largest range that is copied in one step.
const COPY_BYTES_MAX: u64 = 1 << 30;
/// The permission bits that run a program as somebody else.
const SET_ID_BITS: u32 = 0o6000;

/// The moment at which an fsync is asked for: what is done later is not its business.
#[derive(Clone, Copy, Debug)]
pub(in crate::disk) struct Mark {
    sequence: u64,
    written: u64,
}

impl Files {
    /// Opens a file; its handle.
    pub(in crate::disk) fn open(&mut self, number: u64, flags: i32) -> Answer<u64> {
        let is_read_only = flags as u32 & OFlags::RWMODE.bits() == OFlags::RDONLY.bits();
        let mode = if is_read_only {
            OFlags::RDONLY
        } else {
            OFlags::RDWR
        };
        let file = self.inodes.open(number, mode | OFlags::NONBLOCK)?;
        Ok(self.keep_open(number, file))
    }

    pub(super) fn keep_open(&mut self, inode: u64, file: File) -> u64 {
        let handle = self.handle();
        self.open.insert(handle, OpenFile { inode, file });
        handle
    }

    /// Closes a file.
    pub(in crate::disk) fn close(&mut self, handle: u64) {
        self.open.remove(&handle);
    }

    /// Reads up to `size` bytes; fewer only at the end.
    pub(in crate::disk) fn read(&self, handle: u64, offset: u64, size: u32) -> Answer<Vec<u8>> {
        let file = self.file(handle)?;
        let mut bytes = vec![0; size as usize];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(errno_of(&error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes as much as fits; how much that was.
    pub(in crate::disk) fn write(
        &mut self,
        handle: u64,
        offset: u64,
        bytes: &[u8],
        limit: Option<Limit>,
    ) -> Answer<u32> {
        let open = self.open.get(&handle).ok_or(Errno::BADF)?;
        let before = fstat(&open.file)?;
        let length = before.st_size as u64;
        let end = offset + bytes.len() as u64;
        // Bytes that overwrite others take no space.
        let (fits, refusal) = match self.space.fit(end.saturating_sub(length), limit) {
            Ok(fits) => (fits, Errno::NOSPC),
            Err(refusal) => (0, refusal),
        };
        let fitting = (length + fits)
            .saturating_sub(offset)
            .min(bytes.len() as u64);
        if fitting == 0 && !bytes.is_empty() {
            return Err(refusal);
        }
        let bytes = bytes.get(..fitting as usize).unwrap_or_default();
        let inode = self.inodes.backing(open.inode);
        let mut journal = self.journal();
        let told = journal.will_write(inode, &open.file, offset, fitting);
        drop(journal);
        told.map_err(|error| errno_of(&error))?;
        let written = write_at(&open.file, bytes, offset)?;
        let number = open.inode;
        self.resized(&before, grown(length, offset, u64::from(written)));
        self.inodes.get_mut(number)?.written += u64::from(written);
        Ok(written)
    }

    /// Takes the bits away that a write by somebody else takes away.
    pub(in crate::disk) fn drop_set_id(&self, number: u64) -> Answer<()> {
        let mode = super::inodes::status(&self.inodes.get(number)?.place)?.st_mode;
        if mode & SET_ID_BITS == 0 {
            return Ok(());
        }
        let path = self.inodes.proc_path(number)?;
        let mode = Mode::from_raw_mode(mode & 0o7777 & !SET_ID_BITS);
        chmodat(CWD, path, mode, AtFlags::empty())
    }

    /// Now, for an fsync of this file or directory.
    pub(in crate::disk) fn mark(&self, number: u64) -> Mark {
        Mark {
            sequence: self.journal().mark(),
            written: self.inodes.get(number).map_or(0, |inode| inode.written),
        }
    }

    /// Bytes of a file from before `mark` that no fsync made durable.
    pub(in crate::disk) fn unsynced(&self, number: u64, mark: Mark) -> u64 {
        let unsynced = |inode: &super::inodes::Inode| mark.written.saturating_sub(inode.settled);
        self.inodes.get(number).map_or(0, unsynced)
    }

    fn settle(&mut self, number: u64, mark: Mark) -> Answer<()> {
        let inode = self.inodes.get_mut(number)?;
        inode.settled = inode.settled.max(mark.written);
        Ok(())
    }

    /// Makes a file's bytes and length as of `mark` durable.
    pub(in crate::disk) fn sync(&mut self, number: u64, mark: Mark) -> Answer<()> {
        self.settle(number, mark)?;
        let backing = self.inodes.backing(number);
        self.journal().did_sync(backing, mark.sequence);
        Ok(())
    }

    /// An fsync failed: what it would have made durable is clean from now on, and never written.
    pub(in crate::disk) fn lose_writes(&mut self, number: u64, mark: Mark) -> Answer<()> {
        self.settle(number, mark)?;
        let backing = self.inodes.backing(number);
        self.journal().forget_writes(backing, mark.sequence);
        Ok(())
    }

    /// Makes the names of a directory as of `mark` durable.
    pub(in crate::disk) fn sync_directory(&mut self, number: u64, mark: Mark) -> Answer<()> {
        let backing = self.inodes.backing(number);
        self.journal().did_sync_directory(backing, mark.sequence);
        Ok(())
    }

    /// Allocates, punches or zeroes a range.
    pub(in crate::disk) fn allocate(
        &mut self,
        handle: u64,
        (offset, length): (u64, u64),
        mode: i32,
        limit: Option<Limit>,
    ) -> Answer<()> {
        let flags = FallocateFlags::from_bits(mode as u32).ok_or(Errno::OPNOTSUPP)?;
        let known =
            FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE;
        if !known.contains(flags) {
            return Err(Errno::OPNOTSUPP);
        }
        let open = self.open.get(&handle).ok_or(Errno::BADF)?;
        let found = fstat(&open.file)?;
        let before = found.st_size as u64;
        let after = if flags.contains(FallocateFlags::KEEP_SIZE) {
            before
        } else {
            before.max(offset + length)
        };
        if self.space.fit(after - before, limit)? < after - before {
            return Err(Errno::NOSPC);
        }
        let inode = self.inodes.backing(open.inode);
        let mut journal = self.journal();
        let changed = before.saturating_sub(offset).min(length);
        let changes = FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE;
        if flags.intersects(changes) && changed > 0 {
            let told = journal.will_write(inode, &open.file, offset, changed);
            told.map_err(|error| errno_of(&error))?;
        }
        if after > before {
            let told = journal.will_set_length(inode, &open.file, after);
            told.map_err(|error| errno_of(&error))?;
        }
        drop(journal);
        fallocate(&open.file, flags, offset, length)?;
        self.resized(&found, after);
        Ok(())
    }

    /// Where data or a hole begins.
    pub(in crate::disk) fn seek(&self, handle: u64, offset: i64, whence: i32) -> Answer<i64> {
        let offset = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
        let from = match whence {
            nix::libc::SEEK_DATA => SeekFrom::Data(offset),
            nix::libc::SEEK_HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL),
        };
        seek(self.file(handle)?, from).map(|found| found as i64)
    }

    /// How much of `length` bytes at `offset` of an open file one step of copying can take.
    pub(in crate::disk) fn copy_length(
        &self,
        (handle, offset): (u64, u64),
        length: u64,
    ) -> Answer<u64> {
        let source = fstat(self.file(handle)?)?.st_size as u64;
        Ok(length
            .min(COPY_BYTES_MAX)
            .min(source.saturating_sub(offset)))
    }

    /// Copies a range from one file to another; how much was copied.
    pub(in crate::disk) fn copy(
        &mut self,
        (from, from_offset): (u64, u64),
        (to, to_offset): (u64, u64),
        length: u64,
        limit: Option<Limit>,
    ) -> Answer<u32> {
        let length = self.copy_length((from, from_offset), length)?;
        let target = self.open.get(&to).ok_or(Errno::BADF)?;
        let found = fstat(&target.file)?;
        let before = found.st_size as u64;
        let growth = grown(before, to_offset, length) - before;
        if self.space.fit(growth, limit)? < growth {
            return Err(Errno::NOSPC);
        }
        let inode = self.inodes.backing(target.inode);
        let told = self
            .journal()
            .will_write(inode, &target.file, to_offset, length);
        told.map_err(|error| errno_of(&error))?;
        let (mut from_offset, mut end) = (from_offset, to_offset);
        let copied = copy_file_range(
            self.file(from)?,
            Some(&mut from_offset),
            &target.file,
            Some(&mut end),
            length as usize,
        )?;
        let number = target.inode;
        self.resized(&found, grown(before, to_offset, copied as u64));
        self.inodes.get_mut(number)?.written += copied as u64;
        Ok(copied as u32)
    }

    fn file(&self, handle: u64) -> Answer<&File> {
        self.open
            .get(&handle)
            .map(|open| &open.file)
            .ok_or(Errno::BADF)
    }
}

/// The length of a file of `before` bytes after `count` bytes at `offset`: none leave no hole.
fn grown(before: u64, offset: u64, count: u64) -> u64 {
    match count {
        0 => before,
        count => before.max(offset + count),
    }
}

/// Writes all, or what the backing file system takes.
fn write_at(file: &File, bytes: &[u8], offset: u64) -> Answer<u32> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset + written as u64) {
            Ok(count) => written += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if written == 0 => return Err(errno_of(&error)),
            Err(_) => break,
        }
    }
    Ok(written as u32)
}
