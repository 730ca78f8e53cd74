//! A controller under test, with the log that its decisions write.
//!
//! In: requests. Out: responses, after the records were encoded, decoded, folded into a second
//! image, and the invariants of the controller (`kafka.md` §4.1, S1 and S8) were checked.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{
    AlterPartition, ApiError, BrokerHeartbeat, Controller, ControllerConfig, Decision,
    HeartbeatResponse, IsrMember, NewTopic, PartitionAlteration, RegisterBroker,
};
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId};
use crate::metadata::image::{MetadataImage, TopicImage};
use crate::metadata::record::{BrokerEndpoint, MetadataRecord, decode_records, encode_records};
use crate::offset::{BrokerEpoch, NO_BROKER_EPOCH, Offset};
use crate::replica::{LeaderRecoveryState, PartitionRegistration};
use crate::time::{Now, Time};

/// The only directory of a broker, unless the test says otherwise.
pub(super) const DIRECTORY: Uuid = Uuid::from_u128(99);

pub(super) const SESSION: Duration = Duration::from_secs(9);

pub(super) fn config() -> ControllerConfig {
    ControllerConfig {
        cluster_id: "c".to_owned(),
        session_timeout: SESSION,
        min_insync_replicas: 1,
        unclean_leader_election: false,
        partitions: 1,
        replication_factor: 1,
        topics_deletable: true,
        rebalance_interval: None,
    }
}

pub(super) fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

pub(super) fn code<T>(result: Result<T, ApiError>) -> Option<ErrorCode> {
    result.err().map(|refusal| refusal.code)
}

