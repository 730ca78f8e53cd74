//! The task of one partition: it owns the partition's batches and sends them in order.
//!
//! In: records from `Producer::send`. Out: produce requests, and a result for every record.
//! Up to `max_in_flight` batches are on their way at once. When one fails, the task lets the others
//! land, then sends the failed ones again in their order, so that a retry never overtakes.
//! Invariant: with idempotence the sequence numbers of a partition have no gap; where a batch
//! leaves one for good, the epoch is bumped before anything else is sent (KIP-360).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::client::error::ClientError;
use crate::client::producer::attempt::{Outcome, Turns, produce};
use crate::client::producer::batch::Batch;
use crate::client::producer::identity::{Sequence, request_identity};
use crate::client::producer::{Acks, Shared};
use crate::client::types::{ProducerRecord, RecordMetadata};
use crate::id::{BrokerId, TopicPartition};

/// Sealed batches that may wait; beyond, the task stops taking records.
const QUEUE_BATCHES_MAX: usize = 16;

/// A record on its way, and who waits for it.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) record: ProducerRecord,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Result<RecordMetadata, ClientError>>,
}

/// The state of the task.
pub(super) struct PartitionSender {
    shared: Arc<Shared>,
    partition: TopicPartition,
    records: mpsc::Receiver<Pending>,
    /// The batch that still takes records.
    open: Option<Batch>,
    /// Batches to send, in order.
    queue: VecDeque<Batch>,
    /// Batches on their way.
    in_flight: BTreeMap<u64, Batch>,
    /// Batches whose attempt failed, until everything in flight has landed.
    failed: BTreeMap<u64, Batch>,
    attempts: JoinSet<(u64, Outcome)>,
    turns: Turns,
    sequence: Sequence,
    next_id: u64,
    /// Not before this moment is anything sent: the backoff after a failure.
    resume_at: Instant,
}

impl PartitionSender {
    /// A task for `partition`, fed by `records`.
    pub(super) fn new(
        shared: Arc<Shared>,
        partition: TopicPartition,
        records: mpsc::Receiver<Pending>,
    ) -> Self {
        Self {
            shared,
            partition,
            records,
            open: None,
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            failed: BTreeMap::new(),
            attempts: JoinSet::new(),
            turns: Turns::new(),
            sequence: Sequence::default(),
            next_id: 0,
            resume_at: Instant::now(),
        }
    }

    /// Runs until the producer is dropped and every record has its result.
    pub(super) async fn run(mut self) {
        let mut accepting = true;
        while accepting || !self.is_idle() {
            let wake_at = self.wake_at();
            let may_accept = accepting && self.queue.len() < QUEUE_BATCHES_MAX;
            tokio::select! {
                record = self.records.recv(), if may_accept => match record {
                    Some(record) => self.accept(record),
                    None => accepting = false,
                },
                Some(done) = self.attempts.join_next(), if !self.attempts.is_empty() => {
                    let (id, outcome) =
                        done.expect("invariant: an attempt neither panics nor is aborted");
                    self.complete(id, outcome);
                }
                () = sleep_until(wake_at), if !self.is_idle() => {}
            }
            self.seal_if_due(accepting);
            self.expire();
            self.send_ready().await;
        }
    }

    fn is_idle(&self) -> bool {
        self.open.is_none()
            && self.queue.is_empty()
            && self.in_flight.is_empty()
            && self.failed.is_empty()
    }

