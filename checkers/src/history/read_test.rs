//! Reading histories: what is taken, what is refused, and with which words.

use crate::history::{Action, History, Op, OpType, Position, Record, RecordValue};

const HEADER: &str = "{\"verdict-history\":1}\n";

fn read(lines: &str) -> Result<History, String> {
    History::read(format!("{HEADER}{lines}").as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn every_form_survives_a_round_trip() {
    let text = include_str!("../../testdata/every-form.jsonl");
    let lines: Vec<&str> = text.lines().skip(1).collect();
    for line in &lines {
        let op: Op = serde_json::from_str(line).expect(line);
        assert_eq!(serde_json::to_string(&op).expect(line), *line);
    }
    let history = History::read(text.as_bytes()).expect("reads");
    assert_eq!(history.ops.len(), lines.len());
    assert_eq!((history.partner(0), history.partner(1)), (Some(1), Some(0)));
    assert_eq!(history.partner(8), None, "the crash leaves the seek open");
}

#[test]
fn acks_zero_has_no_offset_and_positions_have_names() {
    let line = r#"{"index":1,"time":6,"process":0,"type":"ok","f":"send","value":VALUE}"#;
    let line = line.replace("VALUE", r#"[["send","t-0",[null,17]]]"#);
    let op: Op = serde_json::from_str(&line).expect("reads");
    let Action::Send(sends) = op.action else {
        panic!("a send")
    };
    assert_eq!(
        (sends[0].offset, sends[0].value, op.kind),
        (None, 17, OpType::Ok)
    );
    let late = r#"{"value":[["poll"]],"type":"ok","f":"poll","index":1,"time":6,"process":0}"#;
    let op: Op = serde_json::from_str(late).expect("any order of keys");
    assert_eq!(op.action.name(), "poll");
    let position: Position = serde_json::from_str("\"end\"").expect("reads");
    assert_eq!(position, Position::End);
    let record: Record = serde_json::from_str("[3,\"x\"]").expect("reads");
    assert_eq!(record, Record(3, RecordValue::Foreign("x".into())));
}

#[test]
fn a_truncated_last_line_is_dropped_and_reported() {
    let whole = r#"{"index":0,"time":5,"process":0,"type":"invoke","f":"poll","value":[["poll"]]}"#;
    let history = read(&format!("{whole}\n{}", &whole[..30])).expect("reads");
    assert_eq!((history.ops.len(), history.truncated_line), (1, Some(3)));
    let complete = read(whole).expect("a last line without newline counts if it is whole");
    assert_eq!((complete.ops.len(), complete.truncated_line), (1, None));
}

#[test]
fn faults_name_line_problem_and_remedy() {
    let line = |index: u64, process: u64, kind: &str, f: &str, value: &str| {
        let (time, before) = (0, format!("{{\"index\":{index},\"process\":{process}"));
        format!("{before},\"time\":{time},\"type\":\"{kind}\",\"f\":\"{f}\",\"value\":{value}}}\n")
    };
    let poll = |index, process, kind: &str| line(index, process, kind, "poll", "[[\"poll\"]]");
    let send = |index, process| line(index, process, "invoke", "send", "[[\"send\",\"t-0\",7]]");
    for (lines, wanted) in [
        (
            "{broken\n".to_string() + &poll(1, 0, "invoke"),
            "line 2: not an operation",
        ),
        (
            poll(1, 0, "invoke") + &poll(1, 1, "invoke"),
            "line 3: index 1 after index 1",
        ),
        (
            poll(0, 0, "invoke") + &poll(1, 0, "invoke"),
            "line 3: process 0 invokes while index 0",
        ),
        (
            poll(0, 4, "ok"),
            "line 2: process 4 completes what it never invoked",
        ),
        (
            send(0, 0) + &poll(1, 0, "ok"),
            "line 3: process 0 invoked send, completes poll",
        ),
        (
            send(0, 0) + &send(1, 1),
            "line 3: value 7 is sent a second time",
        ),
        (
            poll(0, 0, "invoke").replace("poll\"", "pull\""),
            "unknown variant `pull`",
        ),
        (
            poll(0, 0, "invoke").replace("[[\"poll\"]]", "[[\"send\"]]"),
            "expected `poll`",
        ),
        (
            send(0, 0).replace("t-0", "t"),
            "a topic-partition such as \"orders-3\"",
        ),
    ] {
        let error = read(&lines).expect_err(wanted);
        assert!(error.contains(wanted) && error.contains("; "), "{error}");
    }
    for (lines, wanted) in group_faults() {
        let with_group = HEADER.replace("1}", "1,\"settings\":{\"group\":{}}}");
        let header = if wanted.contains("without groups") {
            HEADER
        } else {
            &with_group
        };
        let error = History::read(format!("{header}{lines}").as_bytes());
        let error = error.expect_err(wanted).to_string();
        assert!(error.contains(wanted) && error.contains("; "), "{error}");
    }
    let error = History::read(&b""[..]).expect_err("empty").to_string();
    assert!(error.starts_with("line 1: the file is empty"), "{error}");
    let error = History::read(&b"{\"verdict-history\":9}\n"[..])
        .expect_err("version")
        .to_string();
    assert!(error.contains("format version 9"), "{error}");
}

/// Lines of group operations that no recorder writes.
fn group_faults() -> Vec<(String, &'static str)> {
    let text = include_str!("../../testdata/every-form.jsonl");
    let line = |f: &str, kind: &str| {
        let wanted = format!("\"type\":\"{kind}\",\"f\":\"{f}\"");
        let line = text.lines().find(|line| line.contains(&wanted));
        line.expect(f).to_owned() + "\n"
    };
    vec![
        (
            line("rebalance", "ok").replace("\"ok\"", "\"invoke\""),
            "line 2: process 10 invokes rebalance",
        ),
        (
            line("resume", "ok").replace(":42", ":-1"),
            "line 2: t-0 resumes at -1",
        ),
        (
            line("commit", "invoke").replace(":43", ":-1"),
            "line 2: t-0 is committed at -1",
        ),
        (
            line("committed", "invoke").replace("\"t-0\":null", "\"t-0\":-1"),
            "line 2: t-0 is committed at -1; a partition without",
        ),
        (
            line("subscribe", "invoke").replace("sync-after", "after-sync"),
            "unknown variant `after-sync`, expected one of `auto-in-loop`",
        ),
        (
            line("rebalance", "ok").replace("assigned", "given"),
            "expected one of `assigned`, `revoked`, `lost`",
        ),
        (
            line("leave", "invoke").replace("\"group\"", "\"team\""),
            "unknown field `team`, expected `consumer` or `group`",
        ),
        (
            line("subscribe", "invoke"),
            "line 2: subscribe in a run without groups; the settings",
        ),
        (
            line("process", "ok"),
            "line 2: process 11 completes what it never invoked",
        ),
    ]
}
