//! The metadata log's records as ordinary record batches, on disk and on the wire.
//!
//! In: metadata records, batches of the quorum. Out: v2 record batches, and back. A proposal is
//! one batch with one record for each metadata record; the marker that opens an epoch is a control
//! batch with Kafka's `LeaderChangeMessage`. Invariant: conversion there and back changes nothing.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{BrokerId as WireBrokerId, LeaderChangeMessage};
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::id::BrokerId;
use crate::metadata::MetadataRecord;
use crate::offset::Offset;
use crate::quorum::{Batch, BatchBody};
use crate::record::{
    BatchBuilder, Batches, Compression, DECOMPRESSED_BYTES_MAX, RecordBatch, stamp,
};

/// The key of a leader-change marker: version 0, type 2.
const LEADER_CHANGE_KEY: [u8; 4] = [0, 0, 0, 2];

/// A batch that is no batch of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the metadata log has a bad batch at offset {offset}: {reason}")]
pub struct BadBatch {
    /// Its base offset, as far as it can be told.
    pub offset: Offset,
    /// What is wrong.
    pub reason: String,
}

/// The payload of a proposal of `records`, and how many offsets it takes.
pub(super) fn payload(records: &[MetadataRecord], wall_millis: i64) -> (Bytes, u32) {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in records {
        builder.append(wall_millis, None, Some(&record.encode()), &[]);
    }
    (builder.build(), records.len() as u32)
}

/// The metadata records of a committed batch, with their offsets.
pub(super) fn records_of(batch: &Batch) -> Result<Vec<(Offset, MetadataRecord)>, BadBatch> {
    let BatchBody::Records(bytes) = &batch.body else {
        return Ok(Vec::new());
    };
    let bad = |reason: String| BadBatch {
        offset: batch.base_offset,
        reason,
    };
    let records = RecordBatch::first(bytes)
        .and_then(|batch| batch.records(DECOMPRESSED_BYTES_MAX))
        .map_err(|error| bad(error.to_string()))?;
    let mut decoded = Vec::new();
    for (offset, record) in (batch.base_offset..).zip(records) {
        let record = record.map_err(|error| bad(error.to_string()))?;
        let value = record.value.unwrap_or_default();
        let record = MetadataRecord::decode(&value).map_err(|error| bad(error.to_string()))?;
        decoded.push((offset, record));
    }
    Ok(decoded)
}

/// The record batch that stands for `batch`, stamped with its offset and epoch.
pub(super) fn to_record_batch(batch: Batch) -> Bytes {
    match batch.body {
        BatchBody::Records(bytes) => stamp(bytes, batch.base_offset, batch.epoch),
        BatchBody::LeaderChange { leader } => {
            let message = LeaderChangeMessage::default().with_leader_id(WireBrokerId(leader.0));
            let mut value = BytesMut::new();
            message
                .encode(&mut value, 0)
                .expect("invariant: version 0 has a leader id");
            let mut builder = BatchBuilder::new(Compression::None)
                .with_position(batch.base_offset, batch.epoch)
                .with_control();
            builder.append(0, Some(&LEADER_CHANGE_KEY), Some(&value), &[]);
            builder.build()
        }
    }
}

/// The quorum's batches in a run of complete record batches.
pub fn from_record_batches(records: Bytes) -> Result<Vec<Batch>, BadBatch> {
    let mut batches = Batches::new(records);
    let mut found = Vec::new();
    for batch in &mut batches {
        let batch = batch.map_err(|error| BadBatch {
            offset: -1,
            reason: error.error.to_string(),
        })?;
        found.push(from_record_batch(&batch)?);
    }
    if batches.rest().is_empty() {
        Ok(found)
    } else {
        Err(BadBatch {
            offset: -1,
            reason: "the last batch is cut off".to_owned(),
        })
    }
}

fn from_record_batch(batch: &RecordBatch) -> Result<Batch, BadBatch> {
    let header = batch.header();
    let bad = |reason: String| BadBatch {
        offset: header.base_offset,
        reason,
    };
    batch.check_crc().map_err(|error| bad(error.to_string()))?;
    let record_count = u32::try_from(header.last_offset_delta)
        .map_err(|_| bad("its last offset delta is negative".to_owned()))?
        + 1;
    let body = if header.attributes.is_control() {
        BatchBody::LeaderChange {
            leader: leader_of(batch)?,
        }
    } else {
        BatchBody::Records(batch.bytes().clone())
    };
    Ok(Batch {
        base_offset: header.base_offset,
        record_count,
        epoch: header.partition_leader_epoch,
        body,
    })
}

fn leader_of(batch: &RecordBatch) -> Result<BrokerId, BadBatch> {
    let bad = |reason: &str| BadBatch {
        offset: batch.header().base_offset,
        reason: reason.to_owned(),
    };
    let mut records = batch
        .records(DECOMPRESSED_BYTES_MAX)
        .map_err(|error| bad(&error.to_string()))?;
    let Some(Ok(record)) = records.next() else {
        return Err(bad("a control batch without a record"));
    };
    if record.key.as_deref() != Some(&LEADER_CHANGE_KEY[..]) {
        return Err(bad("a control record that is no leader change"));
    }
    let mut value = record.value.unwrap_or_default();
    let message = LeaderChangeMessage::decode(&mut value, 0)
        .map_err(|_| bad("a leader change that cannot be decoded"))?;
    Ok(BrokerId(message.leader_id.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_survive_the_way_there_and_back() {
        let (bytes, record_count) = payload(&[MetadataRecord::NoOp, MetadataRecord::NoOp], 5);
        let records = Batch {
            base_offset: 7,
            record_count,
            epoch: 3,
            body: BatchBody::Records(bytes),
        };
        let marker = Batch {
            base_offset: 9,
            record_count: 1,
            epoch: 4,
            body: BatchBody::LeaderChange {
                leader: BrokerId(2),
            },
        };
        let mut wire = BytesMut::new();
        wire.extend_from_slice(&to_record_batch(records.clone()));
        wire.extend_from_slice(&to_record_batch(marker.clone()));
        let wire = wire.freeze();
        let back = from_record_batches(wire.clone()).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!(back[1], marker);
        assert_eq!(
            (back[0].base_offset, back[0].record_count, back[0].epoch),
            (7, 2, 3)
        );
        let offsets: Vec<Offset> = records_of(&back[0])
            .unwrap()
            .into_iter()
            .map(|(offset, _)| offset)
            .collect();
        assert_eq!(offsets, [7, 8]);
        assert!(from_record_batches(wire.slice(..wire.len() - 1)).is_err());
        let mut damaged = BytesMut::from(&wire[..]);
        damaged[65] ^= 1;
        assert!(from_record_batches(damaged.freeze()).is_err());
    }
}
