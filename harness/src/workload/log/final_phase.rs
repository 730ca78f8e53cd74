//! The final phase: fresh clients read every partition from its beginning to its end.
//!
//! In: a healed and recovered cluster. Out: operations in the history without which the checkers
//! could not tell a lost record from one that nobody has read yet.
//! Invariant: every partition is read by a client that has no memory of the run, up to an end that
//! was read after the last send; or the phase says which partition it could not finish.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use checkers::history::{Action, FINAL_READS, OpError, OpType};
use serde_json::json;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::view::Missing;
use crate::cluster::visible::Hidden;
use crate::plan::Plan;
use crate::recorder::Entry;
use crate::worker::driver::Driver;
use crate::worker::protocol::{Edge, Position};
use crate::workload::log::Clients;
use crate::workload::process::Process;
use crate::workload::session::{HARNESS_PROCESS, Session};
use crate::workload::worker::Worker;

/// The pause after a read that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// How long one topic is read while others wait for their turn.
const TURN: Duration = Duration::from_secs(3);

/// A partition that could not be read to its end in time, or to that of its leader's log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{topic}-{partition} was read up to {} within {limit:?}, its end is {}",
    .next.map_or("nothing".to_owned(), |next| format!("offset {next}")),
    .end.map_or("unknown".to_owned(), |end| end.to_string())
)]
pub struct Unfinished {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: i32,
    /// The offset after the last record that was read.
    pub next: Option<i64>,
    /// The end, if it could be read.
    pub end: Option<i64>,
    /// How long the phase had.
    pub limit: Duration,
}

impl Unfinished {
    /// The partition of which readers cannot see all that its leader has.
    pub fn hidden(hidden: Hidden, limit: Duration) -> Self {
        Self {
            topic: hidden.partition.topic.to_string(),
            partition: hidden.partition.partition,
            next: hidden.high_watermark,
            end: hidden.log_end_offset,
            limit,
        }
    }
}

impl Clients {
    /// The final reads, between two lines that tell the checkers what became of them; of several
    /// topics each has a line of its own. What could not be read although it has a leader, with
    /// what is `hidden` from every reader.
    pub async fn read_everything(
        &self,
        session: &Arc<Session>,
        missing: &Missing,
        hidden: Vec<Unfinished>,
    ) -> Vec<Unfinished> {
        record(session, OpType::Invoke, FINAL_READS.into(), None);
        let mut unfinished = self.read_all(session, missing).await;
        unfinished = with_hidden(unfinished, hidden);
        end(session, FINAL_READS.into(), unfinished.iter());
        if session.plan.has_several_topics() {
            for topic in session.plan.topics() {
                let value = json!({ (FINAL_READS): topic.name });
                record(session, OpType::Invoke, value.clone(), None);
                let of_topic = |unfinished: &&Unfinished| unfinished.topic == topic.name;
                end(session, value, unfinished.iter().filter(of_topic));
            }
        }
        let is_silent = |unfinished: &Unfinished| {
            let lack = missing.get(&unfinished.topic);
            lack.is_some_and(|lack| lack.is_silent(unfinished.partition))
        };
        unfinished.retain(|unfinished| !is_silent(unfinished));
        unfinished
    }

    /// Replaces the consumers by fresh processes that share the partitions, and lets them read.
    async fn read_all(&self, session: &Arc<Session>, missing: &Missing) -> Vec<Unfinished> {
        let limit = Duration::from_millis(session.plan.time.final_deadline_ms);
        let deadline = Instant::now() + limit;
        let shares = shares(&session.plan, missing, self.consumers.len().max(1));
        let mut tasks = JoinSet::new();
        for (worker, shares) in self.consumers.iter().zip(shares) {
            let reader = FinalReader {
                session: Arc::clone(session),
                worker: Arc::clone(worker),
                deadline,
            };
            tasks.spawn(async move { reader.read(shares).await });
        }
        let left = tasks.join_all().await.into_iter().flatten();
        let unfinished = left.flat_map(|share| {
            let Share {
                topic, progress, ..
            } = share;
            let of = move |(partition, progress): (i32, Progress)| Unfinished {
                topic: topic.clone(),
                partition,
                next: progress.next,
                end: progress.end,
                limit,
            };
            progress.into_iter().map(of)
        });
        unfinished.collect()
    }
}

/// What could not be read, and what can never be: a partition is named once.
fn with_hidden(mut unfinished: Vec<Unfinished>, hidden: Vec<Unfinished>) -> Vec<Unfinished> {
    for hidden in hidden {
        let is_hidden = |other: &Unfinished| {
            (&other.topic, other.partition) == (&hidden.topic, hidden.partition)
        };
        if !unfinished.iter().any(is_hidden) {
            unfinished.push(hidden);
        }
    }
    unfinished
}

fn record(session: &Session, kind: OpType, value: serde_json::Value, error: Option<OpError>) {
    session.recorder.record(Entry {
        process: HARNESS_PROCESS,
        kind,
        action: Action::Admin(value),
        error,
        node: None,
    });
}

/// How the final reads of some topics ended.
fn end<'a>(
    session: &Session,
    value: serde_json::Value,
    unfinished: impl Iterator<Item = &'a Unfinished>,
) {
    let all: Vec<String> = unfinished.map(ToString::to_string).collect();
    if all.is_empty() {
        return record(session, OpType::Ok, value, None);
    }
    let error = OpError {
        code: "timeout".into(),
        message: all.join("; ").into(),
    };
    record(session, OpType::Info, value, Some(error));
}

