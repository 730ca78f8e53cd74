//! Kafka's record batches, format v2: the bytes that travel and lie on disk.
//!
//! Takes bytes from the wire or the disk and gives views of them; builds batches from records.
//! Invariant: no input, however malformed, panics or makes an allocation larger than what the
//! input's own length or a caller's limit justifies. Batches are never re-encoded: a broker only
//! stamps fields in place ([`stamp`]). Source: Kafka's `DefaultRecordBatch`, `DefaultRecord`,
//! `LogValidator`; the byte diagram is in `docs/log-format.md`.

mod batches;
mod builder;
mod compression;
mod error;
mod header;
mod reader;
mod records;
mod stamp;
mod thin;
mod validate;

pub use batches::{Batches, RecordBatch};
pub use builder::{BatchBuilder, ProducerFields};
pub use compression::{Compression, DECOMPRESSED_BYTES_MAX};
pub use error::{BatchError, PositionedError};
pub use header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, LENGTH_PREFIX_BYTES, TimestampType, batch_crc,
    check_crc,
};
pub use records::{Header, Record, Records};
pub use stamp::{stamp, stamp_in_place, stamp_log_append_time, stamp_producer};
pub use thin::{empty_from, merged_empty};
pub use validate::{ProduceRules, Rejection, validate_produce};

#[cfg(test)]
mod record_test;
