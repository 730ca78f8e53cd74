//! The leader epochs of a log: which epoch wrote from which offset on.
//!
//! In: the epoch and base offset of each appended batch, and of each election won. Out: where an
//! epoch ends, the answer that truncation rests on (KIP-101, KIP-279, KIP-320).
//! Invariant: epochs and start offsets both grow strictly from entry to entry.
//! Source: Kafka's `LeaderEpochFileCache`.

use crate::offset::{LeaderEpoch, NO_LEADER_EPOCH, Offset};

/// An epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The leader epoch.
    pub epoch: LeaderEpoch,
    /// The offset at which the epoch starts.
    pub start_offset: Offset,
}

/// The largest epoch not above the one asked for, and the offset at which it ends (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch that the answer is about; lower than the one asked for if that one is unknown.
    pub epoch: LeaderEpoch,
    /// The exclusive end of that epoch.
    pub end_offset: Offset,
}

/// The ordered list of epochs in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// Builds a cache from stored entries; conflicting earlier entries give way to later ones.
    pub fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> Self {
        let mut cache = Self::default();
        for entry in entries {
            cache.assign(entry.epoch, entry.start_offset);
        }
        cache
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest epoch, if any.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// The epoch that wrote `offset`, if the cache reaches back that far.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        after
            .checked_sub(1)
            .and_then(|index| self.entries.get(index))
            .map(|entry| entry.epoch)
    }

    /// Records that `epoch` starts at `start_offset`; says whether anything changed.
    ///
    /// Entries that contradict the new one (epoch or start not below it) are removed. Repeating the
    /// latest epoch at a later offset changes nothing, so every batch may be assigned. Negative
    /// values, which only damaged batches carry, are ignored.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch < 0 || start_offset < 0 {
            return false;
        }
        if let Some(latest) = self.entries.last()
            && latest.epoch == epoch
            && latest.start_offset <= start_offset
        {
            return false;
        }
        self.entries
            .retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.entries.push(EpochEntry {
            epoch,
            start_offset,
        });
        true
    }

    /// Where `epoch` ends in a log that ends at `log_end_offset`; `None` if nothing is known of it.
    ///
    /// For an epoch that the log does not have, the answer is about the next lower one (KIP-279):
    /// the caller compares epochs and asks again.
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end_offset: Offset) -> Option<EpochEnd> {
        if epoch == NO_LEADER_EPOCH {
            return None;
        }
        if self.latest_epoch() == Some(epoch) {
            return Some(EpochEnd {
                epoch,
                end_offset: log_end_offset,
            });
        }
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end_offset = self.entries.get(after)?.start_offset;
        let floor = after
            .checked_sub(1)
            .and_then(|index| self.entries.get(index));
        let epoch = floor.map_or(epoch, |entry| entry.epoch);
        Some(EpochEnd { epoch, end_offset })
    }

    /// Drops the entries that start at or after `end_offset`.
    ///
    /// Also when `end_offset` is the end of the log: an epoch won without a record must not survive
    /// a truncation to exactly its start (KAFKA-10706).
    pub fn truncate_from_end(&mut self, end_offset: Offset) {
        self.entries.retain(|entry| entry.start_offset < end_offset);
    }

    /// Forgets what lies below `start_offset`; the epoch in force there now starts there.
    pub fn truncate_from_start(&mut self, start_offset: Offset) {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= start_offset);
        let Some(in_force) = after.checked_sub(1) else {
            return;
        };
        self.entries.drain(..in_force);
        if let Some(first) = self.entries.first_mut() {
            first.start_offset = start_offset;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
#[path = "epoch_cache_test.rs"]
mod tests;
