//! Commits and the committed offsets: OffsetCommit and OffsetFetch.
//!
//! In: offsets. Out: whether they are committed, never a guess. Every attempt is shown to the
//! observer before it is sent and after it ended. Invariants: one attempt at a time, so that a
//! later commit of this consumer never arrives before an earlier one; nothing is sent in the name
//! of a generation that is known to be over.
//! Source: Java's `ConsumerCoordinator.sendOffsetCommitRequest`.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::cluster::error_code;
use crate::client::connection::CallError;
use crate::client::consumer::group::GroupConfig;
use crate::client::consumer::group::coordinator::Coordinator;
use crate::client::consumer::group::listener::{BoxFuture, CommitAttempt, CommitMode};
use crate::client::consumer::group::state::{Alarm, Identity, NO_GENERATION, Shared, alarm_of};
use crate::client::error::{ClientError, ErrorKind};
use crate::config::sabotage::{Sabotage, planted};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::offset::{LeaderEpoch, Offset};

const OFFSET_COMMIT_VERSION_MAX: i16 = 8;
const OFFSET_FETCH_VERSION_MAX: i16 = 7;

/// Codes after which the same commit may succeed.
const WORTH_ANOTHER_TRY: &[ErrorCode] = &[
    ErrorCode::NotCoordinator,
    ErrorCode::CoordinatorNotAvailable,
    ErrorCode::CoordinatorLoadInProgress,
    ErrorCode::RequestTimedOut,
    ErrorCode::UnknownTopicOrPartition,
];

/// The offset to read next, with the epoch of the record before it.
pub(super) type Offsets = BTreeMap<TopicPartition, (Offset, Option<LeaderEpoch>)>;

/// Commits for one consumer. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Committer {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) shared: Arc<Shared>,
    pub(super) config: GroupConfig,
    pub(super) retry_backoff: Duration,
    pub(super) turn: Arc<Mutex<()>>,
}

impl Committer {
    /// Commits until it is known, or `deadline`.
    ///
    /// # Errors
    /// `UnknownOutcome` if any attempt may have committed; `Fenced` if the member is none any more;
    /// `Retriable` if certainly nothing was committed, as when earlier commits take all the time.
    pub(super) async fn until_known(
        &self,
        mode: CommitMode,
        offsets: &Offsets,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let Ok(_turn) = timeout_at(deadline, self.turn()).await else {
            return Err(ClientError::retriable(
                "earlier commits have no answer yet: commit again",
            ));
        };
        let mut in_doubt = false;
        loop {
            let generation_id = self.shared.identity().generation_id;
            let error = match self.once(mode, offsets, generation_id).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            in_doubt |= error.is_unknown_outcome();
            let is_final = match error.code {
                Some(code) => !WORTH_ANOTHER_TRY.contains(&code),
                None => matches!(error.kind, ErrorKind::Invalid | ErrorKind::Fenced),
            };
            if is_final || Instant::now() + self.retry_backoff >= deadline {
                return Err(if in_doubt { error.in_doubt() } else { error });
            }
            sleep(self.retry_backoff).await;
        }
    }

