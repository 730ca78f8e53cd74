//! Log directories that fail, stall and return, and logs that are damaged.
//!
//! Alone: a broker that is its own controller, over disks in memory that can be held. Among others:
//! the broker of `broker_test`, driven by images of the metadata.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{
    self as wire, ApiKey, CreateTopicsRequest, FetchRequest, MetadataRequest, MetadataResponse,
    ProduceRequest, RequestKind, ResponseKind, TopicName,
    assign_replicas_to_dirs_response as response, create_topics_request::CreatableTopic,
    fetch_request, produce_request,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::broker_test::{INCARNATION, NOW, OTHER, OWN, Rig, broker};
use super::effects::{DiskToken, PeerRequest, RequestId};
use super::*;
use crate::error::ErrorCode;
use crate::id::{LOST_DIRECTORY, TopicId, UNASSIGNED_DIRECTORY};
use crate::metadata::MetadataRecord;
use crate::metadata::record::{BrokerRegistration, LeaderChange, PartitionChange};
use crate::protocol::{Request, RequestHeader};
use crate::quorum::{self, BeginQuorumEpochRequest};
use crate::record::{BatchBuilder, Compression};
use crate::replica::{PartitionRegistration, RoleName};
use crate::storage::{
    DirectoryIdentity, DiskRequest, LogDamage, LogDirectory, MemoryDisk, Operation as DiskOperation,
};

/// The directory of the metadata log, and the other one.
const DIRS: [&str; 2] = ["/a", "/b"];

/// A broker alone in its cluster, with two directories that can be held.
struct Alone {
    broker: Broker,
    disks: [MemoryDisk; 2],
    directories: [LogDirectory<MemoryDisk>; 2],
    waiting: [VecDeque<(DiskToken, DiskRequest)>; 2],
    held: [bool; 2],
    now: Now,
    answers: BTreeMap<RequestId, ResponseKind>,
    halted: Option<String>,
    serves: bool,
    stopped: bool,
    last_request: RequestId,
}

fn open(disk: &MemoryDisk, path: &str, settings: &Settings) -> (LogDirectory<MemoryDisk>, Found) {
    let id = if path == DIRS[0] { 0xa } else { 0xb };
    let identity = DirectoryIdentity {
        cluster_id: settings.cluster_id.clone(),
        node_id: settings.node_id,
        new_directory_id: Uuid::from_u128(id),
    };
    LogDirectory::open(disk.clone(), path.into(), &identity).unwrap()
}

type Found = crate::storage::RecoveredDirectory;

fn logs_of(found: &Found, directory: usize) -> Vec<(TopicPartition, UnclaimedLog)> {
    let logs = found.logs.iter();
    let logs = logs.filter(|log| &*log.topic_partition.topic != METADATA_TOPIC);
    logs.map(|log| {
        let unclaimed = UnclaimedLog {
            topic_id: log.topic_id,
            state: log.state.clone(),
            high_watermark: log.high_watermark,
            directory,
            damage: log.damage.clone(),
        };
        (log.topic_partition.clone(), unclaimed)
    })
    .collect()
}

impl Alone {
    /// A broker that serves topic `t` with partition 0 in the first directory and 1 in the second.
    fn serving() -> Self {
        let log_dirs = format!("log.dirs={}", DIRS.join(","));
        let settings = Arc::new(Settings::parse("", &["node.id=1", &log_dirs]).unwrap());
        let disks = [MemoryDisk::default(), MemoryDisk::default()];
        let (first, found_first) = open(&disks[0], DIRS[0], &settings);
        let (second, found_second) = open(&disks[1], DIRS[1], &settings);
        let now = Now {
            time: Time::from_millis(1000),
            wall_millis: 1_000_000,
        };
        let startup = Startup {
            settings,
            seed: 1,
            incarnation_id: Uuid::from_u128(8),
            directories: [&found_first, &found_second]
                .map(|found| DirectoryStart::Open(found.directory_id))
                .to_vec(),
            logs: BTreeMap::new(),
            quorum: quorum::Recovered::default(),
            previous_broker_epoch: None,
        };
        let mut alone = Self {
            broker: Broker::new(now, startup).unwrap(),
            disks,
            directories: [first, second],
            waiting: [VecDeque::new(), VecDeque::new()],
            held: [false, false],
            now,
            answers: BTreeMap::new(),
            halted: None,
            serves: false,
            stopped: false,
            last_request: 0,
        };
        alone.settle();
        alone.pass_until(|alone| alone.serves);
        let topic = CreatableTopic::default()
            .with_name(topic_name())
            .with_num_partitions(2)
            .with_replication_factor(1);
        let body = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(1000);
        let created = alone.ask(ApiKey::CreateTopics, 7, body.into());
        alone.answer(created);
        for (partition, directory) in [(0, 0), (1, 1)] {
            let replica = &alone.broker.partitions[&name(partition)];
            assert_eq!(replica.directory, directory, "the emptiest directory");
        }
        alone.pass_until(|alone| {
            let directories = [0, 1].map(|partition| alone.registration(partition).directories);
            directories == [vec![Uuid::from_u128(0xa)], vec![Uuid::from_u128(0xb)]]
        });
        alone
    }

