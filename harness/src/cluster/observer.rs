//! The harness's own client of the cluster. Faults may cut it off from a node, as any client; then
//! it asks another one.
//!
//! In: questions. Out: the newest view, and answers as sentences where they fail: a question that
//! fails is tried again by whoever waits, within a deadline.
//! Invariants: a view is what a majority of the nodes says, never what one says alone; it is never
//! replaced by one that was asked for earlier.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::broker::OFFSETS_TOPIC;
use broker::client::{Admin, AdminConfig, ClientError, NewTopic};
use broker::error::ErrorCode;
use broker::id::{BrokerId, TopicPartition};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::LOOK;
use crate::cluster::agreement::{Agreed, Told, agree, is_enough};
use crate::cluster::patience::{Found, Patience};
use crate::cluster::view::View;
use crate::nemesis::min_isr::MinIsr;
use crate::nemesis::{BoxFuture, ClusterState, ClusterView, LastKnown};
use crate::plan::Plan;
use crate::sandbox::node_address;

/// How long one question may take: short, because a node that hangs must not blind the harness.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);

/// The setting that the fault `min-isr` changes.
const MIN_ISR: &str = "min.insync.replicas";

/// The harness's client. Clones share connections and view.
#[derive(Clone, Debug)]
pub struct Observer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: AdminConfig,
    admin: OnceCell<Admin>,
    /// All of the plan, its own first, and that of the groups' offsets if it has a group.
    topics: Vec<String>,
    /// Those of them that are under test.
    under_test: usize,
    nodes: Vec<BrokerId>,
    known: Mutex<Known>,
}

/// What a majority told last.
#[derive(Debug, Default)]
struct Known {
    view: View,
    /// When it was asked for.
    asked: Option<Instant>,
}

impl Known {
    /// Takes in what was told to one who asked then, about these topics of which `own` is one,
    /// unless who asked later was told before: of two looks at the same time the older may end
    /// last. The newest view.
    fn take_in(&mut self, asked: Instant, agreed: Agreed, own: &str) -> View {
        if self.asked.is_none_or(|newest| newest <= asked) {
            self.asked = Some(asked);
            self.view.update(agreed.cluster, agreed.topics, own);
        }
        self.view.clone()
    }
}

