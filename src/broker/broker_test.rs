//! The composition, driven by images of the metadata as the quorum would commit them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::{self as wire, ResponseKind, alter_partition_response};
use uuid::Uuid;

use super::effects::{Effect, PeerRequest};
use super::{Broker, DirectoryStart, Startup};
use crate::config::Settings;
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::log::LogBatch;
use crate::metadata::record::{
    BrokerEndpoint, BrokerRegistration, ConfigResource, PartitionChange,
};
use crate::metadata::{MetadataImage, MetadataRecord};
use crate::offset::{BrokerEpoch, NO_LEADER_EPOCH};
use crate::quorum::{self, BeginQuorumEpochRequest};
use crate::record::{BatchBuilder, Compression, RecordBatch};
use crate::replica::{
    Acks, FetchPosition, FollowerFetch, Isolation, OffsetAnswer, OffsetAsker,
    PartitionRegistration, ProduceRequest, ProduceToken, RoleName,
};
use crate::storage::{DirectoryIdentity, LogDirectory, MemoryDisk};
use crate::time::{Now, Time};

pub(super) const OWN: BrokerId = BrokerId(1);
pub(super) const OTHER: BrokerId = BrokerId(2);
pub(super) const INCARNATION: Uuid = Uuid::from_u128(7);
pub(super) const NOW: Now = Now {
    time: Time::from_millis(1),
    wall_millis: 0,
};

/// A broker and its disk; what it sends is kept.
pub(super) struct Rig {
    pub(super) broker: Broker,
    pub(super) disks: Vec<MemoryDisk>,
    directories: Vec<LogDirectory<MemoryDisk>>,
    image: MetadataImage,
    pub(super) sent: Vec<PeerRequest>,
    pub(super) halted: Option<String>,
}

impl Rig {
    pub(super) fn start() -> Self {
        Self::start_in("/d")
    }

    /// A broker with these log directories; their ids count from 9.
    pub(super) fn start_in(log_dirs: &str) -> Self {
        Self::start_with(log_dirs, DirectoryStart::Open)
    }

