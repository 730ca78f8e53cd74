//! `int-nonmonotonic-poll`: one poll returned records out of order or twice.
//!
//! Jepsen's `int-nonmonotonic-poll`.

use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    for poll in log.rows.polls.iter().filter(|poll| !poll.contiguous) {
        for pair in log.rows.offsets_of(poll).windows(2) {
            let [before, after] = pair else {
                continue;
            };
            if after > before {
                continue;
            }
            findings.report(poll.completed, || {
                let shows = format!("returns offset {before}, then {after}");
                let explanation = format!(
                    "one poll of {} went back from offset {before} to {after}",
                    log.rows.key
                );
                let witness = vec![Seen::new(poll.completed, shows)];
                Finding {
                    offsets: (*after, *before),
                    witness,
                    explanation,
                }
            });
        }
    }
}