impl Observer {
    /// An observer of the plan's cluster that has not connected yet.
    pub fn new(plan: &Plan) -> Self {
        let nodes: Vec<_> = (1..=plan.cluster.nodes as i32).map(BrokerId).collect();
        let config = AdminConfig {
            bootstrap: nodes.iter().map(|&id| node_address(id)).collect(),
            client_id: "verdict-observer".to_owned(),
            request_timeout: REQUEST_TIMEOUT,
        };
        let mut topics: Vec<_> = plan.topics().into_iter().map(|topic| topic.name).collect();
        let under_test = topics.len();
        let offsets = plan.workload.group.as_ref();
        topics.extend(offsets.map(|_| OFFSETS_TOPIC.to_owned()));
        let shared = Shared {
            config,
            admin: OnceCell::new(),
            topics,
            under_test,
            nodes,
            known: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Asks afresh; the view with what a majority says taken in, or a newer one.
    ///
    /// # Errors
    /// That no majority of the nodes names one controller; then nothing is known of this moment.
    pub async fn look(&self) -> Result<View, String> {
        let asked = Instant::now();
        let agreed = self.ask_all().await?;
        Ok(self.known().take_in(asked, agreed, self.own_topic()))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = self.shared.known.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks every node by itself, all at once, until they have told enough.
    async fn ask_all(&self) -> Result<Agreed, String> {
        self.admin().await?;
        let nodes = self.shared.nodes.len();
        let mut asked = JoinSet::new();
        for &node in &self.shared.nodes {
            let observer = self.clone();
            asked.spawn(async move {
                let topics = observer.shared.topics.iter();
                let topics: Vec<&str> = topics.map(String::as_str).collect();
                let admin = observer.admin().await.ok()?;
                let told = admin.describe_as_told_by(node_address(node), &topics).await;
                let (cluster, topics) = told.ok()?;
                Some(Told {
                    node,
                    cluster,
                    topics,
                })
            });
        }
        let mut told = Vec::new();
        while let Some(answer) = asked.join_next().await {
            told.extend(answer.ok().flatten());
            if is_enough(&told, nodes) {
                break;
            }
        }
        // They end by themselves, and find out whether their connections are still good.
        asked.detach_all();
        agree(&told, nodes)
    }

    fn own_topic(&self) -> &str {
        self.shared.topics.first().map_or("", String::as_str)
    }

    /// The last view, without asking.
    pub fn last_view(&self) -> View {
        self.known().view.clone()
    }

    /// Creates a topic; that it exists already is as good.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<(), String> {
        match self.admin().await?.create_topic(topic).await {
            Err(error) if error.code == Some(ErrorCode::TopicAlreadyExists) => Ok(()),
            created => created.map_err(|error| error.to_string()),
        }
    }

    /// The end of the log of a partition's leader, replicated or not.
    pub async fn log_end_offset(&self, partition: &TopicPartition) -> Result<i64, String> {
        let asked = std::slice::from_ref(partition);
        let ends = self.admin().await?.log_end_offsets(asked).await;
        only(partition, ends)
    }

    /// The high watermark of a partition: what consumers may read ends there.
    pub async fn high_watermark(&self, partition: &TopicPartition) -> Result<i64, String> {
        let asked = std::slice::from_ref(partition);
        let ends = self.admin().await?.end_offsets(asked).await;
        only(partition, ends)
    }

    /// The effective settings of broker `id`.
    pub async fn broker_settings(&self, id: BrokerId) -> Result<BTreeMap<String, String>, String> {
        let settings = self.admin().await?.describe_broker_configs(id).await;
        settings.map_err(|error| error.to_string())
    }

    /// The effective settings of a topic.
    pub async fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, String>, String> {
        let settings = self.admin().await?.describe_topic_configs(topic).await;
        settings.map_err(|error| error.to_string())
    }

    async fn admin(&self) -> Result<&Admin, String> {
        let start = || Admin::start(self.shared.config.clone());
        self.shared
            .admin
            .get_or_try_init(start)
            .await
            .map_err(|error| error.to_string())
    }
}

fn only(
    partition: &TopicPartition,
    ends: Result<BTreeMap<TopicPartition, i64>, ClientError>,
) -> Result<i64, String> {
    let ends = ends.map_err(|error| error.to_string())?;
    let end = ends.get(partition).copied();
    end.ok_or_else(|| format!("the answer does not name {partition}"))
}

impl ClusterView for Observer {
    fn observe(&self) -> BoxFuture<'_, Result<ClusterState, String>> {
        Box::pin(async {
            let mut patience = Patience::new(Instant::now());
            loop {
                let look = self.look().await;
                if patience.is_over(Found::from(&look), Instant::now()) {
                    return Ok(look?.state(self.own_topic(), self.shared.nodes.clone()));
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    }

    fn last_known(&self) -> Option<LastKnown> {
        let known = self.known();
        let (nodes, own) = (self.shared.nodes.clone(), self.own_topic());
        Some(LastKnown {
            age: known.asked?.elapsed(),
            state: known.view.state(own, nodes),
        })
    }

    fn min_isr(&self) -> BoxFuture<'_, Result<MinIsr, String>> {
        Box::pin(async {
            let mut asked = JoinSet::new();
            let under_test = self.shared.topics.iter().take(self.shared.under_test);
            for topic in under_test.cloned() {
                let observer = self.clone();
                asked.spawn(async move {
                    let settings = observer.topic_settings(&topic).await;
                    let value = |mut settings: BTreeMap<_, _>| settings.remove(MIN_ISR);
                    settings.map(|settings| (topic, value(settings).unwrap_or_default()))
                });
            }
            asked.join_all().await.into_iter().collect()
        })
    }

    fn set_min_isr<'a>(&'a self, values: &'a MinIsr) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            // Side by side, so that the topics change together.
            let mut set = JoinSet::new();
            for (topic, value) in values.clone() {
                let observer = self.clone();
                set.spawn(async move {
                    let admin = observer.admin().await?;
                    let configs = [(MIN_ISR, value.as_str())];
                    let altered = admin.alter_topic_configs(&topic, &configs).await;
                    altered.map_err(|error| error.to_string())
                });
            }
            set.join_all().await.into_iter().collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use broker::client::ClusterDescription;

    use super::*;

    #[test]
    fn a_look_that_began_earlier_and_ends_later_does_not_set_the_view_back() {
        let begin = Instant::now();
        let later = begin + Duration::from_millis(100);
        let told = |controller| Agreed {
            cluster: ClusterDescription {
                cluster_id: String::new(),
                controller: Some(BrokerId(controller)),
                brokers: vec![(BrokerId(controller), String::new(), 0)],
            },
            topics: vec![],
        };
        let mut known = Known::default();
        let newest = known.take_in(later, told(2), "t");
        assert_eq!(newest.controller, Some(BrokerId(2)));
        assert_eq!(known.take_in(begin, told(1), "t"), newest);
        assert_eq!(known.view, newest);
        assert_eq!(known.asked, Some(later));
        let same = known.take_in(later, told(3), "t");
        assert_eq!(same.brokers, [BrokerId(3)]);
    }
}