    fn pass_until(&mut self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..200 {
            if holds(self) {
                return;
            }
            self.now.time = self.broker.next_timeout().unwrap().max(self.now.time);
            self.broker.handle_timeout(self.now);
            self.settle();
        }
        panic!("it does not come");
    }

    fn settle(&mut self) {
        loop {
            for effect in self.broker.take_effects() {
                match effect {
                    Effect::Respond { request, response } => {
                        assert!(self.answers.insert(request, *response).is_none());
                    }
                    Effect::Disk {
                        directory,
                        token,
                        request,
                    } => self.waiting[directory].push_back((token, request)),
                    Effect::Serving => self.serves = true,
                    Effect::Stopped => self.stopped = true,
                    Effect::Halt { reason } => {
                        self.halted.get_or_insert(reason);
                    }
                    other => panic!("{other:?}"),
                }
            }
            let Some(index) = (0..2).find(|i| !self.held[*i] && !self.waiting[*i].is_empty())
            else {
                return;
            };
            self.step_disk(index);
        }
    }

    /// Executes the oldest operation of a directory.
    fn step_disk(&mut self, index: usize) {
        let (token, request) = self.waiting[index].pop_front().unwrap();
        let result = self.directories[index].execute(request);
        self.broker.handle_disk(self.now, index, token, result);
    }

    fn ask(&mut self, api: ApiKey, version: i16, body: RequestKind) -> RequestId {
        self.last_request += 1;
        let header = RequestHeader {
            api,
            version,
            correlation_id: 0,
            client_id: None,
            peer: None,
        };
        let request = Request { header, body };
        self.broker
            .handle_request(self.now, self.last_request, request);
        self.settle();
        self.last_request
    }

    fn answer(&mut self, request: RequestId) -> ResponseKind {
        self.answers.remove(&request).unwrap()
    }

    fn produce(&mut self, partition: i32) -> RequestId {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(self.now.wall_millis, None, Some(b"v"), &[]);
        let data = produce_request::PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(builder.build()));
        let topic = produce_request::TopicProduceData::default()
            .with_name(topic_name())
            .with_partition_data(vec![data]);
        let body = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(60_000)
            .with_topic_data(vec![topic]);
        self.ask(ApiKey::Produce, 9, body.into())
    }

    /// The code of an answered produce and the offset that it got.
    fn produced(&mut self, request: RequestId) -> (Option<ErrorCode>, i64) {
        let ResponseKind::Produce(body) = self.answer(request) else {
            panic!("another answer");
        };
        let partition = &body.responses[0].partition_responses[0];
        let code = partition.error_code.err();
        (code, partition.base_offset)
    }

    fn fetch(&mut self, partition: i32) -> RequestId {
        let asked = fetch_request::FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(0)
            .with_partition_max_bytes(1 << 20);
        let topic = fetch_request::FetchTopic::default()
            .with_topic(topic_name())
            .with_partitions(vec![asked]);
        let body = FetchRequest::default()
            .with_replica_id(wire::BrokerId(-1))
            .with_max_wait_ms(60_000)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_topics(vec![topic]);
        self.ask(ApiKey::Fetch, 12, body.into())
    }

    fn fetched(&mut self, request: RequestId) -> Option<ErrorCode> {
        let ResponseKind::Fetch(body) = self.answer(request) else {
            panic!("another answer");
        };
        body.responses[0].partitions[0].error_code.err()
    }

    fn metadata(&mut self) -> MetadataResponse {
        let asked = self.ask(
            ApiKey::Metadata,
            9,
            MetadataRequest::default().with_topics(None).into(),
        );
        match self.answer(asked) {
            ResponseKind::Metadata(body) => body,
            other => panic!("{other:?}"),
        }
    }

    fn registration(&self, partition: i32) -> PartitionRegistration {
        let topic = self.broker.image.topics().named("t").unwrap();
        topic.partition(partition).unwrap().as_ref().clone()
    }

    /// The second directory hangs, and is declared offline.
    fn stall_second(&mut self) {
        self.held[1] = true;
        self.broker.handle_directory_stalled(self.now, 1);
        self.settle();
    }

    /// The operation that hung ends; then the directory's thread opens it anew.
    fn reopen_second(&mut self) {
        if !self.waiting[1].is_empty() {
            self.step_disk(1);
            self.waiting[1].clear();
        }
        let settings = Arc::clone(&self.broker.settings);
        let (directory, found) = open(&self.disks[1], DIRS[1], &settings);
        self.directories[1] = directory;
        self.held[1] = false;
        let logs = logs_of(&found, 1);
        self.broker.handle_directory_reopened(self.now, 1, logs);
        self.settle();
    }
}

fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

#[test]
fn a_directory_that_fails_takes_its_own_partitions_offline_and_no_others() {
    let mut alone = Alone::serving();
    let fails = |operation: DiskOperation, _: &std::path::Path| {
        (operation == DiskOperation::Write).then_some(std::io::ErrorKind::Other)
    };
    alone.disks[1].set_fault(fails);
    let failed = alone.produce(1);
    let (code, _) = alone.produced(failed);
    assert_eq!(code, Some(ErrorCode::KafkaStorageError));
    assert_eq!(alone.halted, None);
    alone.disks[1].clear_fault();
    let refused = alone.produce(1);
    let (code, _) = alone.produced(refused);
    assert_eq!(code, Some(ErrorCode::KafkaStorageError), "poisoned");
    let other = alone.produce(0);
    assert_eq!(alone.produced(other), (None, 0));
    alone.pass_until(|alone| alone.registration(1).leader.is_none());
    assert_eq!(alone.registration(0).leader, Some(BrokerId(1)));
    let metadata = alone.metadata();
    let topic = &metadata.topics[0];
    assert_eq!(
        topic.partitions[0].offline_replicas,
        Vec::<wire::BrokerId>::new()
    );
    assert_eq!(topic.partitions[1].offline_replicas, [wire::BrokerId(1)]);
    assert_eq!(topic.partitions[1].leader_id, wire::BrokerId(-1));
}

#[test]
fn without_its_metadata_directory_the_node_ends() {
    let mut alone = Alone::serving();
    alone.broker.handle_directory_stalled(alone.now, 0);
    alone.settle();
    let reason = alone.halted.unwrap();
    assert_eq!(
        reason,
        "the metadata log directory /a failed: an operation took longer than \
         log.dir.stall.timeout.ms"
    );
}

#[test]
fn a_node_without_its_metadata_directory_hands_its_leaderships_over_before_it_ends() {
    let mut rig = among_others();
    rig.sent.clear();
    rig.broker.handle_directory_stalled(NOW, 0);
    rig.perform();
    assert_eq!(role(&rig), Some(RoleName::Offline));
    assert_eq!(rig.halted, None);
    tick(&mut rig);
    let told: Vec<_> = rig.sent.iter().filter(|sent| is_heartbeat(sent)).collect();
    let to: Vec<_> = told.iter().map(|sent| sent.to).collect();
    assert_eq!(to, [OTHER, BrokerId(3)], "whoever leads the quorum next");
    for beat in &told {
        assert_eq!(offline(beat), [Uuid::from_u128(9), Uuid::from_u128(10)]);
        assert!(beat.timeout.as_millis() < 300, "there is time to try again");
    }
    let refused =
        wire::BrokerHeartbeatResponse::default().with_error_code(ErrorCode::NotController.code());
    let correlations: Vec<_> = told.iter().map(|sent| sent.correlation).collect();
    rig.sent.clear();
    let refused = Ok(Box::new(refused.into()));
    rig.broker.handle_peer(NOW, correlations[0], refused);
    rig.perform();
    assert_eq!(rig.halted, None, "it does not lead yet");
    let later = after(100);
    rig.broker.handle_timeout(later);
    rig.perform();
    let again: Vec<_> = rig.sent.iter().map(|sent| sent.to).collect();
    assert_eq!(again, [OTHER], "the third has yet to answer");
    let obeyed = wire::BrokerHeartbeatResponse::default().with_is_fenced(true);
    let correlation = rig.sent[0].correlation;
    let obeyed = Ok(Box::new(obeyed.into()));
    rig.broker.handle_peer(later, correlation, obeyed);
    rig.perform();
    let reason = rig.halted.unwrap();
    assert!(
        reason.starts_with("the metadata log directory /a failed"),
        "{reason}"
    );
}

