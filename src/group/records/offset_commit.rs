//! OffsetCommit: what a group has committed for one partition.
//!
//! ```text
//! key   v1  version:i16=1 group:string topic:string partition:i32
//! value v3  version:i16=3 offset:i64 leader_epoch:i32 metadata:string commit_millis:i64
//! ```
//! Written as version 3, as Kafka does for commits without a topic id and without an expiry of
//! their own; 0 to 4 are read. Source: `OffsetCommitValue.json`.

use bytes::{BufMut, Bytes};

use super::RecordError;
use super::fields::{compact_string, i16, i32, i64, put_string, skip_tags, string};
use crate::group::response::CommittedOffset;
use crate::id::TopicPartition;

/// The key of a group's offset of `partition`.
pub(in crate::group) fn offset_commit_key(group_id: &str, partition: &TopicPartition) -> Bytes {
    let mut out = Vec::new();
    out.put_i16(1);
    put_string(&mut out, group_id);
    put_string(&mut out, &partition.topic);
    out.put_i32(partition.partition);
    Bytes::from(out)
}

/// The value of a committed offset.
pub(in crate::group) fn encode_offset(offset: &CommittedOffset) -> Bytes {
    let mut out = Vec::new();
    out.put_i16(3);
    out.put_i64(offset.offset);
    out.put_i32(offset.leader_epoch.unwrap_or(-1));
    put_string(&mut out, &offset.metadata);
    out.put_i64(offset.commit_millis);
    Bytes::from(out)
}

pub(super) fn decode_offset(mut input: Bytes) -> Result<CommittedOffset, RecordError> {
    let input = &mut input;
    let version = i16(input)?;
    if !(0..=4).contains(&version) {
        return Err(RecordError::new("an offset of an unknown version"));
    }
    let offset = i64(input)?;
    let leader_epoch = if version >= 3 { i32(input)? } else { -1 };
    let metadata = if version >= 4 {
        compact_string(input)?.unwrap_or_default()
    } else {
        string(input)?
    };
    let commit_millis = i64(input)?;
    let expire_millis = if version == 1 { i64(input)? } else { -1 };
    if version >= 4 {
        skip_tags(input)?;
    }
    Ok(CommittedOffset {
        offset,
        leader_epoch: (leader_epoch >= 0).then_some(leader_epoch),
        metadata,
        commit_millis,
        expire_millis: (expire_millis >= 0).then_some(expire_millis),
    })
}
