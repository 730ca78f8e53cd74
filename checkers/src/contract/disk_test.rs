//! Each row of the table, and its near miss.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use serde_json::{Value, json};

use super::*;
use crate::anomaly::Kind;
use crate::contract::{Contract, Promise};
use crate::history::{Acks, Header, Op, OpType};
use FaultClass::{
    Corruption, Disk, DiskFull, DiskStall, LyingDisk, PowerLoss, ProcessCrash, Stop, Wipe,
};

/// One fault: its class, on which nodes.
type Fault = (FaultClass, &'static [i32]);

fn event(class: FaultClass, phase: Phase, nodes: &[i32], detail: Value) -> NemesisEvent {
    let names: Vec<String> = nodes.iter().map(|id| format!("n{id}")).collect();
    NemesisEvent {
        fault: format!("{class:?}"),
        class,
        phase,
        target: json!(names),
        detail,
    }
}

fn contract_of(settings: &Settings, events: Vec<NemesisEvent>) -> Contract {
    let ops = events.into_iter().enumerate().map(|(index, event)| Op {
        index: index as u64,
        time: 0,
        process: 0,
        kind: OpType::Info,
        action: Action::Nemesis(Box::new(event)),
        error: None,
        node: None,
    });
    let header = Header::new(settings.clone(), Value::Null);
    Contract::of(&History::from_ops(header, ops.collect()).expect("a history"))
}

/// The promise about acknowledged records after these faults.
fn loss(settings: &Settings, faults: &[Fault]) -> Promise {
    let inject = |(class, nodes): &Fault| event(*class, Phase::Inject, nodes, Value::Null);
    contract_of(settings, faults.iter().map(inject).collect()).promise(Kind::LostWrite)
}

fn never() -> Settings {
    Settings::default()
}

fn every() -> Settings {
    Settings {
        flush_every_message: true,
        ..Settings::default()
    }
}

fn min_insync(replicas: u32, settings: Settings) -> Settings {
    Settings {
        min_insync_replicas: replicas,
        ..settings
    }
}

#[test]
fn kip966_each_row_of_the_table_and_its_near_miss() {
    let (kept, may_lose) = (true, false);
    for (settings, faults, wanted) in [
        // Power, flush never: as many nodes as copies were needed, or fewer.
        (never(), &[(PowerLoss, &[1][..])][..], kept),
        (never(), &[(PowerLoss, &[1]), (PowerLoss, &[1])], kept),
        (never(), &[(PowerLoss, &[1, 3])], may_lose),
        (never(), &[(PowerLoss, &[1]), (PowerLoss, &[2])], may_lose),
        (min_insync(3, never()), &[(PowerLoss, &[1, 2])], kept),
        (min_insync(1, never()), &[(PowerLoss, &[2])], may_lose),
        // Power, flush every message.
        (every(), &[(PowerLoss, &[1, 2, 3])], kept),
        (min_insync(1, every()), &[(PowerLoss, &[1, 2, 3])], kept),
        // An fsync that lies takes nothing by itself, and everything with the power.
        (every(), &[(LyingDisk, &[1, 2, 3])], kept),
        (
            every(),
            &[(LyingDisk, &[1, 2, 3]), (PowerLoss, &[1, 2, 3])],
            may_lose,
        ),
        (
            every(),
            &[(LyingDisk, &[1]), (PowerLoss, &[1, 2, 3])],
            may_lose,
        ),
        (every(), &[(LyingDisk, &[1]), (PowerLoss, &[1])], kept),
        (every(), &[(LyingDisk, &[1, 2]), (PowerLoss, &[3])], kept),
        // Damage to what is stored; no flush helps.
        (every(), &[(Corruption, &[1])], kept),
        (every(), &[(Corruption, &[1, 2])], may_lose),
        (every(), &[(Wipe, &[3])], kept),
        (every(), &[(Wipe, &[3]), (Corruption, &[2])], may_lose),
        // Disks that are slow, fail or are full lose nothing, on however many nodes.
        (never(), &[(Disk, &[1, 2, 3]), (DiskFull, &[1, 2, 3])], kept),
        (never(), &[(ProcessCrash, &[1, 2, 3])], kept),
        // One node lost something, and nobody is left whom the controller may trust.
        (
            never(),
            &[(PowerLoss, &[1]), (ProcessCrash, &[2, 3])],
            may_lose,
        ),
        (every(), &[(PowerLoss, &[1]), (ProcessCrash, &[2, 3])], kept),
        (never(), &[(PowerLoss, &[1]), (Disk, &[2])], may_lose),
        (
            never(),
            &[(PowerLoss, &[1]), (DiskStall, &[2, 3])],
            may_lose,
        ),
        (never(), &[(PowerLoss, &[1]), (Stop, &[2, 3])], kept),
        (never(), &[(PowerLoss, &[1]), (ProcessCrash, &[1])], kept),
    ] {
        let promise = loss(&settings, faults);
        assert_eq!(
            promise.forbidden, wanted,
            "{faults:?} {settings:?}: {promise:?}"
        );
    }
}

#[test]
fn one_copy_is_lost_with_its_power_unless_it_is_flushed() {
    for acks in [Acks::One, Acks::All] {
        let alone = |settings| Settings {
            replication_factor: 1,
            acks,
            ..settings
        };
        assert!(!loss(&alone(never()), &[(PowerLoss, &[1])]).forbidden);
        assert!(loss(&alone(every()), &[(PowerLoss, &[1])]).forbidden);
    }
}

#[test]
fn damage_that_left_a_good_copy_excuses_nothing() {
    let nodes = &[1, 2, 3];
    let atlas = json!({ "atlas": true });
    let promise = |later: NemesisEvent| {
        let inject = event(Corruption, Phase::Inject, nodes, Value::Null);
        contract_of(&never(), vec![inject, later]).promise(Kind::LostWrite)
    };
    let kept = promise(event(Corruption, Phase::Heal, nodes, atlas.clone()));
    assert!(kept.forbidden, "{kept:?}");
    assert!(kept.because.contains("a good copy"), "{kept:?}");
    let unrestricted = event(Corruption, Phase::Heal, nodes, json!({ "flipped": 3 }));
    assert!(!promise(unrestricted).forbidden);
    let another = event(Corruption, Phase::Heal, &[1], atlas.clone());
    assert!(!promise(another).forbidden, "a word about another fault");
    let again = vec![
        event(Corruption, Phase::Inject, nodes, Value::Null),
        event(Corruption, Phase::Inject, nodes, Value::Null),
        event(Corruption, Phase::Heal, nodes, atlas),
    ];
    let first = contract_of(&never(), again).promise(Kind::LostWrite);
    assert!(
        !first.forbidden,
        "the first one was never said to be spared"
    );
}

#[test]
fn a_loss_of_power_that_took_nothing_is_a_crash() {
    let disk = |node: i32, lost: u64| json!({ "node": node, "directory": 0, "lost": lost });
    let promise = |disks: Vec<Value>| {
        let inject = event(PowerLoss, Phase::Inject, &[1, 2], Value::Null);
        let prove = event(PowerLoss, Phase::Prove, &[1, 2], json!({ "disks": disks }));
        contract_of(&never(), vec![inject, prove]).promise(Kind::LostWrite)
    };
    assert!(!promise(vec![disk(1, 4), disk(1, 0), disk(2, 0), disk(2, 1)]).forbidden);
    assert!(promise(vec![disk(1, 0), disk(2, 0)]).forbidden);
    let noted = json!({ "node": 1, "directory": 0, "lost": 3, "missed": 0 });
    assert!(
        promise(vec![noted, disk(2, 0)]).forbidden,
        "of a note alone"
    );
    let one = promise(vec![disk(1, 7), disk(2, 0)]);
    assert!(!one.forbidden, "the other stopped uncleanly: {one:?}");
    assert!(one.because.contains("n2 stopped uncleanly"), "{one:?}");
    assert!(promise(vec![disk(1, 3)]).because.contains("n2 stopped"));
    let absent = promise(vec![disk(1, 0)]);
    assert!(absent.forbidden, "the other was not struck: {absent:?}");
}

#[test]
fn a_fault_that_was_seen_to_do_nothing_excuses_nothing() {
    let after = |class, phase, detail: Value| {
        let inject = event(class, Phase::Inject, &[1, 2], Value::Null);
        let told = event(class, phase, &[1, 2], detail);
        contract_of(&never(), vec![inject, told]).promise(Kind::LostWrite)
    };
    for class in [PowerLoss, Corruption, Wipe] {
        let why = json!("none of the targets was running");
        let vacuous = after(class, Phase::Vacuous, why.clone());
        assert!(vacuous.forbidden, "{class:?}: {vacuous:?}");
        let seen = after(class, Phase::Prove, why);
        assert!(!seen.forbidden, "{class:?}: {seen:?}");
    }
    let goodbye = json!({ "disks": [{ "node": 1, "lost": 2 }, { "node": 2, "lost": 3 }] });
    let heard = after(PowerLoss, Phase::Vacuous, goodbye);
    assert!(!heard.forbidden, "a goodbye brings nothing back: {heard:?}");
    let damaged = json!({ "damaged": [{ "node": 1, "file": "t-0/0.log" }] });
    let one = after(Wipe, Phase::Prove, damaged);
    assert!(one.because.contains("n2 stopped uncleanly"), "{one:?}");
}

#[test]
fn a_vacuous_fault_that_is_injected_again_counts_when_it_has_an_effect() {
    let fault = |phase| event(Wipe, phase, &[1, 2], Value::Null);
    let twice = vec![
        fault(Phase::Inject),
        fault(Phase::Vacuous),
        fault(Phase::Inject),
    ];
    let promise = contract_of(&never(), twice).promise(Kind::LostWrite);
    assert!(!promise.forbidden, "nobody told what the second one did");
}

#[test]
fn a_disk_that_hangs_may_stop_its_node_uncleanly_unless_it_is_seen_to_have_stayed_up() {
    let promise = |phase, repaired: Value| {
        let disks = json!([{ "node": 2, "hits": 7 }, { "node": 12, "hits": 7 }]);
        let detail = json!({ "rule": {}, "disks": disks, "repaired": repaired });
        let events = vec![
            event(PowerLoss, Phase::Inject, &[1], Value::Null),
            event(DiskStall, Phase::Inject, &[2, 12], Value::Null),
            event(DiskStall, phase, &[2, 12], detail),
        ];
        contract_of(&never(), events).promise(Kind::LostWrite)
    };
    assert!(promise(Phase::Recovered, json!([])).forbidden);
    assert!(!promise(Phase::Prove, json!([])).forbidden, "not back yet");
    let restarted = "node 12 had a directory offline and was restarted by SIGKILL";
    let killed = promise(Phase::Recovered, json!([restarted]));
    assert!(!killed.forbidden, "{killed:?}");
    assert!(
        killed.because.contains("and n12 stopped uncleanly"),
        "{killed:?}"
    );
}

#[test]
fn a_good_copy_that_was_left_counts_only_until_it_is_taken_itself() {
    let wipe = |node: i32, atlas: bool| {
        let told = json!({ "atlas": atlas, "damaged": [{ "node": node }] });
        [
            event(Wipe, Phase::Inject, &[node], Value::Null),
            event(Wipe, Phase::Prove, &[node], told),
        ]
    };
    let contract = |faults: [[NemesisEvent; 2]; 2]| contract_of(&never(), faults.concat());
    let both = contract([wipe(2, true), wipe(3, false)]);
    let loss = both.promise(Kind::LostWrite);
    assert!(!loss.forbidden, "{loss:?}");
    assert!(loss.because.starts_with("n2 and n3 lost a log directory"));
    assert!(!both.availability_after_heal().forbidden);
    let approved = contract([wipe(2, true), wipe(3, true)]);
    assert!(approved.promise(Kind::LostWrite).forbidden);
    assert!(approved.availability_after_heal().forbidden);
    let same = contract([wipe(2, true), wipe(2, false)]);
    assert!(same.promise(Kind::LostWrite).forbidden, "one node");
}

#[test]
fn a_node_that_was_spared_stopped_uncleanly_all_the_same() {
    let atlas = json!({ "atlas": true, "disks": [{ "node": 2, "lost": 3 }] });
    let events = |class| {
        vec![
            event(PowerLoss, Phase::Inject, &[2], Value::Null),
            event(PowerLoss, Phase::Prove, &[2], atlas.clone()),
            event(class, Phase::Inject, &[3], Value::Null),
        ]
    };
    let loss = contract_of(&every(), events(Corruption)).promise(Kind::LostWrite);
    assert!(!loss.forbidden, "{loss:?}");
    assert!(loss.because.contains("n2 stopped uncleanly"), "{loss:?}");
    let crash = contract_of(&every(), events(ProcessCrash)).promise(Kind::LostWrite);
    assert!(crash.forbidden, "a crash takes nothing: {crash:?}");
}

#[test]
fn a_rule_counts_only_on_nodes_whose_operations_it_hit() {
    let promise = |class, hits: [u64; 2]| {
        let [first, second] = hits;
        let disks = json!([{ "node": 2, "hits": first }, { "node": 3, "hits": second }]);
        let told = json!({ "rule": {}, "disks": disks });
        let events = vec![
            event(PowerLoss, Phase::Inject, &[1], Value::Null),
            event(class, Phase::Inject, &[2, 3], Value::Null),
            event(class, Phase::Prove, &[2, 3], told),
        ];
        contract_of(&never(), events).promise(Kind::LostWrite)
    };
    for class in [Disk, DiskFull, DiskStall, Corruption] {
        assert!(promise(class, [0, 0]).forbidden, "{class:?}");
        let hit = promise(class, [0, 5]);
        assert!(!hit.forbidden, "{class:?}: {hit:?}");
        assert!(!hit.because.contains("n2"), "{hit:?}");
    }
    let lied = |hits: [u64; 2]| {
        let disks = json!([{ "node": 1, "hits": hits[0] }, { "node": 2, "hits": hits[1] }]);
        let events = vec![
            event(LyingDisk, Phase::Inject, &[1, 2], Value::Null),
            event(LyingDisk, Phase::Prove, &[1, 2], json!({ "disks": disks })),
            event(PowerLoss, Phase::Inject, &[1, 2], Value::Null),
        ];
        contract_of(&every(), events).promise(Kind::LostWrite)
    };
    assert!(lied([0, 0]).forbidden);
    assert!(!lied([4, 9]).forbidden);
}

#[test]
fn damage_to_files_that_are_made_anew_takes_no_copy() {
    let promise = |file: &str| {
        let damaged = json!({ "atlas": true, "damaged": [{ "node": 1, "file": file }] });
        let events = vec![
            event(Corruption, Phase::Inject, &[1], Value::Null),
            event(Corruption, Phase::Prove, &[1], damaged),
            event(Corruption, Phase::Inject, &[2], Value::Null),
        ];
        contract_of(&min_insync(3, never()), events).promise(Kind::LostWrite)
    };
    for file in [
        "t-0/00000000000000000000.index",
        "t-0/00000000000000000000.timeindex",
        "t-0/00000000000000000007.snapshot",
        "t-0/leader-epoch-checkpoint",
        "replication-offset-checkpoint",
        "recovery-point-offset-checkpoint",
        "flushed-offset-note",
        "log-start-offset-checkpoint",
        ".kafka_cleanshutdown",
    ] {
        let kept = promise(file);
        assert!(kept.forbidden, "{file}: {kept:?}");
        assert!(kept.because.starts_with("n2 had stored"), "{kept:?}");
    }
    for file in [
        "t-0/00000000000000000000.log",
        "t-0/partition.metadata",
        "00000000000000000007-0000000001.checkpoint",
        ".",
    ] {
        let taken = promise(file).because;
        assert!(taken.starts_with("n1 and n2 had stored"), "{file}: {taken}");
    }
}

#[test]
fn a_rule_about_files_that_are_made_anew_takes_no_copy() {
    let promise = |class, files: Value| {
        let disks = json!([{ "node": 1, "hits": 3 }, { "node": 2, "hits": 4 }]);
        let told = json!({ "rule": { "files": files }, "disks": disks });
        let events = vec![
            event(class, Phase::Inject, &[1, 2], Value::Null),
            event(class, Phase::Prove, &[1, 2], told),
            event(PowerLoss, Phase::Inject, &[1, 2], Value::Null),
        ];
        contract_of(&every(), events).promise(Kind::LostWrite)
    };
    for class in [Corruption, LyingDisk] {
        for (files, kept) in [
            (json!(["index", "producer-snapshot"]), true),
            (
                json!(["epoch-checkpoint", "checkpoint", "shutdown-marker"]),
                true,
            ),
            (json!(["index", "segment"]), false),
            (json!(["metadata-log"]), false),
            (json!([]), false),
        ] {
            let promise = promise(class, files.clone());
            assert_eq!(promise.forbidden, kept, "{class:?} {files}: {promise:?}");
        }
    }
}

#[test]
fn only_damage_to_enough_copies_excuses_a_partition_that_stays_silent() {
    let available = |settings: &Settings, faults: &[Fault]| {
        let inject = |(class, nodes): &Fault| event(*class, Phase::Inject, nodes, Value::Null);
        let contract = contract_of(settings, faults.iter().map(inject).collect());
        contract.availability_after_heal().forbidden
    };
    assert!(available(&never(), &[(PowerLoss, &[1, 2, 3])]));
    assert!(available(&never(), &[(Corruption, &[1]), (Stop, &[2, 3])]));
    assert!(!available(&never(), &[(Corruption, &[1, 2])]));
    assert!(!available(
        &every(),
        &[(LyingDisk, &[1, 2]), (PowerLoss, &[1, 2])]
    ));
    assert!(available(&every(), &[(LyingDisk, &[1, 2])]));
}

#[test]
fn a_cluster_that_did_not_recover_is_excused_only_for_partitions_on_damaged_copies() {
    let fault = |class, nodes| event(class, Phase::Inject, nodes, Value::Null);
    let excused = |settings: &Settings, silent: &[&[&str]]| {
        let faults = vec![fault(Corruption, &[1]), fault(ProcessCrash, &[2])];
        let contract = contract_of(settings, faults);
        let history = History::from_ops(Header::new(settings.clone(), Value::Null), vec![]);
        let mut verdict = crate::check(&history.expect("empty"), &contract);
        assert!(verdict.may_stay_silent().is_some());
        let names = |nodes: &&[&str]| nodes.iter().map(|&name| name.to_owned()).collect();
        verdict.weigh_silence(&silent.iter().map(names).collect::<Vec<_>>());
        verdict.may_stay_silent().is_some()
    };
    assert!(excused(&never(), &[&["n1", "n2", "n3"]]));
    assert!(!excused(&never(), &[]), "more is missing than leaders");
    assert!(!excused(&never(), &[&["n1", "n3"]]), "n3 has all of it");
    assert!(!excused(&never(), &[&["n1", "n2", "n3"], &["n2", "n3"]]));
    let one_copy = Settings {
        replication_factor: 1,
        min_insync_replicas: 1,
        ..never()
    };
    assert!(excused(&one_copy, &[&["n1"]]));
    assert!(!excused(&one_copy, &[&["n2"]]), "nothing took that copy");
}

#[test]
fn a_record_that_nobody_sent_is_forbidden_whatever_happened_to_the_disks() {
    let nodes = &[1, 2, 3];
    let all = [LyingDisk, PowerLoss, Corruption, Wipe, DiskFull, Disk];
    let events = all.map(|class| event(class, Phase::Inject, nodes, Value::Null));
    let contract = contract_of(&never(), events.into());
    assert!(contract.promise(Kind::Phantom).forbidden);
    assert!(contract.promise(Kind::FailedSendRead).forbidden);
    assert!(!contract.promise(Kind::LostWrite).forbidden);
}

#[test]
fn the_reason_names_nodes_and_what_was_done_to_them() {
    for (settings, faults, wanted) in [
        (
            never(),
            &[(PowerLoss, &[1, 2, 3][..])][..],
            "n1, n2 and n3 lost power with what was not flushed, and 2 copies were enough to \
             commit",
        ),
        (
            every(),
            &[(PowerLoss, &[1, 2])],
            "n1 and n2 lost power, and flush.messages=1 commits only what is flushed on 2 \
             nodes",
        ),
        (
            never(),
            &[(PowerLoss, &[2])],
            "n2 lost power with what was not flushed, and every committed record was on 2 nodes",
        ),
        (
            never(),
            &[(Wipe, &[1]), (ProcessCrash, &[2])],
            "n1 lost a log directory, and n2 stopped uncleanly and may not lead before (KIP-966), \
             and 2 copies were enough to commit",
        ),
    ] {
        assert_eq!(loss(&settings, faults).because, wanted);
    }
}
