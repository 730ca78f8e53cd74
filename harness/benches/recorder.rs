//! How many operations a second the recorder takes, and what one costs its caller.
//!
//! The requirement is 50,000 a second without slowing the workload. `record` is what a client task
//! waits for; `record and write` includes the writer's thread, until the kernel has every line.

use checkers::history::{Action, Header, Key, OpType, Send, Settings};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use harness::recorder::{Clock, Entry, Recorder};

/// Operations of one measurement; each is an invocation and a completion.
const OPS: u64 = 10_000;

fn entries(key: &Key, value: u64) -> [Entry; 2] {
    let send = |offset| {
        Action::Send(vec![Send {
            key: key.clone(),
            value,
            offset,
        }])
    };
    let entry = |kind, action| Entry {
        process: value % 18,
        kind,
        action,
        error: None,
        node: Some("client-1".into()),
    };
    [
        entry(OpType::Invoke, send(None)),
        entry(OpType::Ok, send(Some(value as i64))),
    ]
}

fn record_all(recorder: &Recorder, key: &Key) {
    for value in 0..OPS {
        for entry in entries(key, value) {
            recorder.record(entry);
        }
    }
}

fn recorder(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history.jsonl");
    let key = Key::new("verdict", 0);
    let open = || {
        let _ = std::fs::remove_file(&path);
        let header = Header::new(Settings::default(), serde_json::Value::Null);
        Recorder::create(&path, header, Clock::start()).expect("created")
    };
    let mut group = c.benchmark_group("recorder");
    group.throughput(Throughput::Elements(OPS));
    group.bench_function("record", |b| {
        b.iter_batched_ref(
            open,
            |(recorder, _)| record_all(recorder, &key),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("record and write", |b| {
        b.iter_batched(
            open,
            |(recorder, writer)| {
                record_all(&recorder, &key);
                drop(recorder);
                writer.finish().expect("written")
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, recorder);
criterion_main!(benches);
