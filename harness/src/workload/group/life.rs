//! One life of a member: it polls, processes and commits as its mode says, until it leaves or dies.
//!
//! In: an open worker. Out: operations in the history, and how the life ended.
//! Invariant: `auto-handoff` aside, a poll's records are processed before the next poll; with
//! `sync-before` nothing is processed that is not known to be committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use checkers::history::{Action, CommitMode, Key, OpType, Record};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::recorder::Entry;
use crate::worker::driver::{CallError, Driver};
use crate::worker::protocol::{Command, Outcome};
use crate::workload::group::acts::PATIENCE;
use crate::workload::group::ledger::{Identity, Ledger};
use crate::workload::group::roster::Wish;
use crate::workload::process::Process;
use crate::workload::session::Session;

/// The pause after a poll that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Polls whose records may wait for the other task.
const HANDED_OVER_MAX: usize = 1_000;

/// Asynchronous commits that may be open.
const COMMITS_OPEN_MAX: usize = 64;

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeEnd {
    /// It left in order, or could not.
    Left,
    /// Its process ended, or answers no more.
    Died,
}

/// The worker answers no more.
struct Dead;

/// One life.
pub struct Life {
    pub(super) session: Arc<Session>,
    pub(super) who: Identity,
    pub(super) instance: Option<String>,
    pub(super) driver: Arc<Driver>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) rng: ChaCha8Rng,
    pub(super) pending: Arc<AtomicUsize>,
}

impl Life {
    /// Lives it.
    pub async fn live(self, mode: CommitMode) -> LifeEnd {
        let mut poller = Process::new(&self.session, self.who.consumer.clone());
        let subscriber = poller.number();
        let hand = Hand {
            process: Process::new(&self.session, self.who.consumer.clone()),
            driver: Arc::clone(&self.driver),
            who: self.who.clone(),
            rng: self.rng.clone(),
            process_ms: self
                .session
                .plan
                .workload
                .group
                .as_ref()
                .map_or([0, 0], |group| group.process_ms),
        };
        let mut work = Work::begin(mode, hand, Arc::clone(&self.driver));
        let ended = self.poll_on(&mut poller, &mut work, mode).await;
        work.finish().await;
        if ended.is_ok() {
            // Whether it could leave in order is in the history; it ends in any case.
            let _ = poller.leave(&self.driver, &self.who).await;
            self.ledger.close("it has left");
            return LifeEnd::Left;
        }
        self.ledger.close("its process died");
        self.session.recorder.record(Entry {
            process: subscriber,
            kind: OpType::Info,
            action: Action::Crash(Some("its process died".to_owned())),
            error: None,
            node: Some(self.who.consumer.clone()),
        });
        LifeEnd::Died
    }

