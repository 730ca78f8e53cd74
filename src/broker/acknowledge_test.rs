//! One broker over a disk in memory, in one thread: what is answered before what.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, FetchRequest, FindCoordinatorRequest, OffsetCommitRequest,
    ProduceRequest, RequestKind, ResponseKind, TopicName,
    create_topics_request::{CreatableTopic, CreatableTopicConfig},
    fetch_request,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    produce_request,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::effects::{DiskToken, RequestId};
use super::*;
use crate::error::ErrorCode;
use crate::protocol::{Request, RequestHeader};
use crate::record::{BatchBuilder, Compression};
use crate::storage::{
    DirectoryIdentity, DiskError, DiskRequest, LogDirectory, MemoryDisk, Operation,
};

/// A broker alone in its cluster, whose disk can be held.
struct Alone {
    broker: Broker,
    directory: LogDirectory<MemoryDisk>,
    now: Now,
    disk: VecDeque<(DiskToken, DiskRequest)>,
    holds_disk: bool,
    answers: BTreeMap<RequestId, ResponseKind>,
    closed: Vec<RequestId>,
    halted: Option<String>,
    serves: bool,
    last_request: RequestId,
}

impl Alone {
    /// A broker that serves.
    fn serving() -> Self {
        let pairs = ["node.id=1", "log.dirs=/data"];
        let settings = Arc::new(Settings::parse("", &pairs).unwrap());
        let identity = DirectoryIdentity {
            cluster_id: settings.cluster_id.clone(),
            node_id: settings.node_id,
            new_directory_id: Uuid::from_u128(7),
        };
        let path = PathBuf::from("/data");
        let (directory, found) =
            LogDirectory::open(MemoryDisk::default(), path, &identity).unwrap();
        let now = Now {
            time: Time::from_millis(1000),
            wall_millis: 1_000_000,
        };
        let startup = Startup {
            settings,
            seed: 1,
            incarnation_id: Uuid::from_u128(8),
            directories: vec![DirectoryStart::Open(found.directory_id)],
            logs: BTreeMap::new(),
            quorum: crate::quorum::Recovered::default(),
            previous_broker_epoch: None,
        };
        let mut alone = Self {
            broker: Broker::new(now, startup).unwrap(),
            directory,
            now,
            disk: VecDeque::new(),
            holds_disk: false,
            answers: BTreeMap::new(),
            closed: Vec::new(),
            halted: None,
            serves: false,
            last_request: 0,
        };
        alone.settle();
        while !alone.serves {
            alone.pass();
        }
        alone
    }

    /// Lets the time come that the broker waits for.
    fn pass(&mut self) {
        self.now.time = self.broker.next_timeout().unwrap().max(self.now.time);
        self.broker.handle_timeout(self.now);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            for effect in self.broker.take_effects() {
                match effect {
                    Effect::Respond { request, response } => {
                        assert!(self.answers.insert(request, *response).is_none());
                    }
                    Effect::Omit { .. } => {}
                    Effect::Close { request, .. } => self.closed.push(request),
                    Effect::Send(request) => panic!("nobody to send to: {request:?}"),
                    Effect::Disk { token, request, .. } => self.disk.push_back((token, request)),
                    Effect::Serving => self.serves = true,
                    Effect::Stopped => panic!("nobody stopped it"),
                    Effect::Halt { reason } => {
                        self.halted.get_or_insert(reason);
                    }
                }
            }
            if self.holds_disk || !self.step_disk() {
                return;
            }
        }
    }

    /// Executes the oldest operation; `false` if there is none.
    fn step_disk(&mut self) -> bool {
        let Some((token, request)) = self.disk.pop_front() else {
            return false;
        };
        let result = self.directory.execute(request);
        self.broker.handle_disk(self.now, 0, token, result);
        true
    }

    /// Executes operations up to and with the first that `is_last`.
    fn disk_until(&mut self, is_last: impl Fn(&DiskRequest) -> bool) {
        loop {
            let last = self
                .disk
                .front()
                .is_some_and(|(_, request)| is_last(request));
            assert!(self.step_disk(), "no such operation");
            self.settle();
            if last {
                return;
            }
        }
    }

    fn request(&mut self, api: ApiKey, version: i16, body: impl Into<RequestKind>) -> RequestId {
        let request = self.ask(api, version, body);
        self.settle();
        request
    }

    /// Hands a request over in the same turn as the next one.
    fn ask(&mut self, api: ApiKey, version: i16, body: impl Into<RequestKind>) -> RequestId {
        self.last_request += 1;
        let header = RequestHeader {
            api,
            version,
            correlation_id: 1,
            client_id: None,
            peer: None,
        };
        let request = Request {
            header,
            body: body.into(),
        };
        self.broker
            .handle_request(self.now, self.last_request, request);
        self.last_request
    }

    fn create_topic(&mut self, configs: &[(&str, &str)]) -> RequestId {
        let config = |(name, value): &(&str, &str)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*name).to_owned()))
                .with_value(Some(StrBytes::from_string((*value).to_owned())))
        };
        let topic = CreatableTopic::default()
            .with_name(topic())
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(configs.iter().map(config).collect());
        let body = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(1000);
        self.request(ApiKey::CreateTopics, 5, body)
    }

    fn produce(&mut self, acks: i16) -> RequestId {
        self.produce_bytes(acks, self.value())
    }

    fn value(&self) -> Bytes {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(self.now.wall_millis, None, Some(b"value"), &[]);
        builder.build()
    }

    fn produce_bytes(&mut self, acks: i16, records: Bytes) -> RequestId {
        self.request(ApiKey::Produce, 9, produce_request(acks, records))
    }

    fn fetch(&mut self, offset: i64, wait_ms: i32) -> RequestId {
        let partition = fetch_request::FetchPartition::default()
            .with_fetch_offset(offset)
            .with_current_leader_epoch(-1)
            .with_partition_max_bytes(1 << 20);
        let topic = fetch_request::FetchTopic::default()
            .with_topic(topic())
            .with_partitions(vec![partition]);
        let body = FetchRequest::default()
            .with_max_wait_ms(wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_topics(vec![topic]);
        self.request(ApiKey::Fetch, 11, body)
    }

    /// The error code and the base offset of an answered produce.
    fn produced(&self, request: RequestId) -> Option<(i16, i64)> {
        match self.answers.get(&request)? {
            ResponseKind::Produce(body) => {
                let partition = &body.responses[0].partition_responses[0];
                Some((partition.error_code, partition.base_offset))
            }
            other => panic!("{other:?} is no answer to a produce"),
        }
    }

    /// The error code and the bytes of an answered fetch.
    fn fetched(&self, request: RequestId) -> Option<(i16, usize)> {
        match self.answers.get(&request)? {
            ResponseKind::Fetch(body) => {
                let partition = &body.responses[0].partitions[0];
                Some((
                    partition.error_code,
                    partition.records.as_ref().map_or(0, Bytes::len),
                ))
            }
            other => panic!("{other:?} is no answer to a fetch"),
        }
    }
}

