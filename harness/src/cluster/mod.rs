//! The cluster under test: nodes of this broker, each a process in a namespace of its own.
//!
//! In: a plan, a sandbox and the run's directory. Out: a cluster that serves, the view of it that
//! targets are resolved against, and whether it has recovered.
//! Invariant: the harness knows the cluster only by its wire protocol, its processes and its files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::broker::OFFSETS_TOPIC;
use broker::client::NewTopic;
use checkers::history::Key;
use tokio::time::Instant;

use crate::cluster::agreement::AgreedPartition;
use crate::cluster::observer::Observer;
use crate::nemesis::PartitionState;
use crate::plan::Plan;
use crate::run::events::{NodeSample, PartitionSample, ProcessState};
use crate::run::failure::RunFailure;
use crate::run::store::Store;
use crate::sandbox::{Endpoint, Sandbox, Status, Supervisor};

pub mod agreement;
pub mod assumptions;
pub mod node;
pub mod observer;
pub mod patience;
pub mod recovery;
pub mod role;
pub mod view;
pub mod visible;

/// Between two looks at a condition that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// A cluster whose processes have been started.
#[derive(Clone, Debug)]
pub struct Cluster {
    plan: Arc<Plan>,
    supervisor: Supervisor,
    observer: Observer,
    store: Store,
}

/// The endpoints of a plan's nodes.
pub fn node_endpoints(plan: &Plan) -> impl Iterator<Item = Endpoint> {
    (1..=plan.cluster.nodes as i32).map(Endpoint::Node)
}

impl Cluster {
    /// Writes the nodes' configurations and starts their processes.
    pub fn start(
        plan: &Arc<Plan>,
        sandbox: &Sandbox,
        supervisor: &Supervisor,
        store: &Store,
        observer: &Observer,
    ) -> Result<Self, RunFailure> {
        for endpoint in node_endpoints(plan) {
            let spec = node::prepare(plan, sandbox, store, endpoint)?;
            supervisor
                .start(endpoint, spec)
                .map_err(RunFailure::harness)?;
        }
        Ok(Self {
            plan: Arc::clone(plan),
            supervisor: supervisor.clone(),
            observer: observer.clone(),
            store: store.clone(),
        })
    }

    /// Waits until all nodes are registered, and creates the topics.
    pub async fn wait_until_serving(&self) -> Result<(), RunFailure> {
        let limit = Duration::from_millis(self.plan.time.start_deadline_ms);
        let deadline = Instant::now() + limit;
        let mut created = false;
        let mut reason = "no node answers".to_owned();
        while Instant::now() < deadline {
            if let Some(death) = self.first_death() {
                return Err(RunFailure::Harness(death));
            }
            match self.observer.look().await {
                Err(error) => reason = error,
                Ok(view) if !created => match view.missing_nodes(&self.plan) {
                    Some(missing) => reason = missing,
                    None => match self.create_topics().await {
                        Ok(()) => created = true,
                        Err(error) => reason = error,
                    },
                },
                Ok(view) => match view.lack(&self.plan) {
                    Some(lack) => reason = lack.reason,
                    None => return Ok(()),
                },
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(RunFailure::Harness(format!(
            "the cluster did not serve within {limit:?}: {reason}; see {}",
            self.store.root().join("nodes").display()
        )))
    }

    /// The harness's own view of the cluster, and the way to a fresh one.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// The nodes with the copies of each partition, as `n2`, by the last view.
    pub fn replicas(&self) -> BTreeMap<Key, Vec<String>> {
        let state = self.observer.last_view();
        let state = state.state(&self.plan.cluster.topic, Vec::new());
        let under_test = |held: &PartitionState| held.topic != OFFSETS_TOPIC;
        let partitions = state.partitions.into_iter().filter(under_test);
        let replicas = partitions.map(|held| {
            let nodes = held.replicas.iter().map(|id| format!("n{id}"));
            (Key::new(&held.topic, held.partition), nodes.collect())
        });
        replicas.collect()
    }

    /// What every node does, by the last view.
    pub fn sample(&self) -> Vec<NodeSample> {
        let view = self.observer.last_view();
        let sample = |endpoint: Endpoint| {
            let id = endpoint.broker()?;
            let leads = view.partitions_where(|partition| partition.leader == Some(id));
            let led = leads.iter().filter_map(|index| view.partition(*index));
            Some(NodeSample {
                node: id.0,
                process: match self.supervisor.status(endpoint) {
                    Some(Status::Running(_)) => ProcessState::Running,
                    Some(Status::Paused(_)) => ProcessState::Paused,
                    Some(Status::Exited(_)) | None => ProcessState::Dead,
                },
                is_controller: view.controller == Some(id),
                epochs: led.map(|partition| partition.leader_epoch).collect(),
                leads,
                in_sync: view.partitions_where(|partition| partition.isr.contains(&id)),
            })
        };
        node_endpoints(&self.plan).filter_map(sample).collect()
    }

    /// Who holds the partitions of the plan's further topics, by the last view.
    pub fn sample_further(&self) -> BTreeMap<String, Vec<PartitionSample>> {
        let view = self.observer.last_view();
        let sample = |AgreedPartition { now, .. }: AgreedPartition| PartitionSample {
            partition: now.partition,
            leader: now.leader.map(|id| id.0),
            leader_epoch: now.leader_epoch,
            isr: now.isr.iter().map(|id| id.0).collect(),
        };
        let further = view.further.into_iter();
        further
            .map(|(topic, partitions)| (topic, partitions.into_iter().map(sample).collect()))
            .collect()
    }

    /// A sentence about a node that ended although nobody asked for it.
    pub fn first_death(&self) -> Option<String> {
        let exits = self.supervisor.unexpected_exits();
        let (endpoint, exit) = exits.into_iter().find(|(endpoint, _)| endpoint.is_node())?;
        let how = match (exit.code, exit.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "unknown cause".to_owned(),
        };
        let last = node::last_words(&self.store, endpoint);
        Some(format!(
            "{endpoint} ended by itself ({how}); its last words: {last}"
        ))
    }

    async fn create_topics(&self) -> Result<(), String> {
        for topic in self.plan.topics() {
            let min_isr = topic.min_insync_replicas.to_string();
            let new = NewTopic {
                name: topic.name,
                partitions: topic.partitions,
                replication_factor: topic.replication_factor,
                configs: vec![("min.insync.replicas".to_owned(), min_isr)],
            };
            self.observer.create_topic(new).await?;
        }
        Ok(())
    }
}