    /// The same, where the second directory and those behind it begin as `start` says.
    pub(super) fn start_with(log_dirs: &str, start: impl Fn(Uuid) -> DirectoryStart) -> Self {
        let log_dirs = format!("log.dirs={log_dirs}");
        let pairs = [
            "node.id=1",
            &log_dirs,
            "listeners=PLAINTEXT://127.0.0.1:19092",
            "controller.quorum.voters=1@127.0.0.1:19092,2@127.0.0.1:19093,3@127.0.0.1:19094",
        ];
        let settings = Settings::parse("", &pairs).unwrap();
        let (mut disks, mut directories, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for (path, id) in settings.log_dirs.iter().zip(9..) {
            let identity = DirectoryIdentity {
                cluster_id: settings.cluster_id.clone(),
                node_id: OWN,
                new_directory_id: Uuid::from_u128(id),
            };
            let disk = MemoryDisk::default();
            let opened = LogDirectory::open(disk.clone(), path.clone(), &identity);
            disks.push(disk);
            let (directory, found) = opened.unwrap();
            directories.push(directory);
            ids.push(match ids.len() {
                0 => DirectoryStart::Open(found.directory_id),
                _ => start(found.directory_id),
            });
        }
        let startup = Startup {
            settings: Arc::new(settings),
            seed: 1,
            incarnation_id: INCARNATION,
            directories: ids,
            logs: BTreeMap::new(),
            quorum: quorum::Recovered::default(),
            previous_broker_epoch: None,
        };
        let mut rig = Self {
            broker: Broker::new(NOW, startup).unwrap(),
            disks,
            directories,
            image: MetadataImage::empty(),
            sent: Vec::new(),
            halted: None,
        };
        rig.perform();
        rig
    }

    pub(super) fn perform(&mut self) {
        loop {
            let effects = self.broker.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Disk {
                        directory,
                        token,
                        request,
                    } => {
                        let result = self.directories[directory].execute(request);
                        self.broker.handle_disk(NOW, directory, token, result);
                    }
                    Effect::Halt { reason } => {
                        self.halted.get_or_insert(reason);
                    }
                    Effect::Send(request) => self.sent.push(request),
                    _ => {}
                }
            }
        }
    }

    /// The quorum commits `records`.
    pub(super) fn commit(&mut self, records: impl IntoIterator<Item = MetadataRecord>) {
        for record in records {
            let offset = self.image.last_offset() + 1;
            self.image.apply(&record, offset).unwrap();
        }
        self.broker.apply_image(NOW, self.image.clone());
        self.perform();
    }

    fn role(&self) -> Option<RoleName> {
        let partition = self.broker.partitions.get(&partition());
        partition.map(|partition| partition.replica.role())
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

pub(super) fn broker(
    broker_id: BrokerId,
    incarnation_id: Uuid,
    epoch: BrokerEpoch,
) -> MetadataRecord {
    MetadataRecord::RegisterBroker(BrokerRegistration {
        broker_id,
        incarnation_id,
        broker_epoch: epoch,
        endpoints: vec![BrokerEndpoint {
            name: "PLAINTEXT".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 19092,
        }],
        rack: None,
        directories: Vec::new(),
        offline_directories: Vec::new(),
        fenced: false,
        in_controlled_shutdown: false,
    })
}

/// A topic that this broker leads and that the other one is about to follow.
fn topic(id: u128) -> [MetadataRecord; 2] {
    let topic_id = TopicId(Uuid::from_u128(id));
    let registration = PartitionRegistration {
        topic_id,
        replicas: vec![OWN, OTHER],
        isr: vec![OWN],
        leader: Some(OWN),
        ..PartitionRegistration::default()
    };
    let name = "t".into();
    [
        MetadataRecord::Topic { name, topic_id },
        MetadataRecord::Partition {
            partition: 0,
            registration,
        },
    ]
}

/// The end of the log may be gone with the earlier life: to lead on in its epoch would give
/// offsets twice.
#[test]
fn kip966_what_an_earlier_life_led_is_not_led_on() {
    let mut rig = Rig::start();
    rig.commit([broker(OWN, Uuid::from_u128(6), 1)]);
    rig.commit(topic(100));
    assert_eq!(rig.role(), None);
    rig.commit([broker(OWN, INCARNATION, 9)]);
    assert_eq!(rig.role(), Some(RoleName::Leader));
}

/// Found by `verdict run --seed 15`: a leader that had been paused told its old end of the log
/// until it learned of its successor, which had acknowledged records behind it.
#[test]
fn a_leader_without_a_lease_tells_clients_no_end_of_its_log() {
    let mut rig = Rig::start();
    rig.commit([broker(OWN, INCARNATION, 9)]);
    rig.commit(topic(100));
    assert_eq!(rig.role(), Some(RoleName::Leader));
    let (latest, earliest) = ((NO_LEADER_EPOCH, -1), (NO_LEADER_EPOCH, -2));
    let client = OffsetAsker::Client(Isolation::ReadUncommitted);
    let refused = |query, asker| {
        let answer = rig.broker.list_offset(NOW, &partition(), query, asker);
        matches!(answer, OffsetAnswer::Error(ErrorCode::NotLeaderOrFollower))
    };
    assert!(
        refused(latest, client),
        "no heartbeat was ever acknowledged"
    );
    assert!(
        !refused(earliest, client),
        "the beginning does not move with the leader"
    );
    assert!(
        !refused(latest, OffsetAsker::Replica),
        "replicas are fenced by their epoch"
    );
}

#[test]
fn an_answer_for_an_earlier_incarnation_of_a_topic_changes_nothing() {
    let mut rig = Rig::start();
    let leads = quorum::Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
        leader: OTHER,
        epoch: 1,
    });
    rig.broker.quorum.handle_request(NOW, 0, leads);
    rig.commit([broker(OWN, INCARNATION, 1), broker(OTHER, Uuid::nil(), 2)]);
    let mut asked = Vec::new();
    for id in [100, 200] {
        let earlier = TopicId(Uuid::from_u128(id - 100));
        let removal = MetadataRecord::RemoveTopic { topic_id: earlier };
        rig.commit((id > 100).then_some(removal).into_iter().chain(topic(id)));
        follow(&mut rig);
        let alterations = rig
            .sent
            .extract_if(.., |sent| sent.api == wire::ApiKey::AlterPartition);
        asked.extend(alterations.map(|sent| sent.correlation));
    }
    let [first, _second] = asked[..] else {
        panic!("one proposal for each incarnation: {asked:?}");
    };
    rig.broker.handle_peer(NOW, first, Ok(Box::new(shrunk())));
    let replica = &rig.broker.partitions[&partition()].replica;
    assert_eq!(replica.partition_epoch(), 0);
    assert_eq!(replica.maximal_isr().unwrap().len(), 2);
}

