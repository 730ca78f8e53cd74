//! `nonlinearizable`: no order of the appends agrees with when operations began and ended.
//!
//! Reports what no other anomaly names: contradictions of order, and offsets that nothing can have
//! filled. At most one for each partition, with the earliest contradiction as its witness.

use crate::log::linearizable::{Violation, violation, windows};
use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    let found = match violation(log.rows, &log.order, log.rules) {
        Some(Violation::Content { .. }) => windows(log.rows, &log.order, log.rules),
        Some(Violation::Gap { offset, .. }) if is_claimed(log, offset) => {
            windows(log.rows, &log.order, log.rules)
        }
        found => found,
    };
    match found {
        Some(Violation::Order {
            proof,
            proved,
            denial,
            denied,
        }) => {
            findings.report(denial, || order(log, (proof, proved), (denial, denied)));
        }
        Some(Violation::Hole { offset, proof }) => {
            findings.report(proof, || hole(log, offset, proof));
        }
        Some(Violation::Gap { poll, offset }) => {
            let event = log.rows.polls.get(poll).map_or(0, |poll| poll.completed);
            findings.report(event, || gap(log, offset, event));
        }
        Some(Violation::Content { .. }) | None => {}
    }
}

/// Whether somebody knows a record at this offset; if so, the skip goes by another name.
fn is_claimed(log: &Log<'_>, offset: i64) -> bool {
    let slot = log.order.slots.at_or_after(offset);
    log.order.slots.offset(slot) == offset && log.order.value(slot).is_some()
}

fn order(log: &Log<'_>, (proof, proved): (u32, i64), (denial, denied): (u32, i64)) -> Finding {
    let key = &log.rows.key;
    let witness = vec![
        Seen::new(proof, format!("ends when offset {proved} exists")),
        Seen::new(
            denial,
            format!("begins later, and puts the end of the log at {denied}"),
        ),
    ];
    let explanation = format!(
        "offset {proved} of {key} was known to exist, and an operation that began afterwards was \
         told that the log ends at or before offset {denied}"
    );
    Finding {
        offsets: (denied, proved),
        witness,
        explanation,
    }
}

fn hole(log: &Log<'_>, offset: i64, proof: u32) -> Finding {
    let key = &log.rows.key;
    let witness = vec![Seen::new(
        proof,
        format!("ends when offset {offset} must exist"),
    )];
    let explanation = format!(
        "offset {offset} of {key} must exist, nobody knows what it holds, and no send in doubt is \
         left that could have filled it in time"
    );
    Finding {
        offsets: (offset, offset),
        witness,
        explanation,
    }
}

fn gap(log: &Log<'_>, offset: i64, event: u32) -> Finding {
    let key = &log.rows.key;
    let witness = vec![Seen::new(
        event,
        format!("goes over offset {offset} and finds nothing"),
    )];
    let explanation = format!(
        "a poll of {key} went over offset {offset} and found nothing there: offsets of this log \
         have no gaps"
    );
    Finding {
        offsets: (offset, offset),
        witness,
        explanation,
    }
}
