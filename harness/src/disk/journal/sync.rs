//! What an fsync makes durable, and what a failed one loses for ever.
//!
//! In: the inode of a file or directory. Out: a shorter journal.
//! Invariant: after an fsync no change of that file's bytes is left but those whose fsync failed
//! earlier; they stay lost even if a later fsync succeeds, as on Linux, where the pages count as
//! clean (the fsync surprise of 2018). Source: fsync(2), `DiskAction::Error`.

use std::collections::BTreeSet;

use super::Journal;
use super::NameDurability;
use super::operation::{Data, DataChange, Doomed};
use super::order;

impl Journal {
    /// A file was fsynced: its bytes, its length and, if it is new, its name.
    pub fn did_sync(&mut self, inode: u64) {
        self.make_data_durable(inode);
        if self.names_rule == NameDurability::WithFile {
            self.make_names_durable(order::creations(&self.names, inode));
        }
    }

    /// A directory was fsynced: the names in it and, if it is new, its own.
    pub fn did_sync_directory(&mut self, inode: u64) {
        let mut wanted = order::in_directory(&self.names, inode);
        if self.names_rule == NameDurability::WithFile {
            wanted.extend(order::creations(&self.names, inode));
        }
        self.make_names_durable(wanted);
    }

    /// An fsync of a file failed: what it should have made durable never will be.
    pub fn forget_writes(&mut self, inode: u64) {
        for sequence in self.by_file.remove(&inode).unwrap_or_default() {
            let Some(change) = self.data.get_mut(&sequence) else {
                continue;
            };
            let ranges = match change.what {
                Data::Write { offset, length } => vec![(offset, offset + length)],
                Data::SetLength(_) => Vec::new(),
            };
            change.doomed = Some(Doomed {
                ranges,
                is_length_durable: false,
            });
        }
    }

    pub(super) fn make_data_durable(&mut self, inode: u64) {
        let synced = self.by_file.remove(&inode).unwrap_or_default();
        self.write_back_data(inode, &synced);
    }

    /// The changes `synced` of one file are on the disk.
    pub(super) fn write_back_data(&mut self, inode: u64, synced: &BTreeSet<u64>) {
        let mut written = Vec::new();
        for sequence in synced {
            if let Some(change) = self.data.remove(sequence) {
                self.spill.release(change.saved);
                if let Data::Write { offset, length } = change.what {
                    written.push((offset, offset + length));
                }
            }
        }
        self.settle_doomed(inode, &written);
    }

    /// What later durable writes cover is no longer lost, and the file's length is fixed.
    fn settle_doomed(&mut self, inode: u64, written: &[(u64, u64)]) {
        let doomed = |change: &DataChange| change.inode == inode && change.doomed.is_some();
        for change in self.data.values_mut().filter(|change| doomed(change)) {
            if let Some(doomed) = &mut change.doomed {
                doomed.is_length_durable = true;
                for range in written {
                    doomed.ranges = subtract(&doomed.ranges, *range);
                }
            }
        }
        let is_over = |change: &DataChange| {
            let doomed = change.doomed.as_ref();
            change.inode == inode
                && doomed.is_some_and(|doomed| doomed.is_length_durable && doomed.ranges.is_empty())
        };
        for (_, change) in self.data.extract_if(.., |_, change| is_over(change)) {
            self.spill.release(change.saved);
        }
    }

    pub(super) fn make_names_durable(&mut self, wanted: BTreeSet<u64>) {
        if wanted.is_empty() {
            return;
        }
        for sequence in order::closure(&self.names, wanted) {
            self.settle_name(sequence);
        }
    }
}

/// `ranges` without `(start, end)`.
fn subtract(ranges: &[(u64, u64)], (start, end): (u64, u64)) -> Vec<(u64, u64)> {
    let parts = |&(from, to): &(u64, u64)| [(from, to.min(start)), (from.max(end), to)];
    let left = ranges.iter().flat_map(parts);
    left.filter(|(from, to)| from < to).collect()
}
