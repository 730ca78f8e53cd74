//! OffsetCommit: what a group has committed for one partition.
//!
//! ```text
//! key   v1  version:i16=1 group:string topic:string partition:i32
//! value v1  version:i16=1 offset:i64 metadata:string commit_millis:i64 expire_millis:i64
//! value v3  version:i16=3 offset:i64 leader_epoch:i32 metadata:string commit_millis:i64
//! value v4  version:i16=4 offset:i64 leader_epoch:i32 metadata:compact commit_millis:i64
//!           tags: count=1 tag=0 size=16 topic_id:uuid
//! ```
//! Written as version 1 with an expiry of its own, as 4 with a topic id (KAFKA-19154), else as 3,
//! as Kafka does; 0 to 4 are read. Source: `OffsetCommitValue.json`.

use bytes::{BufMut, Bytes};
use uuid::Uuid;

use super::RecordError;
use super::fields::{
    compact_string, i16, i32, i64, put_compact_string, put_string, put_tag, string, tag,
};
use crate::group::response::CommittedOffset;
use crate::id::{TopicId, TopicPartition};

/// The tagged field of version 4 that names the topic's incarnation.
const TOPIC_ID_TAG: u32 = 0;

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
    let version = match (offset.expire_millis, offset.topic_id) {
        (Some(_), _) => 1,
        (None, Some(_)) => 4,
        (None, None) => 3,
    };
    let mut out = Vec::new();
    out.put_i16(version);
    out.put_i64(offset.offset);
    if version >= 3 {
        out.put_i32(offset.leader_epoch.unwrap_or(-1));
    }
    if version >= 4 {
        put_compact_string(&mut out, &offset.metadata);
    } else {
        put_string(&mut out, &offset.metadata);
    }
    out.put_i64(offset.commit_millis);
    if let Some(expire_millis) = offset.expire_millis {
        out.put_i64(expire_millis);
    } else if let Some(topic_id) = offset.topic_id {
        put_tag(&mut out, TOPIC_ID_TAG, topic_id.0.as_bytes());
    }
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
    let topic_id = if version >= 4 {
        tag(input, TOPIC_ID_TAG)?
    } else {
        None
    };
    let topic_id = topic_id.and_then(|id| Uuid::from_slice(&id).ok());
    Ok(CommittedOffset {
        offset,
        leader_epoch: (leader_epoch >= 0).then_some(leader_epoch),
        metadata,
        commit_millis,
        expire_millis: (expire_millis >= 0).then_some(expire_millis),
        topic_id: topic_id.filter(|id| !id.is_nil()).map(TopicId),
    })
}
