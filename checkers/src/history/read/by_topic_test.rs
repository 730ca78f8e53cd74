//! Splitting a history by topic: everything is somewhere, and nothing of another topic is there.

use crate::history::{Action, FinalReads, History, OpType};

const HEADER: &str = r#"{"verdict-history":1,"settings":{"acks":"all"},"topics":{"t":{"acks":"all"},
"u":{"acks":"1","enable.idempotence":false}},"final-reads":true}"#;

/// Lines as (process, type, f, value).
fn history(lines: &[(u64, &str, &str, &str)]) -> History {
    let mut text = HEADER.replace('\n', "") + "\n";
    for (index, (process, kind, f, value)) in lines.iter().enumerate() {
        let line = format!(
            "{{\"index\":{index},\"time\":0,\"process\":{process},\"type\":\"{kind}\",\
             \"f\":\"{f}\",\"value\":{value}}}\n"
        );
        text += &line;
    }
    History::read(text.as_bytes()).expect("reads")
}

/// The indexes of the lines of one part.
fn lines_of(parts: &[(String, History)], topic: &str) -> Vec<u64> {
    let part = parts.iter().find(|(name, _)| name == topic);
    let (_, part) = part.expect("a part");
    part.ops.iter().map(|op| op.index).collect()
}

#[test]
fn each_topic_has_its_own_operations_and_all_have_the_faults() {
    let kill = r#"{"fault":"kill","class":"process-crash","phase":"inject","target":"n1"}"#;
    let parts = history(&[
        (1, "invoke", "send", r#"[["send","t-0",1]]"#),
        (2, "invoke", "send", r#"[["send","u-1",2]]"#),
        (0, "info", "nemesis", kill),
        (2, "ok", "send", r#"[["send","u-1",[0,2]]]"#),
        (1, "ok", "send", r#"[["send","t-0",[0,1]]]"#),
        (3, "invoke", "list-offsets", r#"[["end","u-1"]]"#),
        (3, "ok", "list-offsets", r#"[["end","u-1",1]]"#),
        (4, "invoke", "crash", "null"),
        (4, "info", "crash", "null"),
    ])
    .by_topic();
    assert_eq!(lines_of(&parts, "t"), [0, 2, 4, 7, 8]);
    assert_eq!(lines_of(&parts, "u"), [1, 2, 3, 5, 6, 7, 8]);
    for (name, part) in &parts {
        assert!(part.header.topics.is_empty() && part.header.final_reads);
        assert_eq!(part.header.settings.idempotence, name == "t");
        for (position, op) in part.ops.iter().enumerate() {
            let partner = part.partner(position as u32).and_then(|p| part.op(p));
            let is_pair = partner.is_some_and(|other| other.process == op.process);
            let is_event = matches!(op.action, Action::Nemesis(_));
            assert!(is_pair || is_event, "{name}: {op:?}");
        }
    }
}

#[test]
fn a_reader_that_moves_on_to_another_topic_has_left_the_first() {
    let parts = history(&[
        (1, "invoke", "assign", r#"["t-0"]"#),
        (1, "ok", "assign", r#"["t-0"]"#),
        (1, "invoke", "poll", r#"[["poll"]]"#),
        (1, "ok", "poll", r#"[["poll",{}]]"#),
        (1, "invoke", "assign", r#"["u-1"]"#),
        (1, "ok", "assign", r#"["u-1"]"#),
        (1, "invoke", "poll", r#"[["poll"]]"#),
        (1, "ok", "poll", r#"[["poll",{"u-1":[[0,2]]}]]"#),
    ])
    .by_topic();
    assert_eq!(lines_of(&parts, "t"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(lines_of(&parts, "u"), [4, 5, 6, 7]);
    let (_, t) = &parts[0];
    assert_eq!(t.ops[5].action, Action::Assign(vec![]), "it holds nothing");
}

#[test]
fn a_record_of_a_topic_that_nobody_knows_and_one_from_nowhere_are_not_lost() {
    let parts = history(&[
        (1, "invoke", "poll", r#"[["poll"]]"#),
        (
            1,
            "ok",
            "poll",
            r#"[["poll",{"x-0":[[0,9]],"u-1":[[0,2]]}]]"#,
        ),
    ])
    .by_topic();
    let returned = |number: usize| {
        let (_, part): &(String, History) = &parts[number];
        let of = |op: &crate::history::Op| match &op.action {
            Action::Poll(poll) if op.kind == OpType::Ok => poll.records.len(),
            _ => 0,
        };
        part.ops.iter().map(of).sum::<usize>()
    };
    assert_eq!((returned(0), returned(1)), (1, 1));
}

#[test]
fn final_reads_of_a_topic_are_those_of_its_part() {
    let parts = history(&[
        (0, "invoke", "admin", r#""final-reads""#),
        (0, "info", "admin", r#""final-reads""#),
        (0, "invoke", "admin", r#"{"final-reads":"t"}"#),
        (0, "ok", "admin", r#"{"final-reads":"t"}"#),
        (0, "invoke", "admin", r#"{"final-reads":"u"}"#),
        (0, "info", "admin", r#"{"final-reads":"u"}"#),
    ])
    .by_topic();
    let end = |number: usize| parts[number].1.final_reads();
    assert_eq!(end(0), FinalReads::Whole, "t was read");
    assert!(matches!(end(1), FinalReads::Unfinished(_)), "u was not");
}
