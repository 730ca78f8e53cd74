//! Builds one batch out of records.
//!
//! In: records in order, the codec, the producer's fields. Out: a batch that passes
//! `validate_produce`, with base offset 0 unless told otherwise. Invariant: record `i` has offset
//! delta `i`. Source: Kafka's `MemoryRecordsBuilder`.

use bytes::Bytes;

use crate::offset::{
    LeaderEpoch, NO_LEADER_EPOCH, NO_PRODUCER_ID, Offset, ProducerEpoch, ProducerId,
};

use super::compression::Compression;
use super::header::{
    Attributes, BATCH_HEADER_BYTES, CRC_AT, LENGTH_AT, LENGTH_PREFIX_BYTES, TimestampType,
    batch_crc,
};
use super::reader::{put_nullable_bytes, put_varlong};
use super::records::Header;

/// The fields by which a broker recognises an idempotent producer's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFields {
    /// The id from `InitProducerId`.
    pub id: ProducerId,
    /// The epoch that came with it.
    pub epoch: ProducerEpoch,
    /// The sequence number of the batch's first record.
    pub base_sequence: i32,
}

impl ProducerFields {
    /// The fields of a producer that is not idempotent.
    pub const NONE: Self = Self {
        id: NO_PRODUCER_ID,
        epoch: -1,
        base_sequence: -1,
    };
}

/// A batch in the making.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    attributes: i16,
    producer: ProducerFields,
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    base_timestamp: i64,
    max_timestamp: i64,
    record_count: i32,
    payload: Vec<u8>,
    scratch: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch whose records will be compressed by `compression`.
    pub const fn new(compression: Compression) -> Self {
        Self {
            compression,
            attributes: 0,
            producer: ProducerFields::NONE,
            base_offset: 0,
            leader_epoch: NO_LEADER_EPOCH,
            base_timestamp: -1,
            max_timestamp: -1,
            record_count: 0,
            payload: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Sets the producer's fields.
    #[must_use]
    pub const fn with_producer(mut self, producer: ProducerFields) -> Self {
        self.producer = producer;
        self
    }

    /// Sets the offset of the first record and the leader epoch, as a leader would stamp them.
    #[must_use]
    pub const fn with_position(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        self.base_offset = base_offset;
        self.leader_epoch = leader_epoch;
        self
    }

    /// Marks the batch as one of control records.
    #[must_use]
    pub const fn with_control(mut self) -> Self {
        self.attributes |= Attributes::CONTROL;
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub const fn with_transactional(mut self) -> Self {
        self.attributes |= Attributes::TRANSACTIONAL;
        self
    }

    /// Sets who stamps the timestamps.
    #[must_use]
    pub const fn with_timestamp_type(mut self, timestamp_type: TimestampType) -> Self {
        match timestamp_type {
            TimestampType::CreateTime => self.attributes &= !Attributes::LOG_APPEND_TIME,
            TimestampType::LogAppendTime => self.attributes |= Attributes::LOG_APPEND_TIME,
        }
        self
    }

    /// Adds a record; `timestamp` in milliseconds since the Unix epoch.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) {
        if self.record_count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let body = &mut self.scratch;
        body.clear();
        body.push(0);
        put_varlong(body, timestamp.wrapping_sub(self.base_timestamp));
        put_varlong(body, i64::from(self.record_count));
        put_nullable_bytes(body, key);
        put_nullable_bytes(body, value);
        put_varlong(body, headers.len() as i64);
        for header in headers {
            put_nullable_bytes(body, Some(&header.key));
            put_nullable_bytes(body, header.value.as_deref());
        }
        put_varlong(&mut self.payload, body.len() as i64);
        self.payload.extend_from_slice(body);
        self.record_count += 1;
    }

    /// The number of records so far.
    pub const fn record_count(&self) -> i32 {
        self.record_count
    }

    /// The size of the batch in bytes if it were not compressed.
    pub const fn plain_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.payload.len()
    }

    /// Finishes the batch.
    pub fn build(self) -> Bytes {
        let attributes = self.attributes | self.compression.codec();
        let payload = match self.compression {
            Compression::None => self.payload,
            codec => codec.compress(&self.payload),
        };
        let batch_length = (BATCH_HEADER_BYTES - LENGTH_PREFIX_BYTES + payload.len()) as i32;
        let mut batch = Vec::with_capacity(BATCH_HEADER_BYTES + payload.len());
        batch.extend_from_slice(&self.base_offset.to_be_bytes());
        debug_assert_eq!(batch.len(), LENGTH_AT);
        batch.extend_from_slice(&batch_length.to_be_bytes());
        batch.extend_from_slice(&self.leader_epoch.to_be_bytes());
        batch.push(2);
        batch.extend_from_slice(&[0; 4]);
        batch.extend_from_slice(&attributes.to_be_bytes());
        batch.extend_from_slice(&(self.record_count - 1).to_be_bytes());
        batch.extend_from_slice(&self.base_timestamp.to_be_bytes());
        batch.extend_from_slice(&self.max_timestamp.to_be_bytes());
        batch.extend_from_slice(&self.producer.id.to_be_bytes());
        batch.extend_from_slice(&self.producer.epoch.to_be_bytes());
        batch.extend_from_slice(&self.producer.base_sequence.to_be_bytes());
        batch.extend_from_slice(&self.record_count.to_be_bytes());
        batch.extend_from_slice(&payload);
        let crc = batch_crc(&batch).to_be_bytes();
        if let Some(place) = batch.get_mut(CRC_AT..CRC_AT + crc.len()) {
            place.copy_from_slice(&crc);
        }
        Bytes::from(batch)
    }
}
