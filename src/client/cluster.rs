//! What a client knows of the cluster: brokers, leaders, and one connection to each broker.
//!
//! In: bootstrap addresses. Out: the leader of a partition, a connection to a broker.
//! Knowledge is a cache: every use may fail with a stale leader, and then `refresh` asks the next
//! broker. A frozen broker delays a refresh by `ATTEMPT_MAX` at most, since the brokers take turns.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::Instant;

use crate::client::connection::{CallError, Connection};
use crate::client::error::ClientError;
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId};
use crate::offset::LeaderEpoch;

/// How long one broker may take to answer a metadata request before the next is asked.
const ATTEMPT_MAX: Duration = Duration::from_secs(1);
/// The metadata version in use: the first with everything a client reads is 12.
const METADATA_VERSION_MAX: i16 = 12;

/// How to reach a cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterConfig {
    pub(crate) bootstrap: Vec<SocketAddr>,
    pub(crate) client_id: String,
    pub(crate) request_timeout: Duration,
}

/// A partition as the last metadata response had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    pub(crate) leader: Option<BrokerId>,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) replicas: Vec<BrokerId>,
    pub(crate) isr: Vec<BrokerId>,
    pub(crate) offline: Vec<BrokerId>,
}

/// A topic as the last metadata response had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicMetadata {
    pub(crate) id: TopicId,
    pub(crate) error: Option<ErrorCode>,
    pub(crate) partitions: BTreeMap<i32, PartitionMetadata>,
}

#[derive(Debug, Default)]
struct State {
    cluster_id: Option<String>,
    controller: Option<BrokerId>,
    brokers: BTreeMap<BrokerId, (String, u16)>,
    topics: BTreeMap<String, TopicMetadata>,
    connections: BTreeMap<SocketAddr, Connection>,
    /// Counts metadata responses, so that waiting callers share one refresh.
    generation: u64,
    /// Which candidate the next refresh asks first.
    turn: usize,
}

impl State {
    fn open_connection(&self, address: SocketAddr) -> Option<Connection> {
        let connection = self.connections.get(&address)?;
        (!connection.is_closed()).then(|| connection.clone())
    }
}

/// What one broker tells.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) cluster_id: Option<String>,
    pub(crate) controller: Option<BrokerId>,
    pub(crate) brokers: BTreeMap<BrokerId, (String, u16)>,
    pub(crate) topics: BTreeMap<String, TopicMetadata>,
}

impl From<MetadataResponse> for Told {
    fn from(response: MetadataResponse) -> Self {
        let brokers = response.brokers.into_iter();
        let topics = response.topics.into_iter();
        Self {
            cluster_id: response.cluster_id.map(|id| id.to_string()),
            controller: broker_id(response.controller_id.0),
            brokers: brokers
                .map(|b| (BrokerId(b.node_id.0), (b.host.to_string(), b.port as u16)))
                .collect(),
            topics: topics
                .filter_map(|mut topic| Some((topic.name.take()?.to_string(), topic.into())))
                .collect(),
        }
    }
}

impl From<MetadataResponseTopic> for TopicMetadata {
    fn from(topic: MetadataResponseTopic) -> Self {
        let partitions = topic.partitions.into_iter().map(|p| {
            let metadata = PartitionMetadata {
                leader: broker_id(p.leader_id.0),
                leader_epoch: p.leader_epoch,
                replicas: ids(&p.replica_nodes),
                isr: ids(&p.isr_nodes),
                offline: ids(&p.offline_replicas),
            };
            (p.partition_index, metadata)
        });
        Self {
            id: TopicId(topic.topic_id),
            error: error_code(topic.error_code),
            partitions: partitions.collect(),
        }
    }
}

/// The shared cache of one client.
#[derive(Debug)]
pub(crate) struct Cluster {
    config: ClusterConfig,
    state: Mutex<State>,
    refreshing: tokio::sync::Mutex<()>,
}

