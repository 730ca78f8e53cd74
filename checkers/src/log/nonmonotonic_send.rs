//! `nonmonotonic-send`: a producer's later record was acknowledged at a lower offset than its
//! earlier one.
//!
//! Only acknowledged sends count: what became of one in doubt may be decided later. Jepsen's
//! `nonmonotonic-send` and, within one operation, `int-nonmonotonic-send`.

use crate::history::columns::{Outcome, SendRow};
use crate::log::{Finding, Findings, Log, Seen};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    let mut last_of: Vec<Option<&SendRow>> = Vec::new();
    for send in log
        .rows
        .sends
        .iter()
        .filter(|send| send.outcome == Outcome::Acked)
    {
        let process = send.process as usize;
        if process >= last_of.len() {
            last_of.resize(process + 1, None);
        }
        let Some(last) = last_of.get_mut(process) else {
            continue;
        };
        if let Some(earlier) = last.filter(|earlier| send.offset <= earlier.offset) {
            findings.report(send.completed, || finding(log, earlier, send));
        }
        *last = Some(send);
    }
}

fn finding(log: &Log<'_>, earlier: &SendRow, later: &SendRow) -> Finding {
    let acked = |send: &SendRow| {
        let shows = format!(
            "{} is acknowledged at offset {}",
            log.value(send.value),
            send.offset
        );
        Seen::new(send.completed, shows)
    };
    let explanation = format!(
        "one producer sent {} and then {} to {}, and was told offset {} and then {}",
        log.value(earlier.value),
        log.value(later.value),
        log.rows.key,
        earlier.offset,
        later.offset
    );
    let offsets = (
        later.offset.min(earlier.offset),
        earlier.offset.max(later.offset),
    );
    Finding {
        offsets,
        witness: vec![acked(earlier), acked(later)],
        explanation,
    }
}
