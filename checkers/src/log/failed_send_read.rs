//! `failed-send-read`: a poll returned a value whose send had failed for certain.
//!
//! The log's form of Adya's G1a, aborted read. Sound because only errors that prove "not appended"
//! count as failures (`history::outcome`).

use crate::history::columns::Outcome;
use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    for odd in log.order.oddities.iter().filter(|odd| odd.returned) {
        let send = log.rows.sends.get(odd.send as usize);
        let Some(send) = send.filter(|send| send.outcome == Outcome::Failed) else {
            continue;
        };
        findings.report(odd.event.max(send.completed), || {
            let (key, value) = (&log.rows.key, log.value(odd.value));
            let offset = log.order.slots.offset(odd.slot);
            let failed = Seen::new(send.completed, format!("sending {value} fails for certain"));
            let found = Seen::new(odd.event, format!("finds {value} at offset {offset}"));
            let explanation = format!(
                "the producer was told that {value} had not been appended to {key}, and offset \
                 {offset} holds it"
            );
            Finding {
                offsets: (offset, offset),
                witness: vec![failed, found],
                explanation,
            }
        });
    }
}
