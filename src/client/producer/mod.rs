//! The producer: batching, acknowledgement, retries and idempotence.
//!
//! In: records. Out: for each record where it stands, or an error that tells a definite failure
//! from an unknown outcome. Every partition has its own task (`partition`), which owns that
//! partition's batches, their order and, with idempotence, a producer id of its own: a partition
//! whose sequence has to start anew never disturbs another.
//! Invariant: a record is reported as failed only if no attempt to send it can have appended it.

mod attempt;
mod batch;
mod identity;
mod partition;
#[cfg(test)]
mod producer_test;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::client::cluster::{Cluster, ClusterConfig};
use crate::client::error::ClientError;
use crate::client::partitioner::partition_for_key;
use crate::client::types::{ProducerRecord, RecordMetadata};
use crate::id::TopicPartition;
use crate::record::Compression;
use partition::{PartitionSender, Pending};

/// Records that may wait for one partition's task.
const QUEUE_RECORDS_MAX: usize = 10_000;

/// Whose acknowledgement a record needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nobody's: the broker does not even answer.
    Zero,
    /// The leader's.
    One,
    /// Every in-sync replica's (`acks=all`).
    All,
}

impl Acks {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
            Self::All => -1,
        }
    }
}

/// A producer's configuration; the defaults are those of Kafka's Java client.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// Addresses to learn the cluster from.
    pub bootstrap: Vec<SocketAddr>,
    /// `client.id`.
    pub client_id: String,
    /// `acks`.
    pub acks: Acks,
    /// `enable.idempotence`; needs `acks=all`.
    pub idempotence: bool,
    /// `linger.ms`: how long a batch waits for more records.
    pub linger: Duration,
    /// `batch.size`, in bytes before compression.
    pub batch_bytes: usize,
    /// `compression.type`.
    pub compression: Compression,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `delivery.timeout.ms`: how long a record may take, retries included.
    pub delivery_timeout: Duration,
    /// `retry.backoff.ms`.
    pub retry_backoff: Duration,
    /// `max.in.flight.requests.per.connection`, here for each partition; at most 5 with
    /// idempotence. Without idempotence, more than 1 lets a retry overtake.
    pub max_in_flight: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            client_id: "verdict".into(),
            acks: Acks::All,
            idempotence: true,
            linger: Duration::from_millis(5),
            batch_bytes: 16_384,
            compression: Compression::None,
            request_timeout: Duration::from_secs(30),
            delivery_timeout: Duration::from_mins(2),
            retry_backoff: Duration::from_millis(100),
            max_in_flight: 5,
        }
    }
}

impl ProducerConfig {
    fn validate(&self) -> Result<(), ClientError> {
        if self.idempotence && self.acks != Acks::All {
            return Err(ClientError::invalid(format!(
                "idempotence needs acks=all, not {:?}: a leader that answers alone may lose the \
                 sequence it acknowledged",
                self.acks
            )));
        }
        if !(1..=5).contains(&self.max_in_flight) && self.idempotence {
            return Err(ClientError::invalid(format!(
                "max_in_flight is {}, but idempotence allows 1 to 5: brokers remember five batches",
                self.max_in_flight
            )));
        }
        if self.max_in_flight == 0 || self.batch_bytes == 0 {
            return Err(ClientError::invalid(
                "max_in_flight and batch_bytes must be positive",
            ));
        }
        Ok(())
    }
}

/// What all tasks of one producer share.
#[derive(Debug)]
struct Shared {
    cluster: Cluster,
    config: ProducerConfig,
    /// Records without a result.
    outstanding: watch::Sender<usize>,
}

/// A producer. Its records are sent in the background; dropping it abandons what is queued.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    partitions: Mutex<BTreeMap<TopicPartition, mpsc::Sender<Pending>>>,
    turn: AtomicU32,
}

