//! The version order of a partition: which value each offset holds, by acks and polls together.
//!
//! An offset's value is the one acknowledged there, else the first one that a poll returned: the
//! rule makes results deterministic after a divergence. Everything that does not fit, or that no
//! acknowledgement explains, is an `Oddity`; a quiet log has none, and no hashing is done for it.

use rustc_hash::FxHashMap;

use crate::history::columns::{NO_OFFSET, Outcome, Partition};
use crate::log::slots::Slots;

/// No row, or no value.
pub(crate) const NONE: u32 = u32::MAX;
const UNCLAIMED: u64 = u64::MAX;

/// Which value sits where.
#[derive(Debug)]
pub(crate) struct VersionOrder {
    pub(crate) slots: Slots,
    entries: Vec<Entry>,
    /// Values at offsets where no acknowledgement of that value put them, by (value, slot).
    pub(crate) oddities: Vec<Oddity>,
    /// Number of entries below each slot that a poll returned; empty until somebody needs it.
    returned_below: std::cell::OnceCell<Vec<u32>>,
}

/// Where in `oddities` a (value, slot) is.
type Conflicts = FxHashMap<(u64, usize), usize>;

/// What is known of one offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The value it holds.
    value: u64,
    /// The send that was acknowledged here, or `NONE`.
    pub(crate) acked: u32,
    /// The first poll that returned the value here, or `NONE`.
    pub(crate) returned: u32,
}

/// A claim that one value sits at one slot, which no acknowledgement of that value covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oddity {
    pub(crate) value: u64,
    pub(crate) slot: usize,
    /// The first event that claims it.
    pub(crate) event: u32,
    /// Whether a poll returned it (else it is a second acknowledgement of the offset).
    pub(crate) returned: bool,
    /// Whether it contradicts the value of the slot.
    pub(crate) conflict: bool,
    /// The send of the value to this partition, or `NONE`.
    pub(crate) send: u32,
}

impl Entry {
    /// The value, if any claim was made.
    pub(crate) fn value(&self) -> Option<u64> {
        (self.value != UNCLAIMED).then_some(self.value)
    }
}

impl VersionOrder {
    pub(crate) fn build(rows: &Partition) -> Self {
        let slots = Slots::of(|| {
            let acks = rows
                .sends
                .iter()
                .map(|send| send.offset)
                .filter(|o| *o != NO_OFFSET);
            let ends = rows
                .ends
                .iter()
                .flat_map(|end| [end.end.saturating_sub(1), end.end]);
            acks.chain(ends)
                .chain(rows.records.iter().map(|(offset, _)| *offset))
        });
        let empty = Entry {
            value: UNCLAIMED,
            acked: NONE,
            returned: NONE,
        };
        let entries = vec![empty; slots.len()];
        let returned_below = std::cell::OnceCell::new();
        let mut order = Self {
            slots,
            entries,
            oddities: Vec::new(),
            returned_below,
        };
        let mut conflicts = Conflicts::default();
        order.take_acks(rows, &mut conflicts);
        order.take_polls(rows, &mut conflicts);
        order.take_unexplained(rows);
        order.find_sends(rows);
        order
            .oddities
            .sort_unstable_by_key(|odd| (odd.value, odd.slot));
        order
    }

    pub(crate) fn entry(&self, slot: usize) -> Option<&Entry> {
        self.entries.get(slot)
    }

    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate()
    }

    /// How many slots of `from..to` a poll returned, and the first of them.
    pub(crate) fn returned_between(&self, from: usize, to: usize) -> Option<(usize, u32)> {
        let below = self.returned_below.get_or_init(|| {
            let returned = |count: &mut u32, entry: &Entry| {
                let before = *count;
                *count += u32::from(entry.returned != NONE);
                Some(before)
            };
            let after_last = Entry {
                value: UNCLAIMED,
                acked: NONE,
                returned: NONE,
            };
            self.entries
                .iter()
                .chain([&after_last])
                .scan(0, returned)
                .collect()
        });
        let before = *below.get(from)?;
        let count = below.get(to)?.checked_sub(before)?;
        let first = below.partition_point(|b| *b <= before).checked_sub(1)?;
        (count > 0).then_some((first, count))
    }

    fn take_acks(&mut self, rows: &Partition, conflicts: &mut Conflicts) {
        for (row, send) in rows.sends.iter().enumerate() {
            if send.offset == NO_OFFSET {
                continue;
            }
            let slot = self.slots.slot(send.offset);
            let Some(entry) = self.entries.get_mut(slot) else {
                continue;
            };
            if entry.value == UNCLAIMED {
                (entry.value, entry.acked) = (send.value, row as u32);
            } else {
                self.conflict((send.value, slot), send.completed, false, conflicts);
            }
        }
    }

    fn take_polls(&mut self, rows: &Partition, conflicts: &mut Conflicts) {
        for (row, poll) in rows.polls.iter().enumerate() {
            for (offset, value) in rows.records_of(poll) {
                let slot = self.slots.slot(*offset);
                let Some(entry) = self.entries.get_mut(slot) else {
                    continue;
                };
                if entry.value == *value || entry.value == UNCLAIMED {
                    entry.value = *value;
                    entry.returned = entry.returned.min(row as u32);
                } else {
                    self.conflict((*value, slot), poll.completed, true, conflicts);
                }
            }
        }
    }

    #[cold]
    fn conflict(
        &mut self,
        (value, slot): (u64, usize),
        event: u32,
        returned: bool,
        conflicts: &mut Conflicts,
    ) {
        let next = self.oddities.len();
        let known = *conflicts.entry((value, slot)).or_insert(next);
        match self.oddities.get_mut(known) {
            Some(odd) => odd.returned |= returned,
            None => {
                let (conflict, send) = (true, NONE);
                self.oddities.push(Oddity {
                    value,
                    slot,
                    event,
                    returned,
                    conflict,
                    send,
                });
            }
        }
    }

    /// Values that polls returned where no acknowledgement was.
    fn take_unexplained(&mut self, rows: &Partition) {
        for (slot, entry) in self.entries.iter().enumerate() {
            let Some(value) = entry.value().filter(|_| entry.acked == NONE) else {
                continue;
            };
            let poll = rows.polls.get(entry.returned as usize);
            let event = poll.map_or(0, |poll| poll.completed);
            let (returned, conflict, send) = (true, false, NONE);
            self.oddities.push(Oddity {
                value,
                slot,
                event,
                returned,
                conflict,
                send,
            });
        }
    }

    /// Finds the sends of the oddities: first among those without an acknowledgement, which are
    /// few, and only if that is not enough among all.
    fn find_sends(&mut self, rows: &Partition) {
        for acked in [false, true] {
            if self.oddities.iter().all(|odd| odd.send != NONE) {
                return;
            }
            let sends = rows.sends.iter().enumerate();
            let sends = sends.filter(|(_, send)| (send.outcome == Outcome::Acked) == acked);
            let rows_of: FxHashMap<u64, u32> =
                sends.map(|(row, send)| (send.value, row as u32)).collect();
            for odd in self.oddities.iter_mut().filter(|odd| odd.send == NONE) {
                odd.send = rows_of.get(&odd.value).copied().unwrap_or(NONE);
            }
        }
    }
}
