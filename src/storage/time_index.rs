//! The time index of a segment: the largest timestamp so far, now and then.
//!
//! In: the largest timestamp of each batch. Out: where to begin to look for a timestamp, and the
//! segment's largest. File: entries of timestamp i64 and offset delta u32, big-endian, then a
//! checksum that also covers the segment's size. Invariant: timestamps and offsets both grow
//! strictly, and no batch up to an entry's has a larger timestamp than the entry. Source: Kafka's
//! `TimeIndex`, which has no checksum.

use super::segment::{seal_index, unseal_index};

const ENTRY_BYTES: usize = 12;

/// A timestamp and the batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeEntry {
    /// Milliseconds since the Unix epoch.
    pub(super) timestamp: i64,
    /// The batch's base offset, counted from the segment's.
    pub(super) delta: u32,
}

/// The index of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TimeIndex {
    entries: Vec<TimeEntry>,
    largest: Option<TimeEntry>,
}

impl TimeIndex {
    /// Takes note of a batch.
    pub(super) fn note(&mut self, entry: TimeEntry) {
        if self
            .largest
            .is_none_or(|largest| largest.timestamp < entry.timestamp)
        {
            self.largest = Some(entry);
        }
    }

    /// Adds an entry for what was noted, if that is news.
    pub(super) fn mark(&mut self) {
        let last = self.entries.last().copied();
        if let Some(largest) = self.largest
            && last.is_none_or(|last| last.timestamp < largest.timestamp)
        {
            self.entries.push(largest);
        }
    }

    /// The largest timestamp of the segment, if it has a batch.
    pub(super) fn largest(&self) -> Option<i64> {
        self.largest.map(|entry| entry.timestamp)
    }

    /// The last entry below `timestamp`: what has at least `timestamp` lies behind its batch.
    pub(super) fn below(&self, timestamp: i64) -> Option<TimeEntry> {
        let after = self
            .entries
            .partition_point(|entry| entry.timestamp < timestamp);
        self.entries.get(after.checked_sub(1)?).copied()
    }

    /// Forgets the batches at or after `delta`. The largest is then that of the last entry: the
    /// caller notes the batches that follow it again.
    pub(super) fn truncate(&mut self, delta: u32) {
        self.entries.retain(|entry| entry.delta < delta);
        self.largest = self.entries.last().copied();
    }

    /// The last entry.
    pub(super) fn last(&self) -> Option<TimeEntry> {
        self.entries.last().copied()
    }

    /// The content of the index file of a segment of `segment_bytes`.
    pub(super) fn format(&self, segment_bytes: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY_BYTES);
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
            bytes.extend_from_slice(&entry.delta.to_be_bytes());
        }
        seal_index(bytes, segment_bytes)
    }

    /// Reads an index file of a segment of `segment_bytes`; `None` if it cannot be right.
    pub(super) fn parse(bytes: &[u8], segment_bytes: u64) -> Option<Self> {
        let (chunks, rest) = unseal_index(bytes, segment_bytes)?.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let entries: Vec<_> = chunks.iter().filter_map(parse_entry).collect();
        let grows = entries.is_sorted_by(|a, b| a.timestamp < b.timestamp && a.delta < b.delta);
        let largest = entries.last().copied();
        grows.then_some(Self { entries, largest })
    }
}

fn parse_entry(chunk: &[u8; ENTRY_BYTES]) -> Option<TimeEntry> {
    let (timestamp, delta) = chunk.split_first_chunk::<8>()?;
    Some(TimeEntry {
        timestamp: i64::from_be_bytes(*timestamp),
        delta: u32::from_be_bytes(delta.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> TimeIndex {
        let mut index = TimeIndex::default();
        for (timestamp, delta) in [(100, 0), (90, 5), (120, 8), (110, 9)] {
            index.note(TimeEntry { timestamp, delta });
            index.mark();
        }
        index
    }

    #[test]
    fn below_skips_only_what_is_too_old() {
        let found = [100, 101, 120, 121].map(|time| index().below(time).map(|entry| entry.delta));
        assert_eq!(found, [None, Some(0), Some(0), Some(8)]);
        assert_eq!(index().largest(), Some(120));
    }

    #[test]
    fn truncation_forgets_later_batches() {
        let mut index = index();
        index.truncate(8);
        assert_eq!(index.largest(), Some(100));
        assert_eq!(
            index.last(),
            Some(TimeEntry {
                timestamp: 100,
                delta: 0
            })
        );
    }

    #[test]
    fn only_sane_files_are_believed() {
        let bytes = index().format(7);
        assert_eq!(TimeIndex::parse(&bytes, 7), Some(index()));
        assert_eq!(TimeIndex::parse(&bytes, 8), None);
        for length in 0..bytes.len() {
            assert_eq!(
                TimeIndex::parse(&bytes[..length], 7),
                None,
                "{length} bytes"
            );
        }
    }
}
