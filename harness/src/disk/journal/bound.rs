//! What a journal does when it has grown too large.
//!
//! Invariant: joining changes no state that a loss of power can leave but the finest prefixes;
//! writing back makes only the oldest operations durable, so what is left is still everything
//! behind a point in time.

use std::collections::BTreeMap;

use super::Journal;
use super::operation::{Data, DataChange};

impl Journal {
    pub(super) fn keep_within_limits(&mut self) {
        if self.operations() > self.limits.operations {
            self.join_appends();
            // It must have made room for long, or every operation would try again.
            if self.operations() > self.limits.operations / 4 * 3 {
                self.write_back_oldest();
            }
        }
        if self.spill.needed() > self.limits.spilled_bytes {
            self.write_back_oldest();
        }
    }

    fn operations(&self) -> usize {
        self.data.len() + self.names.len()
    }

    /// Makes one change of each run of appends to a file, at the place of the last one.
    fn join_appends(&mut self) {
        let mut ends: BTreeMap<u64, (u64, DataChange)> = BTreeMap::new();
        let mut joined = Vec::new();
        for (&sequence, change) in &mut self.data {
            if !change.is_append() {
                ends.remove(&change.inode);
                continue;
            }
            if let Some((before, earlier)) = ends.remove(&change.inode)
                && join(&earlier, change)
            {
                joined.push((change.inode, before));
            }
            ends.insert(change.inode, (sequence, change.clone()));
        }
        self.joined_until = self.next;
        for (inode, sequence) in joined {
            self.data.remove(&sequence);
            if let Some(mine) = self.by_file.get_mut(&inode) {
                mine.remove(&sequence);
            }
        }
    }

    /// The oldest half becomes durable.
    fn write_back_oldest(&mut self) {
        let mut sequences: Vec<u64> = self.data.keys().chain(self.names.keys()).copied().collect();
        sequences.sort_unstable();
        let Some(&middle) = sequences.get(sequences.len() / 2) else {
            return;
        };
        let oldest: Vec<u64> = self.names.range(..middle).map(|(&at, _)| at).collect();
        for sequence in oldest {
            self.settle_name(sequence);
        }
        for inode in self.by_file.keys().copied().collect::<Vec<_>>() {
            let synced = self.take_until(inode, middle);
            if !synced.is_empty() {
                self.write_back_data(inode, &synced, middle);
            }
        }
    }
}

/// Makes `later` do what `earlier` did too, if it begins where that ended.
fn join(earlier: &DataChange, later: &mut DataChange) -> bool {
    let (
        Data::Write { offset, length },
        Data::Write {
            offset: next,
            length: more,
        },
    ) = (earlier.what, later.what)
    else {
        return false;
    };
    if offset + length != next {
        return false;
    }
    later.what = Data::Write {
        offset,
        length: length + more,
    };
    later.length_before = earlier.length_before;
    true
}
