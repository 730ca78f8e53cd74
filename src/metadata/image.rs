//! The metadata image: the state of the cluster, folded from the metadata log.
//!
//! In: committed records with their offsets, in order. Out: lookups, the records of a snapshot,
//! and through [`MetadataDelta`] what changed between two images.
//! Invariant: the image is a pure function of the records applied; cloning is cheap because the
//! parts are shared until one of the clones changes.
//! Source: Kafka's `MetadataImage`, `TopicsImage`, `ClusterImage`; replay as in
//! `ReplicationControlManager.replay`.

mod brokers;
mod configs;
mod delta;
mod topics;

use crate::id::{BrokerId, TopicId};
use crate::metadata::record::{CodecError, MetadataRecord, decode_records, encode_records};
use crate::offset::{NO_OFFSET, Offset, ProducerId};

pub use self::brokers::BrokersImage;
pub use self::configs::{ConfigsImage, Overrides};
pub use self::delta::{MetadataDelta, PartitionDelta};
pub use self::topics::{TopicImage, TopicsImage};

/// The state of the cluster after a prefix of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataImage {
    brokers: BrokersImage,
    topics: TopicsImage,
    configs: ConfigsImage,
    next_producer_id: ProducerId,
    last_offset: Offset,
}

impl Default for MetadataImage {
    fn default() -> Self {
        Self {
            brokers: BrokersImage::default(),
            topics: TopicsImage::default(),
            configs: ConfigsImage::default(),
            next_producer_id: 0,
            last_offset: NO_OFFSET,
        }
    }
}

impl MetadataImage {
    /// The image of an empty log.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The registered brokers.
    pub fn brokers(&self) -> &BrokersImage {
        &self.brokers
    }

    /// The topics and their partitions.
    pub fn topics(&self) -> &TopicsImage {
        &self.topics
    }

    /// The configurations that were set at run time.
    pub fn configs(&self) -> &ConfigsImage {
        &self.configs
    }

    /// The first producer id that was never handed out.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// The offset of the last record applied; [`NO_OFFSET`] before the first.
    pub fn last_offset(&self) -> Offset {
        self.last_offset
    }

    /// Applies the record at `offset`, which lies after every record applied before.
    ///
    /// # Errors
    /// A record that contradicts the image: the log is corrupt, and the node must stop. The image
    /// is unchanged then.
    pub fn apply(&mut self, record: &MetadataRecord, offset: Offset) -> Result<(), ImageError> {
        if offset <= self.last_offset {
            return Err(ImageError::OffsetGoesBack {
                offset,
                last: self.last_offset,
            });
        }
        self.apply_content(record)?;
        self.last_offset = offset;
        Ok(())
    }

    /// Applies a committed batch of the metadata log, [`encode_records`]'s bytes.
    ///
    /// # Errors
    /// Bytes that are not records, or records that contradict the image: the node must stop.
    pub fn apply_batch(&mut self, base_offset: Offset, payload: &[u8]) -> Result<(), LoadError> {
        for (offset, record) in (base_offset..).zip(decode_records(payload)?) {
            self.apply(&record, offset)?;
        }
        Ok(())
    }

    /// Moves to `offset` over something that is no metadata record, such as a leader change.
    pub fn advance_to(&mut self, offset: Offset) {
        self.last_offset = self.last_offset.max(offset);
    }

