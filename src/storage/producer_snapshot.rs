//! Producer state on disk: `<offset>.snapshot` holds the fold of all batches below `offset`.
//!
//! In: a `ProducerState`; out: bytes, or the state back. Layout: version i16 = 1, CRC-32C u32 of
//! the rest, count i32; for each producer: id i64, epoch i16, last timestamp i64, batch count u8,
//! and for each of its at most five batches: base sequence i32, last sequence i32, base offset i64,
//! last offset i64, timestamp i64. Kafka stores one batch only and so forgets the rest of the
//! duplicate window at a restart; this is why the format is our own. Invariant: what does not
//! parse to its last byte is no snapshot. Source: Kafka's `ProducerStateManager#writeSnapshot`.

use std::collections::VecDeque;

use crate::log::{DUPLICATE_WINDOW, ProducedBatch, ProducerEntry, ProducerState};
use crate::offset::ProducerId;

const VERSION: i16 = 1;

pub(super) fn format(state: &ProducerState) -> Vec<u8> {
    let mut body = Vec::new();
    let entries = state.entries();
    body.extend_from_slice(&(entries.len() as i32).to_be_bytes());
    for (id, entry) in entries {
        body.extend_from_slice(&id.to_be_bytes());
        body.extend_from_slice(&entry.producer_epoch.to_be_bytes());
        body.extend_from_slice(&entry.last_timestamp.to_be_bytes());
        body.push(entry.batches.len() as u8);
        for batch in &entry.batches {
            body.extend_from_slice(&batch.base_sequence.to_be_bytes());
            body.extend_from_slice(&batch.last_sequence.to_be_bytes());
            body.extend_from_slice(&batch.base_offset.to_be_bytes());
            body.extend_from_slice(&batch.last_offset.to_be_bytes());
            body.extend_from_slice(&batch.timestamp.to_be_bytes());
        }
    }
    let mut bytes = VERSION.to_be_bytes().to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads a snapshot; `None` if it is damaged or not ours.
pub(super) fn parse(bytes: &[u8]) -> Option<ProducerState> {
    let mut fields = Fields(bytes);
    if fields.i16()? != VERSION {
        return None;
    }
    let crc = u32::from_be_bytes(fields.array()?);
    if crc != crc32c::crc32c(fields.0) {
        return None;
    }
    let count = fields.i32()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(parse_entry(&mut fields)?);
    }
    fields
        .0
        .is_empty()
        .then(|| ProducerState::from_entries(entries))
}

fn parse_entry(fields: &mut Fields<'_>) -> Option<(ProducerId, ProducerEntry)> {
    let id = fields.i64()?;
    let producer_epoch = fields.i16()?;
    let last_timestamp = fields.i64()?;
    let [count] = fields.array()?;
    let mut batches = VecDeque::new();
    for _ in 0..count {
        batches.push_back(ProducedBatch {
            base_sequence: fields.i32()?,
            last_sequence: fields.i32()?,
            base_offset: fields.i64()?,
            last_offset: fields.i64()?,
            timestamp: fields.i64()?,
        });
    }
    let entry = ProducerEntry {
        producer_epoch,
        last_timestamp,
        batches,
    };
    (usize::from(count) <= DUPLICATE_WINDOW).then_some((id, entry))
}

/// The unread rest of a snapshot.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ProducerState {
        let entries = (0..3).map(|id| {
            let batches = (0..=id).map(|index| ProducedBatch {
                base_sequence: index as i32,
                last_sequence: index as i32 + 1,
                base_offset: index,
                last_offset: index + 1,
                timestamp: 17,
            });
            let entry = ProducerEntry {
                producer_epoch: 4,
                last_timestamp: 17,
                batches: batches.collect(),
            };
            (id, entry)
        });
        ProducerState::from_entries(entries)
    }

    #[test]
    fn the_whole_duplicate_window_reads_back() {
        assert_eq!(parse(&format(&state())), Some(state()));
        let empty = ProducerState::default();
        assert_eq!(parse(&format(&empty)), Some(empty));
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = format(&state());
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), None, "{length} bytes");
        }
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 0x10;
            assert_eq!(parse(&flipped), None, "byte {place}");
        }
    }
}
