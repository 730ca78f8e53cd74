//! `inconsistent-reads`: what readers saw contradicts what others saw.
//!
//! In: a log. A reader sees only what is below the high watermark, so polls and reads of the end
//! make a log of their own, of which acknowledgements say nothing: what acks=0 or 1 may lose was
//! never in it. Out: two records that polls found at one offset; without such, a log of readers
//! that no order of appends explains, as where the end goes back behind what was read.
//! Looked for where acknowledgements come before the high watermark (acks=0 and 1); with acks=all
//! `inconsistent-offsets` and `nonlinearizable` say the same.
//! Source: KIP-101, KIP-966 (the high watermark and the ISR).

use crate::history::columns::{NO_OFFSET, Outcome, Partition};
use crate::log::{Findings, Log, inconsistent_offsets, nonlinearizable};

pub(crate) fn check(log: &Log<'_>, findings: &mut Findings) {
    let rows = unacknowledged(log.rows);
    let seen = Log::new(&rows, log.foreign, log.rules);
    if seen.order.oddities.iter().any(|odd| odd.conflict) {
        inconsistent_offsets::check(&seen, findings);
    } else {
        nonlinearizable::check(&seen, findings);
    }
}

/// The same as if no answer to a send had come: it may have been appended, wherever it was.
fn unacknowledged(rows: &Partition) -> Partition {
    let mut rows = rows.clone();
    let done = |outcome| matches!(outcome, Outcome::Acked | Outcome::Unplaced);
    for send in rows.sends.iter_mut().filter(|send| done(send.outcome)) {
        send.outcome = Outcome::Unknown;
        send.offset = NO_OFFSET;
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use crate::anomaly::Kind;
    use crate::contract::Contract;
    use crate::history::History;
    use crate::verdict::Verdict;

    /// What is said of these lines after the header, `process type f value` each, of a run with
    /// acks=1 and min.insync.replicas=2 on three replicas.
    fn judge(lines: &[&str]) -> Verdict {
        let mut text =
            r#"{"verdict-history":1,"settings":{"acks":"1","enable.idempotence":false}}"#
                .to_owned();
        for (index, line) in lines.iter().enumerate() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let [process, kind, f, value] = words[..] else {
                panic!("four words: {line}")
            };
            write!(
                text,
                "\n{{\"index\":{index},\"time\":0,\"process\":{process},\"type\":\"{kind}\",\
                 \"f\":\"{f}\",\"value\":{value}}}"
            )
            .expect("a string");
        }
        let history = History::read(text.as_bytes()).expect("reads");
        crate::check(&history, &Contract::of(&history))
    }

    fn count(verdict: &Verdict, kind: Kind) -> u64 {
        let mut checks = verdict.checks.iter();
        let check = checks.find(|check| check.anomaly == kind);
        check.expect("looked for").count
    }

    const KILL: &str = concat!(
        r#"9 info nemesis {"fault":"kill","class":"process-crash","phase":"inject","#,
        r#""target":["n1"]}"#
    );
    const SENDS: [&str; 4] = [
        r#"0 invoke send [["send","t-0",1]]"#,
        r#"0 ok send [["send","t-0",[0,1]]]"#,
        r#"1 invoke send [["send","t-0",2]]"#,
        r#"1 info send [["send","t-0",2]]"#,
    ];

    fn after_sends(more: &[&str]) -> Verdict {
        let lines = [&[KILL][..], &SENDS, more].concat();
        judge(&lines)
    }

    #[test]
    fn what_acks_one_loses_is_between_its_acknowledgement_and_readers_and_allowed() {
        let lost = after_sends(&[
            r#"2 invoke poll [["poll"]]"#,
            r#"2 ok poll [["poll",{"t-0":[[0,2]]}]]"#,
        ]);
        assert_eq!(count(&lost, Kind::InconsistentOffsets), 1);
        assert_eq!(count(&lost, Kind::InconsistentReads), 0);
        assert_eq!(lost.exit_code(), 0, "{}", lost.sentence);
    }

    #[test]
    fn two_readers_that_find_different_records_break_the_contract_with_any_acks() {
        let apart = after_sends(&[
            r#"2 invoke poll [["poll"]]"#,
            r#"2 ok poll [["poll",{"t-0":[[0,1]]}]]"#,
            r#"3 invoke poll [["poll"]]"#,
            r#"3 ok poll [["poll",{"t-0":[[0,2]]}]]"#,
        ]);
        assert_eq!(count(&apart, Kind::InconsistentReads), 1);
        assert_eq!(apart.exit_code(), 10, "{}", apart.sentence);
        assert_eq!(apart.sentence, "Broken: 1 inconsistent-reads.");
    }

    #[test]
    fn an_end_behind_what_was_read_breaks_the_contract_and_one_behind_an_acknowledgement_does_not()
    {
        let read = [
            r#"2 invoke poll [["poll"]]"#,
            r#"2 ok poll [["poll",{"t-0":[[0,1]]}]]"#,
        ];
        let end = [
            r#"3 invoke list-offsets [["end","t-0"]]"#,
            r#"3 ok list-offsets [["end","t-0",0]]"#,
        ];
        let gone = after_sends(&[read, end].concat());
        assert_eq!(count(&gone, Kind::InconsistentReads), 1);
        assert_eq!(gone.exit_code(), 10, "{}", gone.sentence);
        let early = after_sends(&[end, read].concat());
        assert_eq!(count(&early, Kind::InconsistentReads), 0);
        assert_eq!(early.exit_code(), 0, "{}", early.sentence);
    }
}
