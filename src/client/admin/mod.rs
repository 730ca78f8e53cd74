//! The administrative client: the cluster, its topics, configurations, offsets and groups.
//!
//! In: wishes. Out: descriptions, or errors that tell a refusal from an unknown outcome: a change
//! whose answer is lost may have been made.

#[cfg(test)]
mod brokers_test;
mod configs;
mod group_offsets;
mod groups;
#[cfg(test)]
mod groups_test;
mod topics;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kafka_protocol::protocol::Request;
use tokio::time::{Instant, sleep};

use crate::client::cluster::{Cluster, ClusterConfig, PartitionMetadata, TopicMetadata};
use crate::client::connection::CallError;
use crate::client::consumer::{OffsetQuery, list_offset};
use crate::client::error::ClientError;
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::offset::{LeaderEpoch, Offset};

pub use group_offsets::{CommittedOffset, OffsetSpec, PartitionResults};
pub use groups::{GroupDescription, GroupListing, MemberDescription};
pub use topics::NewTopic;

/// The pause before a question is asked again.
const RETRY_BACKOFF: Duration = Duration::from_millis(50);

/// How to reach a cluster.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Addresses to learn the cluster from.
    pub bootstrap: Vec<SocketAddr>,
    /// `client.id`.
    pub client_id: String,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
}

/// The cluster as a broker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: String,
    /// The active controller, if the broker knows it.
    pub controller: Option<BrokerId>,
    /// The live brokers: id, host, port.
    pub brokers: Vec<(BrokerId, String, u16)>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// The topic's name.
    pub name: String,
    /// The id of this incarnation.
    pub id: TopicId,
    /// The partitions, in order.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// The partition's index.
    pub partition: i32,
    /// The leader, if there is one.
    pub leader: Option<BrokerId>,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The replicas, in order of preference.
    pub replicas: Vec<BrokerId>,
    /// The in-sync replicas.
    pub isr: Vec<BrokerId>,
    /// The replicas whose broker or log directory is down.
    pub offline: Vec<BrokerId>,
}

/// The administrative client.
#[derive(Debug)]
pub struct Admin {
    cluster: Cluster,
}

impl Admin {
    /// Connects to a cluster; it needs a running tokio runtime.
    ///
    /// # Errors
    /// `Retriable` if no bootstrap address answers.
    pub async fn start(config: AdminConfig) -> Result<Self, ClientError> {
        let cluster = Cluster::new(ClusterConfig {
            bootstrap: config.bootstrap,
            client_id: config.client_id,
            request_timeout: config.request_timeout,
        })?;
        cluster.refresh(Some(&[]), 0, false).await?;
        Ok(Self { cluster })
    }

