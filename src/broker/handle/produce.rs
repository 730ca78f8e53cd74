//! Produce (0): batches of clients to the replicas that lead.
//!
//! In: a request with one batch for each partition. Out: its response when every replica has told
//! the outcome; nothing for acks=0. Invariant: a partition's answer is the replica's; NONE only
//! after the acknowledgement that the producer asked for. Source: `reference/kafka.md` §1.7.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, produce_response};
use tracing::info;

use super::{text, wire_topic_name};
use crate::broker::directories::Directory;
use crate::broker::effects::{DirectoryIndex, Effect, RequestId};
use crate::broker::{Broker, OFFSETS_TOPIC};
use crate::config::{TimestampType, TopicConfig};
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::log::LogBatch;
use crate::offset::Offset;
use crate::record::{
    DECOMPRESSED_BYTES_MAX, ProduceRules, Rejection, stamp_log_append_time, validate_produce,
};
use crate::replica::{self, Acks, ProduceOutcome, ProduceToken, Produced};
use crate::time::Now;

/// The requests whose replicas have not all answered.
#[derive(Debug, Default)]
pub(in crate::broker) struct ProduceRequests {
    jobs: BTreeMap<RequestId, Job>,
    tokens: BTreeMap<ProduceToken, Awaited>,
}

/// A batch that a replica has and has not answered for.
#[derive(Debug)]
struct Awaited {
    request: RequestId,
    item: usize,
    /// Where the log ended when the batch came; what is answered with less was there before.
    log_end_offset: Offset,
}

/// A request whose directory has too much under way already.
#[derive(Debug)]
pub(in crate::broker) struct HeldProduce {
    pub(in crate::broker) request: RequestId,
    version: i16,
    body: ProduceRequest,
}

#[derive(Debug)]
struct Job {
    version: i16,
    acks: Acks,
    /// The topics in the order of the request.
    topics: Vec<String>,
    items: Vec<Item>,
    pending: usize,
}

#[derive(Debug)]
struct Item {
    topic: usize,
    partition: i32,
    log_append_time: bool,
    outcome: Result<Produced, Rejection>,
}

/// What precedes the answer of a replica.
fn unknown() -> Result<Produced, Rejection> {
    Err(rejection(ErrorCode::UnknownServerError))
}

fn rejection(code: ErrorCode) -> Rejection {
    Rejection {
        code,
        message: String::new(),
    }
}

impl Broker {
    pub(super) fn handle_produce(
        &mut self,
        now: Now,
        request: RequestId,
        version: i16,
        body: ProduceRequest,
    ) {
        match self.crowded_directory(&body) {
            Some(directory) => directory.held.push_back(HeldProduce {
                request,
                version,
                body,
            }),
            None => self.begin_produce(now, request, version, body),
        }
    }

    /// A directory that the batches of `body` have to wait for. Its own connections wait with it,
    /// and nobody else's.
    fn crowded_directory(&mut self, body: &ProduceRequest) -> Option<&mut Directory> {
        let waits = |directory: &Directory| directory.is_crowded() || !directory.held.is_empty();
        if !self.directories.iter().any(waits) {
            return None;
        }
        let partitions = body.topic_data.iter().flat_map(|topic| {
            let name = |index| self.partition_name(&topic.name, index);
            let partitions = topic.partition_data.iter();
            partitions.map(move |partition| name(partition.index))
        });
        let mut directories = partitions.filter_map(|name| {
            let partition = self.partitions.get(&name)?;
            Some(partition.directory)
        });
        let crowded = directories.find(|index| self.directories.get(*index).is_some_and(waits));
        self.directories.get_mut(crowded?)
    }

    /// Takes the produces that waited for a directory, as far as there is room now.
    pub(in crate::broker) fn release_produces(&mut self, now: Now, index: DirectoryIndex) {
        while let Some(directory) = self.directories.get_mut(index) {
            if directory.is_crowded() {
                return;
            }
            let Some(held) = directory.held.pop_front() else {
                return;
            };
            self.begin_produce(now, held.request, held.version, held.body);
        }
    }

