//! The bytes of the "consumer" protocol: what a member subscribes to, and what it is assigned.
//!
//! ```text
//! subscription  version i16 | topics [string] | user data bytes? | v1 owned [topic, [i32]]
//!               | v2 generation i32 | v3 rack string?
//! assignment    version i16 | partitions [topic, [i32]] | user data bytes?
//! ```
//! In: bytes that any client of the group may have written. Out: values, or an error that names the
//! field. Invariants: nothing is allocated by a length's word alone, a newer version is read by the
//! newest schema known here and what follows is ignored, and an older one lacks its newer fields.
//! Source: Kafka's `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`, versions 0–3.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::id::TopicPartition;

/// The newest schema known here.
const VERSION_MAX: i16 = 3;
/// The version from which a subscription names the partitions its member owns.
const OWNED_VERSION: i16 = 1;
const GENERATION_VERSION: i16 = 2;
const RACK_VERSION: i16 = 3;

/// Bytes of a member that do not follow the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} at byte {position}: {problem}")]
pub struct ProtocolError {
    /// The field that could not be read.
    pub field: &'static str,
    /// Where it begins, counted from the version.
    pub position: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// What a member asks for when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics.
    pub topics: Vec<String>,
    /// The assignor's own bytes.
    pub user_data: Option<Bytes>,
    /// The partitions that the member holds while it joins; none before version 1.
    pub owned: Vec<TopicPartition>,
    /// The generation in which it got them; `None` before version 2 and without one.
    pub generation_id: Option<i32>,
    /// `client.rack`.
    pub rack: Option<String>,
}

/// Writes a subscription in version 3.
pub fn encode_subscription(subscription: &Subscription) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VERSION_MAX);
    out.put_i32(subscription.topics.len() as i32);
    for topic in &subscription.topics {
        put_string(&mut out, topic);
    }
    put_bytes(&mut out, subscription.user_data.as_ref());
    put_partitions(&mut out, &subscription.owned);
    out.put_i32(subscription.generation_id.unwrap_or(-1));
    match &subscription.rack {
        Some(rack) => put_string(&mut out, rack),
        None => out.put_i16(-1),
    }
    out.freeze()
}

/// Reads a subscription.
///
/// # Errors
/// `ProtocolError` if a field is cut off, has an impossible length or is not UTF-8.
pub fn decode_subscription(bytes: &Bytes) -> Result<Subscription, ProtocolError> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.version()?;
    let count = reader.count("topics")?;
    let topics = (0..count)
        .map(|_| reader.string("topic"))
        .collect::<Result<_, _>>()?;
    let mut subscription = Subscription {
        topics,
        user_data: reader.nullable_bytes("user data")?,
        ..Subscription::default()
    };
    if version >= OWNED_VERSION {
        subscription.owned = reader.partitions("owned partitions")?;
    }
    if version >= GENERATION_VERSION {
        let generation_id = reader.i32("generation id")?;
        subscription.generation_id = (generation_id >= 0).then_some(generation_id);
    }
    if version >= RACK_VERSION {
        subscription.rack = reader.nullable_string("rack")?;
    }
    Ok(subscription)
}

/// Writes an assignment, without user data, in version 3.
pub fn encode_assignment(partitions: &[TopicPartition]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VERSION_MAX);
    put_partitions(&mut out, partitions);
    put_bytes(&mut out, None);
    out.freeze()
}

/// Reads the partitions of an assignment. No bytes at all mean no partitions: so a coordinator
/// answers a member that its leader left out.
///
/// # Errors
/// `ProtocolError` if a field is cut off, has an impossible length or is not UTF-8.
pub fn decode_assignment(bytes: &Bytes) -> Result<Vec<TopicPartition>, ProtocolError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(bytes.clone());
    reader.version()?;
    let partitions = reader.partitions("assigned partitions")?;
    reader.nullable_bytes("user data")?;
    Ok(partitions)
}

/// Writes partitions grouped by topic, as every schema of this protocol has them.
pub(super) fn put_partitions(out: &mut BytesMut, partitions: &[TopicPartition]) {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        let indexes = topics.entry(&partition.topic).or_default();
        indexes.push(partition.partition);
    }
    out.put_i32(topics.len() as i32);
    for (topic, indexes) in topics {
        put_string(out, topic);
        out.put_i32(indexes.len() as i32);
        for index in indexes {
            out.put_i32(index);
        }
    }
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

