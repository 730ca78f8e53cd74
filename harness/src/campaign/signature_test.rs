//! Signatures of small runs: two that show one bug, and others that show another.

use checkers::contract::Contract;
use checkers::history::History;

use super::*;
use crate::matrix::RowOutcome;
use crate::plan::{Plan, profile};
use crate::run::summary::Parts;
use crate::workload::stats::Counts;

/// What differs between two runs of one plan with different seeds.
#[derive(Clone, Copy)]
struct Run {
    seed: u64,
    node: u32,
    partition: u32,
    /// How many records go before, and how much higher values are than offsets.
    before: u64,
}

const ONE: Run = Run {
    seed: 1,
    node: 1,
    partition: 0,
    before: 0,
};

const OTHER: Run = Run {
    seed: 77,
    node: 3,
    partition: 12,
    before: 40,
};

impl Run {
    fn line(self, kind: &str, f: &str, process: u64, value: &str) -> String {
        let time = self.seed * 1_000;
        format!(r#""time":{time},"process":{process},"type":"{kind}","f":"{f}","value":{value}}}"#)
    }

    fn nemesis(self, class: &str) -> String {
        let node = self.node;
        let value = format!(
            r#"{{"fault":"x","class":"{class}","phase":"inject","target":["n{node}","n2"]}}"#
        );
        self.line("info", "nemesis", 0, &value)
    }

    /// Records are acknowledged; the reader finds all but the last but one, and `found` there.
    fn history(self, faults: &[&str], found: Option<u64>) -> History {
        let Self {
            seed,
            partition,
            before,
            ..
        } = self;
        let mut lines: Vec<String> = faults.iter().map(|class| self.nemesis(class)).collect();
        let missing = before + 1;
        let mut records = Vec::new();
        for offset in 0..before + 3 {
            let value = offset + before;
            let sent = format!(r#"[["send","t-{partition}",{value}]]"#);
            let acked = format!(r#"[["send","t-{partition}",[{offset},{value}]]]"#);
            lines.push(self.line("invoke", "send", seed, &sent));
            lines.push(self.line("ok", "send", seed, &acked));
            let value = if offset == missing {
                found
            } else {
                Some(value)
            };
            records.extend(value.map(|value| format!("[{offset},{value}]")));
        }
        let read = format!(r#"[["poll",{{"t-{partition}":[{}]}}]]"#, records.join(","));
        lines.push(self.line("invoke", "poll", seed + 1, r#"[["poll"]]"#));
        lines.push(self.line("ok", "poll", seed + 1, &read));
        let ops = lines.iter().enumerate();
        let ops: Vec<String> = ops
            .map(|(i, line)| format!("{{\"index\":{i},{line}\n"))
            .collect();
        let text = format!("{{\"verdict-history\":1}}\n{}", ops.concat());
        History::read(text.as_bytes()).expect("a history")
    }

    fn summary(self, faults: &[&str], found: Option<u64>) -> Summary {
        let history = self.history(faults, found);
        let verdict = checkers::check(&history, &Contract::of(&history));
        Summary::conclude(Parts {
            plan: &Plan::draw(self.seed, profile::find("kill").expect("a profile")),
            client: "test".to_owned(),
            duration_ms: self.seed,
            counts: Counts::default(),
            liveness: Liveness::Recovered {
                after_ms: self.seed,
            },
            rows: vec![],
            is_harness_fault: false,
            deaths: Vec::new(),
            faults: Vec::new(),
            verdict,
            reproduce: String::new(),
        })
    }

    fn signatures(self, faults: &[&str], found: Option<u64>) -> Vec<Signature> {
        signatures(&self.summary(faults, found))
    }
}

fn anomalies(signatures: &[Signature]) -> Vec<&str> {
    signatures
        .iter()
        .map(|signature| signature.anomaly.as_str())
        .collect()
}

#[test]
fn a_bug_has_one_signature_whatever_the_seed_the_node_and_the_offset() {
    let kill = ["process-crash"];
    let one = ONE.signatures(&kill, None);
    assert!(anomalies(&one).contains(&"lost-write"), "{one:?}");
    assert_eq!(one, OTHER.signatures(&kill, None));
    let same = OTHER.signatures(&["process-crash", "pause", "client"], None);
    assert_eq!(one, same, "what a log promises does not tell these apart");
    for signature in &one {
        assert_eq!(signature.id.len(), 12);
        let of_run = [&signature.promise, &signature.shape];
        let digit = |text: &&String| text.contains(|c: char| c.is_ascii_digit());
        assert!(!of_run.iter().any(digit), "{signature:?}");
    }
}

#[test]
fn different_bugs_have_different_signatures() {
    let lost = ONE.signatures(&["process-crash"], None);
    let phantom = ONE.signatures(&["process-crash"], Some(99));
    let after_wipe = ONE.signatures(&["wipe"], None);
    assert!(anomalies(&phantom).contains(&"phantom"), "{phantom:?}");
    assert!(!anomalies(&lost).contains(&"phantom"));
    let ids = |found: &[Signature]| found.iter().map(|s| s.id.clone()).collect::<BTreeSet<_>>();
    assert!(
        ids(&lost).is_disjoint(&ids(&after_wipe)),
        "another class of faults"
    );
    assert!(ids(&phantom).difference(&ids(&lost)).count() > 0);
}

#[test]
fn a_run_that_keeps_its_promises_has_none() {
    let summary = ONE.summary(&["process-crash"], Some(1));
    assert_eq!(signatures(&summary), []);
}

#[test]
fn rows_deaths_and_silence_count_and_what_is_the_same_counts_once() {
    let mut summary = ONE.summary(&[], Some(1));
    let broken = OTHER.summary(&[], None).verdict;
    let row = |partition: i32| RowOutcome {
        row: format!("row {partition}"),
        topic: format!("t{partition}"),
        verdict: broken.clone(),
        liveness: Liveness::NotRecovered {
            reason: format!("partition t-{partition} has no leader"),
        },
        refused: 0,
        struck: Vec::new(),
        unavailable_ms: 0,
    };
    summary.rows = vec![row(1), row(2)];
    summary.deaths = vec!["node-1 ended by itself (exit code 101)".to_owned()];
    let found = signatures(&summary);
    let of = |anomaly: &str| found.iter().filter(|s| s.anomaly == anomaly).count();
    assert_eq!(
        (
            of("lost-write"),
            of(UNAVAILABLE_AFTER_HEAL),
            of(UNEXPECTED_EXIT)
        ),
        (1, 1, 1)
    );
}

#[test]
fn fewer_faults_are_the_same_failure_with_another_id() {
    let many = ONE.signatures(&["process-crash", "disk"], None);
    let few = ONE.signatures(&["process-crash"], None);
    assert_ne!(many, few);
    assert!(is_same_failure(&few, &many));
    assert!(!is_same_failure(&[], &many));
}

#[test]
fn lists_and_numbers_are_not_part_of_a_sentence() {
    for (sentence, wanted) in [
        ("acks=1 on n1, n2 and n3, as of 7", "acks=1 on #, as of #"),
        (
            "c1.1 commits offset 2, acknowledged",
            "# commits offset #, acknowledged",
        ),
        ("nobody and n1", "nobody and #"),
    ] {
        assert_eq!(anonymous(sentence), wanted);
    }
}

#[test]
fn one_silence_of_a_topic_is_one_finding() {
    let mut summary = ONE.summary(&["process-crash"], Some(3));
    summary.verdict.checks.clear();
    let silent = |reason: &str| Liveness::NotRecovered {
        reason: reason.to_owned(),
    };
    summary.liveness = silent("t: nobody leads it");
    let whole = signatures(&summary);
    assert_eq!(anomalies(&whole), [UNAVAILABLE_AFTER_HEAL], "no rows");
    summary.rows = vec![RowOutcome {
        row: String::new(),
        topic: "t".to_owned(),
        verdict: summary.verdict.clone(),
        liveness: silent("nobody leads it"),
        refused: 0,
        struck: Vec::new(),
        unavailable_ms: 0,
    }];
    let found = signatures(&summary);
    assert_eq!(anomalies(&found), [UNAVAILABLE_AFTER_HEAL]);
    assert_ne!(found, whole, "the row's words, without its name");
}
