//! What a leader demands of a produced batch before it assigns offsets.
//!
//! In: the records of one partition in a produce request, the topic's rules, the wall clock.
//! Out: the batch, or the wire code and a message. Invariant: an accepted batch is one whole v2
//! batch whose checksum, count, offset deltas and record boundaries agree with its contents, so
//! nothing behind this point has to doubt them. Source: Kafka's `LogValidator`,
//! `ProduceRequest#validateRecords`, `UnifiedLog#analyzeAndValidateRecords`.

use bytes::Bytes;

use crate::error::ErrorCode;

use super::batches::RecordBatch;
use super::compression::Compression;
use super::error::BatchError;
use super::header::{BatchHeader, TimestampType};
use super::reader::Reader;
use super::records::{RawRecord, plain_payload};

/// The limits that apply to a produced batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceRules {
    /// `max.message.bytes`: the largest batch as it lies on the wire, in bytes.
    pub batch_bytes_max: usize,
    /// `segment.bytes`: a batch must fit into one segment.
    pub segment_bytes: usize,
    /// The most that the records may decompress to, in bytes.
    pub decompressed_bytes_max: usize,
    /// `message.timestamp.before.max.ms`: how far a timestamp may lie in the past.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a timestamp may lie in the future.
    pub timestamp_after_max_ms: i64,
    /// `message.timestamp.type`: with `LogAppendTime` the producer's timestamps do not matter.
    pub timestamp_type: TimestampType,
    /// `cleanup.policy=compact`: a record without a key could never be replaced.
    pub keys_required: bool,
    /// Whether the request's version (7 or later) allows zstd.
    pub zstd_allowed: bool,
}

impl Default for ProduceRules {
    /// Kafka's defaults, for a request of version 7 or later.
    fn default() -> Self {
        Self {
            batch_bytes_max: 1_048_588,
            segment_bytes: 1 << 30,
            decompressed_bytes_max: super::DECOMPRESSED_BYTES_MAX,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            timestamp_type: TimestampType::CreateTime,
            keys_required: false,
            zstd_allowed: true,
        }
    }
}

/// Why a batch was not accepted: the wire code and the sentence that goes with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The answer to the producer.
    pub code: ErrorCode,
    /// The reason, for the response's `error_message` and the log.
    pub message: String,
}

impl Rejection {
    fn new(code: ErrorCode, message: impl ToString) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }
}

impl From<BatchError> for Rejection {
    fn from(error: BatchError) -> Self {
        let code = match error {
            BatchError::Crc { .. } => ErrorCode::CorruptMessage,
            BatchError::Codec(_) => ErrorCode::UnsupportedCompressionType,
            BatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            _ => ErrorCode::InvalidRecord,
        };
        Self::new(code, error)
    }
}

/// Checks the records that a client produces to one partition: exactly one acceptable batch.
pub fn validate_produce(
    records: &Bytes,
    rules: &ProduceRules,
    wall_millis: i64,
) -> Result<RecordBatch, Rejection> {
    let batch = RecordBatch::first(records)?;
    check_sizes(records, &batch, rules)?;
    batch.check_crc()?;
    check_header(batch.header(), rules)?;
    let codec = batch.header().attributes.compression()?;
    if codec == Compression::Zstd && !rules.zstd_allowed {
        let message = "zstd needs produce version 7 or later";
        return Err(Rejection::new(
            ErrorCode::UnsupportedCompressionType,
            message,
        ));
    }
    check_timestamp(batch.header().base_timestamp, rules, wall_millis)?;
    check_timestamp(batch.header().max_timestamp, rules, wall_millis)?;
    check_records(&batch, rules, wall_millis)?;
    Ok(batch)
}

fn check_sizes(
    records: &Bytes,
    batch: &RecordBatch,
    rules: &ProduceRules,
) -> Result<(), Rejection> {
    let size = batch.bytes().len();
    if size > rules.batch_bytes_max {
        let message = format!(
            "the batch has {size} bytes, max.message.bytes is {}",
            rules.batch_bytes_max
        );
        return Err(Rejection::new(ErrorCode::MessageTooLarge, message));
    }
    if size > rules.segment_bytes {
        let message = format!(
            "the batch has {size} bytes, segment.bytes is {}",
            rules.segment_bytes
        );
        return Err(Rejection::new(ErrorCode::RecordListTooLarge, message));
    }
    if records.len() > size {
        let message = "a partition's records must be exactly one batch";
        return Err(Rejection::new(ErrorCode::InvalidRecord, message));
    }
    Ok(())
}

fn check_header(header: &BatchHeader, rules: &ProduceRules) -> Result<(), Rejection> {
    let invalid = |message: &str| Err(Rejection::new(ErrorCode::InvalidRecord, message));
    let count_fits = header.record_count.checked_sub(1) == Some(header.last_offset_delta);
    if header.record_count < 1 || !count_fits {
        return Err(Rejection::from(BatchError::Count {
            record_count: header.record_count,
            last_offset_delta: header.last_offset_delta,
        }));
    }
    if header.attributes.is_control() {
        return invalid("clients may not write control records");
    }
    if header.attributes.is_transactional() {
        let message = "transactions are not supported";
        return Err(Rejection::new(ErrorCode::InvalidTxnState, message));
    }
    if header.has_producer_id() && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return invalid("a batch with a producer id needs an epoch and a base sequence");
    }
    let log_append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
    if log_append_time && rules.timestamp_type == TimestampType::CreateTime {
        let message = "a producer may not claim log append time";
        return Err(Rejection::new(ErrorCode::InvalidTimestamp, message));
    }
    Ok(())
}

fn check_records(
    batch: &RecordBatch,
    rules: &ProduceRules,
    wall_millis: i64,
) -> Result<(), Rejection> {
    let header = batch.header();
    let payload = plain_payload(batch, rules.decompressed_bytes_max)?;
    let mut reader = Reader::new(&payload);
    for index in 0..header.record_count {
        let record = RawRecord::parse(&mut reader, index)?;
        record.check_headers()?;
        if record.offset_delta != index {
            let what = "offset delta";
            return Err(Rejection::from(BatchError::Record { index, what }));
        }
        if rules.keys_required && record.key.is_none() {
            let message = format!("record {index} has no key, a compacted topic needs one");
            return Err(Rejection::new(ErrorCode::InvalidRecord, message));
        }
        let timestamp = header.base_timestamp.checked_add(record.timestamp_delta);
        let timestamp = timestamp.ok_or(BatchError::Record {
            index,
            what: "timestamp",
        })?;
        check_timestamp(timestamp, rules, wall_millis)?;
    }
    if reader.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} bytes follow the last of {} records",
        reader.rest().len(),
        header.record_count
    );
    Err(Rejection::new(ErrorCode::InvalidRecord, message))
}

/// A timestamp of -1 means "none" and is always accepted.
fn check_timestamp(
    timestamp: i64,
    rules: &ProduceRules,
    wall_millis: i64,
) -> Result<(), Rejection> {
    if timestamp == -1 || rules.timestamp_type == TimestampType::LogAppendTime {
        return Ok(());
    }
    let earliest = wall_millis.saturating_sub(rules.timestamp_before_max_ms);
    let latest = wall_millis.saturating_add(rules.timestamp_after_max_ms);
    if (earliest..=latest).contains(&timestamp) {
        return Ok(());
    }
    let message = format!("timestamp {timestamp} must lie between {earliest} and {latest}");
    Err(Rejection::new(ErrorCode::InvalidTimestamp, message))
}
