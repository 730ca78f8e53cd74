//! The recorder: total order over many threads, and files that survive a kill.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use checkers::history::{Action, Header, Key, Op, OpType, Send, Settings};

use crate::recorder::{Clock, Entry, Recorder};

fn entry(process: u64, value: u64) -> Entry {
    let send = Send {
        key: Key::new("t", 0),
        value,
        offset: None,
    };
    let action = Action::Send(vec![send]);
    Entry {
        process,
        kind: OpType::Invoke,
        action,
        error: None,
        node: None,
    }
}

fn header() -> Header {
    Header::new(Settings::default(), serde_json::Value::Null)
}

/// The operations of complete lines; the rest of a truncated last line is ignored.
fn read(path: &Path) -> Vec<Op> {
    let text = fs::read_to_string(path).expect("a history");
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let ops = complete
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).expect(line));
    ops.collect()
}

#[test]
fn many_threads_get_one_total_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history.jsonl");
    let (recorder, writer) = Recorder::create(&path, header(), Clock::start()).expect("created");
    std::thread::scope(|scope| {
        for process in 0..4 {
            let recorder = recorder.clone();
            scope.spawn(move || {
                for value in 0..1000 {
                    recorder.record(entry(process, value));
                }
            });
        }
    });
    drop(recorder);
    assert_eq!(writer.finish().expect("written"), 4001);
    let ops = read(&path);
    assert_eq!(ops.len(), 4000);
    let mut last = BTreeMap::new();
    for (i, pair) in ops.windows(2).enumerate() {
        assert_eq!(pair[0].index, i as u64);
        assert!(pair[0].time <= pair[1].time, "time went back at index {i}");
    }
    for op in ops {
        let Action::Send(sends) = op.action else {
            panic!("only sends were recorded")
        };
        let before = last.insert(op.process, sends[0].value);
        assert!(
            before.is_none_or(|before| before < sends[0].value),
            "order of one process"
        );
    }
}

#[test]
fn lines_reach_the_file_without_finishing_and_a_truncated_last_line_is_readable() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history.jsonl");
    let (recorder, _writer) = Recorder::create(&path, header(), Clock::start()).expect("created");
    for value in 0..10 {
        recorder.record(entry(1, value));
    }
    // What a kill leaves is what the kernel has; the writer hands everything over when idle.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while read(&path).len() < 10 {
        assert!(
            std::time::Instant::now() < deadline,
            "the writer never went idle"
        );
        std::thread::yield_now();
    }
    let text = fs::read(&path).expect("a history");
    fs::write(&path, &text[..text.len() - 7]).expect("truncated");
    assert_eq!(read(&path).len(), 9);
}

#[test]
fn an_existing_history_is_never_overwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history.jsonl");
    fs::write(&path, "precious").expect("written");
    let error = Recorder::create(&path, header(), Clock::start()).expect_err("refused");
    assert!(error.to_string().contains("history.jsonl"), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "precious");
}

#[test]
fn the_header_is_the_first_line_and_has_what_is_known_when_the_history_begins() {
    let written = |before: &dyn Fn(&Recorder)| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("history.jsonl");
        let (recorder, writer) = Recorder::open(&path, header(), Clock::start()).expect("opened");
        before(&recorder);
        recorder.begin(|header| {
            let nodes = vec!["n1".to_owned(), "n2".to_owned()];
            header.replicas.insert(Key::new("t", 0), nodes);
        });
        writer.finish().expect("written");
        let text = fs::read_to_string(&path).expect("a history");
        text.lines().next().expect("a header").to_owned()
    };
    let known = written(&|_| ());
    assert!(
        known.contains(r#""replicas":{"t-0":["n1","n2"]}"#),
        "{known}"
    );
    let nothing = serde_json::to_string(&header()).expect("writes");
    let begun = written(&|recorder| recorder.begin(|_| ()));
    assert_eq!(begun, nothing, "what is written stays");
    let early = written(&|recorder| {
        recorder.record(entry(1, 1));
    });
    assert_eq!(early, nothing, "no operation waits for it");
}
