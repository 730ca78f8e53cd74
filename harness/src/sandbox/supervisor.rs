//! The processes of a run: one slot for each endpoint, kept across restarts.
//!
//! In: start, signal, wait. Out: the status of each slot, also as a watch channel.
//! Keeps: an exit counts as *asked* only after this supervisor sent a fatal signal to that very
//! process, was told that it will end, or holds an excuse for just this way to end; every other
//! exit is listed as unexpected.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::disk::Disks;
use crate::sandbox::endpoint::Endpoint;
use crate::sandbox::lease::{Claim, Down, Excuse, Excused, Leases};
use crate::sandbox::process::{Pipes, ProcessSpec};

/// How long the kernel may take to end a process after SIGKILL, on a loaded machine.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Between two answers to a dying process.
const RELEASE_PAUSE: Duration = Duration::from_millis(5);

/// Starts, signals and watches processes. Cheap to clone; all clones share the slots.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    slots: Arc<Mutex<BTreeMap<Endpoint, Slot>>>,
    disks: Disks,
}

#[derive(Debug)]
struct Slot {
    spec: ProcessSpec,
    status: watch::Sender<Status>,
    /// When it was seen last that it ran and does not any longer.
    ran_until: Arc<Mutex<Option<Instant>>>,
    exit_is_asked: Arc<Mutex<bool>>,
    leases: Leases,
}

/// What a slot's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It runs; its pid in the sandbox.
    Running(i32),
    /// It was stopped by [`Supervisor::pause`].
    Paused(i32),
    /// It ended.
    Exited(Exit),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, if it returned.
    pub code: Option<i32>,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
    /// True if the harness sent a fatal signal first, expected the end, or excuses it.
    pub asked: bool,
}

/// Why an endpoint's process could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No process was ever started for it.
    #[error("{0} was never started")]
    Unknown(Endpoint),
    /// It is not running now.
    #[error("{0} is not running")]
    NotRunning(Endpoint),
    /// It runs already.
    #[error("{0} is running already")]
    Running(Endpoint),
    /// A fault that still acts keeps it from being started.
    #[error("{0} is held down by a fault")]
    HeldDown(Endpoint),
    /// It did not end in time.
    #[error("{endpoint} did not end within {limit:?}")]
    Timeout {
        /// Which.
        endpoint: Endpoint,
        /// How long it had.
        limit: Duration,
    },
    /// The operating system refused.
    #[error("{endpoint}: {error}")]
    Os {
        /// Which.
        endpoint: Endpoint,
        /// Its answer.
        error: io::Error,
    },
}

impl Supervisor {
    /// A supervisor without processes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A supervisor of processes whose files are on `disks`: one that waits for its disk cannot end
    /// before it is answered.
    pub fn on(disks: Disks) -> Self {
        Self {
            slots: Arc::default(),
            disks,
        }
    }

    /// Starts `spec` in the slot of `endpoint`, which must not be running.
    pub fn start(&self, endpoint: Endpoint, spec: ProcessSpec) -> Result<Pipes, ProcessError> {
        let mut slots = self.lock();
        if slots
            .get(&endpoint)
            .is_some_and(|slot| slot.status.borrow().pid().is_some())
        {
            return Err(ProcessError::Running(endpoint));
        }
        let known = slots.get(&endpoint);
        let known = known.map(|slot| (slot.leases.clone(), Arc::clone(&slot.ran_until)));
        let (leases, ran_until) = known.unwrap_or_default();
        if leases.refuses_start() {
            return Err(ProcessError::HeldDown(endpoint));
        }
        let (child, pipes) = spec
            .spawn()
            .map_err(|error| ProcessError::Os { endpoint, error })?;
        let status = Status::Running(child.id().map_or(0, |pid| pid as i32));
        let exit_is_asked = Arc::new(Mutex::new(false));
        let sender = match slots.remove(&endpoint) {
            Some(old) => old.status,
            None => watch::Sender::new(status),
        };
        sender.send_replace(status);
        let asked = Asked {
            exit_is_asked: Arc::clone(&exit_is_asked),
            leases: leases.clone(),
        };
        let reaped = (sender.clone(), Arc::clone(&ran_until));
        tokio::spawn(reap(child, reaped, asked));
        slots.insert(
            endpoint,
            Slot {
                spec,
                status: sender,
                ran_until,
                exit_is_asked,
                leases,
            },
        );
        Ok(pipes)
    }

    /// Starts the process of `endpoint` again, as it was started last.
    pub fn restart(&self, endpoint: Endpoint) -> Result<Pipes, ProcessError> {
        let spec = self.slot(endpoint, |slot| slot.spec.clone())?;
        self.start(endpoint, spec)
    }

    /// What `endpoint` does now; nothing if it was never started.
    pub fn status(&self, endpoint: Endpoint) -> Option<Status> {
        self.slot(endpoint, |slot| *slot.status.borrow()).ok()
    }

