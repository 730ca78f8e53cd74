//! `poll-skip`: a consumer's next poll began behind records that it should have returned.
//!
//! Only records that some poll did return count: what nobody can read is a `lost-write`. Jepsen's
//! `poll-skip`.

use crate::history::columns::{NO_OFFSET, PollRow};
use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    for poll in log.rows.polls.iter().filter(|poll| poll.from != NO_OFFSET) {
        let first = poll.first;
        if first <= poll.from {
            continue;
        }
        if let Some((skipped, count)) = returned_between(log, poll.from, first) {
            findings.report(poll.completed, || finding(log, poll, first, skipped, count));
        }
    }
}

/// The first offset in `from..to` that any poll returned, and how many there are.
pub(crate) fn returned_between(log: &Log<'_>, from: i64, to: i64) -> Option<(i64, u32)> {
    let slots = &log.order.slots;
    let between = log
        .order
        .returned_between(slots.at_or_after(from), slots.at_or_after(to));
    between.map(|(slot, count)| (slots.offset(slot), count))
}

/// The poll that returned an offset which another one skipped.
pub(crate) fn returned_elsewhere(log: &Log<'_>, offset: i64) -> Seen {
    let slot = log.order.slots.slot(offset);
    let poll = log
        .order
        .returned(slot)
        .and_then(|row| log.rows.polls.get(row));
    let value = log.value_at(slot);
    let event = poll.map_or(0, |poll| poll.completed);
    Seen::new(event, format!("finds {value} at offset {offset}"))
}

fn finding(log: &Log<'_>, poll: &PollRow, first: i64, skipped: i64, count: u32) -> Finding {
    let (key, from) = (&log.rows.key, poll.from);
    let stood = Seen::new(
        poll.from_event,
        format!("leaves the consumer at offset {from}"),
    );
    let jumped = Seen::new(poll.completed, format!("begins at offset {first}"));
    let explanation = format!(
        "a consumer of {key} stood at offset {from}, and its next poll began at {first}: it never \
         saw {count} record(s) from offset {skipped} on, which another poll found"
    );
    let witness = vec![stood, jumped, returned_elsewhere(log, skipped)];
    Finding {
        offsets: (from.min(skipped), first),
        witness,
        explanation,
    }
}