/// Partitions of one topic that are read together, and how far.
struct Share {
    topic: String,
    progress: BTreeMap<i32, Progress>,
    /// Whether one attempt is enough: a partition without a leader, while others wait.
    is_hopeless: bool,
}

impl Share {
    fn new(topic: &str, partitions: impl Iterator<Item = i32>) -> Self {
        let progress = partitions.map(|index| (index, Progress::default()));
        Self {
            topic: topic.to_owned(),
            progress: progress.collect(),
            is_hopeless: false,
        }
    }
}

/// What each of the readers reads: a part of the partitions of the only topic, or whole topics; and
/// at last, one by one, the partitions that have no leader, for they would hold up the others.
fn shares(plan: &Plan, missing: &Missing, readers: usize) -> Vec<Vec<Share>> {
    let mut shares: Vec<Vec<Share>> = (0..readers).map(|_| Vec::new()).collect();
    let topics = plan.topics();
    let is_only = topics.len() == 1;
    for (number, topic) in topics.iter().enumerate() {
        let lack = missing.get(&topic.name);
        let is_silent = |index: &i32| lack.is_some_and(|lack| lack.is_silent(*index));
        for (reader, shares) in shares.iter_mut().enumerate() {
            let is_of_reader = |index: &i32| {
                let turn = if is_only { *index as usize } else { number };
                turn % readers == reader
            };
            let partitions = (0..topic.partitions).filter(is_of_reader);
            let (silent, others): (Vec<i32>, Vec<i32>) = partitions.partition(is_silent);
            if !others.is_empty() {
                shares.insert(0, Share::new(&topic.name, others.into_iter()));
            }
            shares.extend(silent.into_iter().map(|index| Share {
                is_hopeless: true,
                ..Share::new(&topic.name, std::iter::once(index))
            }));
        }
    }
    shares
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

/// A fresh process that reads shares, one after the other.
struct FinalReader {
    session: Arc<Session>,
    worker: Arc<Worker>,
    deadline: Instant,
}

impl FinalReader {
    /// Reads all shares; what is not finished at the deadline.
    async fn read(&self, mut shares: Vec<Share>) -> Vec<Share> {
        shares.retain(|share| !share.progress.is_empty());
        self.worker.kill().await;
        // Who only reads is no member of a group.
        self.worker.change(|options| {
            if let Some(consumer) = &mut options.consumer {
                consumer.group = None;
            }
        });
        let mut left = VecDeque::from(shares);
        let mut given_up = Vec::new();
        while let Some(mut share) = left.pop_front() {
            let is_late = Instant::now() >= self.deadline;
            if !is_late
                && self
                    .read_share(&mut share, !left.is_empty())
                    .await
                    .is_some()
            {
                continue;
            }
            if is_late || share.is_hopeless {
                share.progress.retain(|_, progress| !progress.is_finished());
                given_up.push(share);
                continue;
            }
            left.push_back(share);
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
        given_up
    }

    /// One attempt; nothing if it did not come to the end. Whoever has others that wait ends it
    /// early.
    async fn read_share(&self, share: &mut Share, others_wait: bool) -> Option<()> {
        self.worker.revive().await.ok()?;
        let driver = self.worker.driver();
        let mut process = Process::new(&self.session, self.worker.endpoint().to_string());
        process.turn_to(&share.topic);
        let deadline = match others_wait {
            true => self.deadline.min(Instant::now() + TURN),
            false => self.deadline,
        };
        read_to_the_end(&mut process, &driver, &mut share.progress, deadline).await
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::{Lack, Silent};

    #[test]
    fn what_is_hidden_from_readers_is_not_read_to_its_end() {
        let at = |partition, next| Unfinished {
            topic: "t".to_owned(),
            partition,
            next: Some(next),
            end: Some(9),
            limit: Duration::from_secs(5),
        };
        let all = with_hidden(vec![at(0, 1)], vec![at(0, 3), at(1, 4)]);
        assert_eq!(all, [at(0, 1), at(1, 4)]);
        assert_eq!(
            all[1].to_string(),
            "t-1 was read up to offset 4 within 5s, its end is 9"
        );
    }

    #[test]
    fn a_partition_without_a_leader_holds_up_no_other() {
        let mut plan = Plan::draw(1, &crate::plan::profile::PROFILES[0]);
        plan.cluster.partitions = 6;
        let topic = plan.cluster.topic.clone();
        let silent = |partition| Silent {
            topic: topic.clone(),
            partition,
            replicas: vec!["n1".to_owned()],
        };
        let lack = Lack {
            reason: "partition 1 has no leader".to_owned(),
            silent: vec![silent(1), silent(2)],
        };
        let missing = Missing::from([(topic.clone(), lack)]);
        let shares = shares(&plan, &missing, 3);
        let read = |shares: &Vec<Share>| {
            let of = |share: &Share| {
                let partitions = share.progress.keys().copied();
                (partitions.collect::<Vec<i32>>(), share.is_hopeless)
            };
            shares.iter().map(of).collect::<Vec<_>>()
        };
        let read: Vec<_> = shares.iter().map(read).collect();
        assert_eq!(
            read,
            [
                vec![(vec![0, 3], false)],
                vec![(vec![4], false), (vec![1], true)],
                vec![(vec![5], false), (vec![2], true)],
            ]
        );
    }
}