    /// The next moment at which something is due without an event.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let seal = self.open.as_ref().map(|batch| batch.sealed_at);
        let resume = (!self.queue.is_empty() && self.resume_at > now).then_some(self.resume_at);
        let may_expire = |batch: &&Batch| self.may_expire(batch);
        let expire = self
            .queue
            .iter()
            .filter(may_expire)
            .map(|batch| batch.deadline)
            .min();
        let idle = now + self.shared.config.delivery_timeout;
        [seal, resume, expire]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(idle)
    }

    fn accept(&mut self, record: Pending) {
        let limit = self.shared.config.batch_bytes;
        if let Some(batch) = &mut self.open
            && batch.has_room_for(&record, limit)
        {
            return batch.add(record);
        }
        self.queue.extend(self.open.take());
        let sealed_at = Instant::now() + self.shared.config.linger;
        self.open = Some(Batch::new(self.next_id, record, sealed_at));
        self.next_id += 1;
    }

    fn seal_if_due(&mut self, accepting: bool) {
        let due = |batch: &Batch| !accepting || batch.sealed_at <= Instant::now();
        if self.open.as_ref().is_some_and(due) && self.records.is_empty() {
            self.queue.extend(self.open.take());
        }
    }

    /// Gives up on queued batches whose time is over.
    fn expire(&mut self) {
        let now = Instant::now();
        let mut gone = Vec::new();
        for batch in std::mem::take(&mut self.queue) {
            if batch.deadline <= now && self.may_expire(&batch) {
                gone.push(batch);
            } else {
                self.queue.push_back(batch);
            }
        }
        let gap = gone.iter().any(|batch| batch.sequence.is_some());
        for batch in gone {
            batch.fail("the delivery timeout passed before the record could be sent");
        }
        if gap {
            self.bump();
        }
    }

    /// A batch that has a sequence number leaves a gap, and a gap can be mended only while nothing
    /// is in flight; the attempts in flight end at their own deadlines.
    fn may_expire(&self, batch: &Batch) -> bool {
        batch.sequence.is_none() || self.in_flight.is_empty()
    }

    fn complete(&mut self, id: u64, outcome: Outcome) {
        let Some(mut batch) = self.in_flight.remove(&id) else {
            return;
        };
        match outcome {
            Outcome::Appended(offset) => {
                self.sequence.acknowledge();
                batch.succeed(&self.partition, offset);
            }
            Outcome::Failed { error, doubt } => {
                tracing::debug!(partition = %self.partition, batch = id, %error, doubt, "attempt");
                batch.note_failure(error, doubt);
                let mut unresolved = self.in_flight.keys().chain(self.failed.keys());
                batch.was_behind = unresolved.any(|earlier| *earlier < id);
                self.failed.insert(id, batch);
            }
        }
        if self.in_flight.is_empty() && !self.failed.is_empty() {
            self.requeue();
        }
    }

    /// Everything has landed: puts the failed batches back in order, or gives them up.
    fn requeue(&mut self) {
        self.resume_at = Instant::now() + self.shared.config.retry_backoff;
        let failed = std::mem::take(&mut self.failed);
        let mut again = Vec::new();
        let mut gap = false;
        for (_, batch) in failed {
            // Behind a batch without a result, a wrong sequence number is only its consequence.
            let consequence = batch.was_out_of_sequence() && batch.was_behind;
            let hopeless = !consequence && !batch.is_retriable();
            let unrepeatable = self.shared.config.acks == Acks::Zero;
            if hopeless || unrepeatable || batch.deadline <= Instant::now() {
                gap |= batch.sequence.is_some();
                batch.fail("the delivery timeout passed");
            } else {
                again.push(batch);
            }
        }
        for batch in again.into_iter().rev() {
            self.queue.push_front(batch);
        }
        if gap {
            self.bump();
        }
    }

    /// A sequence number will never be sent: start a new epoch. A batch in doubt cannot be sent
    /// under a new identity, since the broker could no longer tell it from a new one.
    fn bump(&mut self) {
        assert!(
            self.in_flight.is_empty(),
            "invariant: a new epoch begins with nothing in flight"
        );
        self.sequence.bump();
        for mut batch in std::mem::take(&mut self.queue) {
            if batch.in_doubt {
                batch.fail("an earlier batch left a gap in the sequence");
            } else {
                batch.restamp();
                self.queue.push_back(batch);
            }
        }
    }

    /// Sends what may be sent now.
    async fn send_ready(&mut self) {
        while !self.queue.is_empty()
            && self.failed.is_empty()
            && self.in_flight.len() < self.max_in_flight()
            && self.resume_at <= Instant::now()
        {
            match self.prepare().await {
                Ok(leader) => self.send_front(leader),
                Err(error) => {
                    self.resume_at = Instant::now() + self.shared.config.retry_backoff;
                    if let Some(front) = self.queue.front_mut() {
                        front.note_failure(error, false);
                    }
                }
            }
        }
    }

    fn max_in_flight(&self) -> usize {
        if self.shared.config.idempotence && !self.sequence.is_known() {
            1
        } else {
            self.shared.config.max_in_flight
        }
    }

    /// Finds the leader and, with idempotence, an identity and the front batch's sequence.
    async fn prepare(&mut self) -> Result<BrokerId, ClientError> {
        let leader = self.leader().await?;
        if self.shared.config.idempotence {
            if self.sequence.identity().is_none() {
                self.sequence
                    .adopt(request_identity(&self.shared.cluster).await?);
            }
            let identity = self.sequence.identity();
            if let (Some(front), Some(identity)) = (self.queue.front_mut(), identity)
                && front.sequence.is_none()
            {
                front.sequence = Some((identity, self.sequence.take(front.len())));
            }
        }
        Ok(leader)
    }

    async fn leader(&self) -> Result<BrokerId, ClientError> {
        let cluster = &self.shared.cluster;
        let topic = self.partition.topic.to_string();
        let stale = self
            .queue
            .front()
            .is_some_and(|batch| batch.last_error.is_some());
        let seen = cluster.generation();
        if stale
            || cluster
                .partition(&topic, self.partition.partition)
                .is_none()
        {
            cluster
                .refresh(Some(std::slice::from_ref(&topic)), seen, true)
                .await?;
        }
        cluster
            .partition(&topic, self.partition.partition)
            .and_then(|partition| partition.leader)
            .ok_or_else(|| ClientError::retriable(format!("{} has no leader", self.partition)))
    }

    fn send_front(&mut self, leader: BrokerId) {
        let Some(mut batch) = self.queue.pop_front() else {
            return;
        };
        let config = &self.shared.config;
        let bytes = batch.encode(config.compression, wall_millis());
        let deadline = batch.deadline.min(Instant::now() + config.request_timeout);
        let (shared, partition, acks) = (
            Arc::clone(&self.shared),
            self.partition.clone(),
            config.acks,
        );
        let (id, turn) = (batch.id, self.turns.take());
        self.in_flight.insert(id, batch);
        self.attempts.spawn(async move {
            let cluster = &shared.cluster;
            let outcome = produce(cluster, leader, &partition, bytes, acks, deadline, turn).await;
            (id, outcome)
        });
    }
}

