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
    let entry = log.order.entry(odd.slot);
    let value = entry
        .and_then(|entry| entry.value())
        .map_or_else(String::new, |v| log.value(v));
    let acked = entry.and_then(|entry| log.rows.sends.get(entry.acked as usize));
    let polled = entry.and_then(|entry| log.rows.polls.get(entry.returned as usize));
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
