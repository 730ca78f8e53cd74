//! The two waiting processes of the sandbox: the supervisor outside and init, pid 1, inside.
//!
//! In: signals from the terminal or a parent, and child exits. Out: the exit code to end with.
//! Keeps: SIGINT, SIGTERM and SIGHUP reach the harness once each; after a second one, or after
//! `GRACE`, the supervisor kills init and thereby everything inside.
//! Source: pid_namespaces(7), signalfd(2).

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How long the harness may clean up after the first signal before all of it is killed.
const GRACE: Duration = Duration::from_secs(15);

const FORWARDED: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

fn waited_signals() -> SigSet {
    FORWARDED.into_iter().chain([Signal::SIGCHLD]).collect()
}

/// Blocks the signals that both processes take from a signalfd. Inherited across fork.
pub(crate) fn block_forwarded_signals() -> nix::Result<()> {
    waited_signals().thread_block()
}

/// Waits in the supervisor for init, forwarding signals; returns the exit code to pass on.
pub(crate) fn supervise(init: Pid) -> i32 {
    let Ok(signals) = SignalFd::with_flags(&waited_signals(), SfdFlags::SFD_CLOEXEC) else {
        return end(init);
    };
    let mut deadline: Option<Instant> = None;
    loop {
        if let Some(code) = reap(Some(init)) {
            return code;
        }
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        match next_signal(&signals, left) {
            Some(Signal::SIGCHLD) => {}
            Some(signal) if deadline.is_none() => {
                deadline = Some(Instant::now() + GRACE);
                let _ = kill(init, signal);
            }
            Some(_) | None => return end(init),
        }
    }
}

/// Reaps every child of init until `harness` ends, forwarding signals to it; returns its code.
pub(crate) fn reap_until(harness: Pid) -> i32 {
    let Ok(signals) = SignalFd::with_flags(&waited_signals(), SfdFlags::SFD_CLOEXEC) else {
        return 1;
    };
    loop {
        if let Some(code) = reap(Some(harness)) {
            return code;
        }
        match next_signal(&signals, None) {
            Some(Signal::SIGCHLD) | None => {}
            Some(signal) => {
                let _ = kill(harness, signal);
            }
        }
    }
}

/// True if the other end of a pipe that nobody writes to has closed.
pub(crate) fn has_closed(pipe: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Kills init, and with it everything inside, and waits for it.
fn end(init: Pid) -> i32 {
    let _ = kill(init, Signal::SIGKILL);
    let _ = waitpid(init, None);
    128 + Signal::SIGKILL as i32
}

/// Reaps what has ended; the exit code of `wanted`, once it is among it.
fn reap(wanted: Option<Pid>) -> Option<i32> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if Some(pid) == wanted => return Some(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if Some(pid) == wanted => {
                return Some(128 + signal as i32);
            }
            Ok(WaitStatus::StillAlive) => return None,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return wanted.map(|_| 1),
        }
    }
}

/// The next signal, or nothing after `limit`.
fn next_signal(signals: &SignalFd, limit: Option<Duration>) -> Option<Signal> {
    let timeout = match limit {
        Some(left) => PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        None => PollTimeout::NONE,
    };
    loop {
        let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) => return None,
            Ok(_) => {
                let info = signals.read_signal().ok().flatten()?;
                return Signal::try_from(info.ssi_signo as i32).ok();
            }
            Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}