fn wall_millis() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;
    use crate::client::cluster::{Cluster, ClusterConfig};
    use crate::client::producer::ProducerConfig;
    use crate::error::ErrorCode;

    fn sender() -> PartitionSender {
        let cluster = Cluster::new(ClusterConfig {
            bootstrap: vec![([127, 0, 0, 1], 1).into()],
            client_id: "test".into(),
            request_timeout: Duration::from_secs(1),
        });
        let shared = Shared {
            cluster: cluster.unwrap(),
            config: ProducerConfig::default(),
            outstanding: watch::Sender::new(0),
        };
        let (_, records) = mpsc::channel(1);
        PartitionSender::new(Arc::new(shared), TopicPartition::new("t", 0), records)
    }

    fn in_flight(sender: &mut PartitionSender, id: u64) {
        let pending = Pending {
            record: ProducerRecord::default(),
            deadline: Instant::now() + Duration::from_mins(1),
            reply: oneshot::channel().0,
        };
        let batch = Batch::new(id, pending, Instant::now());
        sender.in_flight.insert(id, batch);
    }

    #[test]
    fn a_batch_that_reached_a_new_leader_before_its_predecessor_landed_is_sent_again() {
        let mut sender = sender();
        in_flight(&mut sender, 0);
        in_flight(&mut sender, 1);
        let code = ErrorCode::OutOfOrderSequenceNumber;
        let refused = Outcome::Failed {
            error: ClientError::from_code(code, "produce"),
            doubt: false,
        };
        sender.complete(1, refused);
        sender.complete(0, Outcome::Appended(Some(0)));
        let queued: Vec<_> = sender.queue.iter().map(|batch| batch.id).collect();
        assert_eq!(queued, [1]);
    }
}