pub(super) struct Cluster {
    pub(super) controller: Controller,
    pub(super) now: Now,
    pub(super) next_offset: Offset,
    /// The records of the last decision.
    pub(super) records: Vec<MetadataRecord>,
    image: MetadataImage,
    incarnations: u128,
    /// What brokers register from now on.
    pub(super) directories: Vec<Uuid>,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let now = Now {
            time: Time::from_millis(1),
            wall_millis: 0,
        };
        Self {
            controller: Controller::activate(now, config(), MetadataImage::empty(), [7; 32]),
            now,
            next_offset: 0,
            records: Vec::new(),
            image: MetadataImage::empty(),
            incarnations: 0,
            directories: vec![DIRECTORY],
        }
    }

    /// A cluster of unfenced brokers with ids from 1.
    pub(super) fn of(brokers: i32) -> Self {
        let mut cluster = Self::new();
        for id in 1..=brokers {
            cluster.start(id, NO_BROKER_EPOCH);
        }
        cluster
    }

    /// Commits a decision and gives its response.
    pub(super) fn take<R>(&mut self, decision: Decision<R>) -> R {
        let bytes = encode_records(&decision.records);
        assert_eq!(decode_records(&bytes).as_ref(), Ok(&decision.records));
        let before = self.image.clone();
        self.image.apply_batch(self.next_offset, &bytes).unwrap();
        self.next_offset += decision.records.len() as i64;
        assert_eq!(decision.release_at, self.next_offset);
        assert_eq!(&self.image, self.controller.image());
        check_invariants(&before, &self.image);
        self.records = decision.records;
        decision.response
    }

    pub(super) fn check_snapshot(&self) {
        let image = self.controller.image();
        let loaded = MetadataImage::from_snapshot(&image.to_snapshot(), image.last_offset());
        assert_eq!(loaded.as_ref(), Ok(image));
    }

    /// Another node becomes the controller.
    pub(super) fn fail_over(&mut self) {
        self.controller = Controller::activate(
            self.now,
            config(),
            self.image.clone(),
            [self.next_offset as u8; 32],
        );
    }

    pub(super) fn advance(&mut self, millis: u64) {
        self.now.time = self.now.time + Duration::from_millis(millis);
        while self.handle_timeout() {}
    }

    /// Handles one timeout, if one is due.
    pub(super) fn handle_timeout(&mut self) -> bool {
        let is_due = self
            .controller
            .next_timeout()
            .is_some_and(|due| due <= self.now.time);
        if is_due {
            let decision = self.controller.handle_timeout(self.now, self.next_offset);
            self.take(decision);
        }
        is_due
    }

    /// A new process registers.
    pub(super) fn register(
        &mut self,
        id: i32,
        previous_broker_epoch: BrokerEpoch,
    ) -> Result<BrokerEpoch, ApiError> {
        self.incarnations += 1;
        self.register_as(
            id,
            previous_broker_epoch,
            Uuid::from_u128(self.incarnations),
        )
    }

    pub(super) fn register_as(
        &mut self,
        id: i32,
        previous_broker_epoch: BrokerEpoch,
        incarnation_id: Uuid,
    ) -> Result<BrokerEpoch, ApiError> {
        let request = RegisterBroker {
            broker_id: BrokerId(id),
            cluster_id: "c".to_owned(),
            incarnation_id,
            endpoints: vec![BrokerEndpoint {
                name: "PLAINTEXT".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: 9092,
            }],
            rack: None,
            directories: self.directories.clone(),
            previous_broker_epoch,
        };
        let next_offset = self.next_offset;
        let decision = self
            .controller
            .handle_broker_registration(self.now, next_offset, request);
        self.take(decision)
    }

    /// Registers and unfences a broker.
    pub(super) fn start(&mut self, id: i32, previous: BrokerEpoch) -> BrokerEpoch {
        let epoch = self.register(id, previous).unwrap();
        assert!(!self.beat(id).is_fenced);
        epoch
    }

    /// A heartbeat that asks for nothing, from a broker that has applied everything.
    pub(super) fn beat(&mut self, id: i32) -> HeartbeatResponse {
        self.heartbeat(self.heartbeat_of(id)).unwrap()
    }

    pub(super) fn heartbeat_of(&self, id: i32) -> BrokerHeartbeat {
        BrokerHeartbeat {
            broker_id: BrokerId(id),
            broker_epoch: self.epoch(id),
            metadata_offset: self.next_offset - 1,
            wants_fence: false,
            wants_shutdown: false,
            offline_directories: Vec::new(),
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        request: BrokerHeartbeat,
    ) -> Result<HeartbeatResponse, ApiError> {
        let decision = self
            .controller
            .handle_broker_heartbeat(self.now, self.next_offset, request);
        self.take(decision)
    }

    /// Everyone but `silent` beats until the sessions of `silent` end.
    pub(super) fn fall_silent(&mut self, silent: &[i32]) {
        for _ in 0..3 {
            let brokers: Vec<i32> = self.image.brokers().iter().map(|b| b.broker_id.0).collect();
            for id in brokers.into_iter().filter(|id| !silent.contains(id)) {
                if !self.image.brokers().get(BrokerId(id)).unwrap().fenced {
                    self.beat(id);
                }
            }
            self.advance(SESSION.as_millis() as u64 / 2);
        }
    }

    pub(super) fn epoch(&self, id: i32) -> BrokerEpoch {
        self.image.brokers().epoch(BrokerId(id)).unwrap()
    }

    pub(super) fn create(&mut self, topic: NewTopic) -> Result<TopicId, ApiError> {
        let decision = self
            .controller
            .handle_create_topics(self.next_offset, vec![topic], false);
        let mut answers = self.take(decision);
        answers.remove(0).map(|created| created.topic_id)
    }

    /// Creates topic `t` of one partition on these replicas.
    pub(super) fn topic_on(&mut self, replicas: &[i32], configs: &[(&str, &str)]) -> TopicId {
        let set = |(key, value): &(&str, &str)| (key.to_string(), Some(value.to_string()));
        self.create(NewTopic {
            name: "t".to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: vec![(0, ids(replicas))],
            configs: configs.iter().map(set).collect(),
        })
        .unwrap()
    }

    pub(super) fn image(&self) -> &MetadataImage {
        &self.image
    }

    pub(super) fn topic(&self, name: &str) -> &Arc<TopicImage> {
        self.image.topics().named(name).unwrap()
    }

    /// Partition 0 of topic `t`.
    pub(super) fn partition(&self) -> &PartitionRegistration {
        self.topic("t").partition(0).unwrap()
    }

    /// Leader, ISR and ELR of partition 0 of topic `t`.
    pub(super) fn state(&self) -> (Option<i32>, Vec<i32>, Vec<i32>) {
        let partition = self.partition();
        let plain = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
        (
            partition.leader.map(|id| id.0),
            plain(&partition.isr),
            plain(&partition.elr),
        )
    }

    /// The request of the leader of partition 0 of topic `t` for another ISR.
    pub(super) fn alteration(&self, isr: &[i32]) -> AlterPartition {
        let partition = self.partition();
        let leader = partition.leader.unwrap();
        let member = |id: &i32| IsrMember {
            broker_id: BrokerId(*id),
            broker_epoch: self
                .image
                .brokers()
                .epoch(BrokerId(*id))
                .unwrap_or(NO_BROKER_EPOCH),
        };
        AlterPartition {
            broker_id: leader,
            broker_epoch: self.epoch(leader.0),
            alterations: vec![PartitionAlteration {
                topic_id: partition.topic_id,
                partition: 0,
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                isr: isr.iter().map(member).collect(),
                recovery_state: LeaderRecoveryState::Recovered,
            }],
        }
    }

    /// Sends a request with one alteration.
    pub(super) fn alter(
        &mut self,
        request: AlterPartition,
    ) -> Result<Arc<PartitionRegistration>, ApiError> {
        let decision = self
            .controller
            .handle_alter_partition(self.next_offset, request);
        self.take(decision)
            .and_then(|mut answers| answers.remove(0).result)
    }
}

