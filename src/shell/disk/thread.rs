//! The thread that owns a log directory.
//!
//! In: requests, all that there are at a time together, through a bounded queue. Out: news through
//! the function that `start` was given, called on its threads. Invariants: every accepted request
//! is completed exactly once, in order, save that flushes may end after the appends and reads that
//! came later; dropping the handle first completes what was accepted; but after `abandon` no more
//! operations begin, and the directory is opened anew before it is used again, as after a crash. A
//! broken invariant in the directory ends the process: what is on disk is then in doubt, and nobody
//! may be answered as if it were not.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel,
};
use std::thread::{self, JoinHandle, Scope};
use std::time::Duration;

use uuid::Uuid;

use crate::storage::{
    DirectoryIdentity, Disk, DiskError, DiskReply, DiskRequest, LogDirectory, OpenError, Operation,
    RecoveredDirectory,
};

use super::files::RealDisk;
use super::lock::{DirectoryLock, LockError};
use super::space::{Subject, subject, waits};
use super::syncs::{Ended, Syncs};

/// Submissions that may wait in a directory's queue.
pub const QUEUE_DEPTH: usize = 4096;

/// Appends that are told together: on a slow disk it must be heard that they go on.
const APPENDED_MAX: usize = 256;

/// How often what waits for space is tried again.
const SPACE_RETRY: Duration = Duration::from_millis(200);

/// Names a request; the submitter chooses it and the completion brings it back.
pub type DiskToken = u64;

/// The answer to one request.
#[derive(Debug)]
pub struct Completion {
    /// Which request.
    pub token: DiskToken,
    /// Its result.
    pub result: Result<DiskReply, DiskError>,
}

/// What the thread tells.
#[derive(Debug)]
pub enum DirectoryNews {
    /// Requests were executed, in this order.
    Completed(Vec<Completion>),
    /// A request waits until the disk has space: it takes long, but nothing hangs.
    WaitsForSpace(DiskToken),
    /// The directory that was abandoned was opened anew.
    Reopened(Box<Reopened>),
    /// The directory that was abandoned cannot be used any more.
    ReopenFailed(OpenError),
}

/// A directory that was opened anew.
#[derive(Debug)]
pub struct Reopened {
    /// What it holds.
    pub recovered: RecoveredDirectory,
    queue: SyncSender<Vec<Job>>,
}

