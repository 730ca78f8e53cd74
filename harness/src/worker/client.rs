//! This project's own client, put under test: the protocol's words turned into its calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::client::{
    self, AutoOffsetReset, ClientError, Consumer, ConsumerConfig, ConsumerRecord, ErrorKind,
    Producer, ProducerConfig, ProducerRecord,
};
use broker::id::TopicPartition;

use crate::worker::events::Events;
use crate::worker::member::{self, Processed, Teller};
use crate::worker::payload;
use crate::worker::protocol::{
    Acks, Answer, Command, Compression, Edge, OpenOptions, Outcome, PolledPartition, PolledValue,
    Position, WorkerError, WorkerErrorKind,
};

/// A producer of this project's client.
pub struct ProducerUnderTest(Producer);

impl ProducerUnderTest {
    /// Starts the producer that `options` describes.
    pub async fn start(options: &OpenOptions) -> Result<Self, WorkerError> {
        let wanted = options
            .producer
            .as_ref()
            .ok_or_else(|| invalid("no producer options"))?;
        let config = ProducerConfig {
            bootstrap: bootstrap(options)?,
            client_id: options.client_id.clone(),
            acks: match wanted.acks {
                Acks::Zero => client::Acks::Zero,
                Acks::One => client::Acks::One,
                Acks::All => client::Acks::All,
            },
            idempotence: wanted.idempotence,
            linger: Duration::from_millis(wanted.linger_ms),
            compression: compression(wanted.compression),
            request_timeout: Duration::from_millis(options.request_timeout_ms),
            delivery_timeout: Duration::from_millis(wanted.delivery_timeout_ms),
            retry_backoff: Duration::from_millis(wanted.retry_backoff_ms),
            max_in_flight: wanted.max_in_flight,
            ..ProducerConfig::default()
        };
        Ok(Self(Producer::start(config).await.map_err(worker_error)?))
    }

    /// Sends the payload of `value`; the offset of the acknowledgement.
    pub async fn send(
        &self,
        topic: String,
        partition: i32,
        value: u64,
        bytes: usize,
    ) -> Result<Option<i64>, WorkerError> {
        let record = ProducerRecord {
            topic,
            partition: Some(partition),
            value: Some(payload::encode(value, bytes)),
            ..ProducerRecord::default()
        };
        let sent = self.0.send(record).await.map_err(worker_error)?;
        Ok(sent.offset)
    }
}

/// How long leaving may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// A consumer of this project's client; gone once it has left its group.
pub struct ConsumerUnderTest {
    consumer: Option<Consumer>,
    teller: Teller,
}

impl ConsumerUnderTest {
    /// Starts the consumer that `options` describes.
    pub async fn start(
        options: &OpenOptions,
        events: &Events,
        processed: &Processed,
    ) -> Result<Self, WorkerError> {
        let wanted = options
            .consumer
            .as_ref()
            .ok_or_else(|| invalid("no consumer options"))?;
        let group = wanted.group.as_ref();
        let teller = Teller {
            events: events.clone(),
            processed: processed.clone(),
            commit_on_revocation: group.is_some_and(|group| group.commit_on_revocation),
        };
        let config = ConsumerConfig {
            bootstrap: bootstrap(options)?,
            client_id: options.client_id.clone(),
            // An offset that is out of range is news for the history, never silently repaired.
            auto_offset_reset: group
                .map_or(AutoOffsetReset::None, |group| member::reset(group.reset)),
            group: group
                .map(|group| member::config(group, &teller))
                .transpose()?,
            max_poll_records: wanted.max_poll_records,
            fetch_max_wait: Duration::from_millis(wanted.fetch_max_wait_ms),
            partition_fetch_bytes: wanted.partition_fetch_bytes,
            request_timeout: Duration::from_millis(options.request_timeout_ms),
            ..ConsumerConfig::default()
        };
        Ok(Self {
            consumer: Some(Consumer::start(config).await.map_err(worker_error)?),
            teller,
        })
    }

    /// Performs one of the consumer's commands.
    pub async fn perform(&mut self, command: Command) -> Result<Answer, WorkerError> {
        if command == Command::Leave {
            if let Some(consumer) = self.consumer.take() {
                consumer.close(LEAVE_LIMIT).await;
            }
            return Ok(Answer::Done);
        }
        let consumer = self.consumer.as_mut().ok_or_else(gone)?;
        match command {
            Command::Subscribe { topic } => {
                let listener = Box::new(self.teller.clone());
                let subscribed = consumer.subscribe(vec![topic], listener);
                subscribed.map_err(worker_error)?;
                Ok(Answer::Done)
            }
            Command::CommitSync => {
                consumer.commit_sync(None).await.map_err(worker_error)?;
                Ok(Answer::Done)
            }
            Command::Committed { topic, partitions } => {
                let asked = consumer.committed(&names(&topic, &partitions)).await;
                let found = asked.map_err(worker_error)?.into_iter();
                Ok(Answer::Committed {
                    partitions: found.map(|(name, at)| (name.partition, at)).collect(),
                })
            }
            Command::Assign { topic, partitions } => {
                consumer.assign(names(&topic, &partitions));
                Ok(Answer::Done)
            }
            Command::Seek { topic, positions } => {
                seek(consumer, &topic, &positions).map_err(worker_error)?;
                Ok(Answer::Done)
            }
            Command::Poll { timeout_ms } => {
                let records = consumer.poll(Duration::from_millis(timeout_ms)).await;
                Ok(Answer::Polled {
                    partitions: by_partition(records.map_err(worker_error)?),
                })
            }
            Command::ListOffsets {
                topic,
                partitions,
                at,
            } => {
                let partitions = names(&topic, &partitions);
                let offsets = match at {
                    Edge::Beginning => consumer.beginning_offsets(&partitions).await,
                    Edge::End => consumer.end_offsets(&partitions).await,
                };
                let offsets = offsets.map_err(worker_error)?;
                let pairs = offsets
                    .into_iter()
                    .map(|(name, offset)| (name.partition, offset));
                Ok(Answer::Offsets {
                    partitions: pairs.collect(),
                })
            }
            Command::Open(_)
            | Command::Send { .. }
            | Command::Process { .. }
            | Command::CommitAsync
            | Command::Leave
            | Command::Close => Err(invalid("not a command for the consumer")),
        }
    }