fn produce_request(acks: i16, records: Bytes) -> ProduceRequest {
    let partition = produce_request::PartitionProduceData::default().with_records(Some(records));
    let topic = produce_request::TopicProduceData::default()
        .with_name(topic())
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(1000)
        .with_topic_data(vec![topic])
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}

#[test]
fn a_topic_is_answered_when_its_records_are_durable() {
    let mut alone = Alone::serving();
    alone.holds_disk = true;
    let created = alone.create_topic(&[]);
    assert!(!alone.answers.contains_key(&created));
    alone.disk_until(|request| matches!(request, DiskRequest::Append { .. }));
    assert!(
        !alone.answers.contains_key(&created),
        "answered before the flush"
    );
    alone.disk_until(|request| matches!(request, DiskRequest::Flush { .. }));
    assert!(alone.answers.contains_key(&created));
}

#[test]
fn what_a_log_gets_in_one_turn_is_flushed_once_after_all_of_it() {
    let mut alone = Alone::serving();
    alone.create_topic(&[("flush.messages", "1")]);
    alone.holds_disk = true;
    let produces: Vec<_> = (0..3)
        .map(|_| alone.ask(ApiKey::Produce, 9, produce_request(-1, alone.value())))
        .collect();
    alone.settle();
    let kinds = alone.disk.iter().map(|(_, request)| match request {
        DiskRequest::Append { .. } => "append",
        DiskRequest::Flush { .. } => "flush",
        _ => "another",
    });
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(kinds, ["append", "append", "append", "flush"]);
    for _ in 0..3 {
        assert!(alone.step_disk());
        alone.settle();
    }
    assert_eq!(alone.produced(produces[2]), None, "not durable yet");
    assert!(alone.step_disk());
    alone.settle();
    for (offset, produce) in (0..).zip(produces) {
        assert_eq!(alone.produced(produce), Some((0, offset)));
    }
}

/// What lies below the stored recovery point is never cut as the torn tail of a crash.
#[test]
fn a_metadata_directory_without_partitions_is_checkpointed() {
    let mut alone = Alone::serving();
    alone.holds_disk = true;
    let due = alone.now.time + std::time::Duration::from_secs(5);
    while alone.now.time < due {
        alone.pass();
    }
    let is_checkpoint =
        |request: &DiskRequest| matches!(request, DiskRequest::CheckpointHighWatermarks { .. });
    assert!(alone.disk.iter().any(|(_, request)| is_checkpoint(request)));
}

/// KIP-211: until version 4 the request says how long its offsets are kept.
#[test]
fn a_commit_of_an_old_client_expires_as_it_says() {
    let mut alone = Alone::serving();
    alone.create_topic(&[]);
    let find = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("g"));
    alone.request(ApiKey::FindCoordinator, 2, find);
    while alone.broker.image.topics().named(OFFSETS_TOPIC).is_none() {
        alone.pass();
    }
    let now = alone.now.wall_millis;
    for (retention, expected) in [
        (60_000, Some(now + 60_000)),
        (i64::MAX, Some(i64::MAX)),
        (0, Some(now)),
        (-1, None),
    ] {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
        let commit = OffsetCommitRequestTopic::default()
            .with_name(topic())
            .with_partitions(vec![partition]);
        let body = OffsetCommitRequest::default()
            .with_group_id(StrBytes::from_static_str("g").into())
            .with_generation_id_or_member_epoch(-1)
            .with_retention_time_ms(retention)
            .with_topics(vec![commit]);
        let committed = alone.request(ApiKey::OffsetCommit, 3, body);
        assert!(alone.answers.contains_key(&committed));
        let partition = alone.broker.offsets_partition("g");
        let offsets = alone.broker.groups.coordinator.committed(partition, "g");
        let name = TopicPartition::new("t", 0);
        assert_eq!(offsets.unwrap()[&name].expire_millis, expected);
    }
}

