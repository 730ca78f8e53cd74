//! The consumer, in assign mode: positions, fetches and offset resets.
//!
//! In: partitions to read, positions. Out: records in offset order for each partition.
//! At most one fetch is on its way to each broker, and one lookup of each partition's position, so
//! a frozen broker holds up only its own partitions. What a fetch brings is used only if the
//! position is still where the fetch began.
//! Invariant: the records of a partition come out in strictly growing offsets from the position,
//! without a gap that the broker did not tell of; a position moves only by `poll`, `seek`, or the
//! reset policy.

mod batch_reader;
#[cfg(test)]
mod consumer_test;
mod fetch;
pub mod group;
mod lookup;
mod offsets;
mod position;

pub(super) use offsets::{OffsetQuery, list_offset};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::client::cluster::{Cluster, ClusterConfig};
use crate::client::error::ClientError;
use crate::client::types::ConsumerRecord;
use crate::config::sabotage::{Sabotage, planted};
use crate::id::{BrokerId, TopicPartition};
use crate::offset::Offset;
use fetch::{FetchResult, Fetched};

use group::{GroupConfig, Membership};
use lookup::Lookups;
use position::{Position, Wanted};

/// What to do where a partition has no position, or one that its log does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// Go to the end.
    Latest,
    /// Go to the beginning.
    Earliest,
    /// Tell the application, which must `seek`.
    None,
}

/// A consumer's configuration; the defaults are those of Kafka's Java client.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// Addresses to learn the cluster from.
    pub bootstrap: Vec<SocketAddr>,
    /// `client.id`.
    pub client_id: String,
    /// `auto.offset.reset`.
    pub auto_offset_reset: AutoOffsetReset,
    /// `max.poll.records`.
    pub max_poll_records: usize,
    /// `fetch.max.wait.ms`.
    pub fetch_max_wait: Duration,
    /// `fetch.min.bytes`.
    pub fetch_min_bytes: i32,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: i32,
    /// `max.partition.fetch.bytes`.
    pub partition_fetch_bytes: i32,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `retry.backoff.ms`.
    pub retry_backoff: Duration,
    /// `metadata.max.age.ms`: how soon the leader of a group sees that a topic has grown.
    pub metadata_max_age: Duration,
    /// What makes it able to join a group, commit, and ask for committed offsets.
    pub group: Option<GroupConfig>,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            client_id: "verdict".into(),
            auto_offset_reset: AutoOffsetReset::Latest,
            max_poll_records: 500,
            fetch_max_wait: Duration::from_millis(500),
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 * 1024 * 1024,
            partition_fetch_bytes: 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            retry_backoff: Duration::from_millis(100),
            metadata_max_age: Duration::from_mins(5),
            group: None,
        }
    }
}

/// A consumer. Dropping it ends its fetches.
#[derive(Debug)]
pub struct Consumer {
    cluster: Arc<Cluster>,
    config: ConsumerConfig,
    positions: BTreeMap<TopicPartition, Position>,
    /// Records fetched and not yet polled.
    buffered: VecDeque<ConsumerRecord>,
    lookups: Lookups,
    fetches: JoinSet<FetchResult>,
    fetching: BTreeSet<BrokerId>,
    /// Brokers whose last fetch failed are left alone until then.
    backoff: BTreeMap<BrokerId, Instant>,
    group: Option<Membership>,
}

impl Consumer {
    /// Starts a consumer without partitions; it needs a running tokio runtime.
    ///
    /// # Errors
    /// `Invalid` for a wrong configuration, `Retriable` if no bootstrap address answers.
    pub async fn start(config: ConsumerConfig) -> Result<Self, ClientError> {
        if config.max_poll_records == 0 {
            return Err(ClientError::invalid("max_poll_records must be at least 1"));
        }
        let cluster_config = ClusterConfig {
            bootstrap: config.bootstrap.clone(),
            client_id: config.client_id.clone(),
            request_timeout: config.request_timeout,
        };
        let cluster = Cluster::new(cluster_config.clone())?;
        let group = config
            .group
            .clone()
            .map(|group| Membership::new(group, cluster_config, config.retry_backoff))
            .transpose()?;
        cluster.refresh(Some(&[]), 0, false).await?;
        Ok(Self {
            cluster: Arc::new(cluster),
            config,
            positions: BTreeMap::new(),
            buffered: VecDeque::new(),
            lookups: Lookups::default(),
            fetches: JoinSet::new(),
            fetching: BTreeSet::new(),
            backoff: BTreeMap::new(),
            group,
        })
    }

    /// Reads exactly `partitions` from now on. Partitions that were assigned before keep their
    /// positions.
    pub fn assign(&mut self, partitions: Vec<TopicPartition>) {
        let mut old = std::mem::take(&mut self.positions);
        for partition in partitions {
            let position = old.remove(&partition).unwrap_or_default();
            self.positions.insert(partition, position);
        }
        let positions = &self.positions;
        self.buffered
            .retain(|record| positions.contains_key(&partition_of(record)));
    }