    /// How long ago `endpoint` ran last, which is not at all if it does now; nothing if it never
    /// did. One that is paused does not run.
    pub fn rests_for(&self, endpoint: Endpoint) -> Option<Duration> {
        let rests = |slot: &Slot| match *slot.status.borrow() {
            Status::Running(_) => Some(Duration::ZERO),
            Status::Paused(_) | Status::Exited(_) => {
                lock(&slot.ran_until).map(|until| until.elapsed())
            }
        };
        self.slot(endpoint, rests).ok().flatten()
    }

    /// Follows `endpoint` across restarts.
    pub fn watch(&self, endpoint: Endpoint) -> Result<watch::Receiver<Status>, ProcessError> {
        self.slot(endpoint, |slot| slot.status.subscribe())
    }

    /// Every endpoint that was ever started.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.lock().keys().copied().collect()
    }

    /// SIGSTOP; returns once it is sent. `/proc` shows when it holds.
    pub fn pause(&self, endpoint: Endpoint) -> Result<(), ProcessError> {
        let pid = self.signal(endpoint, Signal::SIGSTOP)?;
        self.replace_running(endpoint, Status::Paused(pid))
    }

    /// SIGCONT.
    pub fn resume(&self, endpoint: Endpoint) -> Result<(), ProcessError> {
        let pid = self.signal(endpoint, Signal::SIGCONT)?;
        self.replace_running(endpoint, Status::Running(pid))
    }

    /// SIGKILL, then waits until the process is gone.
    pub async fn kill(&self, endpoint: Endpoint) -> Result<Exit, ProcessError> {
        self.pid(endpoint)?;
        self.expect_exit(endpoint)?;
        // It may end by itself at this very moment; waiting tells.
        let _ = self.signal(endpoint, Signal::SIGKILL);
        tokio::select! {
            exit = self.wait(endpoint, KILL_LIMIT) => exit,
            () = self.answer_disks_of(endpoint) => unreachable!("it has no end"),
        }
    }

    /// Answers what a dying process waits for, again and again, as it may ask for more on its way.
    async fn answer_disks_of(&self, endpoint: Endpoint) {
        loop {
            if let Some(node) = endpoint.broker() {
                for disk in self.disks.of(node.0) {
                    self.disks.release(disk);
                }
            }
            tokio::time::sleep(RELEASE_PAUSE).await;
        }
    }

    /// SIGTERM (and SIGCONT, should it be paused), then waits until the process has ended.
    pub async fn terminate(
        &self,
        endpoint: Endpoint,
        limit: Duration,
    ) -> Result<Exit, ProcessError> {
        self.pid(endpoint)?;
        self.expect_exit(endpoint)?;
        // SIGTERM may end it before SIGCONT is sent; waiting tells.
        let _ = self.signal(endpoint, Signal::SIGTERM);
        let _ = self.signal(endpoint, Signal::SIGCONT);
        self.wait(endpoint, limit).await
    }

    /// From now on the end of the running process counts as asked for.
    pub fn expect_exit(&self, endpoint: Endpoint) -> Result<(), ProcessError> {
        self.slot(endpoint, |slot| *lock(&slot.exit_is_asked) = true)
    }

    /// Keeps the process of `endpoint`, once it has ended, from being started.
    pub fn hold_down(&self, endpoint: Endpoint) -> Result<Down, ProcessError> {
        self.slot(endpoint, |slot| slot.leases.hold_down())
    }

    /// The right to change the files of `endpoint`, unless another fault has it.
    pub fn claim(&self, endpoint: Endpoint) -> Result<Option<Claim>, ProcessError> {
        self.slot(endpoint, |slot| slot.leases.claim())
    }

    /// Exits of `endpoint`'s processes that `excuse` covers count as asked for.
    pub fn excuse(&self, endpoint: Endpoint, excuse: Excuse) -> Result<Excused, ProcessError> {
        self.slot(endpoint, |slot| slot.leases.excuse(excuse))
    }

    /// Waits for the end of the process.
    pub async fn wait(&self, endpoint: Endpoint, limit: Duration) -> Result<Exit, ProcessError> {
        let mut status = self.watch(endpoint)?;
        let exited = status.wait_for(|status| matches!(status, Status::Exited(_)));
        match timeout(limit, exited).await {
            Ok(Ok(status)) => match *status {
                Status::Exited(exit) => Ok(exit),
                _ => Err(ProcessError::Timeout { endpoint, limit }),
            },
            _ => Err(ProcessError::Timeout { endpoint, limit }),
        }
    }

    /// Every process that has ended although nobody asked for it, and was not started again.
    pub fn unexpected_exits(&self) -> Vec<(Endpoint, Exit)> {
        let exit_of = |slot: &Slot| match *slot.status.borrow() {
            Status::Exited(exit) if !exit.asked => Some(exit),
            _ => None,
        };
        self.lock()
            .iter()
            .filter_map(|(at, slot)| Some((*at, exit_of(slot)?)))
            .collect()
    }

    /// Terminates everything that runs, and kills what has not ended within `limit`.
    pub async fn stop_all(&self, limit: Duration) {
        let running: Vec<_> = self
            .endpoints()
            .into_iter()
            .filter(|at| self.pid(*at).is_ok())
            .collect();
        for endpoint in &running {
            let _ = self.expect_exit(*endpoint);
            let _ = self.signal(*endpoint, Signal::SIGTERM);
            let _ = self.signal(*endpoint, Signal::SIGCONT);
        }
        let deadline = Instant::now() + limit;
        for endpoint in running {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.wait(endpoint, left).await.is_err() {
                let _ = self.kill(endpoint).await;
            }
        }
    }

    /// The pid of the running or paused process of `endpoint`.
    pub fn pid(&self, endpoint: Endpoint) -> Result<i32, ProcessError> {
        let pid = self.slot(endpoint, |slot| slot.status.borrow().pid())?;
        pid.ok_or(ProcessError::NotRunning(endpoint))
    }

    fn signal(&self, endpoint: Endpoint, signal: Signal) -> Result<i32, ProcessError> {
        let pid = self.pid(endpoint)?;
        kill(Pid::from_raw(pid), signal).map_err(|errno| ProcessError::Os {
            endpoint,
            error: errno.into(),
        })?;
        Ok(pid)
    }

    fn replace_running(&self, endpoint: Endpoint, to: Status) -> Result<(), ProcessError> {
        let replaced = self.slot(endpoint, |slot| {
            slot.status.send_if_modified(|status| {
                let alive = status.pid() == to.pid();
                if alive {
                    note_end(*status, &slot.ran_until);
                    *status = to;
                }
                alive
            })
        })?;
        if replaced {
            Ok(())
        } else {
            Err(ProcessError::NotRunning(endpoint))
        }
    }

    fn slot<R>(
        &self,
        endpoint: Endpoint,
        read: impl FnOnce(&Slot) -> R,
    ) -> Result<R, ProcessError> {
        self.lock()
            .get(&endpoint)
            .map(read)
            .ok_or(ProcessError::Unknown(endpoint))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Endpoint, Slot>> {
        lock(&self.slots)
    }
}

