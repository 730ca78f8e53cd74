//! `unavailable`: somebody waited longer for an acknowledgement than the contract allows while a
//! fault acts.
//!
//! In: the silences of one partition. Only where such a bound is promised: a log directory that
//! hangs is given up, and another replica leads. The one checker that reads the recorder's clock:
//! what it judges is a length of time.

use crate::availability::{Availability, Silence};
use crate::history::{Action, History, Key, Op};
use crate::log::{Finding, Findings, Seen};

const NANOS_PER_MS: u64 = 1_000_000;

/// Reports the partition once, with its longest silence, if that is longer than `within_ms`.
pub(crate) fn check(
    history: &History,
    (key, availability): (&Key, &Availability),
    within_ms: u64,
    findings: &mut Findings,
) {
    let silences = availability.silences.iter();
    let Some(longest) = silences.max_by_key(|silence| silence.nanos()) else {
        return;
    };
    let lasted_ms = longest.nanos() / NANOS_PER_MS;
    if lasted_ms <= within_ms {
        return;
    }
    let witness = witness(history, key, *longest);
    let at = witness.last().map_or(0, |seen| seen.event);
    findings.report(at, || Finding {
        offsets: (0, 0),
        witness,
        explanation: format!(
            "no send to {key} was acknowledged for {lasted_ms} ms, from {:.1} s to {:.1} s, \
             although somebody waited all that time; at most {within_ms} ms are promised",
            longest.from as f64 / 1e9,
            longest.until as f64 / 1e9
        ),
    });
}

/// The event that the silence began with, and the one that ended it if that is another operation.
fn witness(history: &History, key: &Key, silence: Silence) -> Vec<Seen> {
    let begin = event_at(history, key, silence.from);
    let end = event_at(history, key, silence.until);
    let operation = |event: u32| {
        history
            .partner(event)
            .map_or(event, |other| other.min(event))
    };
    let mut witness = vec![Seen::new(begin, "from here on somebody waits")];
    if operation(begin) != operation(end) {
        witness.push(Seen::new(end, "the silence ends"));
    }
    witness
}

/// The first event of a send to the partition at this time.
fn event_at(history: &History, key: &Key, time: u64) -> u32 {
    let is_of_partition = |op: &Op| match &op.action {
        Action::Send(sends) => sends.iter().any(|send| send.key == *key),
        _ => false,
    };
    let mut ops = history.ops.iter();
    let position = ops.position(|op| op.time == time && is_of_partition(op));
    position.unwrap_or(0) as u32
}
