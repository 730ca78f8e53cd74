//! `inconsistent-offsets`: one offset holds two different values.
//!
//! Acknowledgements and polls are compared alike. Jepsen's `inconsistent-offsets`.

use crate::log::version_order::Oddity;
use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    for odd in log.order.oddities.iter().filter(|odd| odd.conflict) {
        findings.report(odd.event, || finding(log, odd));
    }
}

fn finding(log: &Log<'_>, odd: &Oddity) -> Finding {
    let (key, offset, other) = (
        &log.rows.key,
        log.order.slots.offset(odd.slot),
        log.value(odd.value),
    );
    let value = log.value_at(odd.slot);
    let acked = log
        .order
        .acked(odd.slot)
        .and_then(|row| log.rows.sends.get(row));
    let polled = log
        .order
        .returned(odd.slot)
        .and_then(|row| log.rows.polls.get(row));
    let first = match (acked, polled) {
        (Some(send), _) => Seen::new(
            send.completed,
            format!("{value} is acknowledged at offset {offset}"),
        ),
        (None, poll) => {
            let event = poll.map_or(0, |poll| poll.completed);
            Seen::new(event, format!("finds {value} at offset {offset}"))
        }
    };
    let verb = if odd.returned {
        "finds"
    } else {
        "acknowledges"
    };
    let second = Seen::new(odd.event, format!("{verb} {other} at offset {offset}"));
    let explanation = format!("offset {offset} of {key} holds both {value} and {other}");
    Finding {
        offsets: (offset, offset),
        witness: vec![first, second],
        explanation,
    }
}
