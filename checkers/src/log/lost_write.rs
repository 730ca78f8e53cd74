//! `lost-write`: an acknowledged record was never read, although somebody went past its offset or
//! the log ends before it.
//!
//! Jepsen's `lost-write`, with the proof made explicit: not "somebody read a higher offset" but "a
//! consumer went over this one", so that a reader that starts at the end accuses nobody.

use crate::history::columns::{PollRow, SendRow};
use crate::log::unread::{Fate, Unread, last_end, scanned};
use crate::log::{Finding, Findings, Log, Seen};
use crate::verdict::Anomaly;

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    for lost in log
        .unread()
        .iter()
        .filter(|unread| unread.fate != Fate::Unknown)
    {
        findings.report(lost.send.completed, || finding(log, lost));
    }
}

fn finding(log: &Log<'_>, lost: &Unread) -> Finding {
    let Unread { send, fate } = lost;
    if *fate == Fate::Nowhere {
        return nowhere(log, send);
    }
    let (key, offset, value) = (&log.rows.key, send.offset, log.value(send.value));
    let ack = Seen::new(
        send.completed,
        format!("{value} is acknowledged at offset {offset}"),
    );
    let (proof, how) = if *fate == Fate::Passed {
        passed(log, offset)
    } else {
        ends_before(log)
    };
    let explanation = format!(
        "{value} was acknowledged at offset {offset} of {key} and no consumer ever read it, \
         although {how}: the record is lost"
    );
    Finding {
        offsets: (offset, offset),
        witness: vec![ack, proof],
        explanation,
    }
}

/// One that was done without an offset.
fn nowhere(log: &Log<'_>, send: &SendRow) -> Finding {
    let (key, value) = (&log.rows.key, log.value(send.value));
    let (proof, how) = ends_before(log);
    let done = Seen::new(
        send.completed,
        format!("{value} is sent, without an offset"),
    );
    Finding {
        offsets: Anomaly::NOWHERE,
        witness: vec![done, proof],
        explanation: format!(
            "{value} was sent to {key} without an offset in return, and no consumer ever read it, \
             although {how} and was read from its beginning to there: the record is lost"
        ),
    }
}

/// The first poll that went over the offset.
fn passed(log: &Log<'_>, offset: i64) -> (Seen, String) {
    let over = |poll: &&PollRow| {
        let (from, last) = scanned(poll);
        from <= offset && offset <= last
    };
    let poll = log.rows.polls.iter().find(over);
    let (from, last) = poll.map_or((offset, offset), scanned);
    let event = poll.map_or(0, |poll| poll.completed);
    let seen = Seen::new(
        event,
        format!("reads offsets {from} to {last} and does not find it"),
    );
    (
        seen,
        format!("one went over the offset, from {from} to {last}"),
    )
}

/// The last read of the end of the log.
fn ends_before(log: &Log<'_>) -> (Seen, String) {
    let end = last_end(log);
    let (event, end) = end.map_or((0, 0), |row| (row.completed, row.end));
    (
        Seen::new(event, format!("the log ends at {end}")),
        format!("the log ended at {end} later"),
    )
}
