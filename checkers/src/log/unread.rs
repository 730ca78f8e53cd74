//! Acknowledged sends that no poll ever returned, and what became of them; also those that were
//! done without an offset (acks=0), if the log was read from its beginning to its end afterwards.
//!
//! The line between loss and mere silence: a reader that went past the offset, or a log that ends
//! before it, proves loss; without either the record may still come (`unseen`).

use crate::history::columns::{EndRow, NO_OFFSET, Outcome, PollRow, SendRow};
use crate::log::Log;

/// One acknowledged send that no poll returned.
pub(crate) struct Unread {
    pub(crate) send: SendRow,
    pub(crate) fate: Fate,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A reader went past its offset.
    Passed,
    /// The last read of the end of the log, begun after the acknowledgement, lies before it.
    LogEndsBefore,
    /// The log was read from its beginning to an end that was read after the send was done, and
    /// the record, which had no offset, was nowhere.
    Nowhere,
    /// Nothing proves anything.
    Unknown,
}

pub(crate) fn unread(log: &Log<'_>) -> Vec<Unread> {
    let done = |send: &&SendRow| matches!(send.outcome, Outcome::Acked | Outcome::Unplaced);
    let done = log.rows.sends.iter().filter(done);
    let unread: Vec<SendRow> = done
        .filter(|send| !was_returned(log, send))
        .copied()
        .collect();
    if unread.is_empty() {
        return Vec::new();
    }
    let (passed, end) = (passed_slots(log), last_end(log));
    let is_read = end.is_some_and(|end| is_read_to(log, &passed, end.end));
    let fate = |send: &SendRow| {
        let is_later = |end: &EndRow| end.invoked > send.completed;
        // Whoever acknowledges early tells of records that the end does not tell of yet.
        let is_before = |end: &EndRow| !log.rules.acks_early && end.end <= send.offset;
        if send.outcome == Outcome::Unplaced {
            let is_gone = is_read && end.is_some_and(is_later);
            return if is_gone {
                Fate::Nowhere
            } else {
                Fate::Unknown
            };
        }
        if passed.get(log.order.slots.slot(send.offset)) == Some(&true) {
            Fate::Passed
        } else if end.is_some_and(|end| is_later(end) && is_before(end)) {
            Fate::LogEndsBefore
        } else {
            Fate::Unknown
        }
    };
    let unread = unread.into_iter().map(|send| Unread {
        send,
        fate: fate(&send),
    });
    let says_nothing =
        |one: &Unread| one.fate == Fate::Unknown && one.send.outcome == Outcome::Unplaced;
    unread.filter(|one| !says_nothing(one)).collect()
}

/// Whether polls went over every offset from 0 to below `end`.
fn is_read_to(log: &Log<'_>, passed: &[bool], end: i64) -> bool {
    // Fewer slots than offsets: some offset is mentioned by nobody.
    let is_mentioned = usize::try_from(end).is_ok_and(|end| end <= log.order.slots.len());
    let is_passed = |offset: i64| passed.get(log.order.slots.slot(offset)) == Some(&true);
    is_mentioned && (0..end).all(is_passed)
}

/// The offsets that a poll went over: from where its consumer stood to its last record.
pub(crate) fn scanned(poll: &PollRow) -> (i64, i64) {
    let known = poll.from != NO_OFFSET && poll.from <= poll.first;
    (if known { poll.from } else { poll.first }, poll.last)
}

/// The last read of the end, if nobody may have answered it from an old view of the world.
pub(crate) fn last_end<'a>(log: &Log<'a>) -> Option<&'a EndRow> {
    log.rows
        .ends
        .last()
        .filter(|end| end.invoked >= log.rules.ends_strict_from)
}

fn was_returned(log: &Log<'_>, send: &SendRow) -> bool {
    if send.outcome == Outcome::Unplaced {
        return log.rows.values.contains(&send.value);
    }
    let slot = log.order.slots.slot(send.offset);
    if log.order.value(slot) == Some(send.value) && log.order.returned(slot).is_some() {
        return true;
    }
    let odd = &log.order.oddities;
    let first = odd.partition_point(|odd| odd.value < send.value);
    let mut same = odd
        .iter()
        .skip(first)
        .take_while(|odd| odd.value == send.value);
    same.any(|odd| odd.returned)
}

/// For each slot, whether any poll went over it.
fn passed_slots(log: &Log<'_>) -> Vec<bool> {
    let slots = &log.order.slots;
    let mut change = vec![0_i64; slots.len() + 1];
    for poll in &log.rows.polls {
        let (from, last) = scanned(poll);
        if from <= last {
            let (from, end) = (slots.at_or_after(from), slots.at_or_after(last) + 1);
            change.get_mut(from).into_iter().for_each(|c| *c += 1);
            change.get_mut(end).into_iter().for_each(|c| *c -= 1);
        }
    }
    let mut open = 0;
    let passed = change.iter().map(|c| {
        open += c;
        open > 0
    });
    passed.collect()
}

#[cfg(test)]
mod tests {
    use crate::anomaly::Kind;
    use crate::contract::Contract;
    use crate::history::History;
    use crate::verdict::Verdict;

    /// The verdict of a log that holds 8 at offset 0 and ends at `end`, after 7 and 8 were sent
    /// without an offset in return.
    fn verdict_of_two(end: i64) -> Verdict {
        let line = |index, kind, process, f, value: &str| {
            format!(
                "{{\"index\":{index},\"time\":0,\"process\":{process},\"type\":\"{kind}\",\
                 \"f\":\"{f}\",\"value\":{value}}}"
            )
        };
        let text = [
            r#"{"verdict-history":1,"settings":{"acks":"0","enable.idempotence":false}}"#
                .to_owned(),
            line(0, "invoke", 1, "send", r#"[["send","t-0",7]]"#),
            line(1, "ok", 1, "send", r#"[["send","t-0",[null,7]]]"#),
            line(2, "invoke", 1, "send", r#"[["send","t-0",8]]"#),
            line(3, "ok", 1, "send", r#"[["send","t-0",[null,8]]]"#),
            line(4, "invoke", 2, "poll", r#"[["poll"]]"#),
            line(5, "ok", 2, "poll", r#"[["poll",{"t-0":[[0,8]]}]]"#),
            line(6, "invoke", 2, "list-offsets", r#"[["end","t-0"]]"#),
            line(
                7,
                "ok",
                2,
                "list-offsets",
                &format!(r#"[["end","t-0",{end}]]"#),
            ),
        ];
        let history = History::read(text.join("\n").as_bytes()).expect("reads");
        crate::check(&history, &Contract::of(&history))
    }

    /// What was lost in it, and its exit code.
    fn lost_of_two(end: i64) -> (u64, u8) {
        let verdict = verdict_of_two(end);
        let mut checks = verdict.checks.iter();
        let lost = checks.find(|check| check.anomaly == Kind::LostWrite);
        (lost.map_or(0, |check| check.count), verdict.exit_code())
    }

    #[test]
    fn what_was_sent_without_an_offset_is_lost_at_none() {
        let verdict = verdict_of_two(1);
        let mut checks = verdict.checks.iter();
        let lost = checks.find(|check| check.anomaly == Kind::LostWrite);
        let example = lost.and_then(|check| check.examples.first());
        assert!(!example.expect("a lost write").is_placed());
    }

    #[test]
    fn a_send_without_an_offset_is_lost_once_the_whole_log_was_read_without_it() {
        assert_eq!(
            lost_of_two(1),
            (1, 0),
            "7 is nowhere, and was promised nothing"
        );
        assert_eq!(lost_of_two(2), (0, 0), "nobody has read offset 1");
    }
}
