//! Progress after healing: fresh producers get a record acknowledged in every partition.
//!
//! In: a healed cluster. Out: which topics acknowledge nothing. Invariant: a topic waits for no
//! other; with acks=0 an acknowledgement says nothing, and the final reads tell.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::view::{Lack, Missing};
use crate::plan::TopicPlan;
use crate::workload::log::Clients;
use crate::workload::process::Process;
use crate::workload::session::Session;
use crate::workload::worker::Worker;

/// The pause after an attempt that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// The size of the payloads that prove progress, in bytes.
const PAYLOAD_BYTES: usize = 64;

impl Clients {
    /// Sends to every partition with a fresh producer until each has acknowledged one record; what
    /// topics lack at the deadline. Partitions that have no leader are left out, and topics that
    /// lack anything else.
    pub async fn prove_progress(
        &self,
        session: &Arc<Session>,
        missing: &Missing,
        deadline: Instant,
    ) -> Missing {
        let plan = &session.plan;
        let mut tasks = JoinSet::new();
        for (way, worker) in plan.ways_to_send().iter().zip(&self.producers) {
            worker.kill().await;
            let topics = plan.topics().into_iter();
            for topic in topics.filter(|topic| topic.is_served_by(way)) {
                let lack = missing.get(&topic.name);
                if lack.is_some_and(Lack::is_more_than_silence) {
                    continue;
                }
                let has_leader = |index: &i32| !lack.is_some_and(|lack| lack.is_silent(*index));
                let partitions: Vec<i32> = (0..topic.partitions).filter(has_leader).collect();
                let (session, worker) = (Arc::clone(session), Arc::clone(worker));
                tasks.spawn(async move {
                    let lack = progress_of(&session, &worker, &topic, partitions, deadline).await?;
                    Some((topic.name, lack))
                });
            }
        }
        tasks.join_all().await.into_iter().flatten().collect()
    }
}

/// What a topic lacks; nothing if all `partitions` have acknowledged a record.
async fn progress_of(
    session: &Arc<Session>,
    worker: &Worker,
    topic: &TopicPlan,
    partitions: Vec<i32>,
    deadline: Instant,
) -> Option<Lack> {
    let mut process = Process::new(session, worker.endpoint().to_string());
    process.turn_to(&topic.name);
    for partition in partitions {
        loop {
            let revived = worker.revive().await;
            let driver = worker.driver();
            if revived.is_ok()
                && process
                    .send(&driver, partition, PAYLOAD_BYTES)
                    .await
                    .is_ok()
            {
                break;
            }
            if Instant::now() >= deadline {
                return Some(format!("partition {partition} acknowledges no record").into());
            }
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
    None
}
