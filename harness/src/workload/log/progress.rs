//! Progress after healing: fresh producers get a record acknowledged in every partition.
//!
//! In: a healed cluster, and what has become of each topic. Out: when each topic served again, or
//! what it lacks. Invariant: a topic waits for no other, and all have the same time from healing
//! on; what acknowledges is a leader, for with acks=0 nobody does.

use std::collections::{BTreeMap, BTreeSet};
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

/// The time that partitions get in any case once something has become of their topic.
const GRACE: Duration = Duration::from_secs(2);

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
    /// The partitions that had a leader and acknowledged nothing.
    pub stuck: BTreeMap<String, BTreeSet<i32>>,
}

impl Progress {
    /// Takes in what topics lack by now: what is stuck may have lost its leader, for damage shows
    /// when somebody asks for it, and takes the leader of a partition whose only copy it is.
    pub fn take_in(&mut self, now: &Missing) {
        for (topic, stuck) in &self.stuck {
            if let (Some(lack), Some(now)) = (self.missing.get_mut(topic), now.get(topic))
                && stuck.iter().all(|partition| now.is_silent(*partition))
            {
                lack.silent.clone_from(&now.silent);
            }
        }
    }
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
                    let (lack, stuck) = match decided(&mut stands, &topic.name).await {
                        Ok(silent) => prover.prove(&session, &topic, silent, deadline).await,
                        Err(lack) => (Some(lack), BTreeSet::new()),
                    };
                    (topic.name, lack, stuck, begin.elapsed())
                });
            }
        }
        let mut progress = Progress::default();
        for (topic, lack, stuck, elapsed) in tasks.join_all().await {
            if !stuck.is_empty() {
                progress.stuck.insert(topic.clone(), stuck);
            }
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
    /// What a topic lacks after all of its partitions were tried that are not `silent`, and which
    /// of them have acknowledged nothing.
    async fn prove(
        &self,
        session: &Arc<Session>,
        topic: &TopicPlan,
        silent: Option<Lack>,
        deadline: Instant,
    ) -> (Option<Lack>, BTreeSet<i32>) {
        self.is_fresh.get_or_init(|| self.worker.kill()).await;
        let deadline = deadline.max(Instant::now() + GRACE);
        let has_leader = |index: &i32| {
            let silent = silent.as_ref();
            !silent.is_some_and(|silent| silent.is_silent(*index))
        };
        let mut tasks = JoinSet::new();
        for partition in (0..topic.partitions).filter(has_leader) {
            let (session, worker) = (Arc::clone(session), Arc::clone(&self.worker));
            let topic = topic.name.clone();
            tasks.spawn(async move {
                let acknowledged = acknowledges(&session, &worker, &topic, partition, deadline);
                (partition, acknowledged.await)
            });
        }
        let tried = tasks.join_all().await.into_iter();
        let stuck = tried.filter_map(|(partition, is_acked)| (!is_acked).then_some(partition));
        let stuck: BTreeSet<i32> = stuck.collect();
        (lack_of(silent, &stuck), stuck)
    }
}

/// What a topic lacks some of whose partitions have no leader, and some are stuck.
fn lack_of(silent: Option<Lack>, stuck: &BTreeSet<i32>) -> Option<Lack> {
    let Some(first) = stuck.first() else {
        return silent;
    };
    let reason = format!("partition {first} acknowledges no record");
    match silent {
        Some(mut silent) => {
            silent.add(&reason);
            Some(silent)
        }
        None => Some(reason.into()),
    }
}

/// Whether a partition acknowledges a record before the deadline.
async fn acknowledges(
    session: &Arc<Session>,
    worker: &Worker,
    topic: &str,
    partition: i32,
    deadline: Instant,
) -> bool {
    let mut process = Process::new(session, worker.endpoint().to_string());
    process.turn_to(topic);
    loop {
        let revived = worker.revive().await;
        let driver = worker.driver();
        if revived.is_ok()
            && process
                .send(&driver, partition, PAYLOAD_BYTES)
                .await
                .is_ok()
        {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::Silent;
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

    #[test]
    fn a_stuck_partition_is_excused_only_if_it_has_lost_its_leader_since() {
        let silent = |partitions: &[i32]| Lack {
            reason: "no leader".to_owned(),
            silent: partitions
                .iter()
                .map(|&partition| Silent {
                    topic: "t".to_owned(),
                    partition,
                    replicas: vec!["n1".to_owned()],
                })
                .collect(),
        };
        for (now, is_silence) in [(&[0, 1, 2][..], true), (&[0, 1], false), (&[], false)] {
            let stuck = BTreeSet::from([1, 2]);
            let lack = lack_of(Some(silent(&[0])), &stuck).expect("a lack");
            assert!(lack.is_more_than_silence(), "{lack:?}");
            let topic = || "t".to_owned();
            let mut progress = Progress {
                after_ms: BTreeMap::new(),
                missing: Missing::from([(topic(), lack)]),
                stuck: BTreeMap::from([(topic(), stuck)]),
            };
            progress.take_in(&Missing::from([(topic(), silent(now))]));
            assert_eq!(
                !progress.missing["t"].is_more_than_silence(),
                is_silence,
                "{now:?}"
            );
        }
        assert_eq!(lack_of(None, &BTreeSet::new()), None);
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
