//! What an fsync makes durable, and what a failed one loses for ever.
//!
//! In: the inode of a file or directory, and when its fsync was asked for. Out: a shorter journal.
//! Invariants: what is done while an fsync takes its time is not made durable by it; of what was
//! done before, no change of that file's bytes is left but those whose fsync failed earlier; they
//! stay lost even if a later fsync succeeds, as on Linux, where the pages count as
//! clean (the fsync surprise of 2018). Source: fsync(2), `DiskAction::Error`.

use std::collections::BTreeSet;

use super::Journal;
use super::NameDurability;
use super::operation::{Data, DataChange, Doomed};
use super::order;

/// An fsync that came after the power had gone.
#[derive(Clone, Copy, Debug)]
pub(super) enum PutOff {
    /// Of a file, as of a mark.
    File(u64, u64),
    /// Of a directory, as of a mark.
    Directory(u64, u64),
}

impl Journal {
    /// The moment at which an fsync is asked for: behind everything that was done so far.
    pub fn mark(&self) -> u64 {
        self.next
    }

    /// A file was fsynced as of `mark`: its bytes, its length and, if it is new, its name.
    pub fn did_sync(&mut self, inode: u64, mark: u64) {
        if let Some(put_off) = &mut self.put_off {
            put_off.push(PutOff::File(inode, mark));
            return;
        }
        let mark = self.widened(mark);
        let synced = self.take_until(inode, mark);
        self.write_back_data(inode, &synced, mark);
        if self.names_rule == NameDurability::WithFile {
            self.make_names_durable(order::creations(&self.names, inode), mark);
        }
    }

    /// A directory was fsynced as of `mark`: the names in it and, if it is new, its own.
    pub fn did_sync_directory(&mut self, inode: u64, mark: u64) {
        if let Some(put_off) = &mut self.put_off {
            put_off.push(PutOff::Directory(inode, mark));
            return;
        }
        let mut wanted = order::in_directory(&self.names, inode);
        if self.names_rule == NameDurability::WithFile {
            wanted.extend(order::creations(&self.names, inode));
        }
        self.make_names_durable(wanted, mark);
    }

    /// The power is gone from here on, although whoever writes has yet to be killed: what is
    /// fsynced from now on counts only if the power stays after all.
    pub fn lose_power(&mut self) {
        self.put_off.get_or_insert_default();
    }

    /// The power stayed: what was fsynced meanwhile is durable.
    pub fn keep_power(&mut self) {
        for put_off in self.put_off.take().unwrap_or_default() {
            match put_off {
                PutOff::File(inode, mark) => self.did_sync(inode, mark),
                PutOff::Directory(inode, mark) => self.did_sync_directory(inode, mark),
            }
        }
    }

    /// An fsync of a file as of `mark` failed: what it should have made durable never will be.
    pub fn forget_writes(&mut self, inode: u64, mark: u64) {
        let mark = self.widened(mark);
        for sequence in self.take_until(inode, mark) {
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

    /// Appends that were joined since `mark` lie behind it with what they did before it; an fsync
    /// must not leave them out.
    fn widened(&self, mark: u64) -> u64 {
        if mark < self.joined_until {
            u64::MAX
        } else {
            mark
        }
    }

    /// Takes out what an fsync of a file as of `mark` is about.
    pub(super) fn take_until(&mut self, inode: u64, mark: u64) -> BTreeSet<u64> {
        let Some(mine) = self.by_file.get_mut(&inode) else {
            return BTreeSet::new();
        };
        let later = mine.split_off(&mark);
        let earlier = std::mem::replace(mine, later);
        if mine.is_empty() {
            self.by_file.remove(&inode);
        }
        earlier
    }

    /// The changes `synced` of one file, which are those before `mark`, are on the disk.
    pub(super) fn write_back_data(&mut self, inode: u64, synced: &BTreeSet<u64>, mark: u64) {
        let mut written = Vec::new();
        for sequence in synced {
            if let Some(change) = self.data.remove(sequence) {
                self.spill.release(change.saved);
                if let Data::Write { offset, length } = change.what {
                    written.push((offset, offset + length));
                }
            }
        }
        self.settle_doomed(inode, &written, mark);
    }

    /// What later durable writes cover is no longer lost, and the file's length is fixed.
    fn settle_doomed(&mut self, inode: u64, written: &[(u64, u64)], mark: u64) {
        let doomed = |change: &DataChange| change.inode == inode && change.doomed.is_some();
        let earlier = self.data.range_mut(..mark).map(|(_, change)| change);
        for change in earlier.filter(|change| doomed(change)) {
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

    pub(super) fn make_names_durable(&mut self, mut wanted: BTreeSet<u64>, mark: u64) {
        wanted.retain(|sequence| *sequence < mark);
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
