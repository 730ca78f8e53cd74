//! The records of `__consumer_offsets`, byte for byte as Kafka writes them.
//!
//! In: keys and values from the log. Out: what they say, and the reverse. A key begins with its
//! version, which tells its kind; kinds of newer Kafkas are skipped, not refused.
//! Invariant: no input panics or allocates beyond its own size.
//! Source: Kafka's `OffsetCommitKey/Value.json`, `GroupMetadataKey/Value.json`.

mod fields;
mod group_metadata;
mod offset_commit;
#[cfg(test)]
mod records_test;

use bytes::{Buf, Bytes};
use thiserror::Error;

use crate::id::TopicPartition;

pub(super) use group_metadata::{GroupMetadata, MemberMetadata, group_metadata_key};
pub(super) use offset_commit::{encode_offset, offset_commit_key};

use super::response::CommittedOffset;
use fields::string;

/// A record that does not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a record of __consumer_offsets does not read: {what}")]
pub struct RecordError {
    what: &'static str,
}

impl RecordError {
    fn new(what: &'static str) -> Self {
        Self { what }
    }
}

/// What one record says; without a value it deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupRecord {
    Offset {
        group_id: String,
        partition: TopicPartition,
        value: Option<CommittedOffset>,
    },
    Group {
        group_id: String,
        value: Option<GroupMetadata>,
    },
    /// A kind that this coordinator does not know.
    Other,
}

/// Reads a record.
pub(super) fn parse(mut key: Bytes, value: Option<Bytes>) -> Result<GroupRecord, RecordError> {
    let version = key
        .try_get_i16()
        .map_err(|_| RecordError::new("a key without a version"))?;
    match version {
        0 | 1 => {
            let group_id = string(&mut key)?;
            let topic = string(&mut key)?;
            let partition = key
                .try_get_i32()
                .map_err(|_| RecordError::new("a key without a partition"))?;
            Ok(GroupRecord::Offset {
                group_id,
                partition: TopicPartition::new(topic, partition),
                value: value.map(offset_commit::decode_offset).transpose()?,
            })
        }
        2 => Ok(GroupRecord::Group {
            group_id: string(&mut key)?,
            value: value.map(GroupMetadata::decode).transpose()?,
        }),
        _ => Ok(GroupRecord::Other),
    }
}
