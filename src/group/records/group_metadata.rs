//! GroupMetadata: generation, protocol and members of a group.
//!
//! ```text
//! key   v2  version:i16=2 group:string
//! value v3  version:i16=3 protocol_type:string generation:i32 protocol:string? leader:string?
//!           state_millis:i64 members:i32×{ member_id:string instance_id:string? client_id:string
//!           client_host:string rebalance_timeout_ms:i32 session_timeout_ms:i32
//!           subscription:bytes assignment:bytes }
//! ```
//! Written as version 3; 0 to 4 are read. Source: `GroupMetadataValue.json`.

use bytes::{BufMut, Bytes};

use super::RecordError;
use super::fields::{
    bytes, compact_bytes, compact_length, compact_string, i16, i32, i64, nullable_string,
    put_bytes, put_nullable_string, put_string, skip_tags, string,
};

/// A group as its record tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::group) struct GroupMetadata {
    pub(in crate::group) protocol_type: String,
    pub(in crate::group) generation_id: i32,
    pub(in crate::group) protocol: Option<String>,
    pub(in crate::group) leader: Option<String>,
    /// Since when it has been in its state, in milliseconds since the Unix epoch; -1 if unknown.
    pub(in crate::group) state_millis: i64,
    pub(in crate::group) members: Vec<MemberMetadata>,
}

/// A member as the group's record tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::group) struct MemberMetadata {
    pub(in crate::group) member_id: String,
    pub(in crate::group) instance_id: Option<String>,
    pub(in crate::group) client_id: String,
    pub(in crate::group) client_host: String,
    pub(in crate::group) rebalance_timeout_ms: i32,
    pub(in crate::group) session_timeout_ms: i32,
    pub(in crate::group) subscription: Bytes,
    pub(in crate::group) assignment: Bytes,
}

/// The key of a group.
pub(in crate::group) fn group_metadata_key(group_id: &str) -> Bytes {
    let mut out = Vec::new();
    out.put_i16(2);
    put_string(&mut out, group_id);
    Bytes::from(out)
}

impl GroupMetadata {
    pub(in crate::group) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_i16(3);
        put_string(&mut out, &self.protocol_type);
        out.put_i32(self.generation_id);
        put_nullable_string(&mut out, self.protocol.as_deref());
        put_nullable_string(&mut out, self.leader.as_deref());
        out.put_i64(self.state_millis);
        out.put_i32(self.members.len() as i32);
        for member in &self.members {
            put_string(&mut out, &member.member_id);
            put_nullable_string(&mut out, member.instance_id.as_deref());
            put_string(&mut out, &member.client_id);
            put_string(&mut out, &member.client_host);
            out.put_i32(member.rebalance_timeout_ms);
            out.put_i32(member.session_timeout_ms);
            put_bytes(&mut out, &member.subscription);
            put_bytes(&mut out, &member.assignment);
        }
        Bytes::from(out)
    }

    pub(super) fn decode(mut input: Bytes) -> Result<Self, RecordError> {
        let input = &mut input;
        let version = i16(input)?;
        match version {
            0..=3 => Self::decode_plain(input, version),
            4 => Self::decode_flexible(input),
            _ => Err(RecordError::new("a group of an unknown version")),
        }
    }

    fn decode_plain(input: &mut Bytes, version: i16) -> Result<Self, RecordError> {
        let mut group = Self {
            protocol_type: string(input)?,
            generation_id: i32(input)?,
            protocol: nullable_string(input)?,
            leader: nullable_string(input)?,
            state_millis: if version >= 2 { i64(input)? } else { -1 },
            members: Vec::new(),
        };
        for _ in 0..i32(input)? {
            group.members.push(decode_member(input, version)?);
        }
        Ok(group)
    }

    fn decode_flexible(input: &mut Bytes) -> Result<Self, RecordError> {
        let mut group = Self {
            protocol_type: compact_string(input)?.unwrap_or_default(),
            generation_id: i32(input)?,
            protocol: compact_string(input)?,
            leader: compact_string(input)?,
            state_millis: i64(input)?,
            members: Vec::new(),
        };
        for _ in 0..compact_length(input)?.unwrap_or(0) {
            group.members.push(MemberMetadata {
                member_id: compact_string(input)?.unwrap_or_default(),
                instance_id: compact_string(input)?,
                client_id: compact_string(input)?.unwrap_or_default(),
                client_host: compact_string(input)?.unwrap_or_default(),
                rebalance_timeout_ms: i32(input)?,
                session_timeout_ms: i32(input)?,
                subscription: compact_bytes(input)?,
                assignment: compact_bytes(input)?,
            });
            skip_tags(input)?;
        }
        skip_tags(input)?;
        Ok(group)
    }
}

fn decode_member(input: &mut Bytes, version: i16) -> Result<MemberMetadata, RecordError> {
    let member_id = string(input)?;
    let instance_id = if version >= 3 {
        nullable_string(input)?
    } else {
        None
    };
    let client_id = string(input)?;
    let client_host = string(input)?;
    // Version 0 had one timeout for both.
    let rebalance = if version >= 1 {
        Some(i32(input)?)
    } else {
        None
    };
    let session_timeout_ms = i32(input)?;
    Ok(MemberMetadata {
        member_id,
        instance_id,
        client_id,
        client_host,
        rebalance_timeout_ms: rebalance.unwrap_or(session_timeout_ms),
        session_timeout_ms,
        subscription: bytes(input)?,
        assignment: bytes(input)?,
    })
}
