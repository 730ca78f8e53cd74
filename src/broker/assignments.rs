//! Where the replicas of this broker lie, told to the controller; and replicas whose log is lost.
//!
//! In: registrations, damaged logs, the controller's answers. Out: AssignReplicasToDirs requests.
//! Invariants: one request is under way at a time; a replica that lies elsewhere than its
//! registration says is reported until that is no longer so; a damaged log is replaced only when
//! the controller knows that it is lost and somebody else leads.
//! Source: KIP-858, Kafka's `AssignmentsManager`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{
    self as wire, ResponseKind, assign_replicas_to_dirs_request as request,
};
use tracing::{debug, error, info};
use uuid::Uuid;

use super::Broker;
use super::effects::{Channel, Correlation, PeerError};
use super::partition::{Partition, PartitionKey};
use super::peer_events::PeerPurpose;
use crate::error::ErrorCode;
use crate::id::{LOST_DIRECTORY, TopicId, TopicPartition};
use crate::replica::{PartitionRegistration, Replica};
use crate::storage::LogDamage;
use crate::time::{Now, Time};

/// The most replicas in one request; Kafka's `MAX_ASSIGNMENTS_PER_REQUEST`.
const REPLICAS_MAX: usize = 2250;
/// The pause before a refused or lost report is repeated.
const RETRY: Duration = Duration::from_secs(1);

/// What the controller has yet to learn.
#[derive(Debug, Default)]
pub(super) struct Assignments {
    unreported: BTreeSet<TopicPartition>,
    in_flight: Option<Correlation>,
    retry_at: Option<Time>,
    /// Those of which it was said loudly that they cannot be replaced.
    irreplaceable: BTreeSet<TopicPartition>,
}

impl Assignments {
    pub(super) fn next_timeout(&self) -> Option<Time> {
        let waits = self.in_flight.is_none() && !self.unreported.is_empty();
        self.retry_at.filter(|_| waits)
    }
}

impl Broker {
    /// Compares where a replica lies with what its registration says.
    pub(super) fn note_assignment(
        &mut self,
        name: &TopicPartition,
        registration: &PartitionRegistration,
    ) {
        let told = registration.directory_of(self.id);
        match self.place_of(name) {
            Some(place) if place != told => self.assignments.unreported.insert(name.clone()),
            _ => self.assignments.unreported.remove(name),
        };
    }

    /// The directory of a replica as the controller should know it, be it offline: from heartbeats
    /// it learns only of directories. `None` if there is no replica.
    fn place_of(&self, name: &TopicPartition) -> Option<Uuid> {
        let partition = self.partitions.get(name)?;
        let directory = self.directories.get(partition.directory)?;
        if partition.lost.is_some() {
            Some(LOST_DIRECTORY)
        } else {
            directory.id()
        }
    }

    /// Sends what the controller has yet to learn. Whether there was anything.
    pub(super) fn send_assignments(&mut self, now: Now) -> bool {
        let Some(broker_epoch) = self.lifecycle.broker_epoch() else {
            self.assignments.retry_at = None;
            return false;
        };
        let waits = self.assignments.retry_at.is_some_and(|at| now.time < at);
        let is_idle = self.assignments.in_flight.is_none() && !waits;
        if self.assignments.unreported.is_empty() || !is_idle {
            return false;
        }
        self.assignments.retry_at = Some(now.time + RETRY);
        let names: Vec<_> = self.assignments.unreported.iter().cloned().collect();
        let mut places: BTreeMap<Uuid, BTreeMap<TopicId, Vec<i32>>> = BTreeMap::new();
        for name in names.into_iter().take(REPLICAS_MAX) {
            let Some(place) = self.place_of(&name) else {
                self.assignments.unreported.remove(&name);
                continue;
            };
            if let Some(partition) = self.partitions.get(&name) {
                let topics = places.entry(place).or_default();
                let partitions = topics.entry(partition.topic_id).or_default();
                partitions.push(name.partition);
            }
        }
        if places.is_empty() {
            return false;
        }
        let body = wire::AssignReplicasToDirsRequest::default()
            .with_broker_id(wire::BrokerId(self.id.0))
            .with_broker_epoch(broker_epoch)
            .with_directories(places.into_iter().map(encode).collect());
        let timeout = self.settings.millis("controller.quorum.request.timeout.ms");
        let purpose = PeerPurpose::Assignments;
        let sent = self.call_controller(now, Channel::Control, body.into(), timeout, purpose);
        self.assignments.in_flight = sent;
        sent.is_some()
    }

