//! `duplicate`: one value, sent once, sits at two offsets.
//!
//! An acknowledgement counts as a place, so that an offset reported wrongly shows here too.
//! Jepsen's `duplicate`. Allowed without idempotence: a retry may append again.

use crate::history::columns::NO_OFFSET;
use crate::log::version_order::{NONE, Oddity};
use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    for places in log.order.oddities.chunk_by(|a, b| a.value == b.value) {
        let Some(first) = places.first().filter(|odd| odd.send != NONE) else {
            continue;
        };
        let Some(send) = log.rows.sends.get(first.send as usize) else {
            continue;
        };
        let acked = Some(send).filter(|send| send.offset != NO_OFFSET);
        let elsewhere = acked.filter(|s| places.iter().any(|odd| !at(log, odd, s.offset)));
        let (one, two) = match (elsewhere, places) {
            (Some(send), _) => {
                let other = places.iter().find(|odd| !at(log, odd, send.offset));
                let value = log.value(send.value);
                let shows = format!("{value} is acknowledged at offset {}", send.offset);
                (
                    (send.offset, Seen::new(send.completed, shows)),
                    other.map(|o| place(log, o)),
                )
            }
            (None, [one, two, ..]) => (place(log, one), Some(place(log, two))),
            (None, _) => continue,
        };
        let Some(two) = two else { continue };
        findings.report(one.1.event.max(two.1.event), || {
            finding(log, first.value, one, two)
        });
    }
}

fn at(log: &Log<'_>, odd: &Oddity, offset: i64) -> bool {
    log.order.slots.offset(odd.slot) == offset
}

fn place(log: &Log<'_>, odd: &Oddity) -> (i64, Seen) {
    let offset = log.order.slots.offset(odd.slot);
    let shows = format!("finds {} at offset {offset}", log.value(odd.value));
    (offset, Seen::new(odd.event, shows))
}

fn finding(log: &Log<'_>, value: u64, one: (i64, Seen), two: (i64, Seen)) -> Finding {
    let (key, value, (a, b)) = (&log.rows.key, log.value(value), (one.0, two.0));
    let explanation = format!("{value} was sent once to {key} and sits at offsets {a} and {b}");
    Finding {
        offsets: (a.min(b), a.max(b)),
        witness: vec![one.1, two.1],
        explanation,
    }
}
