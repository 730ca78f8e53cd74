//! What can be wrong with the bytes of a batch.
//!
//! Errors are values with the numbers that were seen and those that would be right.

use thiserror::Error;

/// A batch that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The bytes end inside the batch. At the end of a fetch response this is normal.
    #[error("the batch needs {needed} bytes, only {available} are there")]
    Truncated {
        /// Bytes that the batch says it has.
        needed: usize,
        /// Bytes present.
        available: usize,
    },
    /// Only format v2 is stored.
    #[error("record format {0} is not supported, it must be 2")]
    Magic(i8),
    /// The length field is smaller than the header that it covers.
    #[error("batch length {0} is smaller than a header, it must be at least 49")]
    Length(i32),
    /// The checksum over attributes to end does not match: the bytes were damaged.
    #[error("crc is {computed:#010x}, the header says {stored:#010x}")]
    Crc {
        /// The value in the header.
        stored: u32,
        /// The value that the bytes have.
        computed: u32,
    },
    /// Bits 0 to 2 of the attributes name no codec.
    #[error("compression codec {0} is unknown, it must be 0 to 4")]
    Codec(i16),
    /// Header fields that exclude each other.
    #[error("record count {record_count} and last offset delta {last_offset_delta} disagree")]
    Count {
        /// The header's record count.
        record_count: i32,
        /// The header's last offset delta.
        last_offset_delta: i32,
    },
    /// A field of a record lies outside the record.
    #[error("record {index}: {what} is malformed")]
    Record {
        /// The position of the record in its batch.
        index: i32,
        /// The field.
        what: &'static str,
    },
    /// The codec could not read the compressed records.
    #[error("cannot decompress the records: {0}")]
    Decompress(String),
    /// The records are larger than the caller accepts.
    #[error("the records decompress to more than {limit} bytes")]
    TooLarge {
        /// The caller's limit, in bytes.
        limit: usize,
    },
}

/// A [`BatchError`] and where in the given bytes its batch begins.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("batch at byte {position}: {error}")]
pub struct PositionedError {
    /// The batch's first byte, counted from the start of the bytes that were iterated.
    pub position: usize,
    /// What is wrong with it.
    pub error: BatchError,
}
