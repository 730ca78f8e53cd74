//! Progress after healing: fresh producers get a record acknowledged in every partition.
//!
//! In: a healed cluster, and what has become of each topic. Out: when each topic served again, or
//! what it lacks. Invariant: a topic waits for no other, and all have the same time from healing
//! on; what acknowledges is a leader, for with acks=0 nobody does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::recovery::Stand;
use crate::cluster::view::{Lack, Missing};
use crate::plan::TopicPlan;
use crate::worker::protocol::{Acks, OpenOptions};
use crate::workload::log::Clients;
use crate::workload::process::Process;
use crate::workload::session::Session;
use crate::workload::worker::Worker;

/// The pause after an attempt that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// The size of the payloads that prove progress, in bytes.
const PAYLOAD_BYTES: usize = 64;

/// What the watch over the cluster tells: what has become of each topic so far.
pub type Stands = watch::Receiver<BTreeMap<String, Stand>>;

/// What became of the topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// From healing to a record in every partition that has a leader, in milliseconds.
    pub after_ms: BTreeMap<String, u64>,
    /// What topics lack.
    pub missing: Missing,
}

/// A producer whose process is begun anew before it proves anything.
struct Prover {
    worker: Arc<Worker>,
    is_fresh: OnceCell<()>,
}

impl Clients {
    /// Sends to every partition of each topic with a fresh producer, as soon as the topic is whole,
    /// until each has acknowledged one record or `deadline` is over. Partitions that have no leader
    /// are left out, and topics that lack anything else.
    pub async fn prove_progress(
        &self,
        session: &Arc<Session>,
        stands: &Stands,
        deadline: Instant,
    ) -> Progress {
        let begin = Instant::now();
        let plan = &session.plan;
        let mut tasks = JoinSet::new();
        for (way, worker) in plan.ways_to_send().iter().zip(&self.producers) {
            worker.change(ask_for_an_answer);
            let prover = Arc::new(Prover {
                worker: Arc::clone(worker),
                is_fresh: OnceCell::new(),
            });
            let topics = plan.topics().into_iter();
            for topic in topics.filter(|topic| topic.is_served_by(way)) {
                let (session, prover) = (Arc::clone(session), Arc::clone(&prover));
                let mut stands = stands.clone();
                tasks.spawn(async move {
                    let lack = match decided(&mut stands, &topic.name).await {
                        Ok(silent) => prover.prove(&session, &topic, silent, deadline).await,
                        Err(lack) => Some(lack),
                    };
                    (topic.name, lack, begin.elapsed())
                });
            }
        }
        let mut progress = Progress::default();
        for (topic, lack, elapsed) in tasks.join_all().await {
            match lack {
                Some(lack) => drop(progress.missing.insert(topic, lack)),
                None => drop(progress.after_ms.insert(topic, elapsed.as_millis() as u64)),
            }
        }
        progress
    }
}

/// With acks=0 a client says that it has sent, whoever was there to hear it.
fn ask_for_an_answer(options: &mut OpenOptions) {
    if let Some(producer) = &mut options.producer
        && producer.acks == Acks::Zero
    {
        producer.acks = Acks::One;
    }
}

/// Waits until something has become of a topic: the leaders that it lacks, if any, or why it
/// serves nobody.
async fn decided(stands: &mut Stands, topic: &str) -> Result<Option<Lack>, Lack> {
    let is_decided =
        |stands: &BTreeMap<String, Stand>| !matches!(stands.get(topic), None | Some(Stand::Waits));
    let decided = stands.wait_for(is_decided).await;
    let stand = decided.ok().and_then(|stands| stands.get(topic).cloned());
    match stand {
        Some(Stand::Whole) => Ok(None),
        Some(Stand::Silent(lack)) => Ok(Some(lack)),
        Some(Stand::Lacks(lack)) => Err(lack),
        Some(Stand::Waits) | None => Err("nobody watches over it".to_owned().into()),
    }
}

impl Prover {
    /// What a topic lacks after all of its partitions were tried that are not `silent`.
    async fn prove(
        &self,
        session: &Arc<Session>,
        topic: &TopicPlan,
        silent: Option<Lack>,
        deadline: Instant,
    ) -> Option<Lack> {
        self.is_fresh.get_or_init(|| self.worker.kill()).await;
        let has_leader = |index: &i32| {
            let silent = silent.as_ref();
            !silent.is_some_and(|silent| silent.is_silent(*index))
        };
        let partitions: Vec<i32> = (0..topic.partitions).filter(has_leader).collect();
        let stuck = progress_of(session, &self.worker, topic, partitions, deadline).await;
        match (silent, stuck) {
            (Some(mut silent), Some(stuck)) => {
                silent.add(&stuck);
                Some(silent)
            }
            (silent, stuck) => silent.or_else(|| stuck.map(Lack::from)),
        }
    }
}

/// Which of `partitions` has not acknowledged a record at the deadline; nothing if all have.
async fn progress_of(
    session: &Arc<Session>,
    worker: &Worker,
    topic: &TopicPlan,
    partitions: Vec<i32>,
    deadline: Instant,
) -> Option<String> {
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
                return Some(format!("partition {partition} acknowledges no record"));
            }
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, profile};
    use crate::sandbox::Endpoint;
    use crate::workload::log::open_options;

    #[test]
    fn nobody_proves_progress_without_an_answer() {
        let mut plan = Plan::draw(1, profile::find("none").expect("a profile"));
        for (acks, wanted) in [
            (Acks::Zero, Acks::One),
            (Acks::One, Acks::One),
            (Acks::All, Acks::All),
        ] {
            plan.workload.producer.acks = acks;
            plan.workload.producer.idempotence = false;
            let mut options = open_options(&plan, Endpoint::Client(1));
            ask_for_an_answer(&mut options);
            assert_eq!(options.producer.map(|producer| producer.acks), Some(wanted));
        }
    }

    #[tokio::test]
    async fn a_topic_goes_on_as_soon_as_something_has_become_of_it() {
        let stand = |topic: &str, stand| (topic.to_owned(), stand);
        let lack = Lack::from("n2 not registered".to_owned());
        let (tell, mut stands) = watch::channel(BTreeMap::new());
        tell.send_replace(BTreeMap::from([
            stand("t", Stand::Whole),
            stand("u", Stand::Waits),
            stand("v", Stand::Lacks(lack.clone())),
        ]));
        assert_eq!(
            decided(&mut stands, "t").await,
            Ok(None),
            "u is not waited for"
        );
        assert_eq!(decided(&mut stands, "v").await, Err(lack));
        drop(tell);
        assert!(decided(&mut stands, "u").await.is_err());
    }
}
