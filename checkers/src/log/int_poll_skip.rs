//! `int-poll-skip`: one poll left out records between those that it returned.
//!
//! Only records that some other poll did return count: what nobody can read is a `lost-write`.
//! Jepsen's `int-poll-skip`.

use crate::log::poll_skip::{returned_between, returned_elsewhere};
use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    for poll in log.rows.polls.iter().filter(|poll| !poll.contiguous) {
        for pair in log.rows.offsets_of(poll).windows(2) {
            let [before, after] = pair else {
                continue;
            };
            let skipped = returned_between(log, before.saturating_add(1), *after);
            let Some((skipped, count)) = skipped.filter(|_| before < after) else {
                continue;
            };
            findings.report(poll.completed, || {
                let shows = format!("returns offset {before}, then {after}");
                let jumped = Seen::new(poll.completed, shows);
                let explanation = format!(
                    "one poll of {} went from offset {before} to {after} and left out {count} \
                     record(s) from offset {skipped} on, which another poll found",
                    log.rows.key
                );
                let witness = vec![jumped, returned_elsewhere(log, skipped)];
                Finding {
                    offsets: (*before, *after),
                    witness,
                    explanation,
                }
            });
        }
    }
}