/// Why a log directory could not be put into use.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryStartError {
    /// It is in use, or cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no thread for it.
    #[error("cannot start the thread of {}: {source}", path.display())]
    Thread {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// Why a request was not accepted.
#[derive(Debug)]
pub enum SubmitError {
    /// The queue is full: try again after a completion.
    Full(Vec<Job>),
    /// The thread has ended.
    Ended,
}

/// A request under its name.
#[derive(Debug)]
pub struct Job {
    /// What its completion brings back.
    pub token: DiskToken,
    /// What to do.
    pub request: DiskRequest,
}

/// A log directory in use by this process.
#[derive(Debug)]
pub struct DirectoryThread {
    queue: Option<SyncSender<Vec<Job>>>,
    abandoned: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DirectoryThread {
    /// Locks and opens the directory at `path` (this blocks for the recovery), then starts its
    /// thread. `tell` is called there; it must not wait for whoever submits.
    pub fn start(
        path: PathBuf,
        identity: DirectoryIdentity,
        queue_depth: usize,
        tell: impl Fn(DirectoryNews) + Send + Sync + 'static,
    ) -> Result<(Self, RecoveredDirectory), DirectoryStartError> {
        Self::start_on(RealDisk, path, identity, queue_depth, tell)
    }

    /// The same on another disk than the machine's.
    pub fn start_on<D>(
        disk: D,
        path: PathBuf,
        identity: DirectoryIdentity,
        queue_depth: usize,
        tell: impl Fn(DirectoryNews) + Send + Sync + 'static,
    ) -> Result<(Self, RecoveredDirectory), DirectoryStartError>
    where
        D: Disk<File: Send> + Clone + Send + 'static,
    {
        let lock = DirectoryLock::acquire(&path)?;
        let (directory, recovered) = LogDirectory::open(disk.clone(), path.clone(), &identity)?;
        let (queue, requests) = sync_channel(queue_depth);
        let abandoned = Arc::new(AtomicBool::new(false));
        let mut life = Life {
            disk,
            path: path.clone(),
            identity,
            directory_id: recovered.directory_id,
            queue_depth,
            abandoned: Arc::clone(&abandoned),
            tell,
        };
        let thread = thread::Builder::new()
            .name("log-directory".to_owned())
            .spawn(move || {
                let _lock = lock;
                let _guard = AbortOnPanic;
                life.live(directory, requests);
            })
            .map_err(|source| DirectoryStartError::Thread { path, source })?;
        let started = Self {
            queue: Some(queue),
            abandoned,
            thread: Some(thread),
        };
        Ok((started, recovered))
    }

    /// Hands over requests, or gives them back if the queue is full. Never blocks. The thread is
    /// woken once for all of them, and tells their appends together.
    pub fn try_submit(&self, jobs: Vec<Job>) -> Result<(), SubmitError> {
        let queue = self.queue.as_ref().ok_or(SubmitError::Ended)?;
        queue.try_send(jobs).map_err(|error| match error {
            TrySendError::Full(jobs) => SubmitError::Full(jobs),
            TrySendError::Disconnected(_) => SubmitError::Ended,
        })
    }

    /// Gives up what was accepted: an operation hangs, and when it ends nothing that was asked for
    /// before may be executed any more. `DirectoryNews` tell of the new beginning.
    pub fn abandon(&mut self) {
        self.abandoned.store(true, Ordering::SeqCst);
        self.queue = None;
    }

    /// Accepts requests again, for a directory that was opened anew.
    pub fn resume(&mut self, reopened: Reopened) {
        self.queue = Some(reopened.queue);
    }
}

impl Drop for DirectoryThread {
    /// Completes what was accepted, then ends the thread.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The thread does not panic: it would abort.
            let _ = thread.join();
        }
    }
}

/// The thread, from one opening of the directory to the next.
struct Life<D, F> {
    disk: D,
    path: PathBuf,
    identity: DirectoryIdentity,
    directory_id: Uuid,
    queue_depth: usize,
    abandoned: Arc<AtomicBool>,
    tell: F,
}

impl<D: Disk<File: Send> + Clone, F: Fn(DirectoryNews) + Sync> Life<D, F> {
    fn live(&mut self, mut directory: LogDirectory<D>, mut requests: Receiver<Vec<Job>>) {
        loop {
            let failure = self.use_directory(directory, &requests);
            if !self.abandoned.load(Ordering::SeqCst) {
                return;
            }
            // A second try would find in the page cache what the disk has lost.
            if let Some(cause) = failure {
                let failed = DiskError::Offline { cause }.into();
                return (self.tell)(DirectoryNews::ReopenFailed(failed));
            }
            match self.reopen() {
                Ok((opened, recovered)) => {
                    let (queue, accepted) = sync_channel(self.queue_depth);
                    (directory, requests) = (opened, accepted);
                    self.abandoned.store(false, Ordering::SeqCst);
                    let reopened = Box::new(Reopened { recovered, queue });
                    (self.tell)(DirectoryNews::Reopened(reopened));
                }
                Err(error) => return (self.tell)(DirectoryNews::ReopenFailed(error)),
            }
        }
    }

    /// Executes requests until nobody can send any more, or the directory is abandoned; says why
    /// the directory cannot be used any more, if so.
    fn use_directory(
        &self,
        directory: LogDirectory<D>,
        requests: &Receiver<Vec<Job>>,
    ) -> Option<String> {
        let (ended, synced) = channel();
        let syncs = Syncs::new(&self.abandoned, &self.tell, ended);
        thread::scope(|scope| {
            let worker = Worker {
                disk: &self.disk,
                directory,
                abandoned: &self.abandoned,
                syncs: &syncs,
                synced,
                scope,
                appended: Vec::new(),
                without_space: VecDeque::new(),
                said_full: false,
            };
            let failure = worker.run(requests);
            syncs.end();
            failure
        })
    }

