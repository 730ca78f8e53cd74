//! Every history of `testdata/` against its checker.
//!
//! `testdata/<anomaly>/legal*.jsonl` must be silent. Any other file must show exactly one anomaly
//! of that kind, with exactly the witness that its header names: `"witness":[[invocation index,
//! completion index], …]`, and breaks what its kind does unless the header names another `"class"`.
//! `minimal` is required, and so is `legal`, the near miss.

#![allow(
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test of files"
)]

use std::fs;
use std::path::{Path, PathBuf};

use checkers::anomaly::{Class, Kind};
use checkers::contract::Contract;
use checkers::history::{History, Op};
use checkers::verdict::{Validity, Verdict};

fn histories(kind: Kind) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(kind.name());
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    files
}

fn judge(file: &Path) -> (History, Verdict) {
    let text = fs::read(file).expect("readable");
    let history = History::read(&text[..]).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let verdict = checkers::check(&history, &Contract::of(&history));
    (history, verdict)
}

#[test]
fn every_anomaly_is_found_with_its_witness_and_near_misses_are_silent() {
    for kind in Kind::ALL {
        let files = histories(kind);
        let named = |name: &str| files.iter().any(|file| file.ends_with(name));
        assert!(
            named("minimal.jsonl") && named("legal.jsonl"),
            "{}",
            kind.name()
        );
        for file in &files {
            let (history, verdict) = judge(file);
            let name = file
                .file_stem()
                .and_then(|name| name.to_str())
                .expect("utf-8");
            if name.starts_with("legal") {
                assert_silent(file, &verdict);
            } else {
                let forbidden = !name.starts_with("allowed");
                assert_found(file, kind, &history, &verdict, forbidden);
            }
        }
    }
}

fn assert_silent(file: &Path, verdict: &Verdict) {
    for check in &verdict.checks {
        assert_eq!(check.count, 0, "{}: {:#?}", file.display(), check.examples);
        assert_eq!(check.problem, None, "{}", file.display());
    }
    assert_eq!(
        verdict.validity,
        Validity::Valid,
        "{}: {}",
        file.display(),
        verdict.sentence
    );
}

fn assert_found(file: &Path, kind: Kind, history: &History, verdict: &Verdict, forbidden: bool) {
    let check = verdict
        .checks
        .iter()
        .find(|check| check.anomaly == kind)
        .expect("checked");
    assert_eq!(
        (check.count, check.examples.len()),
        (1, 1),
        "{}: {check:#?}",
        file.display()
    );
    let index = |op: &Option<Op>| op.as_ref().map(|op| op.index);
    let witness = check.examples[0].witness.iter();
    let witness: Vec<_> = witness
        .map(|w| (index(&w.invocation), index(&w.completion)))
        .collect();
    let wanted: Vec<(Option<u64>, Option<u64>)> =
        serde_json::from_value(history.header.run["witness"].clone()).expect("a witness");
    assert_eq!(witness, wanted, "{}: {:#?}", file.display(), check.examples);
    assert_eq!(
        check.is_broken(),
        forbidden,
        "{}: {:?}",
        file.display(),
        check.promise
    );
    let class = match &history.header.run["class"] {
        serde_json::Value::Null => kind.class(),
        named => serde_json::from_value(named.clone()).expect("a class"),
    };
    let exit_code = match class {
        _ if !forbidden => 0,
        Class::Liveness => 11,
        Class::Safety => 10,
    };
    assert_eq!(
        verdict.exit_code(),
        exit_code,
        "{}: {}",
        file.display(),
        verdict.sentence
    );
}

#[test]
fn verdicts_survive_json() {
    let (_, verdict) = judge(&histories(Kind::LostWrite)[1]);
    let json = serde_json::to_string(&verdict).expect("writes");
    let back: Verdict = serde_json::from_str(&json).expect("reads");
    assert_eq!(serde_json::to_string(&back).expect("writes"), json);
}

#[test]
fn a_truncated_history_breaks_safety_but_not_liveness() {
    let cut = |kind: Kind| {
        let file = &histories(kind)[1];
        let mut text = fs::read(file).expect("readable");
        text.extend(b"{\"index\":99,\"ti");
        let history = History::read(&text[..]).expect("reads");
        checkers::check(&history, &Contract::of(&history)).exit_code()
    };
    assert_eq!((cut(Kind::Unseen), cut(Kind::LostWrite)), (13, 10));
}
