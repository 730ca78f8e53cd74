//! The client that an application uses: `Producer`, `Consumer` and `Admin`.
//!
//! In: records to send, partitions to read, administrative wishes. Out: acknowledgements, records,
//! and errors that never let an unknown outcome pass for a failure.
//! The client speaks only the wire protocol: it shares no state machine with the broker, so that a
//! bug of one cannot hide a bug of the other.
//!
//! | module | holds |
//! |---|---|
//! | `error` | `ClientError`: coarse, prescriptive kinds |
//! | `outcome` | which produce error proves that nothing was appended |
//! | `connection` | one TCP connection: pipelined calls with deadlines |
//! | `coordinator` | which broker coordinates a group, and calls that follow it |
//! | `cluster` | metadata cache and the connections to every broker |
//! | `producer` | batching, retries, idempotence |
//! | `consumer` | positions, fetches, offset resets; membership of a group |
//! | `admin` | topics, configurations, offsets, groups |
//! | `assignor` | who of a group reads which partition, and the bytes that say so |

mod admin;
mod assignor;
mod cluster;
mod connection;
mod consumer;
mod coordinator;
mod error;
#[cfg(test)]
mod fake_broker;
mod outcome;
mod partitioner;
mod producer;
mod types;

pub use admin::{
    Admin, AdminConfig, ClusterDescription, CommittedOffset, GroupDescription, GroupListing,
    MemberDescription, NewTopic, OffsetSpec, PartitionDescription, PartitionResults,
    TopicDescription,
};
pub use assignor::{
    Assignments, AssignorKind, MemberSubscription, PartitionCounts, ProtocolError, Subscription,
    decode_assignment, decode_subscription, encode_assignment, encode_subscription,
};
pub use consumer::{AutoOffsetReset, Consumer, ConsumerConfig, group};
pub use error::{ClientError, ErrorKind};
pub use outcome::proves_not_appended;
pub use producer::{Acks, Producer, ProducerConfig};
pub use types::{ConsumerRecord, ProducerRecord, RecordMetadata};
