//! The 61 bytes in front of every batch.
//!
//! In: bytes from the wire or the disk. Out: a copy of the header's fields, or why there is none.
//! Invariant: a parsed header has magic 2 and a length of at least the header itself; the other
//! fields are as the bytes have them. Source: Kafka's `DefaultRecordBatch`.

use crate::offset::{LeaderEpoch, NO_PRODUCER_ID, Offset, ProducerEpoch, ProducerId};

use super::compression::Compression;
use super::error::BatchError;
use super::reader::Reader;

/// The size of a batch without its records.
pub const BATCH_HEADER_BYTES: usize = 61;
/// The bytes that the batch's length field does not count: itself and the base offset.
pub const LENGTH_PREFIX_BYTES: usize = 12;

pub(super) const LENGTH_AT: usize = 8;
pub(super) const LEADER_EPOCH_AT: usize = 12;
pub(super) const CRC_AT: usize = 17;
pub(super) const ATTRIBUTES_AT: usize = 21;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
pub(super) const PRODUCER_ID_AT: usize = 43;
const BATCH_LENGTH_MIN: i32 = (BATCH_HEADER_BYTES - LENGTH_PREFIX_BYTES) as i32;

/// Who set the timestamps of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer, for each record.
    CreateTime,
    /// The leader, one for the whole batch: its `max_timestamp`.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    pub(super) const LOG_APPEND_TIME: i16 = 1 << 3;
    pub(super) const TRANSACTIONAL: i16 = 1 << 4;
    pub(super) const CONTROL: i16 = 1 << 5;

    /// The codec of the records; an error if the bits name none.
    pub fn compression(self) -> Result<Compression, BatchError> {
        let codec = self.0 & 0x07;
        Compression::from_codec(codec).ok_or(BatchError::Codec(codec))
    }

    /// Who set the timestamps.
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch is part of a transaction.
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds control records, which consumers do not see.
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }
}

/// The fields of a batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record; the leader assigns it.
    pub base_offset: Offset,
    /// Bytes of the batch after the length field: 12 less than its whole size.
    pub batch_length: i32,
    /// The epoch of the leader that appended the batch; outside the checksum.
    pub partition_leader_epoch: LeaderEpoch,
    /// CRC-32C of everything from the attributes to the end.
    pub crc: u32,
    /// Codec, timestamp type, transactional and control bits.
    pub attributes: Attributes,
    /// The last record's offset, counted from the base offset.
    pub last_offset_delta: i32,
    /// The timestamp that the records' deltas count from, in milliseconds since the Unix epoch.
    pub base_timestamp: i64,
    /// The largest timestamp of the batch, in milliseconds since the Unix epoch.
    pub max_timestamp: i64,
    /// The producer, or `NO_PRODUCER_ID`.
    pub producer_id: ProducerId,
    /// The epoch of the producer.
    pub producer_epoch: ProducerEpoch,
    /// The sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// The number of records that the batch says it holds.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`. The batch itself need not be complete.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut reader = Reader::new(bytes);
        let parsed = Self::read(&mut reader).unwrap_or_else(|| Err(Self::truncated(bytes)));
        parsed.and_then(|header| {
            if header.batch_length < BATCH_LENGTH_MIN {
                Err(BatchError::Length(header.batch_length))
            } else {
                Ok(header)
            }
        })
    }

    fn read(reader: &mut Reader<'_>) -> Option<Result<Self, BatchError>> {
        let base_offset = reader.i64()?;
        let batch_length = reader.i32()?;
        let partition_leader_epoch = reader.i32()?;
        let magic = reader.i8()?;
        if magic != 2 {
            return Some(Err(BatchError::Magic(magic)));
        }
        Some(Ok(Self {
            base_offset,
            batch_length,
            partition_leader_epoch,
            crc: reader.u32()?,
            attributes: Attributes(reader.i16()?),
            last_offset_delta: reader.i32()?,
            base_timestamp: reader.i64()?,
            max_timestamp: reader.i64()?,
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            base_sequence: reader.i32()?,
            record_count: reader.i32()?,
        }))
    }

    const fn truncated(bytes: &[u8]) -> BatchError {
        BatchError::Truncated {
            needed: BATCH_HEADER_BYTES,
            available: bytes.len(),
        }
    }

    /// The whole size of the batch in bytes, header included.
    pub const fn size_bytes(&self) -> usize {
        LENGTH_PREFIX_BYTES + self.batch_length as usize
    }

    /// The offset of the batch's last record. Saturates on a damaged header.
    pub const fn last_offset(&self) -> Offset {
        self.base_offset
            .saturating_add(self.last_offset_delta as i64)
    }

    /// The offset after the batch: the base offset of the next one.
    pub const fn next_offset(&self) -> Offset {
        self.last_offset().saturating_add(1)
    }

    /// Whether an idempotent producer wrote the batch.
    pub const fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// The sequence number of the last record; sequences wrap from `i32::MAX` to 0 (KAFKA-7692).
    pub const fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        let wide = self.base_sequence as i64 + self.last_offset_delta as i64;
        (wide & i32::MAX as i64) as i32
    }
}

/// The checksum that `batch`, one whole batch, ought to carry; 0 if it has no header.
pub fn batch_crc(batch: &[u8]) -> u32 {
    batch.get(ATTRIBUTES_AT..).map_or(0, crc32c::crc32c)
}

/// Checks the checksum of `batch`, which must be one whole batch.
pub fn check_crc(batch: &[u8]) -> Result<(), BatchError> {
    let stored = batch
        .get(CRC_AT..)
        .and_then(|rest| Reader::new(rest).u32())
        .ok_or(BatchHeader::truncated(batch))?;
    let computed = batch_crc(batch);
    if stored == computed {
        Ok(())
    } else {
        Err(BatchError::Crc { stored, computed })
    }
}
