//! The key of a log: one topic-partition, written `orders-3`.
//!
//! Kafka's own spelling of a topic-partition; the partition is what follows the last hyphen.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One topic-partition; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of partition `partition` of `topic`.
    pub fn new(topic: &str, partition: i32) -> Self {
        Self(format!("{topic}-{partition}").into())
    }

    /// `topic-partition`, or nothing when the text is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let (topic, partition) = text.rsplit_once('-')?;
        let valid = !topic.is_empty() && partition.bytes().all(|b| b.is_ascii_digit());
        (valid && partition.parse::<i32>().is_ok()).then(|| Self(text.into()))
    }

    /// The text `topic-partition`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic: everything before the last hyphen.
    pub fn topic(&self) -> &str {
        self.0.rsplit_once('-').map_or(&self.0, |(topic, _)| topic)
    }

    /// The partition: the number after the last hyphen.
    pub fn partition(&self) -> i32 {
        let digits = self.0.rsplit_once('-').map(|(_, digits)| digits);
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a topic-partition such as \"orders-3\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
                Key::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}
