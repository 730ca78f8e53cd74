//! The syncs of a directory's files, on threads of their own, so that appends and reads go on.
//!
//! In: plain flushes from the directory's thread. Out: their completions, and for the directory
//! how they went. A flush that finds one of its log waiting joins it: that is the group commit.
//! Invariants: a sync begins after everything that it answers for was written; flushes are answered
//! in the order in which their syncs began, and none is answered for after one that failed, because
//! the kernel may have dropped what both were to write; after the directory was abandoned no sync
//! begins.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};

use crate::id::TopicPartition;
use crate::storage::{DiskError, DiskFile, DiskReply, PlainFlush};

use super::thread::{AbortOnPanic, Completion, DirectoryNews, DiskToken};

/// Syncs of one directory at a time. Each answers for what came while the others ran, so that a
/// record waits little longer than its own sync takes.
const SYNCS_MAX: usize = 4;

/// Flushes of one log that one sync answers.
#[derive(Debug)]
struct Group<F> {
    log: TopicPartition,
    flush: PlainFlush,
    /// Opened for this sync.
    file: F,
    tokens: Vec<DiskToken>,
}

/// A sync that began.
#[derive(Debug)]
struct Begun {
    number: u64,
    log: TopicPartition,
    flush: PlainFlush,
    tokens: Vec<DiskToken>,
    result: Option<Result<(), DiskError>>,
}

/// A flush that ended: whose, what it synced, how it went.
pub(super) type Ended = (TopicPartition, PlainFlush, Result<(), DiskError>);

#[derive(Debug)]
struct State<F> {
    /// In the order in which they were asked for.
    waiting: VecDeque<Group<F>>,
    /// In the order in which they began.
    begun: VecDeque<Begun>,
    begun_so_far: u64,
    failure: Option<String>,
    threads: usize,
    idle: usize,
    /// Whether the directory's thread waits for all to end.
    is_draining: bool,
    is_over: bool,
}

/// The syncs of one directory, from one opening of it to the next.
pub(super) struct Syncs<'a, F, T> {
    abandoned: &'a AtomicBool,
    tell: &'a T,
    /// For the directory, how flushes went; sent with the state locked, in the order of answers.
    ended: Sender<Ended>,
    state: Mutex<State<F>>,
    /// A group waits, or nothing will come any more.
    work: Condvar,
    /// A sync ended.
    progress: Condvar,
}

impl<'a, F: DiskFile + Send, T: Fn(DirectoryNews) + Sync> Syncs<'a, F, T> {
    pub(super) fn new(abandoned: &'a AtomicBool, tell: &'a T, ended: Sender<Ended>) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            begun: VecDeque::new(),
            begun_so_far: 0,
            failure: None,
            threads: 0,
            idle: 0,
            is_draining: false,
            is_over: false,
        };
        Self {
            abandoned,
            tell,
            ended,
            state: Mutex::new(state),
            work: Condvar::new(),
            progress: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<F>> {
        // A panic with the lock held ends the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, news: DirectoryNews) {
        (self.tell)(news);
    }

    /// Adds a flush to the one of its log that waits. Whether there is one.
    pub(super) fn join(&self, token: DiskToken, log: &TopicPartition, flush: &PlainFlush) -> bool {
        let mut state = self.state();
        let mut waiting = state.waiting.iter_mut();
        let joined = waiting.find(|group| group.log == *log && group.flush.path == flush.path);
        if let Some(group) = joined {
            group.flush = flush.clone();
            group.tokens.push(token);
            return true;
        }
        false
    }

    /// Takes a flush over; `file` was opened for it. It begins with [`Self::begin`], or earlier.
    pub(super) fn ask(&self, token: DiskToken, log: TopicPartition, flush: PlainFlush, file: F) {
        let tokens = vec![token];
        let group = Group {
            log,
            flush,
            file,
            tokens,
        };
        self.state().waiting.push_back(group);
    }

    /// Lets what waits begin; without any thread for it, it is done here.
    pub(super) fn begin<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let mut state = self.state();
        if state.waiting.is_empty() {
            return;
        }
        let lacking = state.waiting.len().saturating_sub(state.idle);
        for _ in 0..lacking.min(SYNCS_MAX - state.threads) {
            let name = "log-directory-sync".to_owned();
            let spawned = thread::Builder::new().name(name).spawn_scoped(scope, || {
                let _guard = AbortOnPanic;
                self.serve();
            });
            state.threads += usize::from(spawned.is_ok());
        }
        if state.threads > 0 {
            // Each call to the kernel costs as much as what it is about: none for nobody.
            for _ in 0..state.waiting.len().min(state.idle) {
                self.work.notify_one();
            }
            return;
        }
        while !state.waiting.is_empty() {
            state = self.perform_next(state);
        }
    }

    /// Waits until no flush waits and no sync runs.
    pub(super) fn drain<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        self.begin(scope);
        let mut state = self.state();
        state.is_draining = true;
        while !state.waiting.is_empty() || !state.begun.is_empty() {
            let waited = self.progress.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.is_draining = false;
    }

    /// Lets the threads end; nothing waits and no sync runs.
    pub(super) fn end(&self) {
        self.state().is_over = true;
        self.work.notify_all();
    }

    fn serve(&self) {
        let mut state = self.state();
        loop {
            while state.waiting.is_empty() {
                if state.is_over {
                    return;
                }
                state.idle += 1;
                let waited = self.work.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
            state = self.perform_next(state);
        }
    }

    fn perform_next<'s>(&'s self, mut state: MutexGuard<'s, State<F>>) -> MutexGuard<'s, State<F>> {
        if self.abandoned.load(Ordering::SeqCst) {
            state.waiting.clear();
        }
        if let Some(group) = state.waiting.pop_front() {
            let Group {
                log,
                flush,
                mut file,
                tokens,
            } = group;
            let number = state.begun_so_far;
            state.begun_so_far += 1;
            let failure = state.failure.clone();
            state.begun.push_back(Begun {
                number,
                log,
                flush: flush.clone(),
                tokens,
                result: None,
            });
            drop(state);
            let result = match failure {
                None => flush.perform(&mut file),
                Some(cause) => Err(DiskError::Offline { cause }),
            };
            drop(file);
            state = self.state();
            let mut begun = state.begun.iter_mut();
            if let Some(begun) = begun.find(|begun| begun.number == number) {
                begun.result = Some(result);
            }
            self.answer(&mut state);
        }
        if state.is_draining {
            self.progress.notify_one();
        }
        state
    }

    /// Answers what ended, up to the first that has not.
    fn answer(&self, state: &mut State<F>) {
        let mut answers = Vec::new();
        while let Some(begun) = state.begun.pop_front_if(|begun| begun.result.is_some()) {
            let failed = state.failure.clone();
            let result = match (failed, begun.result) {
                (Some(cause), _) => Err(DiskError::Offline { cause }),
                (None, result) => result.unwrap_or(Ok(())),
            };
            if let Err(error) = &result
                && state.failure.is_none()
            {
                tracing::error!(path = %begun.flush.path.display(), %error, "disk failed");
                state.failure = Some(error.to_string());
            }
            let upto = begun.flush.upto;
            answers.extend(begun.tokens.into_iter().map(|token| Completion {
                token,
                result: result.clone().map(|()| DiskReply::Flushed { upto }),
            }));
            // Without a receiver the directory is not used any more.
            let _ = self.ended.send((begun.log, begun.flush, result));
        }
        if !answers.is_empty() {
            self.tell(DirectoryNews::Completed(answers));
        }
    }
}

#[cfg(test)]
#[path = "syncs_test.rs"]
mod tests;
