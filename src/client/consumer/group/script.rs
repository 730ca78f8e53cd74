//! A scripted coordinator for the tests of members: a group of one, whose every answer the test can
//! change.
//!
//! In: requests of one consumer, and orders of the test. Out: answers, and one story of what the
//! coordinator saw and the listener heard, in the order of both.

use std::collections::{BTreeMap, VecDeque};
use std::future::ready;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::client::assignor::encode_assignment;
use crate::client::consumer::{AutoOffsetReset, ConsumerConfig};
use crate::client::fake_broker::{FakeBroker, Received, TOPIC};
use crate::client::{Consumer, ConsumerRecord};
use crate::error::ErrorCode;
use crate::offset::Offset;
use crate::record::{BatchBuilder, Compression};

/// Longer than any script takes.
pub(super) const LONG: Duration = Duration::from_secs(20);
/// The records of partition 0: offsets 0, 1 and 2.
pub(super) const LOG_END: Offset = 3;

/// What the coordinator answers and has seen.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// The answer to every heartbeat.
    pub(super) heartbeat: Option<ErrorCode>,
    /// The answers to the next joins, none for one that is lost; then it lets everybody in.
    pub(super) joins: VecDeque<Option<ErrorCode>>,
    /// What happens instead of the next sync: its answer, none if it is lost.
    pub(super) instead_of_sync: Option<fn(&mut Script) -> Option<ErrorCode>>,
    /// The answers to the next commits, none for one that is lost; then it accepts.
    pub(super) commits: VecDeque<Option<ErrorCode>>,
    /// The next requests of these kinds are never answered, nor is what follows on the connection.
    pub(super) forgotten: Vec<ApiKey>,
    /// What happens before the next question about committed offsets is answered.
    pub(super) before_offset_fetch: Option<fn(&mut Script)>,
    /// What the next sync assigns, whatever the member has decided.
    pub(super) assigned: Option<Vec<TopicPartition>>,
    /// Committed offsets, with the leader epoch 0.
    pub(super) committed: BTreeMap<i32, Offset>,
    pub(super) story: Vec<String>,
    generation: i32,
    members: i32,
    /// What the member got at its last join.
    assignment: Bytes,
}

/// The test's side.
pub(super) struct Scripted {
    script: Arc<Mutex<Script>>,
    pub(super) partitions: Arc<AtomicI32>,
    address: std::net::SocketAddr,
    _serving: JoinSet<()>,
}

impl Scripted {
    pub(super) async fn start() -> Self {
        let mut broker = FakeBroker::start().await;
        let script = Arc::new(Mutex::new(Script::default()));
        let (address, partitions) = (broker.address, broker.partitions());
        let mut serving = JoinSet::new();
        let told = Arc::clone(&script);
        serving.spawn(async move {
            loop {
                let request = broker.next().await;
                told.lock().unwrap().serve(request);
            }
        });
        Self {
            script,
            partitions,
            address,
            _serving: serving,
        }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// What happened since the last call.
    pub(super) fn story(&self) -> Vec<String> {
        std::mem::take(&mut self.script().story)
    }

    /// A subscribed consumer; nothing has been asked yet.
    pub(super) async fn member(&self, group: GroupConfig) -> Consumer {
        let request_timeout = ConsumerConfig::default().request_timeout;
        let mut consumer = self.consumer(group, request_timeout).await;
        self.subscribe(&mut consumer).unwrap();
        consumer
    }

    pub(super) fn subscribe(&self, consumer: &mut Consumer) -> Result<(), ClientError> {
        let listener = Box::new(Listener(Arc::clone(&self.script)));
        consumer.subscribe(vec![TOPIC.to_owned()], listener)
    }

    /// A consumer that has a group and is no member.
    pub(super) async fn consumer(&self, group: GroupConfig, request_timeout: Duration) -> Consumer {
        let config = ConsumerConfig {
            bootstrap: vec![self.address],
            request_timeout,
            auto_offset_reset: AutoOffsetReset::Earliest,
            retry_backoff: Duration::from_millis(2),
            metadata_max_age: Duration::from_millis(2),
            max_poll_records: 1,
            group: Some(group),
            ..ConsumerConfig::default()
        };
        Consumer::start(config).await.unwrap()
    }

    /// Polls until the story holds `what`; returns the offsets that came out meanwhile.
    pub(super) async fn poll_until(&self, consumer: &mut Consumer, what: &str) -> Vec<Offset> {
        let mut offsets = Vec::new();
        let told = || {
            self.script()
                .story
                .iter()
                .any(|line| line.starts_with(what))
        };
        let polls = async {
            while !told() {
                let records = consumer.poll(Duration::from_millis(5)).await.unwrap();
                offsets.extend(records.iter().map(|record| record.offset));
            }
        };
        timeout(LONG, polls)
            .await
            .unwrap_or_else(|_| panic!("no {what}: {:?}", self.script().story));
        offsets
    }
}

/// A group that beats often, so that tests are quick, and commits only when told.
pub(super) fn group() -> GroupConfig {
    GroupConfig {
        group_id: "g".to_owned(),
        heartbeat_interval: Duration::from_millis(5),
        assignors: vec![AssignorKind::Range],
        enable_auto_commit: false,
        ..GroupConfig::default()
    }
}

/// The one record of the next poll that has one.
pub(super) async fn next(consumer: &mut Consumer) -> ConsumerRecord {
    let mut records = consumer.poll(LONG).await.unwrap();
    assert_eq!(records.len(), 1);
    records.remove(0)
}

struct Listener(Arc<Mutex<Script>>);

impl Listener {
    fn note(&self, line: String) -> BoxFuture<'static, ()> {
        self.0.lock().unwrap().story.push(line);
        Box::pin(ready(()))
    }
}