    /// Describes the cluster, freshly asked.
    ///
    /// # Errors
    /// `Retriable` if no broker answers.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        self.cluster
            .refresh(Some(&[]), self.cluster.generation(), false)
            .await?;
        Ok(ClusterDescription {
            cluster_id: self.cluster.cluster_id().unwrap_or_default(),
            controller: self.cluster.controller(),
            brokers: self.cluster.brokers(),
        })
    }

    /// Describes `topics`, freshly asked; topics that do not exist are left out.
    ///
    /// # Errors
    /// `Retriable` if no broker answers.
    pub async fn describe_topics(
        &self,
        topics: &[&str],
    ) -> Result<Vec<TopicDescription>, ClientError> {
        let names: Vec<String> = topics.iter().map(ToString::to_string).collect();
        self.cluster
            .refresh(Some(&names), self.cluster.generation(), false)
            .await?;
        let described = names.into_iter().filter_map(|name| {
            let topic = self.cluster.topic(&name)?;
            described(name, topic)
        });
        Ok(described.collect())
    }

    /// The cluster and `topics` as the broker at `address` alone tells, freshly asked: what a
    /// broker that others cannot reach tells may be out of date. Topics that it does not know are
    /// left out.
    ///
    /// # Errors
    /// `Retriable` if that broker does not answer.
    pub async fn describe_as_told_by(
        &self,
        address: SocketAddr,
        topics: &[&str],
    ) -> Result<(ClusterDescription, Vec<TopicDescription>), ClientError> {
        let names: Vec<String> = topics.iter().map(ToString::to_string).collect();
        let told = self.cluster.told_by(address, &names).await?;
        let brokers = told.brokers.into_iter();
        let cluster = ClusterDescription {
            cluster_id: told.cluster_id.unwrap_or_default(),
            controller: told.controller,
            brokers: brokers.map(|(id, (host, port))| (id, host, port)).collect(),
        };
        let topics = told.topics.into_iter();
        let topics = topics.filter_map(|(name, topic)| described(name, topic));
        Ok((cluster, topics.collect()))
    }

    /// The first offset of each partition.
    ///
    /// # Errors
    /// `Retriable` if a leader does not answer in the request timeout.
    pub async fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.offsets(partitions, OffsetQuery::Earliest).await
    }

    /// The high watermark of each partition.
    ///
    /// # Errors
    /// `Retriable` if a leader does not answer in the request timeout.
    pub async fn end_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.offsets(partitions, OffsetQuery::Latest).await
    }

    /// The end of the leader's log of each partition, at or behind its high watermark.
    ///
    /// # Errors
    /// `Retriable` if a leader does not answer in the request timeout.
    pub async fn log_end_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.offsets(partitions, OffsetQuery::LogEnd).await
    }

    /// The first offset whose record is at or after `timestamp` (milliseconds since the Unix
    /// epoch); `-1` where there is none.
    ///
    /// # Errors
    /// `Retriable` if a leader does not answer in the request timeout, `Invalid` for a negative
    /// timestamp: on the wire those ask for the beginning and the end.
    pub async fn offsets_for_timestamp(
        &self,
        partitions: &[TopicPartition],
        timestamp: i64,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        if timestamp < 0 {
            return Err(ClientError::invalid(format!(
                "the timestamp {timestamp} is before the Unix epoch: ask for one from 0 on"
            )));
        }
        self.offsets(partitions, OffsetQuery::Timestamp(timestamp))
            .await
    }

    async fn offsets(
        &self,
        partitions: &[TopicPartition],
        query: OffsetQuery,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        let deadline = Instant::now() + self.cluster.request_timeout();
        let mut offsets = BTreeMap::new();
        for partition in partitions {
            let found =
                list_offset(&self.cluster, partition, query, deadline, RETRY_BACKOFF).await?;
            offsets.insert(partition.clone(), found.offset);
        }
        Ok(offsets)
    }

    /// Asks any broker that can be reached, one after another, until one answers.
    async fn call_any<R: Request>(
        &self,
        request: &R,
        version_max: i16,
    ) -> Result<R::Response, ClientError> {
        let deadline = Instant::now() + self.cluster.request_timeout();
        loop {
            let mut last = ClientError::retriable("no broker is known");
            for broker in self.controller_first() {
                let limit = deadline.saturating_duration_since(Instant::now());
                match self.cluster.call(broker, request, version_max, limit).await {
                    Ok(response) => return Ok(response),
                    Err(CallError::NotSent(reason)) => last = ClientError::retriable(reason),
                    Err(error @ CallError::Unsupported { .. }) => {
                        return Err(ClientError::invalid(error));
                    }
                    Err(error) => return Err(ClientError::unknown(error)),
                }
            }
            if Instant::now() + RETRY_BACKOFF >= deadline {
                return Err(last);
            }
            sleep(RETRY_BACKOFF).await;
            let seen = self.cluster.generation();
            if let Err(error) = self.cluster.refresh(Some(&[]), seen, false).await {
                tracing::debug!(%error, "no metadata");
            }
        }
    }

    fn controller_first(&self) -> Vec<BrokerId> {
        let controller = self.cluster.controller();
        let mut brokers: Vec<_> = self.cluster.brokers().into_iter().map(|b| b.0).collect();
        brokers.sort_by_key(|broker| Some(*broker) != controller);
        brokers
    }
}

/// A topic as its metadata tells, unless that tells only an error.
fn described(name: String, topic: TopicMetadata) -> Option<TopicDescription> {
    let describe = |(partition, metadata): (i32, PartitionMetadata)| PartitionDescription {
        partition,
        leader: metadata.leader,
        leader_epoch: metadata.leader_epoch,
        replicas: metadata.replicas,
        isr: metadata.isr,
        offline: metadata.offline,
    };
    topic.error.is_none().then(|| TopicDescription {
        name,
        id: topic.id,
        partitions: topic.partitions.into_iter().map(describe).collect(),
    })
}
