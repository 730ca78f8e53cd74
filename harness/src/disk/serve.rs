//! The kernel's questions, one method each.
//!
//! In: FUSE requests. Out: an answer to each, now or later. Invariants: each request that may wait
//! or fail, which closing and forgetting may not, is decided on first; what the kernel can do by
//! itself (locks, permissions, offsets of appends) it does. Source: fuse(4), crate `fuser`.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileAttr, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::io::Errno;

use crate::disk::decide::{Act, When};
use crate::disk::files::attributes::Changes;
use crate::disk::files::names::New;
use crate::disk::files::space::errno;
use crate::disk::files::xattr::Value;
use crate::disk::files::{Answer, Files};
use crate::disk::perform::{copy, flip, sync, sync_directory, unless_refused, write};
use crate::disk::rule::OperationClass as Class;
use crate::disk::volume::Volume;

/// How long the kernel may believe what it was told: nothing changes behind its back.
const TTL: Duration = Duration::from_hours(24);
/// Pages stay when a file is closed, and closing asks for nothing.
const OPENED: FopenFlags = FopenFlags::FOPEN_KEEP_CACHE.union(FopenFlags::FOPEN_NOFLUSH);
/// Inode numbers are not used again while the kernel knows them.
const GENERATION: Generation = Generation(0);

/// What serves the kernel.
pub(super) struct Server(pub(super) Arc<Volume>);

/// Answers with what came out.
macro_rules! answer {
    ($reply:ident, $result:expr, $value:pat => $ok:expr) => {
        match $result {
            Ok($value) => $ok,
            Err(errno) => $reply.error(to_fuse(errno)),
        }
    };
}