/// By the old minimum of 1, the shrunk ISR would commit what the member of the ELR lacks.
#[test]
fn kip966_a_raised_minimum_comes_before_the_isr_that_shrank_under_it() {
    let mut rig = Rig::start();
    rig.commit([broker(OWN, INCARNATION, 1), broker(OTHER, Uuid::nil(), 2)]);
    let topic_id = TopicId(Uuid::from_u128(100));
    rig.commit(topic(100));
    rig.commit([MetadataRecord::PartitionChange(PartitionChange {
        isr: Some(vec![OWN, OTHER]),
        ..PartitionChange::new(topic_id, 0)
    })]);
    produce(&mut rig);
    rig.commit([
        MetadataRecord::Config {
            resource: ConfigResource::Topic("t".into()),
            key: "min.insync.replicas".to_owned(),
            value: Some("2".to_owned()),
        },
        MetadataRecord::PartitionChange(PartitionChange {
            isr: Some(vec![OWN]),
            elr: Some(vec![OTHER]),
            ..PartitionChange::new(topic_id, 0)
        }),
    ]);
    let replica = &rig.broker.partitions[&partition()].replica;
    assert_eq!(replica.log().appended_offset(), 1);
    assert_eq!(replica.high_watermark(), 0);
}

fn produce(rig: &mut Rig) {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(0, None, Some(b"v"), &[]);
    let batch = RecordBatch::first(&builder.build()).unwrap();
    let request = ProduceRequest {
        token: ProduceToken(u64::MAX),
        deadline: NOW.time,
        acks: Acks::Zero,
        batch: LogBatch::from(batch),
    };
    rig.broker.with_replica(NOW, &partition(), |replica| {
        replica.handle_produce(NOW, request);
    });
    rig.perform();
}

/// The other broker fetches, which makes it a candidate for the ISR.
fn follow(rig: &mut Rig) {
    let fetch = FollowerFetch {
        replica: OTHER,
        broker_epoch: 2,
        position: FetchPosition {
            current_leader_epoch: 0,
            fetch_offset: 0,
            last_fetched_epoch: NO_LEADER_EPOCH,
            log_start_offset: 0,
        },
    };
    rig.broker.with_replica(NOW, &partition(), |replica| {
        replica.handle_follower_fetch(NOW, &fetch);
    });
    rig.perform();
}

/// An answer to AlterPartition: version 6, this broker alone.
fn shrunk() -> ResponseKind {
    let data = alter_partition_response::PartitionData::default()
        .with_leader_id(wire::BrokerId(1))
        .with_isr(vec![wire::BrokerId(1)])
        .with_partition_epoch(6);
    let topic = alter_partition_response::TopicData::default().with_partitions(vec![data]);
    wire::AlterPartitionResponse::default()
        .with_topics(vec![topic])
        .into()
}
