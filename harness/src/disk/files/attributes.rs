//! Attributes of files and of the disk.
//!
//! In: inode numbers and new values. Out: what stat(2) and statvfs(2) show. Invariants: the
//! journal's own links do not show; the length is the only attribute that a loss of power takes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, INodeNo, TimeOrNow};
use rustix::fs::CWD;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, StatVfs, Timespec, Timestamps, UTIME_NOW,
    UTIME_OMIT, Uid, chmodat, chownat, fstatvfs, ftruncate, utimensat,
};
use rustix::io::Errno;

use super::inodes::status;
use super::space::Limit;
use super::{Answer, Files, errno_of};

/// Attributes to change; those that are absent stay.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::disk) struct Changes {
    /// Permissions.
    pub(in crate::disk) mode: Option<u32>,
    /// Owner.
    pub(in crate::disk) uid: Option<u32>,
    /// Group.
    pub(in crate::disk) gid: Option<u32>,
    /// Length.
    pub(in crate::disk) size: Option<u64>,
    /// Time of last access.
    pub(in crate::disk) atime: Option<TimeOrNow>,
    /// Time of last change.
    pub(in crate::disk) mtime: Option<TimeOrNow>,
}

impl Files {
    /// The attributes of an inode.
    pub(in crate::disk) fn attributes(&self, number: u64) -> Answer<FileAttr> {
        let found = status(&self.inodes.get(number)?.place)?;
        Ok(self.shown(&found))
    }

    /// What the kernel is told of a file with these attributes.
    pub(super) fn shown(&self, found: &Stat) -> FileAttr {
        FileAttr {
            ino: INodeNo(self.inodes.number(found.st_ino)),
            size: found.st_size as u64,
            blocks: found.st_blocks as u64,
            atime: time(found.st_atime, found.st_atime_nsec),
            mtime: time(found.st_mtime, found.st_mtime_nsec),
            ctime: time(found.st_ctime, found.st_ctime_nsec),
            crtime: UNIX_EPOCH,
            kind: kind(FileType::from_raw_mode(found.st_mode)),
            perm: (found.st_mode & 0o7777) as u16,
            nlink: self.links(found) as u32,
            uid: found.st_uid,
            gid: found.st_gid,
            rdev: found.st_rdev as u32,
            blksize: found.st_blksize as u32,
            flags: 0,
        }
    }

    /// How many names a file has.
    pub(super) fn links(&self, found: &Stat) -> u64 {
        let parked = self.journal().is_parked(found.st_ino);
        found.st_nlink.saturating_sub(u64::from(parked))
    }

    /// A file had the attributes `before` and is `after` bytes long now.
    pub(super) fn resized(&mut self, before: &Stat, after: u64) {
        // Without a name it counts for nothing already.
        if self.links(before) > 0 {
            self.space.resized(before.st_size as u64, after);
        }
    }

    /// Changes attributes; `handle` is the open file through which that is done, if any.
    pub(in crate::disk) fn change(
        &mut self,
        number: u64,
        handle: Option<u64>,
        changes: Changes,
        limit: Option<Limit>,
    ) -> Answer<FileAttr> {
        if let Some(mode) = changes.mode {
            let path = self.inodes.proc_path(number)?;
            chmodat(
                CWD,
                path,
                Mode::from_raw_mode(mode & 0o7777),
                AtFlags::empty(),
            )?;
        }
        let place = &self.inodes.get(number)?.place;
        if changes.uid.is_some() || changes.gid.is_some() {
            let owner = changes.uid.map(Uid::from_raw);
            let group = changes.gid.map(Gid::from_raw);
            chownat(place, "", owner, group, AtFlags::EMPTY_PATH)?;
        }
        if let Some(size) = changes.size {
            self.set_length(number, handle, size, limit)?;
        }
        if changes.atime.is_some() || changes.mtime.is_some() {
            let times = Timestamps {
                last_access: timespec(changes.atime),
                last_modification: timespec(changes.mtime),
            };
            let place = &self.inodes.get(number)?.place;
            utimensat(place, "", &times, AtFlags::EMPTY_PATH)?;
        }
        self.attributes(number)
    }

    fn set_length(
        &mut self,
        number: u64,
        handle: Option<u64>,
        length: u64,
        limit: Option<Limit>,
    ) -> Answer<()> {
        let before = status(&self.inodes.get(number)?.place)?;
        let length_before = before.st_size as u64;
        let growth = length.saturating_sub(length_before);
        if self.space.fit(growth, limit)? < growth {
            return Err(self
                .space
                .fit(growth.max(1), limit)
                .err()
                .unwrap_or(Errno::NOSPC));
        }
        let inode = self.inodes.backing(number);
        let opened;
        let file = match handle.and_then(|handle| self.open.get(&handle)) {
            Some(open) => &open.file,
            None => {
                opened = self.inodes.open(number, OFlags::RDWR)?;
                &opened
            }
        };
        let mut journal = self.journal();
        let told = journal.will_set_length(inode, file, length);
        drop(journal);
        told.map_err(|error| errno_of(&error))?;
        ftruncate(file, length)?;
        self.resized(&before, length);
        Ok(())
    }

    /// How full the disk is: that of the machine, or less where a quota or a rule says so.
    pub(in crate::disk) fn statistics(&self, limit: Option<u64>) -> Answer<StatVfs> {
        let mut disk = fstatvfs(&self.inodes.get(super::ROOT)?.place)?;
        let unit = disk.f_frsize.max(1);
        if let Some(quota) = self.space.quota {
            disk.f_blocks = disk.f_blocks.min(quota.div_ceil(unit));
        }
        let limit = self.space.quota.into_iter().chain(limit).min();
        if let Some(limit) = limit {
            let free = limit.saturating_sub(self.space.used) / unit;
            disk.f_bfree = disk.f_bfree.min(free);
            disk.f_bavail = disk.f_bavail.min(free);
        }
        Ok(disk)
    }
}

/// What the kernel calls a kind of node.
pub(super) fn kind(kind: FileType) -> fuser::FileType {
    match kind {
        FileType::Directory => fuser::FileType::Directory,
        FileType::Symlink => fuser::FileType::Symlink,
        FileType::Fifo => fuser::FileType::NamedPipe,
        FileType::Socket => fuser::FileType::Socket,
        FileType::CharacterDevice => fuser::FileType::CharDevice,
        FileType::BlockDevice => fuser::FileType::BlockDevice,
        _ => fuser::FileType::RegularFile,
    }
}

fn time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let begin = if seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    begin.unwrap_or(UNIX_EPOCH) + Duration::from_nanos(nanoseconds)
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    let (tv_sec, tv_nsec) = match time {
        None => (0, UTIME_OMIT),
        Some(TimeOrNow::Now) => (0, UTIME_NOW),
        Some(TimeOrNow::SpecificTime(time)) => match time.duration_since(UNIX_EPOCH) {
            Ok(since) => (since.as_secs() as i64, since.subsec_nanos().into()),
            // Before 1970 `fuser` turns the sign of both parts, although the second is never less
            // than nothing; it does so only with what comes from the kernel.
            Err(before) => {
                let before = before.duration();
                (-(before.as_secs() as i64), before.subsec_nanos().into())
            }
        },
    };
    Timespec { tv_sec, tv_nsec }
}
