//! Acknowledged sends that no poll ever returned, and what became of them.
//!
//! The line between loss and mere silence: a reader that went past the offset, or a log that ends
//! before it, proves loss; without either the record may still come (`unseen`).

use crate::history::columns::{EndRow, NO_OFFSET, Outcome, PollRow, SendRow};
use crate::log::Log;

/// One acknowledged send that no poll returned.
pub(crate) struct Unread {
    pub(crate) send: SendRow,
    pub(crate) fate: Fate,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A reader went past its offset.
    Passed,
    /// The last read of the end of the log, begun after the acknowledgement, lies before it.
    LogEndsBefore,
    /// Nothing proves anything.
    Unknown,
}

pub(crate) fn unread(log: &Log<'_>) -> Vec<Unread> {
    let acked = log
        .rows
        .sends
        .iter()
        .filter(|send| send.outcome == Outcome::Acked);
    let unread: Vec<SendRow> = acked
        .filter(|send| !was_returned(log, send))
        .copied()
        .collect();
    if unread.is_empty() {
        return Vec::new();
    }
    let (passed, end) = (passed_slots(log), last_end(log));
    let fate = |send: &SendRow| {
        if passed.get(log.order.slots.slot(send.offset)) == Some(&true) {
            Fate::Passed
        } else if end.is_some_and(|end| end.invoked > send.completed && end.end <= send.offset) {
            Fate::LogEndsBefore
        } else {
            Fate::Unknown
        }
    };
    unread
        .into_iter()
        .map(|send| Unread {
            send,
            fate: fate(&send),
        })
        .collect()
}

/// The offsets that a poll went over: from where its consumer stood to its last record.
pub(crate) fn scanned(poll: &PollRow) -> (i64, i64) {
    let known = poll.from != NO_OFFSET && poll.from <= poll.first;
    (if known { poll.from } else { poll.first }, poll.last)
}

/// The last read of the end, if nobody may have answered it from an old view of the world.
pub(crate) fn last_end<'a>(log: &Log<'a>) -> Option<&'a EndRow> {
    log.rows
        .ends
        .last()
        .filter(|end| end.invoked >= log.rules.ends_strict_from && !log.rules.acks_early)
}

fn was_returned(log: &Log<'_>, send: &SendRow) -> bool {
    let slot = log.order.slots.slot(send.offset);
    if log.order.value(slot) == Some(send.value) && log.order.returned(slot).is_some() {
        return true;
    }
    let odd = &log.order.oddities;
    let first = odd.partition_point(|odd| odd.value < send.value);
    let mut same = odd
        .iter()
        .skip(first)
        .take_while(|odd| odd.value == send.value);
    same.any(|odd| odd.returned)
}

/// For each slot, whether any poll went over it.
fn passed_slots(log: &Log<'_>) -> Vec<bool> {
    let slots = &log.order.slots;
    let mut change = vec![0_i64; slots.len() + 1];
    for poll in &log.rows.polls {
        let (from, last) = scanned(poll);
        if from <= last {
            let (from, end) = (slots.at_or_after(from), slots.at_or_after(last) + 1);
            change.get_mut(from).into_iter().for_each(|c| *c += 1);
            change.get_mut(end).into_iter().for_each(|c| *c -= 1);
        }
    }
    let mut open = 0;
    let passed = change.iter().map(|c| {
        open += c;
        open > 0
    });
    passed.collect()
}