#[test]
fn a_node_that_ends_waits_for_no_controller_for_ever() {
    let mut rig = among_others();
    rig.broker.handle_directory_stalled(NOW, 0);
    rig.perform();
    for (millis, ends) in [(0, false), (2999, false), (3000, true)] {
        rig.broker.handle_timeout(after(millis));
        rig.perform();
        assert_eq!(rig.halted.is_some(), ends, "after {millis} ms");
    }
}

/// An operation that ends after all must not bring a directory back that the quorum has left.
#[test]
fn a_node_that_ends_takes_no_directory_back() {
    let mut rig = among_others();
    rig.broker.handle_directory_stalled(NOW, 0);
    rig.perform();
    rig.broker.handle_directory_reopened(NOW, 0, Vec::new());
    rig.broker.handle_directory_reopened(NOW, 1, Vec::new());
    rig.perform();
    assert!(!rig.broker.directories.iter().any(Directory::is_online));
    assert_eq!(role(&rig), Some(RoleName::Offline));
}

#[test]
fn whoever_waits_for_a_stalled_directory_is_answered_when_it_is_declared_offline() {
    let mut alone = Alone::serving();
    let before = alone.produce(1);
    assert_eq!(alone.produced(before), (None, 0));
    alone.held[1] = true;
    let (produce, fetch) = (alone.produce(1), alone.fetch(1));
    assert!(alone.answers.is_empty(), "they wait for the disk");
    let other = alone.produce(0);
    assert_eq!(
        alone.produced(other),
        (None, 0),
        "the other directory works"
    );
    alone.stall_second();
    let (code, _) = alone.produced(produce);
    assert_eq!(code, Some(ErrorCode::KafkaStorageError));
    assert_eq!(alone.fetched(fetch), Some(ErrorCode::KafkaStorageError));
    let (late, consumer) = (alone.produce(1), alone.fetch(1));
    let (code, _) = alone.produced(late);
    assert_eq!(code, Some(ErrorCode::KafkaStorageError));
    assert_eq!(alone.fetched(consumer), Some(ErrorCode::KafkaStorageError));
}

/// With one log directory stalled for 30 seconds the node keeps its heartbeats and its other
/// directories serve; then its leaderships there move within two seconds. Time is simulated.
#[test]
fn a_directory_that_hangs_for_thirty_seconds_costs_no_heartbeat_and_no_other_directory() {
    let mut alone = Alone::serving();
    let limit = alone.broker.settings.millis("log.dir.stall.timeout.ms");
    assert_eq!(limit.as_secs(), 30);
    alone.held[1] = true;
    let hung = alone.produce(1);
    let begin = alone.now.time;
    let mut served = 0;
    while alone.now.time < begin + limit {
        let next = alone.broker.next_timeout().unwrap();
        let step = alone.now.time + std::time::Duration::from_millis(100);
        alone.now.time = next.clamp(alone.now.time, step);
        alone.broker.handle_timeout(alone.now);
        alone.settle();
        // It ends without heartbeats that the controller acknowledges.
        assert!(alone.broker.lifecycle.has_lease(alone.now), "{served}");
        let other = alone.produce(0);
        assert_eq!(alone.produced(other), (None, served));
        served += 1;
    }
    assert!(served >= 300, "{served}");
    assert!(alone.answers.is_empty(), "the produce that hung waits");
    assert_eq!(alone.registration(1).leader, Some(BrokerId(1)));
    alone.stall_second();
    let declared = alone.now.time;
    let (code, _) = alone.produced(hung);
    assert_eq!(code, Some(ErrorCode::KafkaStorageError));
    alone.pass_until(|alone| alone.registration(1).leader.is_none());
    assert!(alone.now.time.since(declared) <= std::time::Duration::from_secs(2));
    assert!(alone.broker.lifecycle.has_lease(alone.now));
    let other = alone.produce(0);
    assert_eq!(alone.produced(other), (None, served));
}

