//! The final phase: fresh clients read every partition from its beginning to its end.
//!
//! In: a healed and recovered cluster. Out: operations in the history without which the checkers
//! could not tell a lost record from one that nobody has read yet.
//! Invariant: every partition is read by a client that has no memory of the run, up to an end that
//! was read after the last send; or the phase says which partition it could not finish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use checkers::history::{Action, FINAL_READS, OpError, OpType};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::recorder::Entry;
use crate::worker::driver::Driver;
use crate::worker::protocol::{Edge, Position};
use crate::workload::log::Clients;
use crate::workload::process::Process;
use crate::workload::session::{HARNESS_PROCESS, Session};
use crate::workload::worker::Worker;

/// The pause after a read that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// A partition that could not be read to its end in time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "partition {partition} was read up to {} within {limit:?}, its end is {}",
    .next.map_or("nothing".to_owned(), |next| format!("offset {next}")),
    .end.map_or("unknown".to_owned(), |end| end.to_string())
)]
pub struct Unfinished {
    /// Which.
    pub partition: i32,
    /// The offset after the last record that was read.
    pub next: Option<i64>,
    /// The end, if it could be read.
    pub end: Option<i64>,
    /// How long the phase had.
    pub limit: Duration,
}

impl Clients {
    /// The final reads, between two lines that tell the checkers what became of them.
    pub async fn read_everything(&self, session: &Arc<Session>) -> Result<(), Vec<Unfinished>> {
        let record = |kind, error| {
            session.recorder.record(Entry {
                process: HARNESS_PROCESS,
                kind,
                action: Action::Admin(FINAL_READS.into()),
                error,
                node: None,
            });
        };
        record(OpType::Invoke, None);
        let ended = self.read_all(session).await;
        match &ended {
            Ok(()) => record(OpType::Ok, None),
            Err(unfinished) => record(OpType::Info, Some(error_of(unfinished))),
        }
        ended
    }

    /// Replaces the consumers by fresh processes that share the partitions, and lets them read.
    async fn read_all(&self, session: &Arc<Session>) -> Result<(), Vec<Unfinished>> {
        let limit = Duration::from_millis(session.plan.time.final_deadline_ms);
        let deadline = Instant::now() + limit;
        let readers = self.consumers.len().max(1) as i32;
        let mut tasks = JoinSet::new();
        for (worker, share) in self.consumers.iter().zip(0..) {
            let partitions: Vec<i32> = (0..session.plan.cluster.partitions)
                .filter(|p| p % readers == share)
                .collect();
            let (session, worker) = (Arc::clone(session), Arc::clone(worker));
            tasks.spawn(async move { read_share(&session, &worker, partitions, deadline).await });
        }
        let unfinished: Vec<_> = tasks
            .join_all()
            .await
            .into_iter()
            .flatten()
            .map(|(partition, progress)| Unfinished {
                partition,
                next: progress.next,
                end: progress.end,
                limit,
            })
            .collect();
        if unfinished.is_empty() {
            Ok(())
        } else {
            Err(unfinished)
        }
    }
}

fn error_of(unfinished: &[Unfinished]) -> OpError {
    let all: Vec<String> = unfinished.iter().map(ToString::to_string).collect();
    OpError {
        code: "timeout".into(),
        message: all.join("; ").into(),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    next: Option<i64>,
    end: Option<i64>,
}

impl Progress {
    fn is_finished(self) -> bool {
        self.end.is_some_and(|end| self.next.unwrap_or(0) >= end)
    }
}

/// Reads `partitions` with a fresh process; what is not finished at the deadline.
async fn read_share(
    session: &Arc<Session>,
    worker: &Worker,
    partitions: Vec<i32>,
    deadline: Instant,
) -> BTreeMap<i32, Progress> {
    let mut progress: BTreeMap<_, _> = partitions
        .iter()
        .map(|&index| (index, Progress::default()))
        .collect();
    worker.kill().await;
    // Who only reads is no member of a group.
    worker.change(|options| {
        if let Some(consumer) = &mut options.consumer {
            consumer.group = None;
        }
    });
    while Instant::now() < deadline && !partitions.is_empty() {
        if worker.revive().await.is_err() {
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            continue;
        }
        let driver = worker.driver();
        let mut process = Process::new(session, worker.endpoint().to_string());
        if read_to_the_end(&mut process, &driver, &mut progress, deadline)
            .await
            .is_some()
        {
            break;
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
    progress.retain(|_, progress| !progress.is_finished());
    progress
}

/// One attempt with one client; nothing if it did not come to the end.
async fn read_to_the_end(
    process: &mut Process,
    driver: &Driver,
    progress: &mut BTreeMap<i32, Progress>,
    deadline: Instant,
) -> Option<()> {
    let partitions: Vec<i32> = progress.keys().copied().collect();
    let ends = process
        .list_offsets(driver, &partitions, Edge::End)
        .await
        .ok()?;
    for (partition, progress) in progress.iter_mut() {
        *progress = Progress {
            next: None,
            end: ends.get(partition).copied(),
        };
    }
    process.assign(driver, &partitions).await.ok()?;
    let beginnings: Vec<_> = partitions
        .iter()
        .map(|&index| (index, Position::Edge(Edge::Beginning)))
        .collect();
    process.seek(driver, &beginnings).await.ok()?;
    loop {
        read_on(process, driver, progress, deadline).await?;
        // What became visible meanwhile is read, too: an acks=1 send, or one in doubt.
        let ends = process
            .list_offsets(driver, &partitions, Edge::End)
            .await
            .ok()?;
        for (partition, progress) in progress.iter_mut() {
            progress.end = ends.get(partition).copied();
        }
        if progress.values().all(|progress| progress.is_finished()) {
            return Some(());
        }
    }
}

/// Polls until every partition has come to its end; nothing if it has to begin anew.
async fn read_on(
    process: &mut Process,
    driver: &Driver,
    progress: &mut BTreeMap<i32, Progress>,
    deadline: Instant,
) -> Option<()> {
    while !progress.values().all(|progress| progress.is_finished()) {
        if driver.is_gone() || Instant::now() >= deadline {
            return None;
        }
        let next = match process.poll(driver).await {
            Ok(next) => next,
            // An answer that came too late may have held records: read them again.
            Err(OpType::Info) => return None,
            Err(_) => {
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
        };
        for (partition, next) in next {
            progress.entry(partition).or_default().next = Some(next);
        }
    }
    Some(())
}
