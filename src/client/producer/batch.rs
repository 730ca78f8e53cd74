//! A batch of one partition: the records of one produce request, and what is known of its fate.
//!
//! Invariant: a batch that may have been appended (`in_doubt`) is sent again only with the same
//! producer id, epoch and sequence, so that the broker can tell the copy from a new batch.

use bytes::Bytes;
use tokio::time::Instant;

use crate::client::error::{ClientError, ErrorKind};
use crate::client::producer::identity::Identity;
use crate::client::producer::partition::Pending;
use crate::client::types::RecordMetadata;
use crate::error::ErrorCode;
use crate::id::TopicPartition;
use crate::offset::Offset;
use crate::record::{BatchBuilder, Compression, ProducerFields};

/// What a record costs beside its key, value and headers, at most.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// A batch, from the first record to its result.
#[derive(Debug)]
pub(super) struct Batch {
    /// Counts the batches of a partition: the order in which they must be appended.
    pub(super) id: u64,
    records: Vec<Pending>,
    bytes: usize,
    /// When the oldest record must have its result.
    pub(super) deadline: Instant,
    /// When the batch stops waiting for more records.
    pub(super) sealed_at: Instant,
    /// The identity and base sequence that the batch carries, once it has been sent.
    pub(super) sequence: Option<(Identity, i32)>,
    encoded: Option<Bytes>,
    /// Whether an attempt may have appended the batch.
    pub(super) in_doubt: bool,
    /// Whether an earlier batch of the partition had no result when the last attempt failed.
    pub(super) was_behind: bool,
    /// Why the last attempt failed.
    pub(super) last_error: Option<ClientError>,
}

impl Batch {
    /// Begins a batch with its first record.
    pub(super) fn new(id: u64, first: Pending, sealed_at: Instant) -> Self {
        let deadline = first.deadline;
        let bytes = size_of_record(&first);
        Self {
            id,
            records: vec![first],
            bytes,
            deadline,
            sealed_at,
            sequence: None,
            encoded: None,
            in_doubt: false,
            was_behind: false,
            last_error: None,
        }
    }

    /// Whether the batch would stay within `limit` bytes with `record`.
    pub(super) fn has_room_for(&self, record: &Pending, limit: usize) -> bool {
        self.bytes + size_of_record(record) <= limit
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: Pending) {
        self.bytes += size_of_record(&record);
        self.records.push(record);
    }

    /// The number of records.
    pub(super) fn len(&self) -> i32 {
        self.records.len() as i32
    }

    /// The bytes on the wire; stable over retries unless `restamp` was called.
    pub(super) fn encode(&mut self, compression: Compression, now_millis: i64) -> Bytes {
        if let Some(encoded) = &self.encoded {
            return encoded.clone();
        }
        let mut builder = BatchBuilder::new(compression);
        if let Some((identity, base_sequence)) = self.sequence {
            builder = builder.with_producer(ProducerFields {
                id: identity.producer_id,
                epoch: identity.epoch,
                base_sequence,
            });
        }
        for pending in &mut self.records {
            let record = &mut pending.record;
            let timestamp = *record.timestamp.get_or_insert(now_millis);
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder.append(timestamp, key, value, &record.headers);
        }
        let encoded = builder.build();
        self.encoded = Some(encoded.clone());
        encoded
    }

    /// Takes the sequence away, so that the batch can be sent under a new identity. Only for a
    /// batch that is not in doubt.
    pub(super) fn restamp(&mut self) {
        assert!(
            !self.in_doubt,
            "invariant: a batch in doubt keeps its sequence"
        );
        self.sequence = None;
        self.encoded = None;
    }

    /// Reports the offsets to the callers.
    pub(super) fn succeed(self, partition: &TopicPartition, base_offset: Option<Offset>) {
        for (index, pending) in self.records.into_iter().enumerate() {
            let metadata = RecordMetadata {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                offset: base_offset.map(|base| base + index as i64),
                timestamp: pending.record.timestamp.unwrap_or_default(),
            };
            // A caller that dropped its future does not want the result.
            let _ = pending.reply.send(Ok(metadata));
        }
    }

    /// Reports the last error to the callers: unknown if any attempt is in doubt.
    pub(super) fn fail(self, fallback: &str) {
        let error = self
            .last_error
            .unwrap_or_else(|| ClientError::retriable(fallback));
        let error = if self.in_doubt {
            error.in_doubt()
        } else {
            error
        };
        for pending in self.records {
            let _ = pending.reply.send(Err(error.clone()));
        }
    }

    /// Remembers why an attempt failed; `doubt` if it may have appended the batch.
    pub(super) fn note_failure(&mut self, error: ClientError, doubt: bool) {
        self.in_doubt |= doubt;
        self.last_error = Some(error);
    }

    /// Whether the last attempt was refused for its sequence number.
    pub(super) fn was_out_of_sequence(&self) -> bool {
        self.last_error.as_ref().is_some_and(|error| {
            matches!(
                error.code,
                Some(ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId)
            )
        })
    }

    /// Whether another attempt could help.
    pub(super) fn is_retriable(&self) -> bool {
        self.last_error
            .as_ref()
            .is_none_or(|error| match error.code {
                Some(code) => code.is_retriable(),
                None => matches!(error.kind, ErrorKind::Retriable | ErrorKind::UnknownOutcome),
            })
    }
}

fn size_of_record(pending: &Pending) -> usize {
    let record = &pending.record;
    let headers: usize = record
        .headers
        .iter()
        .map(|h| h.key.len() + h.value.as_ref().map_or(0, Bytes::len) + 10)
        .sum();
    RECORD_OVERHEAD_BYTES
        + record.key.as_ref().map_or(0, Bytes::len)
        + record.value.as_ref().map_or(0, Bytes::len)
        + headers
}
