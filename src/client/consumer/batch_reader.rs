//! Turns the bytes of a fetch response into records.
//!
//! Invariant: records below the fetch offset (the head of a batch that begins before it) and
//! control records are left out, and the next offset is behind everything complete that was read.

use bytes::Bytes;

use crate::client::types::ConsumerRecord;
use crate::config::sabotage::{Sabotage, planted};
use crate::id::TopicPartition;
use crate::offset::Offset;
use crate::record::{BatchError, Batches, DECOMPRESSED_BYTES_MAX, RecordBatch};

/// Decodes `bytes`; gives the records from `from` on and the offset to fetch next.
///
/// # Errors
/// The first batch that is corrupt, if nothing readable stands before it.
pub(super) fn read_batches(
    partition: &TopicPartition,
    bytes: Bytes,
    from: Offset,
) -> Result<(Vec<ConsumerRecord>, Offset), BatchError> {
    let mut records = Vec::new();
    let mut next_offset = from;
    for batch in Batches::new(bytes) {
        let read = batch
            .map_err(|positioned| positioned.error)
            .and_then(|batch| {
                if !planted(Sabotage::RecoverySkipsCrc) {
                    batch.check_crc()?;
                }
                read_batch(partition, &batch, from).map(|read| (read, batch.header().next_offset()))
            });
        match read {
            Ok((mut read, next)) => {
                records.append(&mut read);
                next_offset = next_offset.max(next);
            }
            // What stands before is given out; the next fetch begins at the corrupt batch.
            Err(_) if next_offset > from => break,
            Err(error) => return Err(error),
        }
    }
    Ok((records, next_offset))
}

fn read_batch(
    partition: &TopicPartition,
    batch: &RecordBatch,
    from: Offset,
) -> Result<Vec<ConsumerRecord>, BatchError> {
    if batch.header().attributes.is_control() {
        return Ok(Vec::new());
    }
    let leader_epoch = batch.header().partition_leader_epoch;
    let mut records = Vec::new();
    for record in batch.records(DECOMPRESSED_BYTES_MAX)? {
        let record = record?;
        if record.offset >= from {
            records.push(ConsumerRecord {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key,
                value: record.value,
                headers: record.headers,
                leader_epoch,
            });
        }
    }
    Ok(records)
}