#[test]
fn a_stalled_directory_returns_and_its_replica_leads_in_a_new_epoch() {
    let mut alone = Alone::serving();
    let kept = alone.produce(1);
    assert_eq!(alone.produced(kept), (None, 0));
    alone.held[1] = true;
    let (hung, behind) = (alone.produce(1), alone.produce(1));
    alone.stall_second();
    for request in [hung, behind] {
        let (code, _) = alone.produced(request);
        assert_eq!(code, Some(ErrorCode::KafkaStorageError));
    }
    alone.pass_until(|alone| alone.registration(1).leader.is_none());
    let epoch = alone.registration(1).leader_epoch;
    alone.reopen_second();
    alone.pass_until(|alone| alone.registration(1).leader == Some(BrokerId(1)));
    assert!(alone.registration(1).leader_epoch > epoch);
    let replica = &alone.broker.partitions[&name(1)].replica;
    assert_eq!(replica.role(), RoleName::Leader);
    // The append that hung was written, the one behind it was not.
    assert_eq!(replica.log().log_end_offset(), 2);
    let next = alone.produce(1);
    assert_eq!(alone.produced(next), (None, 2));
    let metadata = alone.metadata();
    assert_eq!(
        metadata.topics[0].partitions[1].offline_replicas,
        Vec::<wire::BrokerId>::new()
    );
}

#[test]
fn a_directory_that_stalls_during_the_shutdown_does_not_hold_it_up() {
    let mut alone = Alone::serving();
    alone.held[1] = true;
    alone.broker.handle_shutdown(alone.now);
    alone.settle();
    alone.pass_until(|alone| alone.broker.closing.is_flushing());
    assert!(!alone.stopped, "the second directory is not closed");
    alone.stall_second();
    assert!(alone.stopped);
}

/// To lead on in the old epoch would give the offsets of the lost end twice.
#[test]
fn kip966_a_directory_that_returns_early_waits_until_its_leaderships_have_moved() {
    let mut rig = among_others();
    rig.broker.handle_directory_stalled(NOW, 1);
    tick(&mut rig);
    let beat = rig.sent.iter().rfind(|sent| is_heartbeat(sent)).cloned();
    assert_eq!(offline(&beat.unwrap()), [Uuid::from_u128(10)]);
    rig.broker.handle_directory_reopened(NOW, 1, Vec::new());
    rig.perform();
    assert_eq!(role(&rig), Some(RoleName::Offline));
    rig.commit([
        offline_now(vec![Uuid::from_u128(10)]),
        MetadataRecord::PartitionChange(PartitionChange {
            isr: Some(vec![OTHER]),
            leader: LeaderChange::Leader(OTHER),
            ..PartitionChange::new(TOPIC, 0)
        }),
    ]);
    assert_eq!(role(&rig), Some(RoleName::Follower));
}

#[test]
fn a_broker_that_cannot_tell_of_an_offline_directory_ends() {
    let mut rig = among_others();
    rig.broker.handle_directory_stalled(NOW, 1);
    rig.perform();
    rig.broker.handle_timeout(after(29_999));
    rig.perform();
    assert_eq!(rig.halted, None);
    rig.broker.handle_timeout(after(30_000));
    rig.perform();
    let reason = rig.halted.unwrap();
    assert!(
        reason.contains("no controller could be told within log.dir.failure.timeout.ms"),
        "{reason}"
    );
}

/// On-off stalls and a controller that is slow to hear: it never learned that the directory had
/// been back, so nothing changes that could be waited for.
#[test]
fn a_directory_that_is_known_to_be_offline_need_not_become_known_again() {
    let mut rig = among_others();
    rig.broker.handle_directory_stalled(NOW, 1);
    rig.commit([offline_now(vec![Uuid::from_u128(10)])]);
    rig.broker.handle_directory_reopened(NOW, 1, Vec::new());
    rig.perform();
    assert!(rig.broker.directories[1].is_online());
    rig.broker.handle_directory_stalled(NOW, 1);
    rig.broker.handle_timeout(after(30_000));
    rig.perform();
    assert_eq!(rig.halted, None);
    // Late, the controller takes it for online: from now on that has to be set right.
    rig.broker.handle_directory_reopened(NOW, 1, Vec::new());
    rig.broker.handle_directory_stalled(NOW, 1);
    rig.commit([offline_now(Vec::new())]);
    rig.broker.handle_timeout(after(30_000));
    rig.perform();
    assert!(rig.halted.is_some());
}