    /// Commits what was given out, once; `callback` gets the outcome.
    pub fn commit_async(&mut self, callback: impl FnOnce(Outcome) + Send + 'static) {
        let Some(consumer) = &mut self.consumer else {
            return callback(Outcome::Error(gone()));
        };
        let ended = |result: Result<(), ClientError>| match result {
            Ok(()) => Outcome::Ok(Answer::Done),
            Err(error) => Outcome::Error(worker_error(error)),
        };
        consumer.commit_async(None, Box::new(move |result| callback(ended(result))));
    }
}

fn seek(
    consumer: &mut Consumer,
    topic: &str,
    positions: &[(i32, Position)],
) -> Result<(), ClientError> {
    for (partition, position) in positions {
        let name = TopicPartition::new(topic, *partition);
        match position {
            Position::Offset(offset) => consumer.seek(&name, *offset)?,
            Position::Edge(Edge::Beginning) => consumer.seek_to_beginning(&name)?,
            Position::Edge(Edge::End) => consumer.seek_to_end(&name)?,
        }
    }
    Ok(())
}

fn gone() -> WorkerError {
    WorkerError {
        kind: WorkerErrorKind::Closed,
        code: None,
        message: "the consumer has left its group and is closed".to_owned(),
    }
}

/// Groups records by partition, in the order of delivery.
fn by_partition(records: Vec<ConsumerRecord>) -> Vec<PolledPartition> {
    let mut groups: Vec<PolledPartition> = Vec::new();
    for record in records {
        let value = match payload::decode(record.value.as_deref().unwrap_or_default()) {
            Ok(value) => PolledValue::Value(value),
            Err(corrupt) => PolledValue::Corrupt {
                corrupt: corrupt.to_string(),
            },
        };
        let known = groups
            .iter_mut()
            .find(|group| group.partition == record.partition);
        match known {
            Some(group) => group.records.push((record.offset, value)),
            None => groups.push(PolledPartition {
                partition: record.partition,
                records: vec![(record.offset, value)],
            }),
        }
    }
    groups
}

fn names(topic: &str, partitions: &[i32]) -> Vec<TopicPartition> {
    let topic: Arc<str> = topic.into();
    partitions
        .iter()
        .map(|&index| TopicPartition::new(Arc::clone(&topic), index))
        .collect()
}

fn bootstrap(options: &OpenOptions) -> Result<Vec<SocketAddr>, WorkerError> {
    let read = |text: &String| {
        text.parse()
            .map_err(|_| invalid(&format!("bootstrap address {text} is not IP:PORT")))
    };
    options.bootstrap.iter().map(read).collect()
}

fn compression(wanted: Compression) -> broker::record::Compression {
    match wanted {
        Compression::None => broker::record::Compression::None,
        Compression::Gzip => broker::record::Compression::Gzip,
        Compression::Snappy => broker::record::Compression::Snappy,
        Compression::Lz4 => broker::record::Compression::Lz4,
        Compression::Zstd => broker::record::Compression::Zstd,
    }
}

/// A client's error in the words of the protocol.
pub fn worker_error(error: ClientError) -> WorkerError {
    let kind = match error.kind {
        ErrorKind::Retriable => WorkerErrorKind::Retriable,
        ErrorKind::UnknownOutcome => WorkerErrorKind::UnknownOutcome,
        ErrorKind::Fenced => WorkerErrorKind::Fenced,
        ErrorKind::Invalid => WorkerErrorKind::Invalid,
        ErrorKind::Closed => WorkerErrorKind::Closed,
    };
    let code = error.code.map(code_name);
    WorkerError {
        kind,
        code,
        message: error.message,
    }
}

/// Kafka's spelling of a code: `NOT_ENOUGH_REPLICAS` for `NotEnoughReplicas`.
fn code_name(code: broker::error::ErrorCode) -> String {
    let camel = format!("{code:?}");
    let camel = camel.split(['(', ' ']).next().unwrap_or_default();
    let mut name = String::with_capacity(camel.len() + 8);
    for (i, letter) in camel.char_indices() {
        if letter.is_ascii_uppercase() && i > 0 {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// An error of the worker itself: the request can never succeed.
pub fn invalid(message: &str) -> WorkerError {
    WorkerError {
        kind: WorkerErrorKind::Invalid,
        code: None,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::error::ErrorCode;

    #[test]
    fn codes_are_spelled_as_kafka_spells_them() {
        for (code, name) in [
            (
                ErrorCode::NotEnoughReplicasAfterAppend,
                "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
            ),
            (ErrorCode::NotLeaderOrFollower, "NOT_LEADER_OR_FOLLOWER"),
            (ErrorCode::RequestTimedOut, "REQUEST_TIMED_OUT"),
        ] {
            assert_eq!(code_name(code), name);
        }
    }
}