#[test]
fn a_produce_is_answered_when_the_disk_took_it() {
    let mut alone = Alone::serving();
    alone.create_topic(&[]);
    alone.holds_disk = true;
    let (one, all) = (alone.produce(1), alone.produce(-1));
    assert_eq!((alone.produced(one), alone.produced(all)), (None, None));
    alone.disk_until(|request| matches!(request, DiskRequest::Append { .. }));
    assert_eq!(
        (alone.produced(one), alone.produced(all)),
        (Some((0, 0)), None)
    );
    alone.disk_until(|request| matches!(request, DiskRequest::Append { .. }));
    assert_eq!(alone.produced(all), Some((0, 1)));
}

/// As in Kafka no answer waits for it: it bounds how old a record gets that is not durable.
#[test]
fn with_flush_ms_a_record_is_flushed_in_time_and_no_oftener() {
    let mut alone = Alone::serving();
    alone.create_topic(&[("flush.ms", "1000")]);
    let is_flush = |(_, request): &(DiskToken, DiskRequest)| match request {
        DiskRequest::Flush { log } => &*log.topic == "t",
        _ => false,
    };
    let produced = alone.produce(1);
    assert_eq!(alone.produced(produced), Some((0, 0)), "it is not awaited");
    alone.holds_disk = true;
    let due = alone.now.time + std::time::Duration::from_secs(1);
    while !alone.disk.iter().any(is_flush) {
        alone.pass();
        assert!(alone.now.time <= due, "no flush in time");
    }
    alone.holds_disk = false;
    alone.settle();
    alone.holds_disk = true;
    let later = alone.now.time + std::time::Duration::from_secs(3);
    while alone.now.time < later {
        alone.pass();
    }
    assert!(!alone.disk.iter().any(is_flush), "it is durable already");
}

#[test]
fn with_flush_messages_1_a_produce_is_answered_when_it_is_durable() {
    let mut alone = Alone::serving();
    alone.create_topic(&[("flush.messages", "1")]);
    alone.holds_disk = true;
    let produced = alone.produce(-1);
    alone.disk_until(|request| matches!(request, DiskRequest::Append { .. }));
    assert_eq!(alone.produced(produced), None);
    alone.disk_until(|request| matches!(request, DiskRequest::Flush { .. }));
    assert_eq!(alone.produced(produced), Some((0, 0)));
}

#[test]
fn a_failed_write_is_a_storage_error_and_the_end() {
    let mut alone = Alone::serving();
    alone.create_topic(&[]);
    alone.holds_disk = true;
    let produced = alone.produce(1);
    let (token, _) = alone.disk.pop_front().unwrap();
    let error = DiskError::Io {
        operation: Operation::Write,
        path: PathBuf::from("/data/t-0"),
        message: "no space left on device".to_owned(),
    };
    alone.broker.handle_disk(alone.now, 0, token, Err(error));
    alone.settle();
    assert_eq!(
        alone.produced(produced),
        Some((ErrorCode::KafkaStorageError.code(), -1))
    );
    assert!(
        alone.halted.as_ref().unwrap().contains("no space left"),
        "{:?}",
        alone.halted
    );
}

#[test]
fn a_fetch_waits_for_a_record_or_for_its_time() {
    let mut alone = Alone::serving();
    alone.create_topic(&[]);
    let woken = alone.fetch(0, 500);
    assert_eq!(alone.fetched(woken), None);
    alone.produce(1);
    let late = alone.fetch(1, 500);
    let (code, bytes) = alone.fetched(woken).unwrap();
    assert!(code == 0 && bytes > 0, "{code} {bytes}");
    assert_eq!(alone.fetched(late), None);
    let deadline = alone.now.time + std::time::Duration::from_millis(500);
    while alone.now.time < deadline {
        alone.pass();
    }
    assert_eq!(alone.fetched(late), Some((0, 0)));
    let beyond = alone.fetch(9, 500);
    assert_eq!(
        alone.fetched(beyond),
        Some((ErrorCode::OffsetOutOfRange.code(), 0))
    );
}

#[test]
fn acks_0_is_not_answered_and_its_failure_ends_the_connection() {
    let mut alone = Alone::serving();
    alone.create_topic(&[]);
    let good = alone.produce(0);
    let bad = alone.produce_bytes(0, Bytes::from_static(b"no batch"));
    assert!(!alone.answers.contains_key(&good) && !alone.answers.contains_key(&bad));
    assert_eq!(alone.closed, [bad]);
}
