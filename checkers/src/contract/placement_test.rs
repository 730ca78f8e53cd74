//! Promises by partition: only what happened to the nodes that have a log can take from it.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use std::fmt::Write;

use super::*;
use crate::verdict::Verdict;

/// A history of two partitions in which a fault struck `node`, and the record that was acknowledged
/// at offset 0 of `lost` is found by nobody; with the nodes that have copies, if they are `known`.
fn judged(
    settings: &str,
    known: Option<[&str; 2]>,
    class: &str,
    node: &str,
    lost: &str,
) -> Verdict {
    let replicas = known.map_or_else(String::new, |[first, second]| {
        format!(r#","replicas":{{"t-0":{first},"t-1":{second}}}"#)
    });
    let mut text = format!(r#"{{"verdict-history":1,"settings":{settings}{replicas}}}"#);
    let lines = [
        (0, "invoke", "send", format!(r#"[["send","{lost}",1]]"#)),
        (0, "ok", "send", format!(r#"[["send","{lost}",[0,1]]]"#)),
        (
            9,
            "info",
            "nemesis",
            format!(r#"{{"fault":"f","class":"{class}","phase":"inject","target":["{node}"]}}"#),
        ),
        (0, "invoke", "send", format!(r#"[["send","{lost}",2]]"#)),
        (0, "ok", "send", format!(r#"[["send","{lost}",[0,2]]]"#)),
        (1, "invoke", "poll", r#"[["poll"]]"#.to_owned()),
        (
            1,
            "ok",
            "poll",
            format!(r#"[["poll",{{"{lost}":[[0,2]]}}]]"#),
        ),
    ];
    for (index, (process, kind, f, value)) in lines.iter().enumerate() {
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

const ONE_COPY: &str = r#"{"replication.factor":1,"min.insync.replicas":1}"#;
const TWO_COPIES: &str = r#"{"replication.factor":2,"min.insync.replicas":1}"#;
const ACKS_ONE: &str = concat!(
    r#"{"acks":"1","enable.idempotence":false,"#,
    r#""replication.factor":2,"min.insync.replicas":1}"#
);

#[test]
fn a_loss_is_excused_only_by_what_happened_to_the_nodes_of_its_partition() {
    let one = Some([r#"["n1"]"#, r#"["n2"]"#]);
    let two = Some([r#"["n1","n2"]"#, r#"["n2","n3"]"#]);
    for (settings, known, class, node, lost, exit_code) in [
        (ONE_COPY, one, "power-loss", "n1", "t-0", 0),
        (ONE_COPY, one, "power-loss", "n1", "t-1", 10),
        (ONE_COPY, one, "power-loss", "n3", "t-0", 10),
        (ONE_COPY, None, "power-loss", "n3", "t-0", 0),
        (TWO_COPIES, two, "wipe", "n1", "t-0", 0),
        (TWO_COPIES, two, "wipe", "n1", "t-1", 10),
        (TWO_COPIES, two, "wipe", "n2", "t-1", 0),
        (TWO_COPIES, two, "wipe", "n4", "t-1", 10),
        // Of an acknowledgement acks=1 promises nothing, whatever happened to whom.
        (ACKS_ONE, two, "wipe", "n4", "t-1", 0),
    ] {
        let verdict = judged(settings, known, class, node, lost);
        let what = format!(
            "{settings} {known:?} {class} {node} {lost}: {}",
            verdict.sentence
        );
        assert_eq!(verdict.exit_code(), exit_code, "{what}");
        let mut checks = verdict.checks.iter();
        let check = checks.find(|check| check.anomaly == Kind::LostWrite);
        let check = check.expect("looked for");
        assert_eq!((check.count, check.examples.len()), (1, 1), "{what}");
        assert_eq!(check.promise.forbidden, exit_code == 10, "{what}");
    }
}

#[test]
fn what_a_broken_contract_excuses_elsewhere_is_told_beside_what_broke_it() {
    let text = [
        r#"{"verdict-history":1,"settings":{"replication.factor":1,"min.insync.replicas":1},"#,
        r#""replicas":{"t-0":["n1"],"t-1":["n2"]}}"#,
        "\n",
        r#"{"index":0,"time":0,"process":9,"type":"info","f":"nemesis","value":"#,
        r#"{"fault":"f","class":"power-loss","phase":"inject","target":["n1"]}}"#,
    ]
    .concat();
    let line = |index: u64, kind, f, value: &str| {
        format!(
            "\n{{\"index\":{index},\"time\":0,\"process\":1,\"type\":\"{kind}\",\"f\":\"{f}\",\
             \"value\":{value}}}"
        )
    };
    let both = |one: &str| {
        format!(
            "[{}]",
            [0, 1].map(|n| one.replace('N', &format!("{n}"))).join(",")
        )
    };
    let text = [
        text,
        line(1, "invoke", "send", &both(r#"["send","t-N",1N]"#)),
        line(2, "ok", "send", &both(r#"["send","t-N",[0,1N]]"#)),
        line(3, "invoke", "send", &both(r#"["send","t-N",2N]"#)),
        line(4, "ok", "send", &both(r#"["send","t-N",[0,2N]]"#)),
        line(5, "invoke", "poll", r#"[["poll"]]"#),
        line(
            6,
            "ok",
            "poll",
            r#"[["poll",{"t-0":[[0,20]],"t-1":[[0,21]]}]]"#,
        ),
    ]
    .concat();
    let history = History::read(text.as_bytes()).expect("reads");
    let verdict = crate::check(&history, &Contract::of(&history));
    let lost = verdict.checks.iter();
    let lost = lost.filter(|check| check.anomaly == Kind::LostWrite);
    let lost: Vec<(bool, u64, &str)> = lost
        .map(|check| {
            (
                check.promise.forbidden,
                check.count,
                check.examples[0].key.as_str(),
            )
        })
        .collect();
    assert_eq!(lost, [(true, 1, "t-1"), (false, 1, "t-0")]);
    assert_eq!(verdict.exit_code(), 10);
}

#[test]
fn metadata_that_a_majority_may_have_forgotten_is_no_longer_a_placement() {
    let promise = |nodes: &[&str], files: &str| {
        let mut text = concat!(
            r#"{"verdict-history":1,"settings":{"replication.factor":1,"controllers":3},"#,
            r#""replicas":{"t-0":["n1"]}}"#
        )
        .to_owned();
        for (index, node) in nodes.iter().enumerate() {
            let id = node.trim_start_matches('n');
            write!(
                text,
                "\n{{\"index\":{index},\"time\":0,\"process\":9,\"type\":\"info\",\
                 \"f\":\"nemesis\",\"value\":{{\"fault\":\"damage\",\"class\":\"corruption\",\
                 \"phase\":\"inject\",\"target\":[\"{node}\"],\
                 \"detail\":{{\"damaged\":[{{\"node\":{id},\"file\":\"{files}\"}}]}}}}}}"
            )
            .expect("a string");
        }
        let history = History::read(text.as_bytes()).expect("reads");
        let contract = Contract::of(&history);
        contract
            .promise_in(&Key::new("t", 0), Kind::LostWrite)
            .forbidden
    };
    let metadata = "__cluster_metadata-0/00000000000000000000.log";
    assert!(promise(&["n2"], metadata), "two of three remember");
    assert!(!promise(&["n2", "n3"], metadata));
    assert!(promise(&["n2", "n3"], "t-0/00000000000000000000.log"));
    assert!(!promise(&["n2", "n3"], "."), "a whole directory");
    assert!(promise(&[], metadata));
}

#[test]
fn a_contract_promises_as_little_as_that_of_its_weakest_partition() {
    let mut contract = Contract::new(Settings {
        replication_factor: 1,
        min_insync_replicas: 1,
        ..Settings::default()
    });
    for (partition, node) in ["n1", "n2"].into_iter().enumerate() {
        let nodes = BTreeSet::from([node.to_owned()]);
        contract
            .replicas
            .insert(Key::new("t", partition as i32), nodes);
    }
    let elsewhere = contract.clone().after(FaultClass::Wipe, ["n3".to_owned()]);
    assert!(elsewhere.promise(Kind::LostWrite).forbidden);
    assert!(elsewhere.availability_after_heal().forbidden);
    let here = contract.after(FaultClass::Wipe, ["n2".to_owned()]);
    assert!(!here.promise(Kind::LostWrite).forbidden);
    assert!(!here.availability_after_heal().forbidden);
    let in_partition = |number| here.promise_in(&Key::new("t", number), Kind::LostWrite);
    assert!(in_partition(0).forbidden && !in_partition(1).forbidden);
    assert!(!in_partition(2).forbidden, "nobody knows where it is");
    let because = in_partition(1).because;
    assert!(because.contains("the last replica standing"), "{because}");
}

#[test]
fn availability_is_promised_only_with_a_majority_of_the_controllers() {
    let promised = |controllers, down: u32, class| {
        let settings = Settings {
            replication_factor: 3,
            min_insync_replicas: 1,
            available_within_ms: Some(5_000),
            controllers,
            ..Settings::default()
        };
        let nodes = (1..=down).map(|id| format!("n{id}"));
        let contract = Contract::new(settings).after(class, nodes);
        contract.promise(Kind::Unavailable).forbidden
    };
    let kill = FaultClass::ProcessCrash;
    assert!(promised(Some(3), 1, kill));
    assert!(!promised(Some(3), 2, kill), "one of three is no majority");
    assert!(!promised(Some(4), 2, kill), "two of four are no majority");
    assert!(promised(Some(5), 2, kill));
    assert!(promised(Some(1), 0, kill));
    assert!(promised(None, 2, kill), "an older history does not say");
    assert!(promised(Some(3), 1, FaultClass::DiskStall));
    assert!(!promised(Some(2), 1, FaultClass::DiskStall));
}