impl RebalanceListener for Listener {
    fn assigned<'a>(&'a mut self, _: Commits<'a>, event: RebalanceEvent) -> BoxFuture<'a, ()> {
        self.note(heard("assigned", &event))
    }

    fn revoked<'a>(&'a mut self, _: Commits<'a>, event: RebalanceEvent) -> BoxFuture<'a, ()> {
        self.note(heard("revoked", &event))
    }

    fn lost(&mut self, event: RebalanceEvent) -> BoxFuture<'_, ()> {
        self.note(heard("lost", &event))
    }

    fn resumed(&mut self, at: Resumption) -> BoxFuture<'_, ()> {
        self.note(format!(
            "resumed {} {} {:?}",
            at.partition, at.offset, at.source
        ))
    }
}

fn heard(what: &str, event: &RebalanceEvent) -> String {
    let names: Vec<_> = event.partitions.iter().map(ToString::to_string).collect();
    format!(
        "{what} {} {} {}",
        event.member_id,
        event.generation_id,
        names.join(" ")
    )
}

impl Script {
    fn serve(&mut self, request: Received) {
        if let Some(index) = self.forgotten.iter().position(|api| *api == request.api) {
            self.forgotten.remove(index);
            self.story.push(format!("forgot {:?}", request.api));
            return;
        }
        match &request.body {
            RequestKind::FindCoordinator(_) => {
                request.answer(FindCoordinatorResponse::default().with_node_id(1.into()));
            }
            RequestKind::JoinGroup(body) => match self.join(body) {
                Some(response) => request.answer(response),
                None => request.lose(),
            },
            RequestKind::SyncGroup(body) => match self.sync(body) {
                Some(response) => request.answer(response),
                None => request.lose(),
            },
            RequestKind::Heartbeat(_) => {
                let code = self.heartbeat.map_or(0, |code| code.code());
                request.answer(HeartbeatResponse::default().with_error_code(code));
            }
            RequestKind::LeaveGroup(body) => {
                let member = &body.members[0].member_id;
                self.story.push(format!("leave {member}"));
                request.answer(LeaveGroupResponse::default());
            }
            RequestKind::OffsetCommit(body) => match self.commit(body) {
                Some(response) => request.answer(response),
                None => request.lose(),
            },
            RequestKind::OffsetFetch(body) => {
                if let Some(before) = self.before_offset_fetch.take() {
                    before(self);
                }
                let response = self.fetch_committed(body);
                request.answer(response);
            }
            RequestKind::ListOffsets(body) => {
                let index = body.topics[0].partitions[0].partition_index;
                request.answer(first_offset(index));
            }
            RequestKind::Fetch(body) => {
                let response = records(body);
                request.answer(response);
            }
            body => panic!("no script for {body:?}"),
        }
    }