#[test]
fn a_directory_that_stalls_before_the_registration_returns() {
    let mut rig = Rig::start_in("/a,/b");
    lead_by_other(&mut rig);
    rig.broker.handle_directory_stalled(NOW, 1);
    tick(&mut rig);
    let register = rig.sent.iter().find_map(|sent| match &*sent.body {
        RequestKind::BrokerRegistration(body) => Some(body.log_dirs.clone()),
        _ => None,
    });
    let both = [Uuid::from_u128(9), Uuid::from_u128(10)];
    assert_eq!(register.unwrap(), both);
}

#[test]
fn a_directory_that_opens_late_is_told_of_as_offline_and_then_used() {
    let mut rig = without_second();
    rig.sent.clear();
    let second = Uuid::from_u128(10);
    rig.broker
        .handle_directory_opened(NOW, 1, second, Vec::new());
    tick(&mut rig);
    let beat = rig.sent.iter().rfind(|sent| is_heartbeat(sent)).cloned();
    assert_eq!(offline(&beat.unwrap()), [second]);
    assert_eq!(role(&rig), None, "the controller does not know it yet");
    rig.commit([
        offline_now(vec![second]),
        MetadataRecord::PartitionChange(PartitionChange {
            isr: Some(vec![OTHER]),
            leader: LeaderChange::Leader(OTHER),
            ..PartitionChange::new(TOPIC, 0)
        }),
    ]);
    assert!(rig.broker.directories[1].is_online());
    assert_eq!(role(&rig), Some(RoleName::Follower));
    assert_eq!(rig.broker.partitions[&name(0)].directory, 1);
    rig.broker.handle_timeout(after(30_000));
    rig.perform();
    assert_eq!(rig.halted, None);
}

#[test]
fn a_directory_that_opens_late_under_the_id_of_another_is_not_used() {
    let mut rig = without_second();
    let first = Uuid::from_u128(9);
    rig.broker
        .handle_directory_opened(NOW, 1, first, Vec::new());
    rig.commit([offline_now(vec![first])]);
    assert!(!rig.broker.directories[1].is_online());
    assert_eq!(rig.broker.directories[1].id(), None);
}

#[test]
fn kafka16234_a_replica_of_an_offline_directory_is_not_created_elsewhere() {
    let unknown = Uuid::from_u128(77);
    let mut rig = among_others();
    rig.broker.handle_directory_stalled(NOW, 1);
    let second = Uuid::from_u128(10);
    for (partition, directory) in [(1, unknown), (2, second), (3, UNASSIGNED_DIRECTORY)] {
        rig.commit([partition_in(partition, directory)]);
        let created = rig.broker.partitions.contains_key(&name(partition));
        assert_eq!(created, directory == UNASSIGNED_DIRECTORY, "{directory}");
    }
    // With all directories there, the unknown one is one that was replaced.
    let mut rig = among_others();
    rig.commit([partition_in(1, unknown)]);
    let replica = &rig.broker.partitions[&name(1)];
    assert_eq!(replica.directory, 0, "the emptiest");
    assert_eq!(assigned(&rig).last(), Some(&(Uuid::from_u128(9), 1)));
}

#[test]
fn producers_of_a_crowded_directory_wait_and_nobody_else() {
    let mut alone = Alone::serving();
    alone.held[1] = true;
    let mut under_way: Vec<_> = (0..2049).map(|_| alone.produce(1)).collect();
    let waiting = alone.produce(1);
    assert_eq!(alone.waiting[1].len(), 2049, "one waits");
    let other = alone.produce(0);
    assert_eq!(alone.produced(other), (None, 0));
    alone.held[1] = false;
    alone.settle();
    under_way.push(waiting);
    for (request, offset) in under_way.into_iter().zip(0..) {
        assert_eq!(alone.produced(request), (None, offset));
    }
}

#[test]
fn a_damaged_log_is_lost_alone_and_repaired_from_the_leader() {
    let mut rig = among_others();
    damage_log(&mut rig);
    assert_eq!(role(&rig), Some(RoleName::Offline));
    assert_eq!(rig.halted, None);
    assert!(rig.broker.directories.iter().all(Directory::is_online));
    assert_eq!(assigned(&rig).last(), Some(&(LOST_DIRECTORY, 0)));
    rig.sent.clear();
    // The controller knows, but nobody can lead: what is left is not touched.
    rig.commit([change(LeaderChange::NoLeader, LOST_DIRECTORY)]);
    assert_eq!(role(&rig), Some(RoleName::Offline));
    rig.commit([change(LeaderChange::Leader(OTHER), LOST_DIRECTORY)]);
    assert_eq!(role(&rig), Some(RoleName::Follower));
    let replica = &rig.broker.partitions[&name(0)].replica;
    assert_eq!(replica.log().log_end_offset(), 0);
}

