//! The version order of a partition: which value each offset holds, by acks and polls together.
//!
//! An offset's value is the one acknowledged there, else the first one that a poll returned: the
//! rule makes results deterministic after a divergence. Everything that does not fit, or that no
//! acknowledgement explains, is an `Oddity`; a quiet log has none, and no hashing is done for it.

use std::cell::OnceCell;

use rustc_hash::FxHashMap;

use crate::history::columns::{NO_OFFSET, Outcome, Partition, PollRow};
use crate::log::slots::Slots;

/// No row.
pub(crate) const NONE: u32 = u32::MAX;
/// No value.
const UNCLAIMED: u64 = u64::MAX;

/// Which value sits where. The columns are indexed by slot.
#[derive(Debug)]
pub(crate) struct VersionOrder {
    pub(crate) slots: Slots,
    values: Vec<u64>,
    acked: Vec<u32>,
    returned: Vec<u32>,
    /// Values at offsets where no acknowledgement of that value put them, by (value, slot).
    pub(crate) oddities: Vec<Oddity>,
    /// For each slot, how many below it a poll returned; built when first asked for.
    returned_below: OnceCell<Vec<u32>>,
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

/// Where in `oddities` a (value, slot) is.
type Conflicts = FxHashMap<(u64, usize), usize>;

impl VersionOrder {
    pub(crate) fn build(rows: &Partition) -> Self {
        let slots = slots(rows);
        let len = slots.len();
        let mut order = Self {
            slots,
            values: vec![UNCLAIMED; len],
            acked: vec![NONE; len],
            returned: vec![NONE; len],
            oddities: Vec::new(),
            returned_below: OnceCell::new(),
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

    /// The value of a slot, if anybody claims one.
    #[inline]
    pub(crate) fn value(&self, slot: usize) -> Option<u64> {
        self.values
            .get(slot)
            .copied()
            .filter(|value| *value != UNCLAIMED)
    }

    /// The row of the send that was acknowledged at a slot.
    pub(crate) fn acked(&self, slot: usize) -> Option<usize> {
        self.acked
            .get(slot)
            .filter(|row| **row != NONE)
            .map(|row| *row as usize)
    }

    /// The row of the first poll that returned the value of a slot.
    pub(crate) fn returned(&self, slot: usize) -> Option<usize> {
        self.returned
            .get(slot)
            .filter(|row| **row != NONE)
            .map(|row| *row as usize)
    }

    /// How many slots of `from..to` a poll returned, and the first of them.
    pub(crate) fn returned_between(&self, from: usize, to: usize) -> Option<(usize, u32)> {
        let below = self.returned_below.get_or_init(|| {
            let mut below = Vec::with_capacity(self.returned.len() + 1);
            let mut count = 0;
            for row in &self.returned {
                below.push(count);
                count += u32::from(*row != NONE);
            }
            below.push(count);
            below
        });
        let before = *below.get(from)?;
        let count = below.get(to)?.checked_sub(before)?;
        let first = below.partition_point(|b| *b <= before).checked_sub(1)?;
        (count > 0).then_some((first, count))
    }

    fn take_acks(&mut self, rows: &Partition, conflicts: &mut Conflicts) {
        for (row, send) in rows
            .sends
            .iter()
            .enumerate()
            .filter(|(_, s)| s.offset != NO_OFFSET)
        {
            let slot = self.slots.slot(send.offset);
            let columns = (self.values.get_mut(slot), self.acked.get_mut(slot));
            let (Some(value), Some(acked)) = columns else {
                continue;
            };
            if *value == UNCLAIMED {
                (*value, *acked) = (send.value, row as u32);
            } else {
                self.conflict((send.value, slot), send.completed, false, conflicts);
            }
        }
    }

    fn take_polls(&mut self, rows: &Partition, conflicts: &mut Conflicts) {
        for (row, poll) in rows.polls.iter().enumerate() {
            if !self.take_run(rows, row, poll) {
                self.take_records(rows, row, poll, conflicts);
            }
        }
    }

    /// The quick way: a poll without gaps whose values are all known already.
    fn take_run(&mut self, rows: &Partition, row: usize, poll: &PollRow) -> bool {
        let found = rows.values_of(poll);
        let slot = self.slots.slot(poll.first);
        let range = slot..slot + found.len();
        if !poll.contiguous || self.values.get(range.clone()) != Some(found) {
            return false;
        }
        let returned = self.returned.get_mut(range).unwrap_or_default();
        for first in returned {
            *first = (*first).min(row as u32);
        }
        true
    }

    fn take_records(
        &mut self,
        rows: &Partition,
        row: usize,
        poll: &PollRow,
        conflicts: &mut Conflicts,
    ) {
        for (offset, found) in rows.offsets_of(poll).iter().zip(rows.values_of(poll)) {
            let slot = self.slots.slot(*offset);
            let columns = (self.values.get_mut(slot), self.returned.get_mut(slot));
            let (Some(value), Some(returned)) = columns else {
                continue;
            };
            if *value == UNCLAIMED || *value == *found {
                (*value, *returned) = (*found, (*returned).min(row as u32));
            } else {
                self.conflict((*found, slot), poll.completed, true, conflicts);
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
        if let Some(odd) = self.oddities.get_mut(known) {
            odd.returned |= returned;
            return;
        }
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

    /// Values that polls returned where no acknowledgement was.
    fn take_unexplained(&mut self, rows: &Partition) {
        for (slot, (value, acked)) in self.values.iter().zip(&self.acked).enumerate() {
            if *acked != NONE || *value == UNCLAIMED {
                continue;
            }
            let poll = self
                .returned
                .get(slot)
                .and_then(|row| rows.polls.get(*row as usize));
            let event = poll.map_or(0, |poll| poll.completed);
            let (value, returned, conflict, send) = (*value, true, false, NONE);
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

/// The slots of every offset that acks, polls and reads of the end mention.
fn slots(rows: &Partition) -> Slots {
    let acked = || {
        rows.sends
            .iter()
            .map(|send| send.offset)
            .filter(|o| *o != NO_OFFSET)
    };
    let ends = || {
        rows.ends
            .iter()
            .map(|row| (row.end.saturating_sub(1), row.end))
    };
    let polled = rows.polls.iter().map(|poll| {
        let offsets = rows.offsets_of(poll);
        if poll.contiguous {
            return (poll.first, poll.last, offsets.len());
        }
        let (low, high) = (offsets.iter().min(), offsets.iter().max());
        (
            low.copied().unwrap_or(0),
            high.copied().unwrap_or(0),
            offsets.len(),
        )
    });
    let ranges = acked()
        .map(|o| (o, o, 1))
        .chain(ends().map(|(a, b)| (a, b, 2)))
        .chain(polled);
    Slots::of(ranges, || {
        let mentioned = acked().chain(ends().flat_map(|(a, b)| [a, b]));
        mentioned.chain(rows.offsets.iter().copied()).collect()
    })
}
