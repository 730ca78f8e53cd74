//! A batch on its way to the log: its bytes and what they say.
//!
//! In: complete batches as they came from a producer or a leader. Out: the same bytes, stamped.
//! Invariant: `summary` is what the header in `bytes` says.

use bytes::{Bytes, BytesMut};

use crate::log::BatchSummary;
use crate::offset::{LeaderEpoch, Offset};
use crate::record::{BatchHeader, Batches, PositionedError, RecordBatch, stamp};

/// One complete record batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBatch {
    /// What its header says.
    pub summary: BatchSummary,
    /// The whole batch, header included.
    pub bytes: Bytes,
}

impl LogBatch {
    /// Cuts a leader's answer into complete batches and verifies their checksums; a cut-off last
    /// batch is dropped. Errors: the first unusable batch and its position.
    pub fn parse_verified(bytes: &Bytes) -> Result<Vec<Self>, PositionedError> {
        let mut position = 0;
        let mut batches = Vec::new();
        for batch in Batches::new(bytes.clone()) {
            let batch = batch?;
            batch
                .check_crc()
                .map_err(|error| PositionedError { position, error })?;
            position += batch.bytes().len();
            batches.push(Self::from(batch));
        }
        Ok(batches)
    }

    /// The bytes of `batches` one after another; a single batch is not copied.
    pub fn concat(batches: &[Self]) -> Bytes {
        if let [single] = batches {
            return single.bytes.clone();
        }
        let bytes_total = batches.iter().map(|batch| batch.bytes.len()).sum();
        let mut all = BytesMut::with_capacity(bytes_total);
        for batch in batches {
            all.extend_from_slice(&batch.bytes);
        }
        all.freeze()
    }

    /// The batch at `base_offset` in `leader_epoch`, in its bytes as well as in its summary.
    pub fn stamped(self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        Self {
            summary: self.summary.stamped(base_offset, leader_epoch),
            bytes: stamp(self.bytes, base_offset, leader_epoch),
        }
    }
}

impl From<RecordBatch> for LogBatch {
    fn from(batch: RecordBatch) -> Self {
        Self {
            summary: BatchSummary::from(batch.header()),
            bytes: batch.into_bytes(),
        }
    }
}

impl From<&BatchHeader> for BatchSummary {
    fn from(header: &BatchHeader) -> Self {
        Self {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            leader_epoch: header.partition_leader_epoch,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            max_timestamp: header.max_timestamp,
            is_control: header.attributes.is_control(),
            is_transactional: header.attributes.is_transactional(),
        }
    }
}
