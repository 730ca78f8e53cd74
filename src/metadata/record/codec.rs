//! The binary form of metadata records: type, version, fields.
//!
//! ```text
//! record:  | type u8 | version u8 | fields, big-endian … |
//! records: ( | length u32 | record | )*
//! ```
//!
//! In: records, or untrusted bytes. Out: bytes, or the records or an error.
//! Invariant: decoding what was encoded gives the same records; anything else is an error, never
//! a panic. A list of records is one batch of the metadata log, and becomes visible as a whole.

use std::sync::Arc;

use super::field::{Field, Input};
use super::{
    BrokerEndpoint, BrokerRegistration, ConfigResource, LeaderChange, MetadataRecord,
    PartitionChange,
};
use crate::replica::{LeaderRecoveryState, PartitionRegistration};

/// The only version so far of every record type.
const VERSION: u8 = 0;

/// Bytes that are not a metadata record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end within a field.
    #[error("metadata record is cut short: a field needs {needed} bytes, {remaining} remain")]
    Truncated {
        /// The bytes that the field needs.
        needed: usize,
        /// The bytes that are left.
        remaining: usize,
    },
    /// Bytes are left over.
    #[error("metadata record is followed by {0} bytes that belong to no field")]
    Trailing(usize),
    /// No record has this type.
    #[error("metadata record has type {0}, which this version does not know")]
    UnknownType(u8),
    /// The type is known, its version is not.
    #[error("metadata record of type {record_type} has version {version}, expected {VERSION}")]
    UnknownVersion {
        /// The record's type.
        record_type: u8,
        /// Its version.
        version: u8,
    },
    /// A field has a value that means nothing.
    #[error("metadata record has the value {value} in a {field}")]
    BadValue {
        /// What the field is.
        field: &'static str,
        /// Its value.
        value: u8,
    },
    /// A text is not UTF-8.
    #[error("metadata record has a text that is not UTF-8")]
    NotUtf8,
}

/// Encodes `records` as the payload of one batch or one snapshot.
pub fn encode_records(records: &[MetadataRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        let bytes = record.encode();
        (bytes.len() as u32).put(&mut out);
        out.extend_from_slice(&bytes);
    }
    out
}

/// Decodes what [`encode_records`] made.
pub fn decode_records(bytes: &[u8]) -> Result<Vec<MetadataRecord>, CodecError> {
    let mut input = Input::new(bytes);
    let mut records = Vec::new();
    while input.remaining() > 0 {
        let length = input.field::<u32>()?;
        records.push(MetadataRecord::decode(input.bytes(length as usize)?)?);
    }
    Ok(records)
}

impl MetadataRecord {
    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.record_type(), VERSION];
        self.put_fields(&mut out);
        out
    }

    /// The record that `bytes` are, all of them.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut input = Input::new(bytes);
        let record_type = input.field()?;
        let version = input.field()?;
        if version != VERSION {
            return Err(CodecError::UnknownVersion {
                record_type,
                version,
            });
        }
        let record = Self::get_fields(record_type, &mut input)?;
        match input.remaining() {
            0 => Ok(record),
            count => Err(CodecError::Trailing(count)),
        }
    }

    fn record_type(&self) -> u8 {
        match self {
            Self::NoOp => 0,
            Self::RegisterBroker(_) => 1,
            Self::UnregisterBroker { .. } => 2,
            Self::BrokerRegistrationChange { .. } => 3,
            Self::Topic { .. } => 4,
            Self::RemoveTopic { .. } => 5,
            Self::Partition { .. } => 6,
            Self::PartitionChange(_) => 7,
            Self::Config { .. } => 8,
            Self::ProducerIds { .. } => 9,
            Self::BrokerDirectoriesOffline { .. } => 10,
        }
    }

    fn put_fields(&self, out: &mut Vec<u8>) {
        match self {
            Self::NoOp => {}
            Self::RegisterBroker(registration) => registration.put(out),
            Self::UnregisterBroker {
                broker_id,
                broker_epoch,
            } => {
                broker_id.put(out);
                broker_epoch.put(out);
            }
            Self::BrokerRegistrationChange {
                broker_id,
                broker_epoch,
                fenced,
                in_controlled_shutdown,
            } => {
                broker_id.put(out);
                broker_epoch.put(out);
                fenced.put(out);
                in_controlled_shutdown.put(out);
            }
            Self::BrokerDirectoriesOffline {
                broker_id,
                broker_epoch,
                directories,
            } => {
                broker_id.put(out);
                broker_epoch.put(out);
                directories.put(out);
            }
            Self::Topic { name, topic_id } => {
                name.put(out);
                topic_id.put(out);
            }
            Self::RemoveTopic { topic_id } => topic_id.put(out),
            Self::Partition {
                partition,
                registration,
            } => {
                partition.put(out);
                registration.put(out);
            }
            Self::PartitionChange(change) => change.put(out),
            Self::Config {
                resource,
                key,
                value,
            } => {
                resource.put(out);
                key.put(out);
                value.put(out);
            }
            Self::ProducerIds {
                broker_id,
                broker_epoch,
                next_producer_id,
            } => {
                broker_id.put(out);
                broker_epoch.put(out);
                next_producer_id.put(out);
            }
        }
    }

    fn get_fields(record_type: u8, input: &mut Input<'_>) -> Result<Self, CodecError> {
        Ok(match record_type {
            0 => Self::NoOp,
            1 => Self::RegisterBroker(input.field()?),
            2 => Self::UnregisterBroker {
                broker_id: input.field()?,
                broker_epoch: input.field()?,
            },
            3 => Self::BrokerRegistrationChange {
                broker_id: input.field()?,
                broker_epoch: input.field()?,
                fenced: input.field()?,
                in_controlled_shutdown: input.field()?,
            },
            4 => Self::Topic {
                name: input.field()?,
                topic_id: input.field()?,
            },
            5 => Self::RemoveTopic {
                topic_id: input.field()?,
            },
            6 => Self::Partition {
                partition: input.field()?,
                registration: input.field()?,
            },
            7 => Self::PartitionChange(input.field()?),
            8 => Self::Config {
                resource: input.field()?,
                key: input.field()?,
                value: input.field()?,
            },
            9 => Self::ProducerIds {
                broker_id: input.field()?,
                broker_epoch: input.field()?,
                next_producer_id: input.field()?,
            },
            10 => Self::BrokerDirectoriesOffline {
                broker_id: input.field()?,
                broker_epoch: input.field()?,
                directories: input.field()?,
            },
            unknown => return Err(CodecError::UnknownType(unknown)),
        })
    }
}

