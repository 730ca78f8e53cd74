//! One logical consumer: takes some partitions of a topic, reads on, rewinds now and then, reads
//! ends.
//!
//! Its positions outlive its assignments, so that the history has long unbroken reads; a share of
//! the moves goes back or to an edge, and partitions with unseen records are preferred.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};

use crate::plan::TopicPlan;
use crate::worker::driver::Driver;
use crate::worker::protocol::{Edge, Position};
use crate::workload::process::Process;
use crate::workload::session::Session;
use crate::workload::worker::Worker;

/// The pause after a poll that failed, and between attempts to revive a worker.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Reads until the session stops; `task` numbers the logical process within the plan.
pub async fn consume(session: Arc<Session>, worker: Arc<Worker>, task: u64) {
    let process = Process::new(&session, worker.endpoint().to_string());
    let reader = Reader {
        rng: session.rng(task),
        process,
        known: BTreeMap::new(),
        topics: session.plan.topics(),
        session: Arc::clone(&session),
    };
    let mut reader = reader;
    while !session.is_stopped() {
        let driver = worker.driver();
        reader.one_assignment(&driver).await;
        if driver.is_gone() {
            reader.process.crash("its worker died");
            while worker.revive().await.is_err() && !session.is_stopped() {
                session.sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

struct Reader<R> {
    session: Arc<Session>,
    process: Process,
    rng: R,
    topics: Vec<TopicPlan>,
    /// What it knows of each topic ever read, by name.
    known: BTreeMap<String, Known>,
}

/// What a reader knows of a topic.
#[derive(Default)]
struct Known {
    /// The offset after the last record that was read, of each partition ever read.
    next: BTreeMap<i32, i64>,
    /// The last end that was read, of each partition.
    ends: BTreeMap<i32, i64>,
}

impl<R: Rng> Reader<R> {
    /// Assigns, seeks and polls for a while. Ends early when the session stops or a call fails
    /// in a way that leaves the positions in doubt.
    async fn one_assignment(&mut self, driver: &Driver) {
        let topic = self.draw_topic();
        self.process.turn_to(&topic.name);
        let mut known = self.known.remove(&topic.name).unwrap_or_default();
        self.read(driver, topic.partitions, &mut known).await;
        self.known.insert(topic.name, known);
    }

    async fn read(&mut self, driver: &Driver, partitions: i32, known: &mut Known) {
        let partitions = self.draw_partitions(partitions, known);
        if self.process.assign(driver, &partitions).await.is_err() {
            return self.session.sleep(PAUSE_AFTER_FAILURE).await;
        }
        let positions: Vec<_> = partitions
            .iter()
            .map(|&index| (index, self.draw_position(index, known)))
            .collect();
        if self.process.seek(driver, &positions).await.is_err() {
            return self.session.sleep(PAUSE_AFTER_FAILURE).await;
        }
        let mean = self.session.plan.workload.polls_per_assignment;
        for _ in 0..self.rng.random_range(1..=mean.saturating_mul(2)) {
            if self.session.is_stopped() || driver.is_gone() {
                return;
            }
            match self.process.poll(driver).await {
                Ok(next) => known.next.extend(next),
                Err(_) => self.session.sleep(PAUSE_AFTER_FAILURE).await,
            }
            if self
                .rng
                .random_ratio(1, self.session.plan.workload.polls_per_end_read)
            {
                self.read_ends(driver, &partitions, known).await;
            }
        }
    }

    async fn read_ends(&mut self, driver: &Driver, partitions: &[i32], known: &mut Known) {
        if let Ok(ends) = self
            .process
            .list_offsets(driver, partitions, Edge::End)
            .await
        {
            known.ends.extend(ends);
        }
    }

    /// The topic of the next assignment.
    fn draw_topic(&mut self) -> TopicPlan {
        // With one topic nothing is drawn, so that the choices of its runs stay what they were.
        let index = match self.topics.len() {
            1 => 0,
            topics => self.rng.random_range(0..topics),
        };
        let topic = self.topics.get(index).cloned();
        topic.expect("invariant: the range ends at the length")
    }

    /// A part of the partitions, with those that are known to hold unseen records.
    fn draw_partitions(&mut self, partitions: i32, known: &Known) -> Vec<i32> {
        let all = 0..partitions;
        let unseen = |index: &i32| {
            let next = known.next.get(index).copied().unwrap_or(0);
            known.ends.get(index).is_some_and(|&end| end > next)
        };
        let wanted: Vec<bool> = all.clone().map(|index| unseen(&index)).collect();
        let mut drawn: Vec<i32> = Vec::new();
        for (index, unseen) in all.clone().zip(wanted) {
            if unseen || self.rng.random_bool(0.5) {
                drawn.push(index);
            }
        }
        if drawn.is_empty() {
            drawn.push(self.rng.random_range(all));
        }
        drawn
    }

    /// Mostly where the last read ended; sometimes back, to the beginning or to the end.
    fn draw_position(&mut self, partition: i32, known: &Known) -> Position {
        let next = known.next.get(&partition).copied().unwrap_or(0);
        match self.rng.random_range(0..20) {
            0 | 1 => Position::Edge(Edge::Beginning),
            2 => Position::Edge(Edge::End),
            3..=7 if next > 0 => Position::Offset(self.rng.random_range(next / 2..next)),
            _ if next > 0 => Position::Offset(next),
            _ => Position::Edge(Edge::Beginning),
        }
    }
}