    fn join(&mut self, body: &JoinGroupRequest) -> Option<JoinGroupResponse> {
        self.story.push(format!("join {}", body.member_id));
        if let Some(reply) = self.joins.pop_front() {
            return Some(JoinGroupResponse::default().with_error_code(reply?.code()));
        }
        if body.member_id.is_empty() {
            self.members += 1;
            let member = StrBytes::from(format!("m{}", self.members));
            let response = JoinGroupResponse::default()
                .with_error_code(ErrorCode::MemberIdRequired.code())
                .with_member_id(member);
            return Some(response);
        }
        self.generation += 1;
        // Whoever has joined may go on.
        self.heartbeat = None;
        let protocol = &body.protocols[0];
        let member = JoinGroupResponseMember::default()
            .with_member_id(body.member_id.clone())
            .with_metadata(protocol.metadata.clone());
        let response = JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(Some(body.protocol_type.clone()))
            .with_protocol_name(Some(protocol.name.clone()))
            .with_leader(body.member_id.clone())
            .with_member_id(body.member_id.clone())
            .with_members(vec![member]);
        Some(response)
    }

    fn sync(&mut self, body: &SyncGroupRequest) -> Option<SyncGroupResponse> {
        if let Some(instead) = self.instead_of_sync.take() {
            let code = instead(self)?.code();
            return Some(SyncGroupResponse::default().with_error_code(code));
        }
        if let Some(own) = body.assignments.first() {
            self.assignment = own.assignment.clone();
        }
        if let Some(assigned) = self.assigned.take() {
            self.assignment = encode_assignment(&assigned);
        }
        let own = self.assignment.clone();
        Some(SyncGroupResponse::default().with_assignment(own))
    }

    fn commit(&mut self, body: &OffsetCommitRequest) -> Option<OffsetCommitResponse> {
        let partitions = &body.topics[0].partitions;
        let offsets = partitions
            .iter()
            .map(|p| (p.partition_index, p.committed_offset));
        let offsets: BTreeMap<_, _> = offsets.collect();
        let generation = body.generation_id_or_member_epoch;
        self.story.push(format!("commit {generation} {offsets:?}"));
        let code = match self.commits.pop_front() {
            Some(reply) => reply?.code(),
            None if generation >= 0 && generation != self.generation => {
                ErrorCode::IllegalGeneration.code()
            }
            None => {
                self.committed.extend(offsets);
                0
            }
        };
        let answers = partitions.iter().map(|p| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(p.partition_index)
                .with_error_code(code)
        });
        let topic = OffsetCommitResponseTopic::default()
            .with_name(topic())
            .with_partitions(answers.collect());
        Some(OffsetCommitResponse::default().with_topics(vec![topic]))
    }

    fn fetch_committed(&self, body: &OffsetFetchRequest) -> OffsetFetchResponse {
        let asked = &body.topics.as_ref().unwrap()[0].partition_indexes;
        let answers = asked.iter().map(|index| {
            let offset = self.committed.get(index);
            OffsetFetchResponsePartition::default()
                .with_partition_index(*index)
                .with_committed_offset(offset.copied().unwrap_or(-1))
                .with_committed_leader_epoch(offset.map_or(-1, |_| 0))
        });
        let topic = OffsetFetchResponseTopic::default()
            .with_name(topic())
            .with_partitions(answers.collect());
        OffsetFetchResponse::default().with_topics(vec![topic])
    }
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

fn first_offset(index: i32) -> ListOffsetsResponse {
    let partition = ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_offset(0)
        .with_leader_epoch(-1);
    let topic = ListOffsetsTopicResponse::default()
        .with_name(topic())
        .with_partitions(vec![partition]);
    ListOffsetsResponse::default().with_topics(vec![topic])
}

/// Partition 0 holds three records, every other one none.
fn records(body: &FetchRequest) -> FetchResponse {
    let answers = body.topics[0].partitions.iter().map(|asked| {
        let mut records = Bytes::new();
        if asked.partition == 0 && asked.fetch_offset < LOG_END {
            let builder = BatchBuilder::new(Compression::None);
            let mut builder = builder.with_position(asked.fetch_offset, 0);
            for _ in asked.fetch_offset..LOG_END {
                builder.append(1, None, Some(b"v"), &[]);
            }
            records = builder.build();
        }
        PartitionData::default()
            .with_partition_index(asked.partition)
            .with_records(Some(records))
    });
    let topic = FetchableTopicResponse::default()
        .with_topic(topic())
        .with_partitions(answers.collect());
    FetchResponse::default().with_responses(vec![topic])
}

/// Makes the topic grow.
pub(super) fn grow(partitions: &AtomicI32) {
    partitions.fetch_add(1, Ordering::AcqRel);
}