fn to_fuse(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

fn entry(reply: ReplyEntry, attributes: Answer<FileAttr>) {
    answer!(reply, attributes, attributes => reply.entry(&TTL, &attributes, GENERATION));
}

impl Server {
    /// Makes something new under a name.
    fn make(
        &self,
        parent: INodeNo,
        name: &OsStr,
        is_directory: bool,
        make: impl FnOnce(&mut Files, &OsStr) -> Answer<FileAttr> + Send + 'static,
        reply: ReplyEntry,
    ) {
        let decision = self
            .0
            .decide_name(Class::Create, parent.0, name, is_directory);
        let name = name.to_owned();
        self.0.admit(decision, move |volume, decision| {
            let made = volume.within(
                decision,
                0,
                |files, limit| {
                    files.space.fits_name(limit)?;
                    make(files, &name)
                },
                |_| 0,
            );
            entry(reply, made);
        });
    }

    /// Lets `tell` answer with what the files say, or with the error of a rule.
    fn ask(&self, number: INodeNo, tell: impl FnOnce(Answer<&Files>) + Send + 'static) {
        let decision = self.0.decide(Class::GetAttributes, number.0);
        self.0.admit(decision, move |volume, decision| {
            let files = volume.files();
            tell(match decision.act {
                Act::Refuse(error) => Err(errno(error)),
                _ => Ok(&*files),
            });
        });
    }

    /// Changes an extended attribute.
    fn alter(
        &self,
        number: INodeNo,
        alter: impl FnOnce(&Files) -> Answer<()> + Send + 'static,
        reply: ReplyEmpty,
    ) {
        let decision = self.0.decide(Class::SetAttributes, number.0);
        self.0.admit(decision, move |volume, decision| {
            let altered = unless_refused(volume, decision, |volume| alter(&volume.files()));
            answer!(reply, altered, () => reply.ok());
        });
    }

    fn remove(&self, parent: INodeNo, name: &OsStr, is_directory: bool, reply: ReplyEmpty) {
        let decision = self
            .0
            .decide_name(Class::Remove, parent.0, name, is_directory);
        let (parent, name) = (parent.0, name.to_owned());
        self.0.admit(decision, move |volume, decision| {
            let remove = |volume: &Volume| volume.files().remove(parent, &name, is_directory);
            answer!(reply, unless_refused(volume, decision, remove), () => reply.ok());
        });
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            // A held look-up must not stop the others in its directory.
            InitFlags::FUSE_PARALLEL_DIROPS,
            // Else the kernel asks for an extended attribute before each write.
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
        ] {
            // An older kernel does without.
            let _ = config.add_capabilities(wanted);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let decision = self.0.decide_name(Class::Open, parent.0, name, false);
        let (parent, name) = (parent.0, name.to_owned());
        self.0.admit(decision, move |volume, decision| {
            let look_up = |volume: &Volume| volume.files().look_up(parent, &name);
            entry(reply, unless_refused(volume, decision, look_up));
        });
    }

    fn forget(&self, _: &Request, number: INodeNo, count: u64) {
        self.0.files().forget(number.0, count);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.ask(number, move |files| {
            let attributes = files.and_then(|files| files.attributes(number.0));
            answer!(reply, attributes, attributes => reply.attr(&TTL, &attributes));
        });
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let class = match size {
            Some(_) => Class::SetLength,
            None => Class::SetAttributes,
        };
        let decision = self.0.decide(class, number.0);
        let changes = Changes {
            mode,
            uid,
            gid,
            size,
            atime,
            mtime,
        };
        let handle = handle.map(|handle| handle.0);
        self.0.admit(decision, move |volume, decision| {
            let change = volume.within(
                decision,
                0,
                |files, limit| files.change(number.0, handle, changes, limit),
                |_| 0,
            );
            answer!(reply, change, attributes => reply.attr(&TTL, &attributes));
        });
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        self.ask(number, move |files| {
            let target = files.and_then(|files| files.read_link(number.0));
            answer!(reply, target, target => reply.data(&target));
        });
    }

    fn mknod(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _device: u32,
        reply: ReplyEntry,
    ) {
        let make =
            move |files: &mut Files, name: &OsStr| files.make(parent.0, name, New::Node(mode));
        self.make(parent, name, false, make, reply);
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let make =
            move |files: &mut Files, name: &OsStr| files.make(parent.0, name, New::Directory(mode));
        self.make(parent, name, true, make, reply);
    }

    fn symlink(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let target = target.to_owned();
        let make = move |files: &mut Files, name: &OsStr| {
            files.make(parent.0, name, New::Symlink(&target))
        };
        self.make(parent, name, false, make, reply);
    }

    fn link(&self, _: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let make = move |files: &mut Files, name: &OsStr| files.link(number.0, parent.0, name);
        self.make(parent, name, false, make, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, name, false, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, name, true, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let is_exchange = flags == RenameFlags::RENAME_EXCHANGE;
        if !is_exchange && !RenameFlags::RENAME_NOREPLACE.contains(flags) {
            return reply.error(fuser::Errno::EINVAL);
        }
        let decision = self
            .0
            .decide_name(Class::Rename, new_parent.0, new_name, false);
        let (name, new_name) = (name.to_owned(), new_name.to_owned());
        let may_replace = flags.is_empty();
        self.0.admit(decision, move |volume, decision| {
            let (from, to) = ((parent.0, &*name), (new_parent.0, &*new_name));
            let rename = |volume: &Volume| {
                let mut files = volume.files();
                if is_exchange {
                    files.exchange(from, to)
                } else {
                    files.rename(from, to, may_replace)
                }
            };
            answer!(reply, unless_refused(volume, decision, rename), () => reply.ok());
        });
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let decision = self.0.decide_name(Class::Create, parent.0, name, false);
        let (parent, name) = (parent.0, name.to_owned());
        self.0.admit(decision, move |volume, decision| {
            let created = volume.within(
                decision,
                0,
                |files, limit| {
                    files.space.fits_name(limit)?;
                    files.create(parent, &name, mode, flags)
                },
                |_| 0,
            );
            answer!(reply, created, (attributes, handle) => {
                reply.created(&TTL, &attributes, GENERATION, FileHandle(handle), OPENED);
            });
        });
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let decision = self.0.decide(Class::Open, number.0);
        self.0.admit(decision, move |volume, decision| {
            let open = |volume: &Volume| volume.files().open(number.0, flags.0);
            let handle = unless_refused(volume, decision, open);
            answer!(reply, handle, handle => reply.opened(FileHandle(handle), OPENED));
        });
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let decision = self.0.decide(Class::Read, number.0);
        self.0.admit(decision, move |volume, decision| {
            let read = |volume: &Volume| volume.files().read(handle.0, offset, size);
            let bytes = unless_refused(volume, decision, read);
            answer!(reply, bytes, mut bytes => {
                let flipped = flip(&mut bytes, decision);
                volume.add_bytes(decision, flipped);
                reply.data(&bytes);
                if flipped > 0 {
                    volume.forget_pages_soon(number.0);
                }
            });
        });
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        how: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let decision = self.0.decide(Class::Write, number.0);
        let at = (number.0, handle.0, offset);
        let drops_set_id = how.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        if decision.when == When::Now {
            return write(&self.0, decision, at, data, drops_set_id, reply);
        }
        let data = data.to_owned();
        self.0.admit(decision, move |volume, decision| {
            write(volume, decision, at, &data, drops_set_id, reply);
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.files().close(handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let decision = self.0.decide_sync(Class::Sync, number.0);
        let mark = self.0.files().mark(number.0);
        self.0.admit(decision, move |volume, decision| {
            let synced = sync(volume, decision, number.0, mark);
            answer!(reply, synced, () => reply.ok());
        });
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let decision = self.0.decide(Class::Open, number.0);
        self.0.admit(decision, move |volume, decision| {
            let open = |volume: &Volume| volume.files().open_directory(number.0);
            let handle = unless_refused(volume, decision, open);
            let flags = FopenFlags::empty();
            answer!(reply, handle, handle => reply.opened(FileHandle(handle), flags));
        });
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let decision = self.0.decide(Class::ListDirectory, number.0);
        self.0.admit(decision, move |volume, decision| {
            let mut files = volume.files();
            let entries = match decision.act {
                Act::Refuse(error) => Err(errno(error)),
                _ => files.entries(handle.0, offset),
            };
            answer!(reply, entries, entries => {
                for (entry, next) in entries.iter().zip(offset + 1..) {
                    if reply.add(INodeNo(entry.number), next, entry.kind, &entry.name) {
                        break;
                    }
                }
                reply.ok();
            });
        });
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.0.files().close_directory(handle.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let decision = self.0.decide_sync(Class::SyncDirectory, number.0);
        let mark = self.0.files().mark(number.0);
        self.0.admit(decision, move |volume, decision| {
            let synced = sync_directory(volume, decision, number.0, mark);
            answer!(reply, synced, () => reply.ok());
        });
    }

    fn statfs(&self, _: &Request, number: INodeNo, reply: ReplyStatfs) {
        let decision = self.0.decide(Class::GetAttributes, number.0);
        self.0.admit(decision, move |volume, decision| {
            let limit = volume.limit();
            let disk = unless_refused(volume, decision, |volume| volume.files().statistics(limit));
            answer!(reply, disk, disk => reply.statfs(
                disk.f_blocks,
                disk.f_bfree,
                disk.f_bavail,
                disk.f_files,
                disk.f_ffree,
                disk.f_bsize as u32,
                disk.f_namemax as u32,
                disk.f_frsize as u32,
            ));
        });
    }

    fn setxattr(
        &self,
        _: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let (name, value) = (name.to_owned(), value.to_owned());
        let set = move |files: &Files| files.set_xattr(number.0, &name, &value, flags);
        self.alter(number, set, reply);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let name = name.to_owned();
        self.ask(number, move |files| {
            value(
                reply,
                files.and_then(|files| files.xattr(number.0, &name, size)),
            );
        });
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        self.ask(number, move |files| {
            value(reply, files.and_then(|files| files.xattrs(number.0, size)));
        });
    }

    fn removexattr(&self, _: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        let remove = move |files: &Files| files.remove_xattr(number.0, &name);
        self.alter(number, remove, reply);
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let decision = self.0.decide(Class::SetLength, number.0);
        self.0.admit(decision, move |volume, decision| {
            let allocated = volume.within(
                decision,
                length,
                |files, limit| files.allocate(handle.0, (offset, length), mode, limit),
                |()| 0,
            );
            answer!(reply, allocated, () => reply.ok());
        });
    }

    fn lseek(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        self.ask(number, move |files| {
            let found = files.and_then(|files| files.seek(handle.0, offset, whence));
            answer!(reply, found, offset => reply.offset(offset));
        });
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        from: FileHandle,
        from_offset: u64,
        number: INodeNo,
        to: FileHandle,
        to_offset: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let decision = self.0.decide(Class::Write, number.0);
        self.0.admit(decision, move |volume, decision| {
            let (from, to) = ((from.0, from_offset), (to.0, to_offset));
            let copied = copy(volume, decision, from, to, length);
            if copied.is_err() {
                // The kernel takes a failed copy for none.
                volume.forget_pages(number.0);
            }
            answer!(reply, copied, count => reply.written(count));
        });
    }
}

fn value(reply: ReplyXattr, value: Answer<Value>) {
    match value {
        Ok(Value::Size(size)) => reply.size(size),
        Ok(Value::Bytes(bytes)) => reply.data(&bytes),
        Err(errno) => reply.error(to_fuse(errno)),
    }
}
