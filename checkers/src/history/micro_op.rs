//! The irregular JSON of micro-operations: lists whose tail may be missing.
//!
//! Written by hand because untagged enums buffer and re-read every value, which costs several
//! times the parse itself.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::history::action::Bound;
use crate::history::key::Key;

/// The word `send`.
#[derive(Deserialize)]
pub(crate) enum SendTag {
    #[serde(rename = "send")]
    Send,
}

/// The word `poll`.
#[derive(Deserialize)]
pub(crate) enum PollTag {
    #[serde(rename = "poll")]
    Poll,
}

/// `17`, or `[42, 17]` with an offset, or `[null, 17]`.
pub(crate) struct Sent {
    pub(crate) offset: Option<i64>,
    pub(crate) value: u64,
}

impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SentVisitor;

        impl<'de> Visitor<'de> for SentVisitor {
            type Value = Sent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value such as 17, or an offset and a value such as [42, 17]")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Sent, E> {
                Ok(Sent {
                    offset: None,
                    value,
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Sent, A::Error> {
                let offset = list.next_element::<Option<i64>>()?.flatten();
                let value = list.next_element()?;
                let value = value.ok_or_else(|| Error::invalid_length(1, &self))?;
                Ok(Sent { offset, value })
            }
        }

        deserializer.deserialize_any(SentVisitor)
    }
}

/// A list of one or two elements.
pub(crate) struct OneOrTwo<A, B>(pub(crate) A, pub(crate) Option<B>);

impl<'de, A: Deserialize<'de>, B: Deserialize<'de>> Deserialize<'de> for OneOrTwo<A, B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<A, B>(PhantomData<(A, B)>);

        impl<'de, A: Deserialize<'de>, B: Deserialize<'de>> Visitor<'de> for ListVisitor<A, B> {
            type Value = OneOrTwo<A, B>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list such as [\"poll\"] or [\"poll\", {\"t-0\": [[0, 17]]}]")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
                let first = list.next_element()?;
                let first = first.ok_or_else(|| Error::invalid_length(0, &self))?;
                Ok(OneOrTwo(first, list.next_element()?))
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// `["end", "t-0"]`, or `["end", "t-0", 44]`.
pub(crate) struct Bounded(pub(crate) Bound, pub(crate) Key, pub(crate) Option<i64>);

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BoundVisitor;

        impl<'de> Visitor<'de> for BoundVisitor {
            type Value = Bounded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list such as [\"end\", \"t-0\"] or [\"end\", \"t-0\", 44]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bounded, A::Error> {
                let bound = list.next_element()?;
                let bound = bound.ok_or_else(|| Error::invalid_length(0, &self))?;
                let key = list
                    .next_element()?
                    .ok_or_else(|| Error::invalid_length(1, &self))?;
                Ok(Bounded(
                    bound,
                    key,
                    list.next_element::<Option<i64>>()?.flatten(),
                ))
            }
        }

        deserializer.deserialize_seq(BoundVisitor)
    }
}