    /// A place in the queue of commits, taken now and not when this is first awaited: commits are
    /// sent, and their callbacks called, in the order in which they were asked for.
    pub(super) fn turn(&self) -> BoxFuture<'static, OwnedMutexGuard<()>> {
        let queue = Arc::clone(&self.turn);
        let mut turn = Box::pin(unconstrained(queue.lock_owned()));
        match turn.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Box::pin(ready(turn)),
            Poll::Pending => turn,
        }
    }

    /// One attempt of a commit that was asked for in `generation_id`, by who holds the turn. Once
    /// its turn comes in a later one it is not sent: its partitions may be another's by now.
    ///
    /// # Errors
    /// As `until_known`, of this attempt; a code of the coordinator is kept.
    pub(super) async fn once(
        &self,
        mode: CommitMode,
        offsets: &Offsets,
        generation_id: i32,
    ) -> Result<(), ClientError> {
        let identity = self.shared.identity();
        if identity.generation_id != generation_id {
            return Err(ClientError::new(
                ErrorKind::Fenced,
                "a rebalance came before the turn of this commit: commit again",
            ));
        }
        if self.shared.is_between_generations() {
            return Err(ClientError {
                kind: ErrorKind::Retriable,
                code: Some(ErrorCode::RebalanceInProgress),
                message: "the group is in its next generation: poll, then commit again".to_owned(),
            });
        }
        let is_member = identity.generation_id != NO_GENERATION;
        if !is_member && self.shared.is_subscribed() {
            return Err(ClientError::new(
                ErrorKind::Fenced,
                "the consumer is no member of its group now: poll to join again",
            ));
        }
        let attempt = CommitAttempt {
            mode,
            generation_id: identity.generation_id,
            member_id: identity.member_id.clone(),
            offsets: offsets
                .iter()
                .map(|(name, (at, _))| (name.clone(), *at))
                .collect(),
        };
        let number = match &self.config.observer {
            Some(observer) => observer.begins(&attempt).await,
            None => 0,
        };
        let request = self.request(&attempt, offsets);
        let limit = self.coordinator.request_timeout();
        let response = self
            .coordinator
            .call(&request, OFFSET_COMMIT_VERSION_MAX, limit)
            .await;
        let mut result = match response {
            Ok(response) => verdict(&response),
            Err(error) => Err(call_error("the commit", &error)),
        };
        if let Err(error) = &mut result
            && let Some(code) = error.code
        {
            self.heed(&identity, code);
            let is_succeeded = code == ErrorCode::IllegalGeneration && self.shared.is_joining();
            if is_succeeded && error.kind == ErrorKind::Fenced {
                error.kind = ErrorKind::Retriable;
            }
        }
        if let Some(observer) = &self.config.observer {
            observer.ended(number, &result).await;
        }
        result
    }

    /// What the refusal of a commit says of the membership and of the coordinator.
    fn heed(&self, identity: &Identity, code: ErrorCode) {
        self.coordinator.heed(Some(code));
        let is_member = identity.generation_id != NO_GENERATION;
        if let Some(alarm) = alarm_of(code).filter(|_| is_member) {
            self.shared.raise(identity, alarm);
        }
    }

    fn request(&self, attempt: &CommitAttempt, offsets: &Offsets) -> OffsetCommitRequest {
        let too_far = Offset::from(planted(Sabotage::OffByOneCommittedOffset));
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for (name, (offset, leader_epoch)) in offsets {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(name.partition)
                .with_committed_offset(offset + too_far)
                .with_committed_leader_epoch(leader_epoch.unwrap_or(-1))
                .with_committed_metadata(Some(StrBytes::default()));
            match topics.last_mut() {
                Some(topic) if topic.name.as_str() == &*name.topic => {
                    topic.partitions.push(partition);
                }
                _ => topics.push(
                    OffsetCommitRequestTopic::default()
                        .with_name(topic_name(&name.topic))
                        .with_partitions(vec![partition]),
                ),
            }
        }
        let is_member = attempt.generation_id != NO_GENERATION;
        let instance = self.config.group_instance_id.clone();
        let instance = instance.filter(|_| is_member);
        OffsetCommitRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id_or_member_epoch(attempt.generation_id)
            .with_member_id(StrBytes::from(attempt.member_id.clone()))
            .with_group_instance_id(instance.map(StrBytes::from))
            .with_topics(topics)
    }

    /// The committed offsets of `partitions`; none where there is none.
    ///
    /// # Errors
    /// `Retriable` if the coordinator does not answer until `deadline`, `Invalid` if it refuses.
    pub(super) async fn committed(
        &self,
        partitions: &[TopicPartition],
        deadline: Instant,
    ) -> Result<BTreeMap<TopicPartition, Option<(Offset, LeaderEpoch)>>, ClientError> {
        loop {
            let error = match self.ask_committed(partitions).await {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let is_final = error.kind != ErrorKind::Retriable;
            if is_final || Instant::now() + self.retry_backoff >= deadline {
                return Err(error);
            }
            sleep(self.retry_backoff).await;
        }
    }

    async fn ask_committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Option<(Offset, LeaderEpoch)>>, ClientError> {
        let mut indexes: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for name in partitions {
            indexes.entry(&name.topic).or_default().push(name.partition);
        }
        let topics = indexes.into_iter().map(|(topic, indexes)| {
            OffsetFetchRequestTopic::default()
                .with_name(topic_name(topic))
                .with_partition_indexes(indexes)
        });
        let request = OffsetFetchRequest::default()
            .with_group_id(self.group_id())
            .with_topics(Some(topics.collect()))
            .with_require_stable(true);
        let limit = self.coordinator.request_timeout();
        let response = self
            .coordinator
            .call(&request, OFFSET_FETCH_VERSION_MAX, limit)
            .await
            .map_err(|error| match error {
                CallError::Unsupported { .. } => ClientError::invalid(&error),
                _ => ClientError::retriable(&error),
            })?;
        self.refuse(response.error_code)?;
        let mut found = BTreeMap::new();
        for topic in response.topics {
            for partition in topic.partitions {
                self.refuse(partition.error_code)?;
                let name = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let at = (partition.committed_offset, partition.committed_leader_epoch);
                found.insert(name, (partition.committed_offset >= 0).then_some(at));
            }
        }
        Ok(found)
    }

    fn refuse(&self, code: i16) -> Result<(), ClientError> {
        let Some(code) = error_code(code) else {
            return Ok(());
        };
        self.coordinator.heed(Some(code));
        Err(ClientError::from_code(code, "the committed offsets"))
    }

    fn group_id(&self) -> GroupId {
        GroupId(StrBytes::from(self.config.group_id.clone()))
    }
}