    fn apply_content(&mut self, record: &MetadataRecord) -> Result<(), ImageError> {
        match record {
            MetadataRecord::NoOp => {}
            MetadataRecord::RegisterBroker(registration) => self.brokers.register(registration)?,
            MetadataRecord::UnregisterBroker {
                broker_id,
                broker_epoch,
            } => {
                self.brokers.unregister(*broker_id, *broker_epoch)?;
            }
            MetadataRecord::BrokerRegistrationChange {
                broker_id,
                broker_epoch,
                fenced,
                in_controlled_shutdown,
            } => {
                self.brokers
                    .change(*broker_id, *broker_epoch, *fenced, *in_controlled_shutdown)?;
            }
            MetadataRecord::BrokerDirectoriesOffline {
                broker_id,
                broker_epoch,
                directories,
            } => {
                self.brokers
                    .set_offline_directories(*broker_id, *broker_epoch, directories)?;
            }
            MetadataRecord::Topic { name, topic_id } => self.topics.create(name, *topic_id)?,
            MetadataRecord::RemoveTopic { topic_id } => {
                let name = self.topics.remove(*topic_id)?;
                self.configs.remove_topic(&name);
            }
            MetadataRecord::Partition {
                partition,
                registration,
            } => {
                self.topics.create_partition(*partition, registration)?;
            }
            MetadataRecord::PartitionChange(change) => self.topics.change_partition(change)?,
            MetadataRecord::Config {
                resource,
                key,
                value,
            } => {
                self.configs.set(resource, key, value.as_deref());
            }
            MetadataRecord::ProducerIds {
                next_producer_id, ..
            } => {
                if *next_producer_id < self.next_producer_id {
                    return Err(ImageError::ProducerIdsGoBack {
                        next: *next_producer_id,
                        current: self.next_producer_id,
                    });
                }
                self.next_producer_id = *next_producer_id;
            }
        }
        Ok(())
    }

    /// The records that rebuild this image, except for its offset.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = self.brokers.to_records();
        records.extend(self.topics.to_records());
        records.extend(self.configs.to_records());
        if self.next_producer_id > 0 {
            records.push(MetadataRecord::ProducerIds {
                broker_id: BrokerId(-1),
                broker_epoch: -1,
                next_producer_id: self.next_producer_id,
            });
        }
        records
    }

    /// The bytes of a snapshot of this image.
    pub fn to_snapshot(&self) -> Vec<u8> {
        encode_records(&self.to_records())
    }

    /// The image that a snapshot holds; `last_offset` is the last offset that it covers.
    pub fn from_snapshot(bytes: &[u8], last_offset: Offset) -> Result<Self, LoadError> {
        let mut image = Self::empty();
        for record in decode_records(bytes)? {
            image.apply_content(&record)?;
        }
        image.last_offset = last_offset;
        Ok(image)
    }
}

/// A record that contradicts the image it is applied to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The offset was passed already.
    #[error("metadata record at offset {offset} comes after offset {last}")]
    OffsetGoesBack {
        /// The record's offset.
        offset: Offset,
        /// The image's offset.
        last: Offset,
    },
    /// The broker is not registered, or with another epoch.
    #[error(
        "metadata record is for broker {broker_id} in epoch {broker_epoch}, not {registered:?}"
    )]
    UnknownBroker {
        /// The broker.
        broker_id: BrokerId,
        /// The epoch that the record names.
        broker_epoch: i64,
        /// The epoch that is registered, if any.
        registered: Option<i64>,
    },
    /// The topic id is not known.
    #[error("metadata record is for topic id {0}, which does not exist")]
    UnknownTopic(TopicId),
    /// A topic of this name or id exists.
    #[error("metadata record creates topic {0}, which exists")]
    TopicExists(String),
    /// The partition does not exist, or exists already.
    #[error(
        "metadata record is for partition {partition} of topic id {topic_id}, which has {count}"
    )]
    BadPartition {
        /// The topic.
        topic_id: TopicId,
        /// The partition that the record names.
        partition: i32,
        /// How many partitions the topic has.
        count: usize,
    },
    /// Producer ids would be handed out twice.
    #[error("metadata record sets the next producer id to {next}, below {current}")]
    ProducerIdsGoBack {
        /// The record's next id.
        next: ProducerId,
        /// The image's next id.
        current: ProducerId,
    },
}

/// A batch or a snapshot that cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Its bytes are not records.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Its records contradict one another.
    #[error(transparent)]
    Image(#[from] ImageError),
}

#[cfg(test)]
mod image_test;
