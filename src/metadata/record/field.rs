//! The fields of metadata records: how each type is laid out in bytes.
//!
//! In: a value, or untrusted bytes. Out: big-endian bytes, or the value or an error.
//! Invariant: reading never panics and never allocates more than the input's own size warrants.

use std::sync::Arc;

use uuid::Uuid;

use super::codec::CodecError;
use crate::id::{BrokerId, TopicId};

/// A type that can be a field of a record.
pub(super) trait Field: Sized {
    /// The fewest bytes that a value takes; bounds what an array may claim to hold.
    const BYTES_MIN: usize;

    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads a value.
    fn get(input: &mut Input<'_>) -> Result<Self, CodecError>;
}

/// The bytes of a record that have not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(CodecError::Truncated {
                needed: count,
                remaining: self.rest.len(),
            })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(CodecError::Truncated {
                needed: N,
                remaining: self.rest.len(),
            })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Reads the next field.
    pub(super) fn field<T: Field>(&mut self) -> Result<T, CodecError> {
        T::get(self)
    }
}

macro_rules! integer_field {
    ($($integer:ty),*) => {$(
        impl Field for $integer {
            const BYTES_MIN: usize = size_of::<$integer>();

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
                input.array().map(Self::from_be_bytes)
            }
        }
    )*};
}

integer_field!(u8, u16, u32, i32, i64);

impl Field for bool {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        match input.field::<u8>()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(CodecError::BadValue {
                field: "flag",
                value,
            }),
        }
    }
}

impl Field for Uuid {
    const BYTES_MIN: usize = 16;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        input.array().map(Self::from_bytes)
    }
}

impl Field for BrokerId {
    const BYTES_MIN: usize = i32::BYTES_MIN;

    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        input.field().map(Self)
    }
}

impl Field for TopicId {
    const BYTES_MIN: usize = Uuid::BYTES_MIN;

    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        input.field().map(Self)
    }
}

/// A text is its length in four bytes and its UTF-8.
impl Field for Arc<str> {
    const BYTES_MIN: usize = u32::BYTES_MIN;

    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        let length = input.field::<u32>()?;
        let bytes = input.bytes(length as usize)?;
        std::str::from_utf8(bytes)
            .map(Self::from)
            .map_err(|_| CodecError::NotUtf8)
    }
}

impl Field for String {
    const BYTES_MIN: usize = u32::BYTES_MIN;

    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        input
            .field::<Arc<str>>()
            .map(|text| text.as_ref().to_owned())
    }
}

/// An optional field is a flag and, if it is set, the value.
impl<T: Field> Field for Option<T> {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        if input.field()? {
            input.field().map(Some)
        } else {
            Ok(None)
        }
    }
}

/// An array is its count in four bytes and its items.
impl<T: Field> Field for Vec<T> {
    const BYTES_MIN: usize = u32::BYTES_MIN;

    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        for item in self {
            item.put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Result<Self, CodecError> {
        let count = input.field::<u32>()? as usize;
        let needed = count.saturating_mul(T::BYTES_MIN);
        if needed > input.remaining() {
            return Err(CodecError::Truncated {
                needed,
                remaining: input.remaining(),
            });
        }
        (0..count).map(|_| input.field()).collect()
    }
}
