//! The way into the sandbox: supervisor, init and harness.
//!
//! ```text
//! supervisor   the process that was started, re-executed; outer pid; waits, forwards signals
//! └─ init      pid 1 of the new pid namespace; dies with the supervisor; reaps orphans
//!    └─ harness  pid 2: returns from `become_sandbox` and may start threads
//! ```
//! In: a single-threaded process just after exec. Out: only the harness returns.
//! Keeps: when the supervisor, init or the harness dies, however it dies, the kernel kills
//! everything in the pid namespace; mounts and network namespaces vanish with it.
//! Source: user_namespaces(7), pid_namespaces(7), `sandbox.md` §1.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getegid, geteuid, getppid, setsid};

use crate::roles::{ROLE_VARIABLE, SANDBOX_ROLE};
use crate::sandbox::init;
use crate::sandbox::sys::{self, Side};

/// The variable with the process id of a parent whose end ends the sandbox, too, however it ends.
pub const PARENT_VARIABLE: &str = "VERDICT_PARENT";

/// A step of entering that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox cannot start: {step} failed: {error}; `verdict doctor` names the cure")]
pub struct EnterError {
    /// The step, as a system call or a file.
    pub step: &'static str,
    /// The kernel's answer.
    pub error: io::Error,
}

/// Replaces this process by one that runs the same command line inside a new sandbox.
///
/// Works from a process with threads, too, for exec leaves one. Returns only when exec fails.
pub fn enter() -> EnterError {
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    command
        .args(std::env::args_os().skip(1))
        .env(ROLE_VARIABLE, SANDBOX_ROLE);
    EnterError {
        step: "exec of /proc/self/exe",
        error: command.exec(),
    }
}

/// Builds the namespaces around this process. Returns in the harness only; the supervisor and
/// init end inside, with the harness' exit code.
///
/// # Errors
/// The step that was refused, in the supervisor.
pub fn become_sandbox() -> Result<(), EnterError> {
    unshare_all()?;
    end_with_parent()?;
    // The supervisor keeps the write end: its death, before init asks for PDEATHSIG, is EOF.
    let (alive, keep_alive) = nix::unistd::pipe().map_err(|e| at("pipe", e))?;
    init::block_forwarded_signals().map_err(|e| at("sigprocmask", e))?;
    match sys::fork_single_threaded().map_err(|error| EnterError {
        step: "fork",
        error,
    })? {
        Side::Parent(init) => {
            drop(alive);
            let code = init::supervise(init);
            drop(keep_alive);
            std::process::exit(code)
        }
        Side::Child => {
            drop(keep_alive);
            become_init(alive)
        }
    }
}

/// Asks the kernel to end this process with the parent that started it, if that wants it.
/// After `unshare`, which forgets such a wish.
fn end_with_parent() -> Result<(), EnterError> {
    let Ok(parent) = std::env::var(PARENT_VARIABLE) else {
        return Ok(());
    };
    set_pdeathsig(Signal::SIGKILL).map_err(|e| at("prctl(PR_SET_PDEATHSIG)", e))?;
    if getppid().to_string() != parent {
        // It ended before the kernel was asked.
        sys::exit_now(1);
    }
    Ok(())
}

fn become_init(alive: OwnedFd) -> Result<(), EnterError> {
    set_pdeathsig(Signal::SIGKILL).map_err(|e| at("prctl(PR_SET_PDEATHSIG)", e))?;
    if init::has_closed(&alive) {
        sys::exit_now(1);
    }
    // A session of its own: the terminal's Ctrl-C then reaches the supervisor only, once.
    setsid().map_err(|e| at("setsid", e))?;
    private_mounts()?;
    sys::loopback_up().map_err(|error| EnterError {
        step: "bringing lo up",
        error,
    })?;
    raise_file_limit();
    match sys::fork_single_threaded().map_err(|error| EnterError {
        step: "fork",
        error,
    })? {
        Side::Parent(harness) => sys::exit_now(init::reap_until(harness)),
        Side::Child => {
            drop(alive);
            SigSet::empty()
                .thread_set_mask()
                .map_err(|e| at("sigprocmask", e))
        }
    }
}

const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWNS
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS);

/// As root without a user namespace, so that files of other users stay writable; else with one.
fn unshare_all() -> Result<(), EnterError> {
    if geteuid().is_root() && unshare(NAMESPACES).is_ok() {
        return Ok(());
    }
    let (uid, gid) = (geteuid(), getegid());
    unshare(NAMESPACES.union(CloneFlags::CLONE_NEWUSER)).map_err(|e| at("unshare", e))?;
    // Identity, not root: what the harness executes loses all capabilities at exec.
    write_file("/proc/self/setgroups", "deny")?;
    write_file("/proc/self/uid_map", &format!("{uid} {uid} 1"))?;
    write_file("/proc/self/gid_map", &format!("{gid} {gid} 1"))
}

fn private_mounts() -> Result<(), EnterError> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|e| at("making mounts private", e))?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    match mount(Some("proc"), "/proc", Some("proc"), safe, none) {
        // A container that masks parts of /proc refuses a fresh one; /proc/self still works.
        Ok(()) | Err(Errno::EPERM) => Ok(()),
        Err(error) => Err(at("mounting /proc", error)),
    }
}

/// Best effort: too low a limit shows later, with the name of what could not be opened.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn write_file(path: &'static str, text: &str) -> Result<(), EnterError> {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| EnterError { step: path, error })
}

fn at(step: &'static str, errno: Errno) -> EnterError {
    EnterError {
        step,
        error: errno.into(),
    }
}

/// True if `/proc` shows this pid namespace: then the own pid is 2, as init made it.
pub fn proc_is_private() -> bool {
    let mut text = String::new();
    let read =
        fs::File::open("/proc/self/stat").and_then(|mut file| file.read_to_string(&mut text));
    read.is_ok() && text.split(' ').next() == Some(&std::process::id().to_string())
}
