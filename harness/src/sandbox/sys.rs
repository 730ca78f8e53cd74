//! The few system calls of the sandbox that Rust cannot check: fork, SIOCSIFFLAGS, mmap and the
//! hook between fork and exec.
//!
//! In: plain values and file descriptors that the caller owns. Out: errors as `io::Error`.
//! Keeps: every `unsafe` block of the harness lives in this file and states why it is sound.
//! Source: fork(2), netdevice(7), setns(2).

#![expect(
    unsafe_code,
    reason = "the one module of the harness that may; each block says why"
)]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::{NonNull, copy_nonoverlapping};

use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::mman::{MapFlags, MsFlags, ProtFlags, mmap, msync, munmap};
use nix::sys::resource::Resource;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{ForkResult, Pid};

/// Which side of a fork the caller is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The process that called; holds the new child's pid.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Forks this process, which must have exactly one thread.
///
/// # Errors
/// `EINVAL` when a second thread exists (its locks would stay taken in the child), or fork's own.
pub(crate) fn fork_single_threaded() -> io::Result<Side> {
    if thread_count()? != 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: this process has one thread (checked above), so no lock of the allocator or of the
    // standard library can be held by a thread that the child lacks.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Side::Parent(child)),
        ForkResult::Child => Ok(Side::Child),
    }
}

/// The number of threads of this process.
pub(crate) fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Brings the loopback interface of the calling thread's network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: `ifreq` is plain old data for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which lives across the call and names `lo`.
    let code = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes `command` start with an empty signal mask and, if given, inside network namespace `ns`.
pub(crate) fn before_exec(command: &mut Command, ns: Option<OwnedFd>) {
    let hook = move || {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        if let Some(ns) = &ns {
            setns(ns, CloneFlags::CLONE_NEWNET)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the hook makes two async-signal-safe system calls and neither
    // allocates nor takes a lock; the descriptor it names is owned by the hook.
    unsafe { command.pre_exec(hook) };
}

/// A file's bytes, shared with it and with everybody else who maps it.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    /// Maps the first `length` bytes of `file`, which must be open for reading and writing.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn new(file: impl AsFd, length: NonZeroUsize) -> io::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the place, so no memory of this process is replaced.
        let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self {
            start: start.cast(),
            length: length.get(),
        })
    }

    /// Copies `bytes` to position `at`.
    ///
    /// # Panics
    /// If they do not fit. A file that was cut meanwhile ends the process with SIGBUS.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.length, "beyond the mapping");
        // SAFETY: the range lies within the mapping (checked above), and nobody holds a reference
        // into it, as this type gives out none.
        unsafe { copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(at), bytes.len()) };
    }

    /// Copies from position `at`.
    ///
    /// # Panics
    /// If the mapping has fewer bytes there.
    pub fn read(&self, at: usize, bytes: &mut [u8]) {
        assert!(at + bytes.len() <= self.length, "beyond the mapping");
        // SAFETY: as in `write`.
        unsafe {
            copy_nonoverlapping(self.start.as_ptr().add(at), bytes.as_mut_ptr(), bytes.len());
        }
    }

    /// Writes what was changed to the file, and the file to its disk.
    ///
    /// # Errors
    /// Those of msync(2).
    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: the range is exactly what `new` mapped.
        unsafe { msync(self.start.cast(), self.length, MsFlags::MS_SYNC) }?;
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is exactly what `new` mapped, and ends with this value.
        let _ = unsafe { munmap(self.start.cast(), self.length) };
    }
}

/// Ends this process at once, without destructors or buffered output: the way out of a fork.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// The number of bytes that wait unread in the receive queue of socket `fd`.
pub(crate) fn bytes_waiting(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut waiting: libc::c_int = 0;
    // SAFETY: FIONREAD writes one `int`, which lives across the call.
    let code = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
    if code == 0 {
        Ok(waiting as usize)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets the soft limit of `resource` of process `pid`; returns what it was. The hard limit stays,
/// and is the most that can be set.
pub(crate) fn limit_resource(pid: Pid, resource: Resource, soft: u64) -> io::Result<u64> {
    let mut old = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let of = resource as libc::__rlimit_resource_t;
    // SAFETY: a null new limit changes nothing; the old one is written to `old`, which lives across
    // the call.
    let code = unsafe { libc::prlimit(pid.as_raw(), of, std::ptr::null(), &raw mut old) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    let new = libc::rlimit {
        rlim_cur: soft.min(old.rlim_max),
        rlim_max: old.rlim_max,
    };
    // SAFETY: the new limit is read from `new`, which lives across the call; no old one is written.
    let code = unsafe { libc::prlimit(pid.as_raw(), of, &raw const new, std::ptr::null_mut()) };
    if code == 0 {
        Ok(old.rlim_cur)
    } else {
        Err(io::Error::last_os_error())
    }
}
