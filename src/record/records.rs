//! The records inside a batch.
//!
//! In: one complete batch. Out: its records, one after another, keys and values as slices of the
//! batch (or of its decompressed payload). Invariant: every field lies inside its record and every
//! record inside the payload; the iterator ends after the header's record count or the first error.
//! Source: Kafka's `DefaultRecord`.

use bytes::Bytes;

use crate::offset::Offset;

use super::batches::RecordBatch;
use super::compression::Compression;
use super::error::BatchError;
use super::header::{BatchHeader, TimestampType};
use super::reader::Reader;

/// A header of a record: application metadata. Keys may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The name, UTF-8 by convention.
    pub key: Bytes,
    /// The value, if any.
    pub value: Option<Bytes>,
}

/// One record with its absolute offset and timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's position in the log.
    pub offset: Offset,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The key, if any.
    pub key: Option<Bytes>,
    /// The value, if any.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<Header>,
}

/// Iterates over the records of one batch.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    payload: Bytes,
    position: usize,
    index: i32,
}

impl Records {
    pub(super) fn of(batch: &RecordBatch, limit: usize) -> Result<Self, BatchError> {
        Ok(Self {
            header: *batch.header(),
            payload: plain_payload(batch, limit)?,
            position: 0,
            index: 0,
        })
    }

    fn parse(&mut self) -> Result<Record, BatchError> {
        let rest = self.payload.get(self.position..).unwrap_or_default();
        let mut reader = Reader::new(rest);
        let raw = RawRecord::parse(&mut reader, self.index)?;
        let record = raw.into_record(&self.header, &self.payload)?;
        self.position = self.payload.len() - reader.rest().len();
        Ok(record)
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.header.record_count {
            return None;
        }
        let record = self.parse();
        self.index = match record {
            Ok(_) => self.index + 1,
            Err(_) => self.header.record_count,
        };
        Some(record)
    }
}

/// The payload of `batch`, decompressed to at most `limit` bytes; zero copy if it is plain.
pub(super) fn plain_payload(batch: &RecordBatch, limit: usize) -> Result<Bytes, BatchError> {
    match batch.header().attributes.compression()? {
        Compression::None => Ok(batch.payload()),
        codec => codec.decompress(&batch.payload(), limit).map(Bytes::from),
    }
}

/// A record as it lies in the payload: deltas and borrowed slices, nothing allocated.
#[derive(Debug)]
pub(super) struct RawRecord<'a> {
    index: i32,
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    header_count: i32,
    headers: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// Reads the record at the reader's place and moves the reader behind it.
    pub(super) fn parse(reader: &mut Reader<'a>, index: i32) -> Result<Self, BatchError> {
        let malformed = |what| BatchError::Record { index, what };
        let length = reader.varint().ok_or(malformed("length"))?;
        let length = usize::try_from(length).map_err(|_| malformed("length"))?;
        let body = reader.take(length).ok_or(malformed("length"))?;
        let mut body = Reader::new(body);
        let _attributes = body.i8().ok_or(malformed("attributes"))?;
        Ok(Self {
            index,
            timestamp_delta: body.varlong().ok_or(malformed("timestamp delta"))?,
            offset_delta: body.varint().ok_or(malformed("offset delta"))?,
            key: body.nullable_bytes().ok_or(malformed("key"))?,
            value: body.nullable_bytes().ok_or(malformed("value"))?,
            header_count: body.varint().ok_or(malformed("header count"))?,
            headers: body.rest(),
        })
    }

    /// Walks over the headers; they must fill the record exactly.
    pub(super) fn check_headers(&self) -> Result<(), BatchError> {
        self.each_header(|_, _| ())
    }

    fn each_header(
        &self,
        mut visit: impl FnMut(&'a [u8], Option<&'a [u8]>),
    ) -> Result<(), BatchError> {
        let index = self.index;
        let malformed = |what| BatchError::Record { index, what };
        let mut reader = Reader::new(self.headers);
        if self.header_count < 0 {
            return Err(malformed("header count"));
        }
        for _ in 0..self.header_count {
            let key = reader.nullable_bytes().flatten();
            let key = key.ok_or(malformed("header key"))?;
            let value = reader.nullable_bytes().ok_or(malformed("header value"))?;
            visit(key, value);
        }
        if reader.is_empty() {
            Ok(())
        } else {
            Err(malformed("end"))
        }
    }

    pub(super) fn into_record(
        self,
        batch: &BatchHeader,
        payload: &Bytes,
    ) -> Result<Record, BatchError> {
        let mut headers = Vec::new();
        self.each_header(|key, value| {
            headers.push(Header {
                key: payload.slice_ref(key),
                value: value.map(|value| payload.slice_ref(value)),
            });
        })?;
        let timestamp = match batch.attributes.timestamp_type() {
            TimestampType::LogAppendTime => batch.max_timestamp,
            TimestampType::CreateTime => batch.base_timestamp.wrapping_add(self.timestamp_delta),
        };
        Ok(Record {
            offset: batch
                .base_offset
                .saturating_add(i64::from(self.offset_delta)),
            timestamp,
            key: self.key.map(|key| payload.slice_ref(key)),
            value: self.value.map(|value| payload.slice_ref(value)),
            headers,
        })
    }
}
