//! What a replica is configured with.
//!
//! A plain struct of validated values; durations are those of Kafka's keys of the same name.

use std::time::Duration;

use crate::id::BrokerId;

/// The settings of one replica; the topic's overrides are already applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSettings {
    /// The broker that this replica lives on.
    pub broker_id: BrokerId,
    /// `min.insync.replicas`: how large the ISR must be for acks=all and for the high watermark.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`: how long a replica may lag before it leaves the ISR.
    pub replica_lag_time_max: Duration,
    /// `replica.fetch.backoff.ms`: how long a follower waits after an error of its leader.
    pub replica_fetch_backoff: Duration,
    /// How long a leader waits before it repeats an AlterPartition that failed in transit.
    pub alter_partition_backoff: Duration,
    /// `flush.messages`: flush after so many records; 1 makes every acknowledgement durable.
    pub flush_messages: i64,
}

impl ReplicaSettings {
    /// Whether a record counts as replicated only once it is flushed.
    pub fn counts_flushed(&self) -> bool {
        self.flush_messages <= 1
    }
}