/// Codes that a coordinator also answers after its append.
fn may_be_appended(code: ErrorCode) -> bool {
    [
        ErrorCode::NotCoordinator,
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::RequestTimedOut,
        ErrorCode::UnknownServerError,
    ]
    .contains(&code)
}

/// What a response says of the whole commit: if its partitions fared differently, nobody can say.
fn verdict(response: &OffsetCommitResponse) -> Result<(), ClientError> {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let mut codes = partitions.map(|partition| error_code(partition.error_code));
    let Some(first) = codes.next() else {
        return Err(ClientError::unknown("the answer names no partition"));
    };
    let is_mixed = codes.any(|code| code != first);
    match first {
        None if is_mixed => Err(ClientError::unknown("a part of the commit was refused")),
        None => Ok(()),
        Some(code) => {
            let mut error = ClientError::from_code(code, "the commit");
            match alarm_of(code) {
                // As Java's RebalanceInProgressException: poll, and commit again.
                Some(Alarm::Rejoin) => error.kind = ErrorKind::Retriable,
                Some(_) => error.kind = ErrorKind::Fenced,
                None => {}
            }
            let in_doubt = is_mixed || may_be_appended(code);
            Err(if in_doubt { error.in_doubt() } else { error })
        }
    }
}

fn call_error(what: &str, error: &CallError) -> ClientError {
    match error {
        CallError::NotSent(_) => ClientError::retriable(format!("{what}: {error}")),
        CallError::Unsupported { .. } => ClientError::invalid(format!("{what}: {error}")),
        CallError::Lost(_) | CallError::Malformed(_) => {
            ClientError::unknown(format!("{what}: {error}"))
        }
    }
}

fn topic_name(topic: &str) -> TopicName {
    TopicName(StrBytes::from(topic.to_owned()))
}

#[cfg(test)]
#[path = "commit_test.rs"]
mod commit_test;
