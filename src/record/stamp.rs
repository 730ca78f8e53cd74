//! Changes fields of a finished batch in place.
//!
//! In: whole batches. Out: the same bytes with the leader's or the producer's fields set.
//! Invariant: base offset and leader epoch lie outside the checksum, so the leader's stamp leaves
//! the producer's checksum valid from its process to the consumer's; the stamps that change a
//! covered field compute it anew. Source: Kafka's `DefaultRecordBatch#setLastOffset`,
//! `setPartitionLeaderEpoch`, `setMaxTimestamp`, `setProducerState`.

use bytes::{Bytes, BytesMut};

use crate::offset::{LeaderEpoch, Offset};

use super::builder::ProducerFields;
use super::header::{
    ATTRIBUTES_AT, Attributes, CRC_AT, LEADER_EPOCH_AT, MAX_TIMESTAMP_AT, PRODUCER_ID_AT, batch_crc,
};

/// Stamps one whole batch. The bytes are copied only if somebody else holds them too.
pub fn stamp(batch: Bytes, base_offset: Offset, leader_epoch: LeaderEpoch) -> Bytes {
    let mut batch = batch
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
    stamp_in_place(&mut batch, base_offset, leader_epoch);
    batch.freeze()
}

/// Sets base offset and leader epoch of the batch at the start of `batch`.
pub fn stamp_in_place(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    put(batch, 0, &base_offset.to_be_bytes());
    put(batch, LEADER_EPOCH_AT, &leader_epoch.to_be_bytes());
}

/// Sets the time of the append, in milliseconds since the Unix epoch, as the timestamp of every
/// record of `batch`, one whole batch.
pub fn stamp_log_append_time(batch: &mut [u8], wall_millis: i64) {
    if let Some(low) = batch.get_mut(ATTRIBUTES_AT + 1) {
        *low |= Attributes::LOG_APPEND_TIME as u8;
    }
    put(batch, MAX_TIMESTAMP_AT, &wall_millis.to_be_bytes());
    refresh_crc(batch);
}

/// Sets the producer's fields of `batch`, one whole batch.
pub fn stamp_producer(batch: &mut [u8], producer: ProducerFields) {
    put(batch, PRODUCER_ID_AT, &producer.id.to_be_bytes());
    put(batch, PRODUCER_ID_AT + 8, &producer.epoch.to_be_bytes());
    put(
        batch,
        PRODUCER_ID_AT + 10,
        &producer.base_sequence.to_be_bytes(),
    );
    refresh_crc(batch);
}

fn refresh_crc(batch: &mut [u8]) {
    let crc = batch_crc(batch);
    put(batch, CRC_AT, &crc.to_be_bytes());
}

/// Writes `value` at `at` if it fits; a batch is never shorter than its header.
fn put(batch: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = batch.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