/// A read of the log of `t-0` finds damage at its beginning.
fn damage_log(rig: &mut Rig) {
    let damage = LogDamage {
        offset: 0,
        lost_to: 1,
        reason: "/b/t-0/0.log is damaged at byte 0: crc".to_owned(),
    };
    let key = rig.broker.partitions[&name(0)].key(&name(0));
    rig.broker.lose_replica(NOW, &key, damage);
    rig.broker.settle(NOW);
    rig.perform();
}

#[test]
fn a_log_that_is_lost_again_before_its_repair_is_reported_is_repaired_again() {
    let mut rig = among_others();
    damage_log(&mut rig);
    let reports = rig.sent.iter();
    let mut reports = reports.filter(|sent| sent.api == ApiKey::AssignReplicasToDirs);
    let report = reports.next_back().cloned().unwrap();
    rig.commit([change(LeaderChange::Leader(OTHER), LOST_DIRECTORY)]);
    assert_eq!(role(&rig), Some(RoleName::Follower));
    damage_log(&mut rig);
    assert_eq!(role(&rig), Some(RoleName::Offline));
    // The report of the first loss is answered only now, and passes for one of the second.
    answer_report_of_loss(&mut rig, &report);
    assert_eq!(role(&rig), Some(RoleName::Follower));
    assert_eq!(assigned(&rig).last(), Some(&(Uuid::from_u128(10), 0)));
}

#[test]
fn a_full_disk_refuses_produces_until_there_is_space() {
    let mut alone = Alone::serving();
    let first = alone.produce(0);
    assert_eq!(alone.produced(first), (None, 0));
    alone.disks[0].set_space(Some(0));
    let held = [alone.produce(0), alone.produce(0)];
    let elsewhere = alone.produce(1);
    for request in held {
        let (error, _) = alone.produced(request);
        assert_eq!(error, Some(ErrorCode::KafkaStorageError));
    }
    assert_eq!(alone.produced(elsewhere), (None, 0));
    assert_eq!(alone.halted, None);
    alone.disks[0].set_space(None);
    let next = alone.produce(0);
    assert_eq!(
        alone.produced(next),
        (None, 1),
        "nothing was left of the others"
    );
}

/// Its heartbeat names the directory only, and the controller does not know who lies there.
#[test]
fn a_replica_that_was_not_reported_yet_is_so_after_its_directory_failed() {
    let mut rig = among_others();
    rig.broker.handle_directory_stalled(NOW, 1);
    rig.sent.clear();
    rig.commit([change(LeaderChange::Unchanged, UNASSIGNED_DIRECTORY)]);
    tick(&mut rig);
    assert_eq!(assigned(&rig).last(), Some(&(Uuid::from_u128(10), 0)));
}

const TOPIC: TopicId = TopicId(Uuid::from_u128(100));

/// A broker with directories 9 and 10 that leads `t-0` in the second; broker 2 is the controller.
fn among_others() -> Rig {
    let rig = Rig::start_in("/a,/b");
    registered(rig, vec![Uuid::from_u128(9), Uuid::from_u128(10)])
}

/// The broker with these directories as the controller knows them.
fn registered(mut rig: Rig, directories: Vec<Uuid>) -> Rig {
    lead_by_other(&mut rig);
    let registered = wire::BrokerRegistrationResponse::default().with_broker_epoch(1);
    tick(&mut rig);
    let register = rig
        .sent
        .iter()
        .find(|sent| sent.api == ApiKey::BrokerRegistration);
    let correlation = register.unwrap().correlation;
    rig.broker
        .handle_peer(NOW, correlation, Ok(Box::new(registered.into())));
    let MetadataRecord::RegisterBroker(own) = broker(OWN, INCARNATION, 1) else {
        panic!("another record");
    };
    let own = MetadataRecord::RegisterBroker(BrokerRegistration { directories, ..own });
    rig.commit([own, broker(OTHER, Uuid::nil(), 2)]);
    tick(&mut rig);
    let beat = rig.sent.iter().rfind(|sent| is_heartbeat(sent)).cloned();
    let alive = wire::BrokerHeartbeatResponse::default().with_is_caught_up(true);
    let correlation = beat.unwrap().correlation;
    rig.broker
        .handle_peer(NOW, correlation, Ok(Box::new(alive.into())));
    let name = "t".into();
    let topic_id = TOPIC;
    rig.commit([
        MetadataRecord::Topic { name, topic_id },
        partition_in(0, Uuid::from_u128(10)),
    ]);
    let leads = rig.broker.directories[1].is_online();
    assert_eq!(role(&rig), leads.then_some(RoleName::Leader));
    rig
}

