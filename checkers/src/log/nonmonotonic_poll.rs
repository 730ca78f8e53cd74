//! `nonmonotonic-poll`: a consumer's next poll began before its position.
//!
//! The position comes from the consumer's previous poll or its seek. Jepsen's `nonmonotonic-poll`.

use crate::history::columns::NO_OFFSET;
use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    for poll in log.rows.polls.iter().filter(|poll| poll.from != NO_OFFSET) {
        let first = poll.first;
        if first >= poll.from {
            continue;
        }
        findings.report(poll.completed, || {
            let (key, from) = (&log.rows.key, poll.from);
            let stood = Seen::new(
                poll.from_event,
                format!("leaves the consumer at offset {from}"),
            );
            let back = Seen::new(poll.completed, format!("begins at offset {first}"));
            let explanation = format!(
                "a consumer of {key} stood at offset {from}, and its next poll went back to {first}"
            );
            Finding {
                offsets: (first, from),
                witness: vec![stood, back],
                explanation,
            }
        });
    }
}
