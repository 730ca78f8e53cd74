//! A record as a poll returns it: `[offset, value]`.
//!
//! Every record that a run sends carries its own integer, unique in the run, so that a value names
//! its send. What does not decode to such an integer (corruption, a record of somebody else) is
//! kept as text, and is always a phantom.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// One record of a poll: its offset and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record(pub i64, pub RecordValue);

/// What a record carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RecordValue {
    /// The integer of one send. Senders keep below 2^53, which every JSON reader represents.
    Unique(u64),
    /// A payload that does not decode: the reader's description of it, such as
    /// `crc mismatch: 0a1b…` or the text itself.
    Foreign(Box<str>),
}

impl fmt::Display for RecordValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unique(value) => write!(f, "{value}"),
            Self::Foreign(text) => write!(f, "{text:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for RecordValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = RecordValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the integer of a send, or a text for a payload that does not decode")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<RecordValue, E> {
                Ok(RecordValue::Unique(value))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RecordValue, E> {
                Ok(RecordValue::Foreign(text.into()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