impl Status {
    /// The pid while the process exists.
    pub fn pid(self) -> Option<i32> {
        match self {
            Self::Running(pid) | Self::Paused(pid) => Some(pid),
            Self::Exited(_) => None,
        }
    }
}

impl Exit {
    fn new(status: Option<ExitStatus>, asked: bool) -> Self {
        let code = status.and_then(|status| status.code());
        Self {
            code,
            signal: status.and_then(|status| status.signal()),
            asked,
        }
    }
}

/// Whether the end of one process was asked for, which is known when it ends.
struct Asked {
    exit_is_asked: Arc<Mutex<bool>>,
    leases: Leases,
}

async fn reap(
    mut child: Child,
    (status, ran_until): (watch::Sender<Status>, Arc<Mutex<Option<Instant>>>),
    asked: Asked,
) {
    let ended = child.wait().await.ok();
    let mut exit = Exit::new(ended, *lock(&asked.exit_is_asked));
    exit.asked |= asked.leases.covers(&exit);
    status.send_modify(|status| {
        note_end(*status, &ran_until);
        *status = Status::Exited(exit);
    });
}

/// Notes that what ran until now may do so no longer.
fn note_end(before: Status, ran_until: &Mutex<Option<Instant>>) {
    if matches!(before, Status::Running(_)) {
        *lock(ran_until) = Some(Instant::now());
    }
}

/// A panic elsewhere must not turn the cleaning up into a second panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::process::Program;

    #[tokio::test]
    async fn a_process_rests_from_when_it_is_paused_or_ends_until_it_runs_again() {
        let (endpoint, supervisor) = (Endpoint::Node(1), Supervisor::new());
        assert_eq!(supervisor.rests_for(endpoint), None);
        let spec = ProcessSpec::new(Program::Command("/bin/sleep".into()), None);
        let start = || supervisor.start(endpoint, spec.clone().with_args(["600"]));
        start().unwrap();
        assert_eq!(supervisor.rests_for(endpoint), Some(Duration::ZERO));
        let rests_since = |at: Instant| {
            let rests = supervisor.rests_for(endpoint).unwrap();
            rests > Duration::ZERO && rests <= at.elapsed()
        };
        let paused = Instant::now();
        supervisor.pause(endpoint).unwrap();
        assert!(rests_since(paused));
        supervisor.resume(endpoint).unwrap();
        assert_eq!(supervisor.rests_for(endpoint), Some(Duration::ZERO));
        let killed = Instant::now();
        supervisor.kill(endpoint).await.unwrap();
        assert!(rests_since(killed));
        start().unwrap();
        assert_eq!(supervisor.rests_for(endpoint), Some(Duration::ZERO));
        supervisor.pause(endpoint).unwrap();
        let before = supervisor.rests_for(endpoint).unwrap();
        supervisor.kill(endpoint).await.unwrap();
        assert!(
            supervisor.rests_for(endpoint).unwrap() >= before,
            "it was paused"
        );
    }
}