    fn begin_produce(&mut self, now: Now, request: RequestId, version: i16, body: ProduceRequest) {
        let acks = Acks::try_from(body.acks);
        let timeout = Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or(0));
        let deadline = now.time + timeout;
        let mut job = Job {
            version,
            acks: acks.unwrap_or(Acks::One),
            topics: Vec::new(),
            items: Vec::new(),
            pending: 0,
        };
        let mut batches = Vec::new();
        for (topic, data) in body.topic_data.into_iter().enumerate() {
            job.topics.push(data.name.to_string());
            for partition in data.partition_data {
                let name = self.partition_name(&data.name, partition.index);
                let checked = match acks {
                    Ok(_) => self.check_batch(now, version, &name, partition.records),
                    Err(code) => Err(rejection(code)),
                };
                let log_append_time = self.stamps_append_time(&name);
                let outcome = match checked {
                    Ok(batch) => {
                        batches.push((job.items.len(), name, batch));
                        unknown()
                    }
                    Err(rejected) => Err(rejected),
                };
                let partition = partition.index;
                job.items.push(Item {
                    topic,
                    partition,
                    log_append_time,
                    outcome,
                });
            }
        }
        let acks = job.acks;
        let answered = acks != Acks::Zero;
        job.pending = if answered { batches.len() } else { 0 };
        let is_answered = job.pending == 0;
        self.produces.jobs.insert(request, job);
        for (index, name, batch) in batches {
            let token = ProduceToken(self.fresh_id());
            if answered {
                let awaited = Awaited {
                    request,
                    item: index,
                    log_end_offset: self.log_end_offset(&name),
                };
                self.produces.tokens.insert(token, awaited);
            }
            let produce = replica::ProduceRequest {
                token,
                deadline,
                acks,
                batch,
            };
            self.with_replica(now, &name, |replica| replica.handle_produce(now, produce));
        }
        if is_answered {
            self.answer_produce(request);
        }
    }

    fn log_end_offset(&self, name: &TopicPartition) -> Offset {
        let partition = self.partitions.get(name);
        partition.map_or(0, |partition| partition.replica.log().log_end_offset())
    }

    fn stamps_append_time(&self, name: &TopicPartition) -> bool {
        self.partitions.get(name).is_some_and(|partition| {
            partition.config.timestamp_type == TimestampType::LogAppendTime
        })
    }

    fn check_batch(
        &self,
        now: Now,
        version: i16,
        name: &TopicPartition,
        records: Option<Bytes>,
    ) -> Result<LogBatch, Rejection> {
        if &*name.topic == OFFSETS_TOPIC {
            // Only the coordinator writes there. Source: Kafka's `ReplicaManager`.
            return Err(rejection(ErrorCode::InvalidTopicException));
        }
        let Some(partition) = self.partitions.get(name) else {
            return Err(rejection(if self.partition_exists(name) {
                ErrorCode::NotLeaderOrFollower
            } else {
                ErrorCode::UnknownTopicOrPartition
            }));
        };
        let rules = rules(&partition.config, version);
        let batch = validate_produce(&records.unwrap_or_default(), &rules, now.wall_millis)?;
        if partition.config.timestamp_type == TimestampType::CreateTime {
            return Ok(LogBatch::from(batch));
        }
        let mut bytes = BytesMut::from(&batch.bytes()[..]);
        stamp_log_append_time(&mut bytes, now.wall_millis);
        let stamped = crate::record::RecordBatch::first(&bytes.freeze())?;
        Ok(LogBatch::from(stamped))
    }

    /// A replica told the outcome of a batch.
    pub(in crate::broker) fn complete_produce(
        &mut self,
        token: ProduceToken,
        outcome: ProduceOutcome,
    ) {
        if self.complete_group_write(token, &outcome) {
            return;
        }
        let Some(awaited) = self.produces.tokens.remove(&token) else {
            return;
        };
        let request = awaited.request;
        let Some(job) = self.produces.jobs.get_mut(&request) else {
            return;
        };
        if let Some(item) = job.items.get_mut(awaited.item) {
            match &outcome {
                Ok(produced) if produced.base_offset < awaited.log_end_offset => {
                    let topic = job.topics.get(item.topic).map_or("", String::as_str);
                    let (partition, offset) = (item.partition, produced.base_offset);
                    info!(partition = %format_args!("{topic}-{partition}"), offset,
                        "a retry is already in the log");
                }
                _ => {}
            }
            item.outcome = outcome.map_err(rejection);
        }
        job.pending -= 1;
        if job.pending == 0 {
            self.answer_produce(request);
        }
    }

    fn answer_produce(&mut self, request: RequestId) {
        let Some(job) = self.produces.jobs.remove(&request) else {
            return;
        };
        if job.acks == Acks::Zero {
            self.effects.push(answer_nothing(request, &job));
            return;
        }
        let mut topics: Vec<_> = job
            .topics
            .iter()
            .map(|name| {
                produce_response::TopicProduceResponse::default().with_name(wire_topic_name(name))
            })
            .collect();
        for item in job.items {
            if let Some(topic) = topics.get_mut(item.topic) {
                topic
                    .partition_responses
                    .push(partition_response(item, job.version));
            }
        }
        self.respond(request, ProduceResponse::default().with_responses(topics));
    }
}

/// A producer that wants no answer learns of an error by the end of its connection.
fn answer_nothing(request: RequestId, job: &Job) -> Effect {
    let refused = job.items.iter().find_map(|item| match &item.outcome {
        Err(refused) if refused.code != ErrorCode::UnknownServerError => Some(refused),
        _ => None,
    });
    match refused {
        Some(refused) => Effect::Close {
            request,
            reason: format!("a produce with acks=0 failed: {:?}", refused.code),
        },
        None => Effect::Omit { request },
    }
}

fn partition_response(item: Item, version: i16) -> produce_response::PartitionProduceResponse {
    let response = produce_response::PartitionProduceResponse::default().with_index(item.partition);
    match item.outcome {
        Ok(produced) => {
            let response = response
                .with_base_offset(produced.base_offset)
                .with_log_append_time_ms(if item.log_append_time {
                    produced.timestamp
                } else {
                    -1
                });
            if version >= 5 {
                response.with_log_start_offset(produced.log_start_offset)
            } else {
                response
            }
        }
        Err(refused) => {
            let message = Some(refused.message).filter(|message| !message.is_empty());
            let response = response
                .with_error_code(refused.code.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1);
            match message {
                Some(message) if version >= 8 => response.with_error_message(Some(text(&message))),
                _ => response,
            }
        }
    }
}

fn rules(config: &TopicConfig, version: i16) -> ProduceRules {
    let timestamp_type = match config.timestamp_type {
        TimestampType::CreateTime => crate::record::TimestampType::CreateTime,
        TimestampType::LogAppendTime => crate::record::TimestampType::LogAppendTime,
    };
    ProduceRules {
        batch_bytes_max: config.max_message_bytes as usize,
        segment_bytes: config.segment_bytes as usize,
        decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        timestamp_before_max_ms: config.timestamp_before_max_ms,
        timestamp_after_max_ms: config.timestamp_after_max_ms,
        timestamp_type,
        keys_required: config.is_compacted,
        zstd_allowed: version >= 7,
    }
}
