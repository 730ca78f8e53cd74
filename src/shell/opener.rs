//! Opens the log directories, each on a thread of its own.
//!
//! In: settings, the wish to stop. Out: what became of each directory, in time or later.
//! Invariants: a directory that hangs or waits for space holds up nobody but itself, unless it
//! holds the metadata log; what finds no space is tried again until the node ends; a start that is
//! told to stop waits for nothing any more.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

use super::core::DiskEvent;
use super::disk::{DirectoryStartError, DirectoryThread, LockError, QUEUE_DEPTH};
use super::node::NodeError;
use super::random;
use super::signal::Shutdown;
use crate::broker::effects::DirectoryIndex;
use crate::config::Settings;
use crate::storage::{DirectoryIdentity, Disk, OpenError, RecoveredDirectory, finds_no_space};

/// How often the wish to stop is looked for.
const TICK: Duration = Duration::from_millis(50);
/// How often a directory that found no space is tried again.
const SPACE_RETRY: Duration = Duration::from_millis(500);

/// A directory in use, and what was found in it.
pub(super) type InUse = (DirectoryThread, RecoveredDirectory);

/// What became of a directory.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is open.
    Open(Box<InUse>),
    /// It is not open yet, and is tried again.
    Waits(DirectoryStartError),
    /// It cannot be opened.
    Failed(DirectoryStartError),
}

/// Opens directories, and tells what became of them.
pub(super) struct Opener {
    start: Box<dyn Fn(DirectoryIndex, bool) -> io::Result<()> + Send>,
    outcomes: Receiver<(DirectoryIndex, Outcome)>,
    /// Nobody waits for a directory any more once this is gone.
    _alive: Arc<()>,
}

impl Opener {
    /// An opener of the directories of `settings`, whose threads tell `events`.
    pub(super) fn new<D>(
        disk: &D,
        settings: &Arc<Settings>,
        events: &UnboundedSender<DiskEvent>,
    ) -> Self
    where
        D: Disk<File: Send> + Clone + Send + 'static,
    {
        let (sender, outcomes) = channel();
        let alive = Arc::new(());
        let (disk, settings, events) = (disk.clone(), Arc::clone(settings), events.clone());
        let weak = Arc::downgrade(&alive);
        let start = move |index, is_ours| {
            let attempts = Attempts {
                disk: disk.clone(),
                path: settings.log_dirs.get(index).cloned().unwrap_or_default(),
                identity: DirectoryIdentity {
                    cluster_id: settings.cluster_id.clone(),
                    node_id: settings.node_id,
                    new_directory_id: random::uuid()?,
                },
                index,
                is_ours,
                events: events.clone(),
                alive: weak.clone(),
            };
            let outcomes = sender.clone();
            let builder = thread::Builder::new().name("open-directory".to_owned());
            builder.spawn(move || attempts.run(&outcomes)).map(drop)
        };
        Self {
            start: Box::new(start),
            outcomes,
            _alive: alive,
        }
    }

    /// Opens all directories: waits for that of the metadata log as long as it takes, for the
    /// others up to `log.dir.stall.timeout.ms`. `None` is one that is still being opened.
    pub(super) fn open_all(
        &self,
        settings: &Settings,
        shutdown: &Shutdown,
    ) -> Result<Vec<Option<Outcome>>, NodeError> {
        let limit = settings.millis("log.dir.stall.timeout.ms");
        let mut found: Vec<Option<Outcome>> = Vec::new();
        for index in 0..settings.log_dirs.len() {
            (self.start)(index, false).map_err(NodeError::Thread)?;
            found.push(None);
        }
        let mut waited = Duration::ZERO;
        let mut is_said = false;
        while let Some(path) = awaited(settings, &found, waited < limit) {
            if shutdown.is_asked() {
                return Err(NodeError::StoppedEarly);
            }
            if waited >= limit && !std::mem::replace(&mut is_said, true) {
                let directory = path.display();
                warn!(%directory, "the metadata log directory does not open; waiting for it");
            }
            let began = Instant::now();
            if let Ok((index, outcome)) = self.outcomes.recv_timeout(TICK)
                && let Some(place) = found.get_mut(index)
            {
                *place = Some(outcome);
            }
            // A process that was stopped slept like its disks.
            waited += began.elapsed().min(2 * TICK);
        }
        Ok(found)
    }

    /// Opens a directory anew that this node had in use: the thread that had it may not quite have
    /// ended.
    pub(super) fn open_again(&self, index: DirectoryIndex) -> io::Result<()> {
        (self.start)(index, true)
    }

    /// What became of a directory meanwhile.
    pub(super) fn next(&self) -> Option<(DirectoryIndex, Outcome)> {
        self.outcomes.try_recv().ok()
    }
}

/// A directory that must be waited for, if there is one.
fn awaited<'a>(
    settings: &'a Settings,
    found: &[Option<Outcome>],
    is_early: bool,
) -> Option<&'a PathBuf> {
    let paths = settings.log_dirs.iter().zip(found);
    let mut opening = paths.filter(|(_, outcome)| outcome.is_none());
    let must = |path: &PathBuf| is_early || *path == settings.metadata_log_dir;
    opening.find(|(path, _)| must(path)).map(|(path, _)| path)
}

/// The attempts to open one directory.
struct Attempts<D> {
    disk: D,
    path: PathBuf,
    identity: DirectoryIdentity,
    index: DirectoryIndex,
    /// Whether this process had it in use.
    is_ours: bool,
    events: UnboundedSender<DiskEvent>,
    alive: Weak<()>,
}

impl<D: Disk<File: Send> + Clone + Send + 'static> Attempts<D> {
    /// Tells each outcome; if nobody hears the last one, the directory is closed again.
    fn run(self, outcomes: &Sender<(DirectoryIndex, Outcome)>) {
        let mut is_said = false;
        while self.alive.strong_count() > 0 {
            let outcome = match self.open() {
                Ok(open) => Outcome::Open(Box::new(open)),
                Err(reason) if self.waits(&reason) => Outcome::Waits(reason),
                Err(reason) => Outcome::Failed(reason),
            };
            let is_last = !matches!(outcome, Outcome::Waits(_));
            if is_last || !std::mem::replace(&mut is_said, true) {
                let _ = outcomes.send((self.index, outcome));
            }
            if is_last {
                return;
            }
            thread::sleep(SPACE_RETRY);
        }
    }

    fn open(&self) -> Result<InUse, DirectoryStartError> {
        let (events, directory) = (self.events.clone(), self.index);
        let tell = move |news| {
            let _ = events.send(DiskEvent { directory, news });
        };
        let (disk, path) = (self.disk.clone(), self.path.clone());
        DirectoryThread::start_on(disk, path, self.identity.clone(), QUEUE_DEPTH, tell)
    }

    /// Whether a later attempt may succeed.
    fn waits(&self, reason: &DirectoryStartError) -> bool {
        match reason {
            DirectoryStartError::Lock(LockError::InUse { .. }) => self.is_ours,
            DirectoryStartError::Lock(LockError::Io { source, .. }) => finds_no_space(source),
            DirectoryStartError::Open(OpenError::Disk(error)) => error.is_no_space(),
            DirectoryStartError::Open(_) | DirectoryStartError::Thread { .. } => false,
        }
    }
}

#[cfg(test)]
#[path = "opener_test.rs"]
mod tests;
