//! Exact linearizability of one partition's log, in one pass.
//!
//! In: rows and version order. Out: the first violation, or none iff some order of the operations
//! agrees with both the log and real time. The specification: `send` appends and answers the
//! offset; `poll` returns the records from its position on, without gap; `end` answers the length.
//!
//! Theorem (proof in `docs/anomalies.md`). Let `T[o]` be the moment at which offset `o` was
//! appended; `T` never falls. Each operation bounds it: a send acknowledged at `o` began before
//! `T[o]` and ended after it; a poll that returned `o` ended after `T[o]`; a read of the end `e`
//! ended after `T[e-1]` and began before `T[e]`. With `lower[o]` the latest such beginning and
//! `upper[o]` the earliest such end, the history is linearizable iff
//!  C1  the claims about contents agree, and each value has one offset and a send that may have
//!      put it there;
//!  C2  the offsets that exist though nobody claims them can be filled by sends in doubt, each of
//!      which began before every end that the offset bounds;
//!  C3  `lower[a] <= upper[b]` for all `a <= b`.
//! Checked against exhaustive search in `linearizable_test`.

use crate::history::columns::{NEVER, NO_OFFSET, Outcome, Partition};
use crate::log::version_order::{NONE, Oddity, VersionOrder};

/// What the contract leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// A retry may append a value again.
    pub(crate) duplicates_allowed: bool,
    /// Offsets may be missing: transaction markers, compaction, retention.
    pub(crate) gaps_allowed: bool,
    /// An acknowledgement may come before consumers, and reads of the end, know of the record:
    /// acks=1 does not wait for the high watermark, nor does whoever sends so where others use 0.
    pub(crate) acks_early: bool,
    /// A read of the end that began before this event may have been answered by a leader that did
    /// not yet know of its successor: it says what existed, not what did not.
    pub(crate) ends_strict_from: u32,
}

/// Why a log is not linearizable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// C1, at this place.
    Content { slot: usize },
    /// A poll went over this offset and did not return it. `poll` is a row.
    Gap { poll: usize, offset: i64 },
    /// C2: `proof` ended when this offset had to exist, and nothing could have filled it.
    Hole { offset: i64, proof: u32 },
    /// C3: `proof` ended when `proved` existed; `denial` began later, and puts the end of the log
    /// at or before `denied`, which is no greater.
    Order {
        proof: u32,
        proved: i64,
        denial: u32,
        denied: i64,
    },
}

/// The first violation, if there is one.
pub(crate) fn violation(rows: &Partition, order: &VersionOrder, rules: Rules) -> Option<Violation> {
    let content = content(rows, order, rules);
    content
        .or_else(|| gap(rows, rules))
        .or_else(|| windows(rows, order, rules))
}

/// C1, given that the version order holds every claim that no acknowledgement explains.
fn content(rows: &Partition, order: &VersionOrder, rules: Rules) -> Option<Violation> {
    let bad = |odd: &Oddity| {
        let send = rows.sends.get(odd.send as usize);
        odd.conflict || send.is_none_or(|send| send.outcome == Outcome::Failed)
    };
    let twice = |odd: &Oddity| {
        rows.sends
            .get(odd.send as usize)
            .is_some_and(|s| s.offset != NO_OFFSET)
    };
    let again = order
        .oddities
        .windows(2)
        .find(|w| matches!(w, [a, b] if a.value == b.value));
    let again = again.and_then(|pair| pair.last());
    let doubled = again.or_else(|| order.oddities.iter().find(|odd| twice(odd)));
    let doubled = doubled.filter(|_| !rules.duplicates_allowed);
    let found = order.oddities.iter().find(|odd| bad(odd)).or(doubled);
    found.map(|odd| Violation::Content { slot: odd.slot })
}

/// A poll that did not return every offset that it went over.
fn gap(rows: &Partition, rules: Rules) -> Option<Violation> {
    if rules.gaps_allowed {
        return None;
    }
    rows.polls.iter().enumerate().find_map(|(row, poll)| {
        if poll.from != NO_OFFSET && poll.from != poll.first {
            let offset = poll.from.min(poll.first);
            return Some(Violation::Gap { poll: row, offset });
        }
        if poll.contiguous {
            return None;
        }
        let offset = rows
            .offsets_of(poll)
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] if a.checked_add(1) != Some(*b) => Some(a.saturating_add(1)),
                _ => None,
            });
        offset
            .min()
            .map(|offset| Violation::Gap { poll: row, offset })
    })
}

