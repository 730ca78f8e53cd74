//! One attempt to produce one batch, and what its answer proves.
//!
//! Invariant: the attempts of a partition leave in the order of their turns, whichever task runs
//! first (a runtime may well begin with the newest).

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::client::cluster::{Cluster, error_code};
use crate::client::connection::CallError;
use crate::client::error::{ClientError, ErrorKind};
use crate::client::outcome::proves_not_appended;
use crate::client::producer::Acks;
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicPartition};
use crate::offset::Offset;

/// `Produce` by topic name: 13 and above would want topic ids.
const PRODUCE_VERSION_MAX: i16 = 12;

/// What an attempt came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Appended at this offset; `None` with acks=0.
    Appended(Option<Offset>),
    /// Not acknowledged; `doubt` if it may have been appended all the same.
    Failed { error: ClientError, doubt: bool },
}

/// The place of an attempt among those of its partition.
#[derive(Debug)]
pub(super) struct Turn {
    /// Ends once the attempt before has left or failed.
    before: oneshot::Receiver<()>,
    /// Dropped once this one has.
    next: oneshot::Sender<()>,
}

/// Hands out the turns of one partition.
#[derive(Debug)]
pub(super) struct Turns {
    last: oneshot::Receiver<()>,
}

impl Turns {
    /// The first turn waits for nobody.
    pub(super) fn new() -> Self {
        let (_, last) = oneshot::channel();
        Self { last }
    }

    /// The turn behind all that were taken before.
    pub(super) fn take(&mut self) -> Turn {
        let (next, last) = oneshot::channel();
        let before = std::mem::replace(&mut self.last, last);
        Turn { before, next }
    }
}

/// Sends `records` to the leader when it is their turn, and interprets the answer.
pub(super) async fn produce(
    cluster: &Cluster,
    leader: BrokerId,
    partition: &TopicPartition,
    records: Bytes,
    acks: Acks,
    deadline: Instant,
    turn: Turn,
) -> Outcome {
    // Whoever is before has a deadline of its own, and nothing but its end is of interest.
    let _ = turn.before.await;
    let limit = deadline.saturating_duration_since(Instant::now());
    let request = request(partition, records, acks, limit);
    if acks == Acks::Zero {
        return match cluster
            .send_in_turn(leader, &request, PRODUCE_VERSION_MAX, limit, turn.next)
            .await
        {
            Ok(()) => Outcome::Appended(None),
            Err(error) => failed_call(&error),
        };
    }
    let response = match cluster
        .call_in_turn(leader, &request, PRODUCE_VERSION_MAX, limit, turn.next)
        .await
    {
        Ok(response) => response,
        Err(error) => return failed_call(&error),
    };
    let answer = response
        .responses
        .iter()
        .filter(|topic| topic.name.as_str() == &*partition.topic)
        .flat_map(|topic| &topic.partition_responses)
        .find(|answer| answer.index == partition.partition);
    let Some(answer) = answer else {
        let error = ClientError::unknown(format!("the answer does not name {partition}"));
        return Outcome::Failed { error, doubt: true };
    };
    match error_code(answer.error_code) {
        None => Outcome::Appended(Some(answer.base_offset)),
        Some(code) => refused(code, partition, answer.error_message.as_deref()),
    }
}

fn request(
    partition: &TopicPartition,
    records: Bytes,
    acks: Acks,
    limit: Duration,
) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition.partition)
        .with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from(partition.topic.to_string())))
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_acks(acks.code())
        .with_timeout_ms(i32::try_from(limit.as_millis()).unwrap_or(i32::MAX))
        .with_topic_data(vec![topic])
}

fn failed_call(error: &CallError) -> Outcome {
    match error {
        CallError::NotSent(_) => Outcome::Failed {
            error: ClientError::retriable(error),
            doubt: false,
        },
        CallError::Unsupported { .. } => Outcome::Failed {
            error: ClientError::invalid(error),
            doubt: false,
        },
        CallError::Lost(_) | CallError::Malformed(_) => Outcome::Failed {
            error: ClientError::unknown(error),
            doubt: true,
        },
    }
}

fn refused(code: ErrorCode, partition: &TopicPartition, message: Option<&str>) -> Outcome {
    let doubt = !proves_not_appended(code);
    let kind = match code {
        ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => ErrorKind::Fenced,
        _ if doubt => ErrorKind::UnknownOutcome,
        _ if code.is_retriable() => ErrorKind::Retriable,
        _ => ErrorKind::Invalid,
    };
    let detail = message.map(|text| format!(": {text}")).unwrap_or_default();
    let message = format!("produce to {partition} refused: {code}{detail}");
    Outcome::Failed {
        error: ClientError {
            kind,
            code: Some(code),
            message,
        },
        doubt,
    }
}