impl Producer {
    /// Starts a producer; it needs a running tokio runtime.
    ///
    /// # Errors
    /// `Invalid` for a contradictory configuration, `Retriable` if no bootstrap address answers.
    pub async fn start(config: ProducerConfig) -> Result<Self, ClientError> {
        config.validate()?;
        let cluster = Cluster::new(ClusterConfig {
            bootstrap: config.bootstrap.clone(),
            client_id: config.client_id.clone(),
            request_timeout: config.request_timeout,
        })?;
        cluster.refresh(Some(&[]), 0, false).await?;
        let outstanding = watch::Sender::new(0);
        let shared = Arc::new(Shared {
            cluster,
            config,
            outstanding,
        });
        Ok(Self {
            shared,
            partitions: Mutex::default(),
            turn: AtomicU32::new(0),
        })
    }

    /// Sends a record and waits for its result. Dropping the future does not stop the record: its
    /// outcome is then unknown.
    ///
    /// # Errors
    /// `UnknownOutcome` if the record may be in the log; any other kind if it certainly is not.
    pub async fn send(&self, record: ProducerRecord) -> Result<RecordMetadata, ClientError> {
        let partition = self.choose_partition(&record).await?;
        let (reply, result) = oneshot::channel();
        let deadline = tokio::time::Instant::now() + self.shared.config.delivery_timeout;
        let pending = Pending {
            record,
            deadline,
            reply,
        };
        let queue = self.queue(&TopicPartition::new(
            pending.record.topic.as_str(),
            partition,
        ));
        self.shared.outstanding.send_modify(|count| *count += 1);
        let queued = queue.send(pending).await;
        let result = match queued {
            Ok(()) => result.await.unwrap_or_else(|_| {
                Err(ClientError::unknown(
                    "the producer stopped before the record had a result",
                ))
            }),
            Err(_) => Err(ClientError::closed()),
        };
        self.shared.outstanding.send_modify(|count| *count -= 1);
        result
    }

    /// Waits until every record handed to `send` so far has a result.
    pub async fn flush(&self) {
        let mut outstanding = self.shared.outstanding.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = outstanding.wait_for(|count| *count == 0).await;
    }

    /// Sends what is queued, then stops.
    pub async fn close(self) {
        self.flush().await;
    }

    fn queue(&self, partition: &TopicPartition) -> mpsc::Sender<Pending> {
        let mut partitions = self
            .partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = partitions.get(partition) {
            return queue.clone();
        }
        let (queue, records) = mpsc::channel(QUEUE_RECORDS_MAX);
        let sender = PartitionSender::new(Arc::clone(&self.shared), partition.clone(), records);
        tokio::spawn(sender.run());
        partitions.insert(partition.clone(), queue.clone());
        queue
    }

    async fn choose_partition(&self, record: &ProducerRecord) -> Result<i32, ClientError> {
        if let Some(partition) = record.partition {
            return Ok(partition);
        }
        let count = self.partition_count(&record.topic).await?;
        Ok(match &record.key {
            Some(key) => partition_for_key(key, count),
            None => (self.turn.fetch_add(1, Ordering::Relaxed) % count.cast_unsigned()) as i32,
        })
    }

    async fn partition_count(&self, topic: &str) -> Result<i32, ClientError> {
        let deadline = tokio::time::Instant::now() + self.shared.config.delivery_timeout;
        loop {
            let cluster = &self.shared.cluster;
            let seen = cluster.generation();
            if let Some(known) = cluster.topic(topic)
                && !known.partitions.is_empty()
            {
                return Ok(known.partitions.len() as i32);
            }
            let refreshed = cluster.refresh(Some(&[topic.to_owned()]), seen, true).await;
            if tokio::time::Instant::now() > deadline {
                refreshed?;
                let message = format!("topic {topic} has no partitions: create it first");
                return Err(ClientError::retriable(message));
            }
            if cluster
                .topic(topic)
                .is_none_or(|known| known.partitions.is_empty())
            {
                tokio::time::sleep(self.shared.config.retry_backoff).await;
            }
        }
    }
}
