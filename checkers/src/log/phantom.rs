//! `phantom`: a poll returned a value that was never sent to that partition.
//!
//! Corruption, a record of another partition or run, or an invention. Jepsen's checker stops with
//! an exception here; to us it is a violation like any other.

use crate::log::version_order::NONE;
use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    for odd in log
        .order
        .oddities
        .iter()
        .filter(|odd| odd.send == NONE && odd.returned)
    {
        findings.report(odd.event, || {
            let (key, value) = (&log.rows.key, log.value(odd.value));
            let offset = log.order.slots.offset(odd.slot);
            let witness = vec![Seen::new(
                odd.event,
                format!("finds {value} at offset {offset}"),
            )];
            let explanation =
                format!("offset {offset} of {key} holds {value}, which nobody sent there");
            Finding {
                offsets: (offset, offset),
                witness,
                explanation,
            }
        });
    }
}
