//! The offset index of a segment: a sparse map from offsets to positions in its file.
//!
//! In: a batch's base offset and position, every `index.interval.bytes`. Out: where to begin to
//! look for an offset. File: entries of offset delta u32 and position u32, big-endian, then a
//! checksum that also covers the segment's size. Invariant: offsets and positions both grow
//! strictly. A hint only: whoever reads at a position checks the batch there. Source: Kafka's
//! `OffsetIndex`, which has no checksum.

use super::segment::{seal_index, unseal_index};

const ENTRY_BYTES: usize = 8;

/// A batch and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetEntry {
    /// The batch's base offset, counted from the segment's.
    pub(super) delta: u32,
    /// The batch's first byte in the segment's file.
    pub(super) position: u32,
}

/// The index of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OffsetIndex {
    entries: Vec<OffsetEntry>,
}

impl OffsetIndex {
    /// Adds the next indexed batch.
    pub(super) fn push(&mut self, entry: OffsetEntry) {
        self.entries.push(entry);
    }

    /// Removes and returns the last entry.
    pub(super) fn pop(&mut self) -> Option<OffsetEntry> {
        self.entries.pop()
    }

    /// The last entry whose batch begins at or before `delta`.
    pub(super) fn floor(&self, delta: u32) -> Option<OffsetEntry> {
        let after = self.entries.partition_point(|entry| entry.delta <= delta);
        self.entries.get(after.checked_sub(1)?).copied()
    }

    /// Removes the entries at or after `delta`.
    pub(super) fn truncate(&mut self, delta: u32) {
        self.entries.retain(|entry| entry.delta < delta);
    }

    /// The size of the index file.
    pub(super) const fn bytes(&self) -> u64 {
        (self.entries.len() * ENTRY_BYTES) as u64
    }

    /// The content of the index file of a segment of `segment_bytes`.
    pub(super) fn format(&self, segment_bytes: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY_BYTES);
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.delta.to_be_bytes());
            bytes.extend_from_slice(&entry.position.to_be_bytes());
        }
        seal_index(bytes, segment_bytes)
    }

    /// Reads an index file of a segment of `segment_bytes`; `None` if it cannot be right.
    pub(super) fn parse(bytes: &[u8], segment_bytes: u64) -> Option<Self> {
        let (chunks, rest) = unseal_index(bytes, segment_bytes)?.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let entries: Vec<_> = chunks
            .iter()
            .map(|chunk| {
                let both = u64::from_be_bytes(*chunk);
                OffsetEntry {
                    delta: (both >> 32) as u32,
                    position: both as u32,
                }
            })
            .collect();
        let grows = entries.is_sorted_by(|a, b| a.delta < b.delta && a.position < b.position);
        let last = entries.last();
        let inside = last.is_none_or(|entry| u64::from(entry.position) < segment_bytes);
        (grows && inside).then_some(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> OffsetIndex {
        let mut index = OffsetIndex::default();
        for (delta, position) in [(10, 100), (20, 250), (35, 400)] {
            index.push(OffsetEntry { delta, position });
        }
        index
    }

    #[test]
    fn floor_finds_the_batch_at_or_before() {
        let found = [9, 10, 19, 20, 99].map(|delta| index().floor(delta).map(|e| e.position));
        assert_eq!(found, [None, Some(100), Some(100), Some(250), Some(400)]);
    }

    #[test]
    fn only_sane_files_are_believed() {
        let bytes = index().format(401);
        assert_eq!(OffsetIndex::parse(&bytes, 401), Some(index()));
        assert_eq!(OffsetIndex::parse(&bytes, 402), None);
        assert_eq!(OffsetIndex::parse(&index().format(400), 400), None);
        for length in 0..bytes.len() {
            assert_eq!(
                OffsetIndex::parse(&bytes[..length], 401),
                None,
                "{length} bytes"
            );
        }
        let empty = OffsetIndex::default();
        assert_eq!(OffsetIndex::parse(&empty.format(0), 0), Some(empty));
    }
}
