//! A batch without some of its records.
//!
//! In: a batch of a compacted log, and which records stay. Out: a batch with the same offsets,
//! timestamps, epoch and producer's fields. Invariant: the records that stay keep their bytes, and
//! so their offset deltas; a batch of which none stays is a header alone, so that the offsets of a
//! log have no holes. Source: Kafka's `MemoryRecords#filterTo`.

use bytes::Bytes;

use super::batches::RecordBatch;
use super::compression::Compression;
use super::error::BatchError;
use super::header::{ATTRIBUTES_AT, BATCH_HEADER_BYTES, CRC_AT, LENGTH_AT, LENGTH_PREFIX_BYTES};
use super::header::{BatchHeader, MAX_TIMESTAMP_AT, batch_crc};
use super::reader::Reader;
use super::records::{RawRecord, Record, plain_payload};
use crate::offset::Offset;

const LAST_OFFSET_DELTA_AT: usize = 23;
const RECORD_COUNT_AT: usize = 57;

impl RecordBatch {
    /// The batch with only the records that are to `stay`; `None` if all do.
    pub fn thinned(
        &self,
        decompressed_bytes_max: usize,
        mut stay: impl FnMut(&Record) -> bool,
    ) -> Result<Option<Bytes>, BatchError> {
        let header = self.header();
        let payload = plain_payload(self, decompressed_bytes_max)?;
        let mut reader = Reader::new(&payload);
        let (mut kept, mut count) = (Vec::new(), 0);
        for index in 0..header.record_count {
            let before = reader.rest();
            let record = RawRecord::parse(&mut reader, index)?.into_record(header, &payload)?;
            if stay(&record) {
                let length = before.len() - reader.rest().len();
                kept.extend_from_slice(before.get(..length).unwrap_or_default());
                count += 1;
            }
        }
        if count == header.record_count {
            return Ok(None);
        }
        let codec = match count {
            0 => Compression::None,
            _ => header.attributes.compression()?,
        };
        let body = match codec {
            Compression::None => kept,
            codec => codec.compress(&kept),
        };
        let mut bytes = self
            .bytes()
            .get(..BATCH_HEADER_BYTES)
            .unwrap_or_default()
            .to_vec();
        let length = (BATCH_HEADER_BYTES - LENGTH_PREFIX_BYTES + body.len()) as i32;
        let attributes = (header.attributes.0 & !0x07) | codec.codec();
        put(&mut bytes, LENGTH_AT, &length.to_be_bytes());
        put(&mut bytes, ATTRIBUTES_AT, &attributes.to_be_bytes());
        put(&mut bytes, RECORD_COUNT_AT, &count.to_be_bytes());
        bytes.extend_from_slice(&body);
        Ok(Some(sealed(bytes)))
    }
}

/// Two neighbouring batches without records as one; `None` if the second says more than that.
pub fn merged_empty(first: &Bytes, second: &Bytes) -> Option<Bytes> {
    let (before, after) = (
        BatchHeader::parse(first).ok()?,
        BatchHeader::parse(second).ok()?,
    );
    let mergeable = |header: &BatchHeader| {
        header.record_count == 0 && !header.has_producer_id() && !header.attributes.is_control()
    };
    let fit = mergeable(&before)
        && mergeable(&after)
        && before.next_offset() == after.base_offset
        && before.partition_leader_epoch == after.partition_leader_epoch;
    let delta = i32::try_from(after.last_offset() - before.base_offset).ok()?;
    let latest = before.max_timestamp.max(after.max_timestamp);
    let mut bytes = first.to_vec();
    put(&mut bytes, LAST_OFFSET_DELTA_AT, &delta.to_be_bytes());
    put(&mut bytes, MAX_TIMESTAMP_AT, &latest.to_be_bytes());
    fit.then(|| sealed(bytes))
}

/// The rest, from `offset` on, of a batch without records and producer; `None` if it is another
/// kind, or `offset` is not inside.
pub fn empty_from(batch: &[u8], offset: Offset) -> Option<Bytes> {
    let header = BatchHeader::parse(batch).ok()?;
    let fits = header.record_count == 0
        && !header.has_producer_id()
        && !header.attributes.is_control()
        && header.base_offset < offset
        && offset <= header.last_offset();
    if !fits {
        return None;
    }
    let delta = i32::try_from(header.last_offset() - offset).ok()?;
    let mut bytes = batch.get(..header.size_bytes())?.to_vec();
    put(&mut bytes, 0, &offset.to_be_bytes());
    put(&mut bytes, LAST_OFFSET_DELTA_AT, &delta.to_be_bytes());
    Some(sealed(bytes))
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

fn sealed(mut bytes: Vec<u8>) -> Bytes {
    let crc = batch_crc(&bytes).to_be_bytes();
    put(&mut bytes, CRC_AT, &crc);
    Bytes::from(bytes)
}