/// A broker whose second directory hung when it started, and does still.
fn without_second() -> Rig {
    let late = |_| DirectoryStart::Late("it hangs".to_owned());
    let rig = Rig::start_with("/a,/b", late);
    registered(rig, vec![Uuid::from_u128(9)])
}

fn lead_by_other(rig: &mut Rig) {
    let leads = quorum::Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
        leader: OTHER,
        epoch: 1,
    });
    rig.broker.quorum.handle_request(NOW, 0, leads);
    rig.broker.settle(NOW);
    rig.perform();
}

/// The controller's record of this broker's directories that are offline.
fn offline_now(directories: Vec<Uuid>) -> MetadataRecord {
    MetadataRecord::BrokerDirectoriesOffline {
        broker_id: OWN,
        broker_epoch: 1,
        directories,
    }
}

fn after(millis: u64) -> Now {
    Now {
        time: NOW.time + std::time::Duration::from_millis(millis),
        wall_millis: 0,
    }
}

fn tick(rig: &mut Rig) {
    rig.broker.handle_timeout(NOW);
    rig.perform();
}

fn partition_in(partition: i32, directory: Uuid) -> MetadataRecord {
    let registration = PartitionRegistration {
        topic_id: TOPIC,
        replicas: vec![OWN, OTHER],
        isr: vec![OWN],
        leader: Some(OWN),
        directories: vec![directory, UNASSIGNED_DIRECTORY],
        ..PartitionRegistration::default()
    };
    MetadataRecord::Partition {
        partition,
        registration,
    }
}

fn change(leader: LeaderChange, directory: Uuid) -> MetadataRecord {
    MetadataRecord::PartitionChange(PartitionChange {
        leader,
        isr: Some(vec![OTHER]),
        directories: Some(vec![directory, UNASSIGNED_DIRECTORY]),
        ..PartitionChange::new(TOPIC, 0)
    })
}

fn role(rig: &Rig) -> Option<RoleName> {
    let partition = rig.broker.partitions.get(&name(0));
    partition.map(|partition| partition.replica.role())
}

fn is_heartbeat(sent: &PeerRequest) -> bool {
    sent.api == ApiKey::BrokerHeartbeat
}

/// The controller takes note of the loss of `t-0`, of which `sent` tells.
fn answer_report_of_loss(rig: &mut Rig, sent: &PeerRequest) {
    let partition = response::PartitionData::default().with_partition_index(0);
    let topic = response::TopicData::default()
        .with_topic_id(TOPIC.0)
        .with_partitions(vec![partition]);
    let directory = response::DirectoryData::default()
        .with_id(LOST_DIRECTORY)
        .with_topics(vec![topic]);
    let body = wire::AssignReplicasToDirsResponse::default().with_directories(vec![directory]);
    let answer = Ok(Box::new(body.into()));
    rig.broker.handle_peer(NOW, sent.correlation, answer);
    rig.perform();
}

fn offline(beat: &PeerRequest) -> Vec<Uuid> {
    match &*beat.body {
        RequestKind::BrokerHeartbeat(body) => body.offline_log_dirs.clone(),
        other => panic!("{other:?}"),
    }
}

/// What was reported of directories, with partitions of `t`, in order.
fn assigned(rig: &Rig) -> Vec<(Uuid, i32)> {
    let mut all = Vec::new();
    for sent in &rig.sent {
        let RequestKind::AssignReplicasToDirs(body) = &*sent.body else {
            continue;
        };
        for directory in &body.directories {
            let partitions = directory.topics.iter().flat_map(|topic| &topic.partitions);
            all.extend(partitions.map(|partition| (directory.id, partition.partition_index)));
        }
    }
    all
}