    fn reopen(&self) -> Result<(LogDirectory<D>, RecoveredDirectory), OpenError> {
        let opened = LogDirectory::open(self.disk.clone(), self.path.clone(), &self.identity)?;
        if opened.1.directory_id == self.directory_id {
            Ok(opened)
        } else {
            Err(OpenError::Damaged {
                path: self.path.join("meta.properties"),
                message: format!("directory.id is not {} any more", self.directory_id),
            })
        }
    }
}

struct Worker<'scope, 'env, D: Disk, T> {
    disk: &'scope D,
    directory: LogDirectory<D>,
    abandoned: &'scope AtomicBool,
    syncs: &'scope Syncs<'env, D::File, T>,
    /// Flushes that ended, of which the directory was not told yet.
    synced: Receiver<Ended>,
    scope: &'scope Scope<'scope, 'env>,
    /// Completions of appends that are told together, before anything else is done.
    appended: Vec<Completion>,
    /// What found no space, and what must not overtake it, in order.
    without_space: VecDeque<Job>,
    /// Whether the log says that something waits.
    said_full: bool,
}

impl<D: Disk<File: Send>, T: Fn(DirectoryNews) + Sync> Worker<'_, '_, D, T> {
    fn run(mut self, requests: &Receiver<Vec<Job>>) -> Option<String> {
        loop {
            let jobs = match self.next(requests) {
                Ok(jobs) => jobs,
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.try_again();
            let last_flush = jobs.iter().rposition(is_flush);
            for (index, job) in jobs.into_iter().enumerate() {
                if self.abandoned.load(Ordering::SeqCst) {
                    self.tell_appended();
                    self.drain();
                    return self.failure();
                }
                self.take(job);
                // Those of one submission are synced together, and wait for nothing behind them.
                if Some(index) == last_flush {
                    self.syncs.begin(self.scope);
                }
            }
            self.tell_appended();
            self.syncs.begin(self.scope);
        }
        self.give_up_waiting();
        self.drain();
        self.failure()
    }

    /// Waits for all syncs, and takes note of them.
    fn drain(&mut self) {
        self.syncs.drain(self.scope);
        self.note_syncs();
    }

    fn note_syncs(&mut self) {
        for (log, flush, result) in self.synced.try_iter() {
            self.directory.plainly_flushed(&log, &flush, &result);
        }
    }

    fn failure(&self) -> Option<String> {
        self.directory.offline_cause().map(str::to_owned)
    }

    /// Whether something of the request's subject waits for space: its flush would answer for what
    /// comes after it, too.
    fn has_waiting(&self, request: &DiskRequest) -> bool {
        let mut ahead = self.without_space.iter();
        ahead.any(|ahead| subject(&ahead.request) == subject(request))
    }

    fn next(&self, requests: &Receiver<Vec<Job>>) -> Result<Vec<Job>, RecvTimeoutError> {
        if self.without_space.is_empty() {
            let received = requests.recv();
            received.map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            requests.recv_timeout(SPACE_RETRY)
        }
    }

    fn take(&mut self, job: Job) {
        if matches!(job.request, DiskRequest::Close { .. }) {
            self.try_again();
            self.give_up_waiting();
        }
        match self.has_waiting(&job.request) {
            true if waits(&job.request) => self.wait_for_space(job),
            true if subject(&job.request) != Subject::Nothing => {
                let result = Err(no_space_before(&self.directory));
                self.complete(job.token, result);
            }
            _ => self.execute(job),
        }
    }

    fn execute(&mut self, job: Job) {
        self.note_syncs();
        if !matches!(job.request, DiskRequest::Append { .. }) {
            self.tell_appended();
        }
        if self.hand_over(&job) {
            return;
        }
        if !may_overlap(&job.request) {
            self.drain();
        }
        let Job { token, request } = job;
        let again = waits(&request).then(|| request.clone());
        let result = self.directory.execute(request);
        if let Err(error) = &result
            && error.is_fatal()
        {
            tracing::error!(directory = %self.directory.path().display(), %error, "disk failed");
        }
        if let (Err(error @ DiskError::NoSpace { .. }), Some(request)) = (&result, again) {
            if !std::mem::replace(&mut self.said_full, true) {
                tracing::warn!(%error, "the disk is full; waiting for space");
            }
            return self.wait_for_space(Job { token, request });
        }
        match result {
            Ok(DiskReply::Appended { .. }) => {
                self.appended.push(Completion { token, result });
                if self.appended.len() >= APPENDED_MAX {
                    self.tell_appended();
                }
            }
            result => self.complete(token, result),
        }
    }

    /// Tells the appends that are done: whoever waits for them is woken once for all.
    fn tell_appended(&mut self) {
        if !self.appended.is_empty() {
            let appended = std::mem::take(&mut self.appended);
            self.syncs.tell(DirectoryNews::Completed(appended));
        }
    }

    /// Hands a flush over to the threads for it, if it only has to sync a file, and that can be
    /// opened.
    fn hand_over(&self, job: &Job) -> bool {
        let DiskRequest::Flush { log } = &job.request else {
            return false;
        };
        let Some(flush) = self.directory.plain_flush(log) else {
            return false;
        };
        if self.syncs.join(job.token, log, &flush) {
            return true;
        }
        let opened = self.disk.open(&flush.path);
        let asked = opened.map(|file| self.syncs.ask(job.token, log.clone(), flush, file));
        asked.is_ok()
    }

    fn complete(&mut self, token: DiskToken, result: Result<DiskReply, DiskError>) {
        self.tell_appended();
        let completion = Completion { token, result };
        self.syncs.tell(DirectoryNews::Completed(vec![completion]));
    }

    fn wait_for_space(&mut self, job: Job) {
        self.tell_appended();
        self.syncs.tell(DirectoryNews::WaitsForSpace(job.token));
        self.without_space.push_back(job);
    }

    /// Tries what waits for space, each subject's requests in their order.
    fn try_again(&mut self) {
        for job in std::mem::take(&mut self.without_space) {
            if self.abandoned.load(Ordering::SeqCst) {
                return;
            }
            self.take(job);
        }
        if self.without_space.is_empty() && std::mem::replace(&mut self.said_full, false) {
            tracing::info!("the disk has space again");
        }
    }

    /// There will be no space any more while this directory is in use.
    fn give_up_waiting(&mut self) {
        for job in std::mem::take(&mut self.without_space) {
            let result = Err(no_space_before(&self.directory));
            self.complete(job.token, result);
        }
    }
}

fn is_flush(job: &Job) -> bool {
    matches!(job.request, DiskRequest::Flush { .. })
}

/// Whether a request may be executed while files are synced: it changes nothing that a flush has
/// written, and what it adds a later flush covers. The quorum's state tells that all writes before
/// it are durable.
fn may_overlap(request: &DiskRequest) -> bool {
    matches!(
        request,
        DiskRequest::Append { .. }
            | DiskRequest::Read { .. }
            | DiskRequest::ReadSnapshot { .. }
            | DiskRequest::NoteFlushed
            | DiskRequest::LookupTimestamp { .. }
    )
}

/// The answer to what comes after a request that waits for space.
fn no_space_before<D: Disk>(directory: &LogDirectory<D>) -> DiskError {
    DiskError::NoSpace {
        operation: Operation::Write,
        path: directory.path().to_owned(),
        message: "an earlier request of the log waits for space".to_owned(),
    }
}

/// Ends the process if the directory's thread panics.
pub(super) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
#[path = "thread_test.rs"]
mod tests;