/// C2 and C3.
pub(crate) fn windows(rows: &Partition, order: &VersionOrder, rules: Rules) -> Option<Violation> {
    let bounds = bounds(rows, order, rules);
    let existing = existing_end(rows);
    let mut holes: Vec<(i64, i64, u32)> = Vec::new();
    let mut worst: Option<(u32, Violation)> = None;
    let (mut earliest, mut earliest_slot) = (NEVER, 0);
    let mut next_offset = existing;
    for (slot, (lower, upper)) in bounds.into_iter().enumerate().rev() {
        let offset = order.slots.offset(slot);
        if offset < next_offset {
            push_hole(&mut holes, offset.saturating_add(1), next_offset, earliest);
            next_offset = offset;
        }
        if upper < earliest {
            (earliest, earliest_slot) = (upper, slot);
        }
        if order.value(slot).is_none() && (0..existing).contains(&offset) {
            push_hole(&mut holes, offset, offset + 1, earliest);
        }
        if lower > earliest && worst.is_none_or(|(least, _)| lower < least) {
            let (proof, proved) = (earliest, order.slots.offset(earliest_slot));
            let violation = Violation::Order {
                proof,
                proved,
                denial: lower,
                denied: offset,
            };
            worst = Some((lower, violation));
        }
    }
    push_hole(&mut holes, 0, next_offset, earliest);
    let order_violation = worst.map(|(_, violation)| violation);
    order_violation.or_else(|| unfilled(rows, order, rules, &holes))
}

/// `lower` and `upper` for each slot.
fn bounds(rows: &Partition, order: &VersionOrder, rules: Rules) -> Vec<(u32, u32)> {
    let slots = &order.slots;
    let mut bounds = vec![(0, NEVER); slots.len()];
    let mut narrow = |slot: usize, lower: u32, upper: u32| {
        if let Some(bounds) = bounds.get_mut(slot) {
            *bounds = (bounds.0.max(lower), bounds.1.min(upper));
        }
    };
    for send in rows.sends.iter().filter(|send| send.offset != NO_OFFSET) {
        let proven = if rules.acks_early {
            NEVER
        } else {
            send.completed
        };
        narrow(slots.slot(send.offset), send.invoked, proven);
    }
    for odd in &order.oddities {
        let send = rows.sends.get(odd.send as usize);
        narrow(odd.slot, send.map_or(0, |send| send.invoked), NEVER);
    }
    for poll in &rows.polls {
        narrow(slots.slot(poll.last), 0, poll.completed);
    }
    for row in &rows.ends {
        narrow(slots.slot(row.end.saturating_sub(1)), 0, row.completed);
        if row.invoked >= rules.ends_strict_from {
            narrow(slots.slot(row.end), row.invoked, NEVER);
        }
    }
    bounds
}

/// One more than the greatest offset that anybody claims to exist.
pub(crate) fn existing_end(rows: &Partition) -> i64 {
    let acked = rows.sends.iter().map(|send| send.offset.saturating_add(1));
    let polled = rows.polls.iter().map(|poll| poll.last.saturating_add(1));
    let ends = rows.ends.iter().map(|row| row.end);
    acked.chain(polled).chain(ends).max().unwrap_or(0)
}

fn push_hole(holes: &mut Vec<(i64, i64, u32)>, from: i64, to: i64, deadline: u32) {
    if from.max(0) < to {
        holes.push((from.max(0), to, deadline));
    }
}

/// C2: holes come with falling offsets, and a lower hole has no later deadline; so the k-th hole
/// from below needs the k-th earliest send in doubt (Hall's condition on nested neighbourhoods).
fn unfilled(
    rows: &Partition,
    order: &VersionOrder,
    rules: Rules,
    holes: &[(i64, i64, u32)],
) -> Option<Violation> {
    if rules.gaps_allowed || holes.is_empty() {
        return None;
    }
    if rules.duplicates_allowed {
        // Any send may have been appended any number of times.
        let sends = rows
            .sends
            .iter()
            .filter(|send| send.outcome != Outcome::Failed);
        let first = sends.map(|send| send.invoked).min().unwrap_or(NEVER);
        let hole = holes
            .iter()
            .rev()
            .find(|(_, _, deadline)| first > *deadline);
        return hole.map(|(from, _, deadline)| Violation::Hole {
            offset: *from,
            proof: *deadline,
        });
    }
    let mut seen: Vec<u32> = order.oddities.iter().map(|odd| odd.send).collect();
    seen.retain(|row| *row != NONE);
    seen.sort_unstable();
    let doubtful = rows.sends.iter().enumerate().filter(|(row, send)| {
        matches!(send.outcome, Outcome::Unknown | Outcome::Unplaced)
            && seen.binary_search(&(*row as u32)).is_err()
    });
    let mut begun: Vec<u32> = doubtful.map(|(_, send)| send.invoked).collect();
    begun.sort_unstable();
    let mut begun = begun.into_iter();
    holes.iter().rev().find_map(|(from, to, deadline)| {
        (*from..*to).find_map(|offset| {
            let filled = begun.next().is_some_and(|begun| begun <= *deadline);
            (!filled).then_some(Violation::Hole {
                offset,
                proof: *deadline,
            })
        })
    })
}

#[cfg(test)]
#[path = "linearizable_test.rs"]
mod linearizable_test;