    /// The assigned partitions.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.positions.keys().cloned().collect()
    }

    /// Makes `offset` the next offset to be polled.
    ///
    /// # Errors
    /// `Invalid` if the partition is not assigned or the offset negative.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), ClientError> {
        if offset < 0 {
            return Err(ClientError::invalid(format!(
                "cannot seek to the negative offset {offset}"
            )));
        }
        self.move_to(
            partition,
            Wanted::At {
                offset,
                leader_epoch: None,
            },
        )
    }

    /// Makes the beginning of the log the next offset to be polled.
    ///
    /// # Errors
    /// `Invalid` if the partition is not assigned.
    pub fn seek_to_beginning(&mut self, partition: &TopicPartition) -> Result<(), ClientError> {
        self.move_to(partition, Wanted::Beginning)
    }

    /// Makes the end of the log, as it is at the next poll, the next offset to be polled.
    ///
    /// # Errors
    /// `Invalid` if the partition is not assigned.
    pub fn seek_to_end(&mut self, partition: &TopicPartition) -> Result<(), ClientError> {
        self.move_to(partition, Wanted::End)
    }

    fn move_to(&mut self, partition: &TopicPartition, wanted: Wanted) -> Result<(), ClientError> {
        let Some(position) = self.positions.get_mut(partition) else {
            return Err(ClientError::invalid(format!(
                "{partition} is not assigned: assign it first"
            )));
        };
        position.want(wanted);
        self.buffered
            .retain(|record| partition_of(record) != *partition);
        Ok(())
    }

    /// The offset of the next record that `poll` will return; `None` before it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        match self.positions.get(partition)?.wanted {
            Wanted::At { offset, .. } => Some(offset),
            Wanted::Unknown | Wanted::Committed | Wanted::Beginning | Wanted::End => None,
        }
    }

    /// Waits up to `limit` for records and returns at most `max_poll_records` of them; none if
    /// none came.
    ///
    /// # Errors
    /// `Invalid` with `AutoOffsetReset::None` and no valid position: `seek` is the way out.
    pub async fn poll(&mut self, limit: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let deadline = Instant::now() + limit;
        loop {
            if !self.attend(deadline).await? {
                if Instant::now() >= deadline {
                    return Ok(Vec::new());
                }
                sleep_until((Instant::now() + self.config.retry_backoff).min(deadline)).await;
                continue;
            }
            if !self.buffered.is_empty() {
                return Ok(self.take_records());
            }
            self.start_lookups()?;
            self.start_fetches().await;
            let retry_at = Instant::now() + self.config.retry_backoff;
            tokio::select! {
                Some(fetched) = self.fetches.join_next(), if !self.fetches.is_empty() => {
                    let fetched =
                        fetched.expect("invariant: a fetch neither panics nor is aborted");
                    self.take_in(fetched).await?;
                }
                Some(lookup) = self.lookups.next(), if !self.lookups.is_empty() => {
                    self.take_in_lookup(lookup).await;
                }
                () = sleep_until(retry_at.min(deadline)) => {}
            }
            if self.buffered.is_empty() && Instant::now() >= deadline {
                return Ok(Vec::new());
            }
        }
    }

    fn take_records(&mut self) -> Vec<ConsumerRecord> {
        let records = self.give_out();
        if planted(Sabotage::AutoCommitOfCurrentPoll) {
            self.auto_commit_if_due();
        }
        records
    }

    fn give_out(&mut self) -> Vec<ConsumerRecord> {
        let count = self.buffered.len().min(self.config.max_poll_records);
        let records: Vec<_> = self.buffered.drain(..count).collect();
        for record in &records {
            if let Some(position) = self.positions.get_mut(&partition_of(record)) {
                let leader_epoch = Some(record.leader_epoch);
                position.wanted = Wanted::At {
                    offset: record.offset + 1,
                    leader_epoch,
                };
            }
        }
        // A partition whose records are all out may have moved past control records behind them.
        for (partition, position) in &mut self.positions {
            let drained = !self
                .buffered
                .iter()
                .any(|record| partition_of(record) == *partition);
            if drained {
                position.catch_up();
            }
        }
        records
    }

    /// The first offsets of `partitions`.
    ///
    /// # Errors
    /// `Retriable` if a leader does not answer in the request timeout.
    pub async fn beginning_offsets(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.offsets(partitions, OffsetQuery::Earliest).await
    }

    /// The offsets behind the last readable records of `partitions`: their high watermarks.
    ///
    /// # Errors
    /// `Retriable` if a leader does not answer in the request timeout.
    pub async fn end_offsets(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.offsets(partitions, OffsetQuery::Latest).await
    }

    async fn offsets(
        &mut self,
        partitions: &[TopicPartition],
        query: OffsetQuery,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        let deadline = Instant::now() + self.config.request_timeout;
        let mut offsets = BTreeMap::new();
        for partition in partitions {
            let backoff = self.config.retry_backoff;
            let found = list_offset(&self.cluster, partition, query, deadline, backoff).await?;
            offsets.insert(partition.clone(), found.offset);
        }
        Ok(offsets)
    }

    async fn start_fetches(&mut self) {
        let now = Instant::now();
        self.backoff.retain(|_, until| *until > now);
        for (broker, partitions) in self.partitions_by_leader().await {
            if self.fetching.contains(&broker) || self.backoff.contains_key(&broker) {
                continue;
            }
            self.fetching.insert(broker);
            let cluster = Arc::clone(&self.cluster);
            let config = self.config.clone();
            self.fetches
                .spawn(fetch::fetch(cluster, config, broker, partitions));
        }
    }

    /// Partitions that need records, by leader, each with where to fetch from.
    async fn partitions_by_leader(&mut self) -> BTreeMap<BrokerId, Vec<fetch::Wish>> {
        let unknown: BTreeSet<String> = self
            .positions
            .keys()
            .filter(|p| {
                self.cluster
                    .partition(&p.topic, p.partition)
                    .is_none_or(|m| m.leader.is_none())
            })
            .map(|p| p.topic.to_string())
            .collect();
        if !unknown.is_empty() {
            let topics: Vec<_> = unknown.into_iter().collect();
            let seen = self.cluster.generation();
            if let Err(error) = self.cluster.refresh(Some(&topics), seen, false).await {
                tracing::debug!(%error, "no metadata");
            }
        }
        let mut by_leader: BTreeMap<BrokerId, Vec<fetch::Wish>> = BTreeMap::new();
        for (partition, position) in &self.positions {
            let Some(metadata) = self
                .cluster
                .partition(&partition.topic, partition.partition)
            else {
                continue;
            };
            if let (Some(leader), Some(offset)) = (metadata.leader, position.next_fetch()) {
                by_leader.entry(leader).or_default().push(fetch::Wish {
                    partition: partition.clone(),
                    offset,
                    leader_epoch: metadata.leader_epoch,
                    position_epoch: position.unconfirmed_epoch(metadata.leader_epoch),
                });
            }
        }
        by_leader
    }

    /// Takes in what a fetch brought.
    async fn take_in(&mut self, result: FetchResult) -> Result<(), ClientError> {
        self.fetching.remove(&result.broker);
        let mut refresh = result.failed;
        for (wish, fetched) in result.partitions {
            let Some(position) = self.positions.get_mut(&wish.partition) else {
                continue;
            };
            // A seek overtook the fetch.
            if position.next_fetch() != Some(wish.offset) {
                continue;
            }
            match fetched {
                Fetched::Records {
                    records,
                    next_offset,
                } => {
                    position.fetch_from = Some(next_offset);
                    position.confirmed_epoch = wish.leader_epoch;
                    if records.is_empty() {
                        position.catch_up();
                    }
                    self.buffered.extend(records);
                }
                Fetched::StaleLeader => refresh = true,
                Fetched::Truncated { end_offset } => {
                    tracing::warn!(partition = %wish.partition, from = wish.offset, to = end_offset,
                        "the log was truncated below the position");
                    if self.config.auto_offset_reset == AutoOffsetReset::None {
                        return Err(truncated(&wish, end_offset));
                    }
                    position.want(end_offset.map_or(Wanted::Unknown, |offset| Wanted::At {
                        offset,
                        leader_epoch: None,
                    }));
                }
                Fetched::OutOfRange => {
                    if self.config.auto_offset_reset == AutoOffsetReset::None {
                        return Err(out_of_range(&wish));
                    }
                    position.want(Wanted::Unknown);
                }
                Fetched::Corrupt(error) => return Err(error),
            }
        }
        if refresh {
            let until = Instant::now() + self.config.retry_backoff;
            self.backoff.insert(result.broker, until);
            self.refresh_assigned().await;
        }
        Ok(())
    }

    async fn refresh_assigned(&self) {
        let topics: BTreeSet<String> = self
            .positions
            .keys()
            .map(|partition| partition.topic.to_string())
            .collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let seen = self.cluster.generation();
        // The next poll tries again.
        if let Err(error) = self.cluster.refresh(Some(&topics), seen, false).await {
            tracing::debug!(%error, "no metadata");
        }
    }
}

fn partition_of(record: &ConsumerRecord) -> TopicPartition {
    TopicPartition::new(record.topic.as_str(), record.partition)
}

fn no_position(partition: &TopicPartition) -> ClientError {
    ClientError::invalid(format!(
        "{partition} has no position and auto.offset.reset is none: seek to an offset first"
    ))
}

fn out_of_range(wish: &fetch::Wish) -> ClientError {
    ClientError::invalid(format!(
        "offset {} of {} is out of range and auto.offset.reset is none: seek to a valid offset",
        wish.offset, wish.partition
    ))
}

fn truncated(wish: &fetch::Wish, end_offset: Option<Offset>) -> ClientError {
    let to = end_offset.map_or("an earlier epoch".to_owned(), |offset| offset.to_string());
    ClientError::invalid(format!(
        "the log of {} was truncated to {to}, below the position {}, and \
         auto.offset.reset is none: seek to a valid offset",
        wish.partition, wish.offset
    ))
}