impl Cluster {
    pub(crate) fn new(config: ClusterConfig) -> Result<Self, ClientError> {
        if config.bootstrap.is_empty() {
            return Err(ClientError::invalid(
                "bootstrap has no address: name at least one broker as ip:port",
            ));
        }
        Ok(Self {
            config,
            state: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave the cache half-written: every write is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long one request may take.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.config.request_timeout
    }

    /// The number of metadata responses so far; pass it to `refresh`.
    pub(crate) fn generation(&self) -> u64 {
        self.state().generation
    }

    pub(crate) fn cluster_id(&self) -> Option<String> {
        self.state().cluster_id.clone()
    }

    pub(crate) fn controller(&self) -> Option<BrokerId> {
        self.state().controller
    }

    pub(crate) fn brokers(&self) -> Vec<(BrokerId, String, u16)> {
        let state = self.state();
        state
            .brokers
            .iter()
            .map(|(id, (host, port))| (*id, host.clone(), *port))
            .collect()
    }

    pub(crate) fn topic(&self, topic: &str) -> Option<TopicMetadata> {
        self.state().topics.get(topic).cloned()
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<PartitionMetadata> {
        self.state()
            .topics
            .get(topic)?
            .partitions
            .get(&partition)
            .cloned()
    }

    /// Asks for the metadata of `topics` (of every topic if `None`), unless another caller has
    /// done so since `seen`.
    pub(crate) async fn refresh(
        &self,
        topics: Option<&[String]>,
        seen: u64,
        auto_create: bool,
    ) -> Result<(), ClientError> {
        let _one_at_a_time = self.refreshing.lock().await;
        let known = topics.is_some_and(|topics| {
            let state = self.state();
            topics.iter().all(|topic| state.topics.contains_key(topic))
        });
        if known && self.generation() > seen {
            return Ok(());
        }
        let request = metadata_request(topics, auto_create);
        let mut reasons = Vec::new();
        for address in self.candidates().await {
            match self.ask(address, &request).await {
                Ok(response) => {
                    self.learn(response.into());
                    return Ok(());
                }
                Err(error) => reasons.push(format!("{address}: {error}")),
            }
        }
        Err(ClientError::retriable(format!(
            "no broker answered: {}",
            reasons.join("; ")
        )))
    }

    /// Every known address, beginning with the one whose turn it is, then the bootstrap addresses.
    async fn candidates(&self) -> Vec<SocketAddr> {
        let (known, turn) = {
            let mut state = self.state();
            state.turn = state.turn.wrapping_add(1);
            (
                state.brokers.values().cloned().collect::<Vec<_>>(),
                state.turn,
            )
        };
        let mut candidates = Vec::new();
        for (host, port) in known {
            candidates.extend(resolve(&host, port).await);
        }
        let bootstrap = self
            .config
            .bootstrap
            .iter()
            .filter(|a| !candidates.contains(a));
        let bootstrap: Vec<_> = bootstrap.copied().collect();
        candidates.extend(bootstrap);
        let length = candidates.len().max(1);
        candidates.rotate_left(turn % length);
        candidates
    }

    async fn ask(
        &self,
        address: SocketAddr,
        request: &MetadataRequest,
    ) -> Result<MetadataResponse, CallError> {
        let limit = self.config.request_timeout.min(ATTEMPT_MAX);
        self.call_address(address, request, METADATA_VERSION_MAX, limit, ())
            .await
    }

    /// What the broker at `address` alone tells of itself, the cluster and `topics`. The cache does
    /// not learn it: who asks one broker by itself weighs by himself whether it is out of date.
    pub(crate) async fn told_by(
        &self,
        address: SocketAddr,
        topics: &[String],
    ) -> Result<Told, ClientError> {
        let request = metadata_request(Some(topics), false);
        let response = self.ask(address, &request).await;
        let response =
            response.map_err(|error| ClientError::retriable(format!("{address}: {error}")))?;
        Ok(response.into())
    }

    fn learn(&self, told: Told) {
        let mut state = self.state();
        state.cluster_id = told.cluster_id;
        state.controller = told.controller;
        state.brokers = told.brokers;
        for (name, metadata) in told.topics {
            let known = state.topics.get(&name);
            let metadata = known.map_or(metadata.clone(), |old| newer_leaders(old, metadata));
            state.topics.insert(name, metadata);
        }
        state.generation += 1;
    }

    /// Calls the broker `id`, with the highest version up to `version_max` that both sides speak.
    pub(crate) async fn call<R: Request>(
        &self,
        id: BrokerId,
        request: &R,
        version_max: i16,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        self.call_in_turn(id, request, version_max, limit, ()).await
    }

    /// The same; `turn` is dropped as soon as no later call can overtake this one.
    pub(crate) async fn call_in_turn<R: Request>(
        &self,
        id: BrokerId,
        request: &R,
        version_max: i16,
        limit: Duration,
        turn: impl Send,
    ) -> Result<R::Response, CallError> {
        let address = self.address_of(id).await?;
        self.call_address(address, request, version_max, limit, turn)
            .await
    }

    async fn call_address<R: Request>(
        &self,
        address: SocketAddr,
        request: &R,
        version_max: i16,
        limit: Duration,
        turn: impl Send,
    ) -> Result<R::Response, CallError> {
        let deadline = Instant::now() + limit;
        let connection = self.connection(address, limit).await?;
        let version = connection.version::<R>(version_max)?;
        let result = connection
            .call_version(request, version, deadline, turn)
            .await;
        if matches!(result, Err(CallError::Lost(_) | CallError::Malformed(_))) {
            self.forget(address, &connection);
        }
        result
    }

    /// Sends a request that has no response to the broker `id`; `turn` is as in `call_in_turn`.
    pub(crate) async fn send_in_turn<R: Request>(
        &self,
        id: BrokerId,
        request: &R,
        version_max: i16,
        limit: Duration,
        turn: impl Send,
    ) -> Result<(), CallError> {
        let deadline = Instant::now() + limit;
        let address = self.address_of(id).await?;
        let connection = self.connection(address, limit).await?;
        let version = connection.version::<R>(version_max)?;
        connection
            .send_version(request, version, deadline, turn)
            .await
    }

    async fn address_of(&self, id: BrokerId) -> Result<SocketAddr, CallError> {
        let broker = self.state().brokers.get(&id).cloned();
        let (host, port) =
            broker.ok_or_else(|| CallError::NotSent(format!("broker {id} is not known")))?;
        resolve(&host, port)
            .await
            .into_iter()
            .next()
            .ok_or_else(|| CallError::NotSent(format!("no address for {host}:{port}")))
    }

    async fn connection(
        &self,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<Connection, CallError> {
        if let Some(connection) = self.state().open_connection(address) {
            return Ok(connection);
        }
        let opened = Connection::open(address, &self.config.client_id, limit).await;
        // Nothing but ApiVersions has been sent on it, so the caller's request has not left.
        let opened = opened.map_err(|error| CallError::NotSent(error.to_string()))?;
        let mut state = self.state();
        // Two connections to one broker would let a later request overtake an earlier one.
        if let Some(first) = state.open_connection(address) {
            return Ok(first);
        }
        state.connections.insert(address, opened.clone());
        Ok(opened)
    }

    /// Drops a connection whose state is no longer known: its socket may hold half a request.
    fn forget(&self, address: SocketAddr, connection: &Connection) {
        let mut state = self.state();
        if state
            .connections
            .get(&address)
            .is_some_and(|held| held.is_same(connection))
        {
            state.connections.remove(&address);
        }
    }
}

/// A broker that answers from older metadata must not take a client back to an older leader.
fn newer_leaders(old: &TopicMetadata, mut new: TopicMetadata) -> TopicMetadata {
    if old.id == new.id {
        for (index, partition) in &mut new.partitions {
            if let Some(known) = old.partitions.get(index)
                && known.leader_epoch > partition.leader_epoch
            {
                *partition = known.clone();
            }
        }
    }
    new
}

fn metadata_request(topics: Option<&[String]>, auto_create: bool) -> MetadataRequest {
    let topics = topics.map(|topics| {
        let topic = |name: &String| {
            let name = TopicName(StrBytes::from(name.clone()));
            MetadataRequestTopic::default().with_name(Some(name))
        };
        topics.iter().map(topic).collect()
    });
    MetadataRequest::default()
        .with_topics(topics)
        .with_allow_auto_topic_creation(auto_create)
}

async fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(_) => Vec::new(),
    }
}

fn broker_id(id: i32) -> Option<BrokerId> {
    (id >= 0).then_some(BrokerId(id))
}

fn ids(ids: &[kafka_protocol::messages::BrokerId]) -> Vec<BrokerId> {
    ids.iter().map(|id| BrokerId(id.0)).collect()
}

/// The error of a wire code; `None` for 0.
pub(crate) fn error_code(code: i16) -> Option<ErrorCode> {
    ErrorCode::try_from_code(code)
}
