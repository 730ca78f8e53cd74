use crate::history::{Action, History, Op, OpType, Position, Record, RecordValue};

const HEADER: &str = "{\"verdict-history\":1}\n";

fn read(lines: &str) -> Result<History, String> {
    History::read(format!("{HEADER}{lines}").as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn every_form_survives_a_round_trip() {
    let lines = [
        r#"{"index":0,"time":5,"process":0,"type":"invoke","f":"send","value":[["send","t-0",17]]}"#,
        r#"{"index":1,"time":6,"process":0,"type":"ok","f":"send","value":[["send","t-0",[42,17]]]}"#,
        r#"{"index":2,"time":7,"process":1,"type":"invoke","f":"poll","value":[["poll"]]}"#,
        r#"{"index":3,"time":8,"process":1,"type":"ok","f":"poll","value":[["poll",{"t-0":[[42,17],[43,"bad crc"]]}]]}"#,
        r#"{"index":4,"time":8,"process":1,"type":"invoke","f":"list-offsets","value":[["end","t-0"]]}"#,
        r#"{"index":5,"time":9,"process":1,"type":"ok","f":"list-offsets","value":[["end","t-0",44]]}"#,
        r#"{"index":6,"time":9,"process":1,"type":"invoke","f":"assign","value":["t-0","t-1"]}"#,
        r#"{"index":7,"time":9,"process":1,"type":"info","f":"assign","value":["t-0","t-1"],"error":{"code":"timeout","message":"after 5 s"},"node":"c1"}"#,
        r#"{"index":8,"time":9,"process":1,"type":"invoke","f":"seek","value":{"t-0":"beginning","t-1":17}}"#,
        r#"{"index":9,"time":9,"process":1,"type":"info","f":"crash","value":null}"#,
        r#"{"index":10,"time":9,"process":9,"type":"info","f":"nemesis","value":{"fault":"kill","class":"process-crash","phase":"inject","target":"n1"}}"#,
    ];
    for line in lines {
        let op: Op = serde_json::from_str(line).expect(line);
        assert_eq!(serde_json::to_string(&op).expect(line), line);
    }
    let history = read(&(lines.join("\n") + "\n")).expect("reads");
    assert_eq!(history.ops.len(), lines.len());
    assert_eq!((history.partner(0), history.partner(1)), (Some(1), Some(0)));
    assert_eq!(history.partner(8), None, "the crash leaves the seek open");
}

#[test]
fn acks_zero_has_no_offset_and_positions_have_names() {
    let line = r#"{"index":1,"time":6,"process":0,"type":"ok","f":"send","value":[["send","t-0",[null,17]]]}"#;
    let op: Op = serde_json::from_str(line).expect("reads");
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
    let poll = |index: u64, process: u64, kind: &str| {
        format!(
            r#"{{"index":{index},"time":0,"process":{process},"type":"{kind}","f":"poll","value":[["poll"]]}}"#
        ) + "\n"
    };
    let send = |index: u64, process: u64| {
        format!(
            r#"{{"index":{index},"time":0,"process":{process},"type":"invoke","f":"send","value":[["send","t-0",7]]}}"#
        ) + "\n"
    };
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
    let error = History::read(&b""[..]).expect_err("empty").to_string();
    assert!(error.starts_with("line 1: the file is empty"), "{error}");
    let error = History::read(&b"{\"verdict-history\":9}\n"[..])
        .expect_err("version")
        .to_string();
    assert!(error.contains("format version 9"), "{error}");
}
