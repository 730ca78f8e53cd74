//! Creating topics.
//!
//! In: CreateTopics (19). Out: the records of each topic that passes every check; the others are
//! refused one by one.
//! Invariants: a topic is born on live brokers only, and its first ISR is all of its replicas; a
//! topic id is never used again, so a topic that is created again under its name is another topic.
//! Source: Kafka's `ReplicationControlManager.createTopics`. Kafka accepts fewer live brokers
//! than replicas as long as enough are registered; this controller does not.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand_chacha::rand_core::Rng;
use uuid::Uuid;

use super::assignment::check_assignment;
use super::draft::Draft;
use super::placement::place;
use super::topic_name::check_new_name;
use super::{ApiError, Controller, Decision, configs};
use crate::error::ErrorCode;
use crate::id::{BrokerId, TopicId, UNASSIGNED_DIRECTORY};
use crate::metadata::image::BrokersImage;
use crate::metadata::record::{ConfigResource, MetadataRecord};
use crate::offset::Offset;
use crate::replica::PartitionRegistration;

/// The most partitions that one request may create; bounds the batch of records.
const PARTITIONS_MAX: usize = 10_000;

/// A topic to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the default, or if `assignments` is given.
    pub partitions: i32,
    /// How many replicas; -1 for the default, or if `assignments` is given.
    pub replication_factor: i16,
    /// The replicas of each partition by index, preferred leader first; empty to let the
    /// controller place them.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Configuration overrides.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// The id of the topic.
    pub topic_id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has.
    pub replication_factor: i16,
}

impl Controller {
    /// Creates topics; one answer for each, in order. With `validate_only` nothing is created.
    ///
    /// # Errors
    /// For one topic: `INVALID_REQUEST`, `INVALID_TOPIC_EXCEPTION`, `TOPIC_ALREADY_EXISTS`,
    /// `INVALID_CONFIG`, `INVALID_PARTITIONS`, `INVALID_REPLICATION_FACTOR`,
    /// `INVALID_REPLICA_ASSIGNMENT`, `POLICY_VIOLATION`.
    pub fn handle_create_topics(
        &mut self,
        next_offset: Offset,
        topics: Vec<NewTopic>,
        validate_only: bool,
    ) -> Decision<Vec<Result<CreatedTopic, ApiError>>> {
        let mut draft = self.draft(next_offset);
        let twice = named_twice(topics.iter().map(|topic| topic.name.as_str()));
        let mut room = PARTITIONS_MAX;
        let mut answers = Vec::with_capacity(topics.len());
        for topic in &topics {
            let answer = if twice.contains(&topic.name) {
                let message = format!("the request names topic {} twice", topic.name);
                Err(ApiError::new(ErrorCode::InvalidRequest, message))
            } else {
                self.create_topic(&mut draft, topic, &mut room)
            };
            answers.push(answer);
        }
        let draft = if validate_only {
            self.draft(next_offset)
        } else {
            draft
        };
        self.decide(draft, answers)
    }

    fn create_topic(
        &mut self,
        draft: &mut Draft,
        topic: &NewTopic,
        room: &mut usize,
    ) -> Result<CreatedTopic, ApiError> {
        check_new_name(&topic.name, draft.image().topics())?;
        let overrides = configs::check_topic_overrides(&topic.configs)?;
        let replicas = self.place_topic(draft, topic, *room)?;
        *room -= replicas.len();
        let created = CreatedTopic {
            topic_id: self.new_topic_id(),
            partitions: replicas.len() as i32,
            replication_factor: replicas.first().map_or(0, Vec::len) as i16,
        };
        push_topic(draft, &topic.name, created.topic_id, replicas, overrides);
        Ok(created)
    }