fn put_bytes(out: &mut BytesMut, bytes: Option<&Bytes>) {
    match bytes {
        Some(bytes) => {
            out.put_i32(bytes.len() as i32);
            out.put_slice(bytes);
        }
        None => out.put_i32(-1),
    }
}

/// Reads fields, and counts how far it has come.
pub(super) struct Reader {
    rest: Bytes,
    length: usize,
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        let length = bytes.len();
        Self {
            rest: bytes,
            length,
        }
    }

    fn error<T>(&self, field: &'static str, problem: String) -> Result<T, ProtocolError> {
        Err(ProtocolError {
            field,
            position: self.length - self.rest.len(),
            problem,
        })
    }

    fn take(&mut self, field: &'static str, length: usize) -> Result<Bytes, ProtocolError> {
        if self.rest.len() < length {
            let left = self.rest.len();
            return self.error(field, format!("needs {length} bytes, {left} are left"));
        }
        Ok(self.rest.split_to(length))
    }

    fn i16(&mut self, field: &'static str) -> Result<i16, ProtocolError> {
        let bytes = self.take(field, 2)?;
        Ok(bytes.first_chunk().map_or(0, |b| i16::from_be_bytes(*b)))
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, ProtocolError> {
        let bytes = self.take(field, 4)?;
        Ok(bytes.first_chunk().map_or(0, |b| i32::from_be_bytes(*b)))
    }

    fn version(&mut self) -> Result<i16, ProtocolError> {
        match self.i16("version")? {
            version if version < 0 => self.error(
                "version",
                format!("{version} is negative; the first version is 0"),
            ),
            version => Ok(version.min(VERSION_MAX)),
        }
    }

    /// The length of an array. No element is shorter than two bytes, so a longer array than the
    /// bytes that are left can hold is refused before anything is allocated for it.
    fn count(&mut self, field: &'static str) -> Result<usize, ProtocolError> {
        let count = self.i32(field)?;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() / 2 => Ok(count),
            _ => {
                let left = self.rest.len();
                self.error(
                    field,
                    format!("{count} elements do not fit into {left} bytes"),
                )
            }
        }
    }

    fn string(&mut self, field: &'static str) -> Result<String, ProtocolError> {
        match self.nullable_string(field)? {
            Some(text) => Ok(text),
            None => self.error(field, "null, where a string must stand".to_owned()),
        }
    }

    fn nullable_string(&mut self, field: &'static str) -> Result<Option<String>, ProtocolError> {
        let length = self.i16(field)?;
        let length = match (length, usize::try_from(length)) {
            (-1, _) => return Ok(None),
            (_, Ok(length)) => length,
            _ => return self.error(field, format!("a length of {length}; only -1 means null")),
        };
        let bytes = self.take(field, length)?;
        match String::from_utf8(bytes.to_vec()) {
            Ok(text) => Ok(Some(text)),
            Err(error) => self.error(field, format!("not UTF-8: {error}")),
        }
    }

    fn nullable_bytes(&mut self, field: &'static str) -> Result<Option<Bytes>, ProtocolError> {
        let length = self.i32(field)?;
        match (length, usize::try_from(length)) {
            (-1, _) => Ok(None),
            (_, Ok(length)) => self.take(field, length).map(Some),
            _ => self.error(field, format!("a length of {length}; only -1 means null")),
        }
    }

    pub(super) fn partitions(
        &mut self,
        field: &'static str,
    ) -> Result<Vec<TopicPartition>, ProtocolError> {
        let mut partitions = Vec::new();
        for _ in 0..self.count(field)? {
            let topic: Arc<str> = self.string(field)?.into();
            for _ in 0..self.count(field)? {
                let partition = self.i32(field)?;
                if partition < 0 {
                    let problem = format!("partition {partition} of {topic} is negative");
                    return self.error(field, problem);
                }
                partitions.push(TopicPartition::new(Arc::clone(&topic), partition));
            }
        }
        Ok(partitions)
    }
}