    /// Joins and polls until it shall leave.
    async fn poll_on(
        &self,
        poller: &mut Process,
        work: &mut Work,
        mode: CommitMode,
    ) -> Result<(), Dead> {
        let timeout_ms = self.session.plan.workload.poll_timeout_ms;
        let instance = self.instance.as_deref();
        while let Err(kind) = poller
            .subscribe(&self.driver, &self.who, mode, instance)
            .await
        {
            alive(kind, &self.driver)?;
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
        while matches!(self.wish(), Wish::Present | Wish::Down) {
            match poller.receive(&self.driver, timeout_ms).await {
                Ok(records) => work.take(Batch::new(records, &self.pending)).await?,
                Err(kind) => {
                    alive(kind, &self.driver)?;
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
        Ok(())
    }

    fn wish(&self) -> Wish {
        self.session.roster.wish(self.who.client)
    }
}

/// An outcome that nobody knows ends the life: the process is gone, or does not answer.
fn alive(kind: OpType, driver: &Driver) -> Result<(), Dead> {
    if kind == OpType::Info || driver.is_gone() {
        return Err(Dead);
    }
    Ok(())
}

/// The records of one poll; they count as pending until this is dropped.
struct Batch {
    records: BTreeMap<Key, Vec<Record>>,
    pending: Arc<AtomicUsize>,
}

impl Batch {
    fn new(records: BTreeMap<Key, Vec<Record>>, pending: &Arc<AtomicUsize>) -> Self {
        pending.fetch_add(1, Ordering::SeqCst);
        Self {
            records,
            pending: Arc::clone(pending),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.pending.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is done with the records of a poll.
enum Work {
    /// The client commits; they are processed before the next poll.
    InLoop(Hand),
    /// The client commits; another task processes them.
    HandOff(Option<mpsc::Sender<Batch>>, JoinHandle<()>),
    /// They are processed, then committed.
    After(Hand, Commits),
    /// They are committed, then processed.
    Before(Hand, Commits),
}

impl Work {
    fn begin(mode: CommitMode, hand: Hand, driver: Arc<Driver>) -> Self {
        let commits = |is_async| Commits {
            driver,
            is_async,
            taken: 0,
            acked: 0,
            open: JoinSet::new(),
        };
        match mode {
            CommitMode::AutoInLoop => Self::InLoop(hand),
            CommitMode::AutoHandoff => {
                let (batches, queue) = mpsc::channel(HANDED_OVER_MAX);
                Self::HandOff(Some(batches), tokio::spawn(hand.work_off(queue)))
            }
            CommitMode::SyncAfter => Self::After(hand, commits(false)),
            CommitMode::AsyncAfter => Self::After(hand, commits(true)),
            CommitMode::SyncBefore => Self::Before(hand, commits(false)),
        }
    }

    async fn take(&mut self, batch: Batch) -> Result<(), Dead> {
        match self {
            Self::InLoop(hand) => hand.process_all(&batch).await,
            Self::HandOff(batches, _) => match batches {
                Some(batches) if !batch.records.is_empty() => {
                    batches.send(batch).await.map_err(|_| Dead)
                }
                _ => Ok(()),
            },
            Self::After(hand, commits) => {
                hand.process_all(&batch).await?;
                commits.taken += u64::from(!batch.records.is_empty());
                commits.commit(batch.records.is_empty()).await.map(drop)
            }
            Self::Before(hand, commits) => {
                commits.taken += u64::from(!batch.records.is_empty());
                // What is not known to be committed must not take effect.
                if commits.commit(batch.records.is_empty()).await? {
                    hand.process_all(&batch).await?;
                }
                Ok(())
            }
        }
    }

    /// Waits for what is still open: it ends by its reply or with its process.
    async fn finish(self) {
        match self {
            Self::InLoop(_) => {}
            Self::HandOff(batches, task) => {
                drop(batches);
                // A task that panicked has said so on stderr; its records count as unprocessed.
                let _ = task.await;
            }
            Self::After(_, mut commits) | Self::Before(_, mut commits) => {
                while commits.open.join_next().await.is_some() {}
            }
        }
    }
}

/// Who processes.
struct Hand {
    process: Process,
    driver: Arc<Driver>,
    who: Identity,
    rng: ChaCha8Rng,
    process_ms: [u64; 2],
}

impl Hand {
    async fn process_all(&mut self, batch: &Batch) -> Result<(), Dead> {
        let [least, most] = self.process_ms;
        for (key, records) in &batch.records {
            for record in records {
                let ms = self.rng.random_range(least..=most);
                let ended = self
                    .process
                    .process(&self.driver, &self.who, key, record.clone(), ms)
                    .await;
                if let Err(kind) = ended {
                    alive(kind, &self.driver)?;
                }
            }
        }
        Ok(())
    }

    async fn work_off(mut self, mut queue: mpsc::Receiver<Batch>) {
        while let Some(batch) = queue.recv().await {
            if self.process_all(&batch).await.is_err() {
                return;
            }
        }
    }
}

/// The commits that the application asks for; the ledger records their attempts.
struct Commits {
    driver: Arc<Driver>,
    is_async: bool,
    /// Polls with records so far.
    taken: u64,
    /// So many of them are known to be committed.
    acked: u64,
    open: JoinSet<(u64, Result<bool, Dead>)>,
}

impl Commits {
    /// Commits everything taken, if it is not yet known to be; without anything new only if
    /// nothing is open. Whether it is known to have succeeded.
    async fn commit(&mut self, is_idle: bool) -> Result<bool, Dead> {
        while let Some(ended) = self.open.try_join_next() {
            self.ended(ended)?;
        }
        if self.acked == self.taken || (is_idle && !self.open.is_empty()) {
            return Ok(false);
        }
        if !self.is_async {
            let is_known = ask(&self.driver, Command::CommitSync).await?;
            if is_known {
                self.acked = self.taken;
            }
            return Ok(is_known);
        }
        if self.open.len() >= COMMITS_OPEN_MAX
            && let Some(ended) = self.open.join_next().await
        {
            self.ended(ended)?;
        }
        // Sent before the next poll, or it would commit what that one gives out.
        let asked = self.driver.ask(Command::CommitAsync).await;
        let (asked, taken) = (asked.map_err(|_| Dead)?, self.taken);
        self.open
            .spawn(async move { (taken, is_done(asked.outcome(PATIENCE).await)) });
        Ok(false)
    }

    fn ended(
        &mut self,
        ended: Result<(u64, Result<bool, Dead>), tokio::task::JoinError>,
    ) -> Result<(), Dead> {
        // A task that panicked leaves its commit unknown.
        let (taken, is_known) = ended.map_err(|_| Dead)?;
        if is_known? {
            self.acked = self.acked.max(taken);
        }
        Ok(())
    }
}

/// Whether the worker says that the commit succeeded.
async fn ask(driver: &Driver, command: Command) -> Result<bool, Dead> {
    is_done(driver.call(command, PATIENCE).await)
}

fn is_done(ended: Result<Outcome, CallError>) -> Result<bool, Dead> {
    match ended {
        Ok(Outcome::Ok(_)) => Ok(true),
        Ok(Outcome::Error(_)) => Ok(false),
        Err(_) => Err(Dead),
    }
}
