//! Membership of a group: subscribe, join, heartbeats, commits, and what listeners are told.
//!
//! In: topics to read. Out: partitions to read from their committed offsets, and commits. All of it
//! moves within `poll`, heartbeats and joins in flight aside.
//! Invariants: no record of a partition is given out before its `assigned` and `resumed` have
//! returned, and none after `revoked` or `lost` began; what is auto-committed was given out by an
//! earlier poll.
//! Source: the Java client's `ConsumerCoordinator` and `AbstractCoordinator`; KIP-429 (a
//! cooperative member keeps what does not move).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::assignor::AssignorKind;
use crate::client::cluster::{Cluster, ClusterConfig};
use crate::client::error::ClientError;
use crate::id::TopicPartition;

mod attend;
mod commit;
mod consume;
mod coordinator;
mod heartbeat;
mod join;
mod listener;
mod member_id;
#[cfg(test)]
mod member_test;
#[cfg(test)]
mod modes_test;
#[cfg(test)]
mod script;
mod state;
#[cfg(test)]
mod static_test;
mod watch;

use commit::Committer;
use coordinator::Coordinator;
use join::{Join, JoinEnd, Watched};
use member_id::MemberId;
use state::{Identity, Shared};

pub(in crate::client) use consume::refuse_negative;
pub use listener::{
    BoxFuture, CommitAttempt, CommitMode, CommitObserver, Commits, RebalanceEvent,
    RebalanceListener, ResumeSource, Resumption,
};

/// The settings of a member; the defaults are those of Kafka's Java client.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.id`.
    pub group_id: String,
    /// `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// `session.timeout.ms`: also how long it gives out records without a word of the coordinator,
    /// which there is none of while it joins.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`, which is also the rebalance timeout.
    pub max_poll_interval: Duration,
    /// `partition.assignment.strategy`, most preferred first.
    pub assignors: Vec<AssignorKind>,
    /// `enable.auto.commit`.
    pub enable_auto_commit: bool,
    /// `auto.commit.interval.ms`.
    pub auto_commit_interval: Duration,
    /// `default.api.timeout.ms`: how long a synchronous commit may take with its retries.
    pub api_timeout: Duration,
    /// Sees every commit.
    pub observer: Option<Arc<dyn CommitObserver>>,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            group_id: String::new(),
            group_instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_mins(5),
            assignors: vec![AssignorKind::Range, AssignorKind::CooperativeSticky],
            enable_auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
            api_timeout: Duration::from_mins(1),
            observer: None,
        }
    }
}

/// Who a consumer is in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group.
    pub group_id: String,
    /// The broker's id of the member; empty before it is one.
    pub member_id: String,
    /// The generation; negative while it is no member.
    pub generation_id: i32,
}

/// What a consumer with a group holds beyond its positions.
pub(super) struct Membership {
    config: GroupConfig,
    committer: Committer,
    /// Empty before `subscribe` and after `unsubscribe`.
    topics: Vec<String>,
    listener: Option<Box<dyn RebalanceListener>>,
    /// Another instance has taken this one's place: it must not take it back.
    is_fenced: bool,
    /// The last assignment and its generation.
    last: Option<(Vec<TopicPartition>, i32)>,
    /// At most one.
    joining: JoinSet<Result<JoinEnd, ClientError>>,
    /// What the present generation knows of this member's wishes.
    joined_topics: Vec<String>,
    /// If this member leads: what the assignment is based on.
    watched: Option<Watched>,
    /// The metadata that was compared with it.
    compared: u64,
    next_refresh: Instant,
    heartbeats: JoinSet<()>,
    /// Asynchronous commits, which end by themselves.
    commits: JoinSet<()>,
    next_auto_commit: Instant,
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("config", &self.config)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

impl Membership {
    /// A membership that has not begun.
    pub(super) fn new(
        config: GroupConfig,
        cluster: ClusterConfig,
        retry_backoff: Duration,
    ) -> Result<Self, ClientError> {
        validate(&config)?;
        let coordinator = Coordinator::new(Cluster::new(cluster)?, &config.group_id);
        let committer = Committer {
            coordinator: Arc::new(coordinator),
            shared: Arc::new(Shared::new()),
            config: config.clone(),
            retry_backoff,
            turn: Arc::default(),
        };
        Ok(Self {
            next_auto_commit: Instant::now() + config.auto_commit_interval,
            config,
            committer,
            topics: Vec::new(),
            listener: None,
            is_fenced: false,
            last: None,
            joining: JoinSet::new(),
            joined_topics: Vec::new(),
            watched: None,
            compared: 0,
            next_refresh: Instant::now(),
            heartbeats: JoinSet::new(),
            commits: JoinSet::new(),
        })
    }

    fn shared(&self) -> &Shared {
        &self.committer.shared
    }

    fn identity(&self) -> Identity {
        self.shared().identity()
    }

    /// Whether members keep their partitions while they join: only if every assignor that the
    /// group may choose says so.
    fn is_cooperative(&self) -> bool {
        self.config.assignors.iter().all(|a| a.is_cooperative())
    }

    /// Begins to beat; once.
    fn start_heartbeats(&mut self) {
        if self.heartbeats.is_empty() {
            self.heartbeats.spawn(heartbeat::beat(
                Arc::clone(&self.committer.coordinator),
                Arc::clone(&self.committer.shared),
                self.config.clone(),
            ));
        }
    }

    /// Begins to join, owning `owned`.
    fn start_join(&mut self, cluster: &Arc<Cluster>, owned: Vec<TopicPartition>) {
        let identity = self.identity();
        let last = if owned.is_empty() {
            // An eager member has given everything up by now; the sticky assignor asks for it.
            self.last.clone().filter(|_| !self.is_cooperative())
        } else {
            Some((owned.clone(), identity.generation_id))
        };
        self.shared().begin_join();
        let is_stored = self.shared().is_stored(&identity.member_id);
        let join = Join {
            coordinator: Arc::clone(&self.committer.coordinator),
            cluster: Arc::clone(cluster),
            shared: Arc::clone(&self.committer.shared),
            config: self.config.clone(),
            member_id: MemberId::new(identity.member_id, is_stored),
            topics: self.topics.clone(),
            owned,
            last,
            retry_backoff: self.committer.retry_backoff,
        };
        self.joining.spawn(join.run());
    }

    fn event(&self, partitions: Vec<TopicPartition>) -> RebalanceEvent {
        let identity = self.identity();
        RebalanceEvent {
            member_id: identity.member_id,
            generation_id: identity.generation_id,
            partitions,
        }
    }
}

fn validate(config: &GroupConfig) -> Result<(), ClientError> {
    let problem = if config.group_id.is_empty() {
        "group.id is empty: name the group"
    } else if config.assignors.is_empty() {
        "partition.assignment.strategy is empty: name an assignor"
    } else if config.heartbeat_interval >= config.session_timeout {
        "heartbeat.interval.ms must be below session.timeout.ms"
    } else {
        return Ok(());
    };
    Err(ClientError::invalid(problem))
}

/// Offsets of positions, for a commit.
type Positions = commit::Offsets;