/// Implements `Field` for a struct as the sequence of its fields, in the order given. What stands
/// behind `else` is not encoded: another record tells it.
macro_rules! struct_field {
    ($name:ident { $($field:ident),* $(,)? } $(else { $($told:ident),* })?) => {
        impl Field for $name {
            // A struct is never smaller than its number of fields; enough to bound an array.
            const BYTES_MIN: usize = [$(stringify!($field)),*].len();

            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
                Ok(Self { $($field: input.field()?,)* $($($told: Default::default()),*)? })
            }
        }
    };
}

struct_field!(BrokerEndpoint { name, host, port });
struct_field!(BrokerRegistration {
    broker_id,
    incarnation_id,
    broker_epoch,
    endpoints,
    rack,
    directories,
    fenced,
    in_controlled_shutdown,
} else {
    offline_directories
});
struct_field!(PartitionRegistration {
    topic_id,
    replicas,
    isr,
    elr,
    last_known_elr,
    leader,
    leader_epoch,
    partition_epoch,
    leader_recovery_state,
    adding_replicas,
    removing_replicas,
    directories,
});
struct_field!(PartitionChange {
    topic_id,
    partition,
    isr,
    leader,
    replicas,
    adding_replicas,
    removing_replicas,
    elr,
    last_known_elr,
    recovery_state,
    directories,
});

impl Field for LeaderRecoveryState {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Recovered => 0,
            Self::Recovering => 1,
        });
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        match input.field::<u8>()? {
            0 => Ok(Self::Recovered),
            1 => Ok(Self::Recovering),
            value => Err(CodecError::BadValue {
                field: "leader recovery state",
                value,
            }),
        }
    }
}

impl Field for LeaderChange {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unchanged => out.push(0),
            Self::NoLeader => out.push(1),
            Self::Leader(broker_id) => {
                out.push(2);
                broker_id.put(out);
            }
        }
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        match input.field::<u8>()? {
            0 => Ok(Self::Unchanged),
            1 => Ok(Self::NoLeader),
            2 => input.field().map(Self::Leader),
            value => Err(CodecError::BadValue {
                field: "leader change",
                value,
            }),
        }
    }
}

impl Field for ConfigResource {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Topic(name) => {
                out.push(0);
                name.put(out);
            }
            Self::Broker(broker_id) => {
                out.push(1);
                broker_id.put(out);
            }
            Self::AllBrokers => out.push(2),
        }
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        match input.field::<u8>()? {
            0 => input.field::<Arc<str>>().map(Self::Topic),
            1 => input.field().map(Self::Broker),
            2 => Ok(Self::AllBrokers),
            value => Err(CodecError::BadValue {
                field: "config resource",
                value,
            }),
        }
    }
}