    pub(super) fn handle_assignments_answer(
        &mut self,
        now: Now,
        correlation: Correlation,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        if self.assignments.in_flight != Some(correlation) {
            return;
        }
        self.assignments.in_flight = None;
        self.assignments.retry_at = Some(now.time + RETRY);
        let Ok(ResponseKind::AssignReplicasToDirs(body)) = result.map(|body| *body) else {
            return;
        };
        if let Some(refusal) = body.error_code.err() {
            debug!(
                ?refusal,
                "a report of directories was refused; trying again"
            );
            return;
        }
        self.assignments.retry_at = None;
        for directory in body.directories {
            for topic in directory.topics {
                for partition in topic.partitions {
                    let id = (TopicId(topic.topic_id), partition.partition_index);
                    let refusal = partition.error_code.err();
                    if refusal.is_some() {
                        self.assignments.retry_at = Some(now.time + RETRY);
                    }
                    self.take_assignment(now, id, directory.id, refusal);
                }
            }
        }
    }

    fn take_assignment(
        &mut self,
        now: Now,
        (topic_id, partition): (TopicId, i32),
        directory: Uuid,
        refusal: Option<ErrorCode>,
    ) {
        let Some(topic) = self.image.topics().get(topic_id) else {
            return;
        };
        let name = TopicPartition::new(topic.name().clone(), partition);
        match refusal {
            None if self.place_of(&name) == Some(directory) => {
                self.assignments.unreported.remove(&name);
                self.assignments.irreplaceable.remove(&name);
                if directory == LOST_DIRECTORY {
                    self.repair_known_loss(now, &name);
                }
            }
            Some(ErrorCode::IneligibleReplica) => self.say_irreplaceable(name),
            Some(refusal) => debug!(partition = %name, ?refusal, "a directory was not assigned"),
            None => {}
        }
    }

    /// A log that was lost again before its repair was reported is lost to the controller still: no
    /// registration is to come that would have it repaired.
    fn repair_known_loss(&mut self, now: Now, name: &TopicPartition) {
        let topic = self.obeyed.topics().named(&name.topic);
        let registration = topic.and_then(|topic| topic.partition(name.partition));
        if let Some(registration) = registration.cloned() {
            self.apply_registration(now, name, &registration);
        }
    }

    /// Said once, not with every report.
    fn say_irreplaceable(&mut self, name: TopicPartition) {
        if self.assignments.irreplaceable.insert(name.clone()) {
            error!(
                partition = %name,
                "the log of the last in-sync replica is lost; the partition is offline until \
                 another replica returns or unclean.leader.election.enable allows an empty log in \
                 its place"
            );
        }
    }

    /// A log is damaged: its replica alone is offline, and the controller learns that it is lost.
    pub(super) fn lose_replica(&mut self, now: Now, key: &PartitionKey, damage: LogDamage) {
        let Some(partition) = self.partitions.get_mut(&key.name) else {
            return;
        };
        if partition.generation != key.generation || partition.lost.is_some() {
            return;
        }
        error!(partition = %key.name, %damage, "a log is damaged; its replica is offline");
        partition.lost = Some(damage);
        self.assignments.unreported.insert(key.name.clone());
        self.with_keyed_replica(now, key, |replica| replica.handle_storage_failed(now));
    }

    /// Cuts a log at its damage, if the controller counts on it no more, and another replica leads,
    /// from which what is lost is copied, or the topic prefers a shorter log to none.
    pub(super) fn repair_replica(
        &mut self,
        now: Now,
        name: &TopicPartition,
        registration: &PartitionRegistration,
    ) {
        let is_known = registration.directory_of(self.id) == LOST_DIRECTORY;
        let lost = self.partitions.get(name).filter(|lost| {
            let may_be_cut = match registration.leader {
                Some(leader) => leader != self.id,
                None => lost.config.unclean_leader_election,
            };
            is_known && may_be_cut
        });
        let Some(damage) = lost.and_then(|partition| partition.lost.clone()) else {
            return;
        };
        let Some(lost) = self.forget_partition(name) else {
            return;
        };
        info!(
            partition = %name,
            leader = ?registration.leader,
            %damage,
            "a damaged log is repaired: it is cut at the damage and copies the leader's from there"
        );
        let (state, high_watermark) = (lost.replica.log().state(), lost.replica.high_watermark());
        let settings = self.replica_settings(&lost.config);
        let replica = Replica::damaged(settings, state.clone(), high_watermark, damage.offset);
        let generation = self.fresh_id();
        let (directory, topic_id) = (lost.directory, lost.topic_id);
        let partition = Partition::new(replica, directory, topic_id, lost.config, generation);
        self.partitions.insert(name.clone(), partition);
        self.drain_replica(now, name);
    }
}

fn encode((id, topics): (Uuid, BTreeMap<TopicId, Vec<i32>>)) -> request::DirectoryData {
    let topics = topics.into_iter().map(|(topic_id, partitions)| {
        let partitions = partitions
            .into_iter()
            .map(|index| request::PartitionData::default().with_partition_index(index));
        request::TopicData::default()
            .with_topic_id(topic_id.0)
            .with_partitions(partitions.collect())
    });
    request::DirectoryData::default()
        .with_id(id)
        .with_topics(topics.collect())
}