    /// The replicas of every partition of a new topic.
    fn place_topic(
        &mut self,
        draft: &Draft,
        topic: &NewTopic,
        room: usize,
    ) -> Result<Vec<Vec<BrokerId>>, ApiError> {
        if !topic.assignments.is_empty() {
            if topic.partitions != -1 || topic.replication_factor != -1 {
                return Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    "a topic with assignments has to leave partitions and replication factor at -1",
                ));
            }
            check_partition_count(topic.assignments.len() as i32, room)?;
            return check_assignment(draft, &topic.assignments);
        }
        let partitions = or_default(topic.partitions, self.config.partitions);
        let factor = match topic.replication_factor {
            -1 => self.config.replication_factor,
            factor => factor,
        };
        let partitions = check_partition_count(partitions, room)?;
        let brokers = draft.image().brokers();
        let live = brokers.iter().filter(|broker| broker.is_active());
        let live: Vec<BrokerId> = live.map(|broker| broker.broker_id).collect();
        let factor_usize = usize::try_from(factor).unwrap_or(0);
        let (start, shift) = (self.rng.next_u32() as usize, self.rng.next_u32() as usize);
        place(&live, partitions, factor_usize, start, shift).ok_or_else(|| {
            let message = if factor < 1 {
                format!("replication factor {factor} has to be at least 1")
            } else {
                format!(
                    "replication factor {factor} needs {factor} live brokers, but only {} of {} \
                     registered brokers are live",
                    live.len(),
                    brokers.iter().count()
                )
            };
            ApiError::new(ErrorCode::InvalidReplicationFactor, message)
        })
    }

    fn new_topic_id(&mut self) -> TopicId {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        TopicId(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

fn named_twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    names
        .filter(|name| !seen.insert(*name))
        .map(str::to_owned)
        .collect()
}

fn or_default(value: i32, default: i32) -> i32 {
    if value == -1 { default } else { value }
}

fn check_partition_count(partitions: i32, room: usize) -> Result<usize, ApiError> {
    match usize::try_from(partitions) {
        Ok(count) if count > room => Err(ApiError::new(
            ErrorCode::PolicyViolation,
            format!("one request creates at most {PARTITIONS_MAX} partitions in all"),
        )),
        Ok(count) if count > 0 => Ok(count),
        _ => Err(ApiError::new(
            ErrorCode::InvalidPartitions,
            format!("{partitions} partitions are asked for, at least 1 is needed"),
        )),
    }
}

fn push_topic(
    draft: &mut Draft,
    name: &str,
    topic_id: TopicId,
    replicas: Vec<Vec<BrokerId>>,
    overrides: Vec<(String, String)>,
) {
    let name: Arc<str> = Arc::from(name);
    draft.push(MetadataRecord::Topic {
        name: Arc::clone(&name),
        topic_id,
    });
    for (key, value) in overrides {
        let resource = ConfigResource::Topic(Arc::clone(&name));
        draft.push(MetadataRecord::Config {
            resource,
            key,
            value: Some(value),
        });
    }
    for (partition, replicas) in (0..).zip(replicas) {
        let registration = first_registration(draft.image().brokers(), topic_id, replicas);
        draft.push(MetadataRecord::Partition {
            partition,
            registration,
        });
    }
}

fn first_registration(
    brokers: &BrokersImage,
    topic_id: TopicId,
    replicas: Vec<BrokerId>,
) -> PartitionRegistration {
    let directories = replicas.iter().map(|id| only_directory(brokers, *id));
    PartitionRegistration {
        topic_id,
        isr: replicas.clone(),
        leader: replicas.first().copied(),
        directories: directories.collect(),
        replicas,
        ..PartitionRegistration::default()
    }
}

/// Where a replica goes on a broker that has no choice (KIP-858).
fn only_directory(brokers: &BrokersImage, broker_id: BrokerId) -> Uuid {
    match brokers.get(broker_id) {
        Some(broker) if broker.offline_directories.is_empty() => match *broker.directories {
            [only] => only,
            _ => UNASSIGNED_DIRECTORY,
        },
        _ => UNASSIGNED_DIRECTORY,
    }
}