fn check_invariants(before: &MetadataImage, after: &MetadataImage) {
    for broker in after.brokers().iter() {
        let epoch = before.brokers().epoch(broker.broker_id);
        assert!(
            epoch <= Some(broker.broker_epoch),
            "broker epochs only grow"
        );
    }
    for topic in after.topics().iter() {
        let set = after
            .configs()
            .of_topic(topic.name())
            .get("min.insync.replicas");
        let min_isr = set.map_or(1, |value| value.parse::<usize>().unwrap());
        for (index, partition) in topic.partitions() {
            check_partition(after, partition, min_isr);
            if let Some(earlier) = before.topics().partition(topic.id(), index) {
                check_epochs(earlier, partition);
            }
        }
    }
}

fn check_partition(image: &MetadataImage, partition: &PartitionRegistration, min_isr: usize) {
    let PartitionRegistration {
        replicas,
        isr,
        elr,
        leader,
        ..
    } = partition;
    let is_active = |id: &BrokerId| {
        let brokers = image.brokers();
        brokers.is_active(*id) && brokers.is_replica_online(partition, *id)
    };
    assert!(!isr.is_empty(), "the ISR has a member: {partition:?}");
    assert!(
        isr.iter().all(|id| replicas.contains(id)),
        "ISR within replicas: {partition:?}"
    );
    assert!(
        elr.iter().all(|id| replicas.contains(id)),
        "ELR within replicas: {partition:?}"
    );
    assert!(
        !isr.iter().any(|id| elr.contains(id)),
        "ISR and ELR are disjoint: {partition:?}"
    );
    assert!(
        isr.len() == 1 || isr.iter().all(is_active),
        "only active members: {partition:?}"
    );
    let is_full = isr.len() >= min_isr.min(replicas.len());
    assert!(
        !is_full || elr.is_empty(),
        "no ELR beside a full ISR: {partition:?}"
    );
    if let Some(leader) = leader {
        assert!(
            isr.contains(leader),
            "the leader is in the ISR: {partition:?}"
        );
        assert!(is_active(leader), "the leader is active: {partition:?}");
    } else {
        let may_lead = isr.iter().chain(elr).any(is_active);
        assert!(!may_lead, "somebody could lead: {partition:?}");
    }
}

fn check_epochs(before: &PartitionRegistration, after: &PartitionRegistration) {
    assert!(before.partition_epoch <= after.partition_epoch);
    assert!(before.leader_epoch <= after.leader_epoch);
    assert_eq!(
        before == after,
        before.partition_epoch == after.partition_epoch
    );
    let same_leader = before.leader == after.leader;
    assert!(
        same_leader || before.leader_epoch < after.leader_epoch,
        "one leader an epoch"
    );
}
