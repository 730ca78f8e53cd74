//! `unseen`: an acknowledged record was read by nobody, and nothing proves that it is lost.
//!
//! A matter of liveness: the final phase did not reach it. Jepsen's `unseen` less `lost-write`.

use crate::log::unread::Fate;
use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    for unread in log
        .unread()
        .iter()
        .filter(|unread| unread.fate == Fate::Unknown)
    {
        let send = &unread.send;
        findings.report(send.completed, || {
            let (key, offset, value) = (&log.rows.key, send.offset, log.value(send.value));
            let shows = format!("{value} is acknowledged at offset {offset}");
            let explanation = format!(
                "{value} was acknowledged at offset {offset} of {key} and nobody read it, but \
                 nobody went past it either: the readers never came so far"
            );
            let witness = vec![Seen::new(send.completed, shows)];
            Finding {
                offsets: (offset, offset),
                witness,
                explanation,
            }
        });
    }
}
