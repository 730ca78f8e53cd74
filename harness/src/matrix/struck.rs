//! Which topics a fault struck, by what its proof names.
//!
//! In: a plan, who holds which topic, the proof of a fault. Out: topics.
//! Invariant: a topic counts only if the proof names the topic, a file or log directory of it, a
//! client that serves it, or a node that holds a replica of it; a fault that proved nothing struck
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use checkers::history::{Key, NemesisEvent, Phase};
use serde_json::Value;

use crate::plan::Plan;
use crate::sandbox::Endpoint;

/// The nodes, as `n2`, that hold replicas of each topic.
pub type Holders = BTreeMap<String, BTreeSet<String>>;

/// Who holds topics, if these nodes hold replicas of these partitions.
pub fn holders(replicas: &BTreeMap<Key, Vec<String>>) -> Holders {
    let mut holders = Holders::new();
    for (partition, nodes) in replicas {
        let of_topic = holders.entry(partition.topic().to_owned()).or_default();
        of_topic.extend(nodes.iter().cloned());
    }
    holders
}

/// The topics of `plan` that `proof` shows to be struck.
pub fn struck(plan: &Plan, holders: &Holders, proof: &NemesisEvent) -> BTreeSet<String> {
    if proof.phase != Phase::Prove {
        return BTreeSet::new();
    }
    let named = [
        names(&proof.detail, "topics").map(|topics| changed(plan, &proof.detail, topics)),
        names(&proof.detail, "clients").map(|clients| served(plan, &clients)),
        entries(&proof.detail, "damaged").map(|files| damaged(holders, files)),
        entries(&proof.detail, "disks").and_then(on_disks),
    ];
    let named = named.into_iter().flatten().next();
    named.unwrap_or_else(|| on_nodes(holders, &proof.nodes().collect()))
}

/// Those of `topics` for which another `min.insync.replicas` counts: more than there are replicas
/// count as all.
fn changed(plan: &Plan, detail: &Value, topics: BTreeSet<String>) -> BTreeSet<String> {
    let wanted = detail["min.insync.replicas"].as_str();
    let wanted: Option<i16> = wanted.and_then(|wanted| wanted.parse().ok());
    let is_changed = |name: &String| {
        let topic = plan.topic(name);
        topic.zip(wanted).is_some_and(|(topic, wanted)| {
            let all = topic.replication_factor;
            topic.min_insync_replicas.min(all) != wanted.min(all)
        })
    };
    topics.into_iter().filter(is_changed).collect()
}

/// The topics to which these clients send, or which they read as members of the group.
fn served(plan: &Plan, clients: &BTreeSet<String>) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for number in 1..=plan.workload.producers {
        if clients.contains(&short_name(Endpoint::Client(number))) {
            let way = plan.way_of(number - 1);
            let served = plan.topics().into_iter();
            let served = served.filter(|topic| topic.is_served_by(&way));
            topics.extend(served.map(|topic| topic.name));
        }
    }
    let producers = (1..=plan.workload.producers).map(Endpoint::Client);
    let producers: BTreeSet<String> = producers.map(short_name).collect();
    if plan.workload.group.is_some() && !clients.is_subset(&producers) {
        topics.insert(plan.cluster.topic.clone());
    }
    topics
}

/// The topics that have a replica on one of these nodes.
fn on_nodes(holders: &Holders, nodes: &BTreeSet<&str>) -> BTreeSet<String> {
    let held = holders.iter();
    let held = held.filter(|(_, on)| on.iter().any(|node| nodes.contains(node.as_str())));
    held.map(|(topic, _)| topic.clone()).collect()
}

/// The topics with a replica in a directory of which an operation was hit; nothing if the proof
/// does not tell of the contents of directories.
fn on_disks(disks: &[Value]) -> Option<BTreeSet<String>> {
    let holds: Vec<(&Value, &Vec<Value>)> = disks
        .iter()
        .filter_map(|disk| Some((disk, disk.get("holds")?.as_array()?)))
        .collect();
    let is_hit = |disk: &Value| disk["hits"].as_u64().is_some_and(|hits| hits > 0);
    let hit = holds.iter().filter(|(disk, _)| is_hit(disk));
    let logs = hit.flat_map(|(_, logs)| logs.iter().filter_map(Value::as_str));
    let topics = logs.filter_map(topic_of).collect();
    (!holds.is_empty()).then_some(topics)
}

/// The topics of the changed files; one that belongs to no partition concerns its whole node.
fn damaged(holders: &Holders, files: &[Value]) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for damaged in files {
        let file = damaged["file"].as_str().unwrap_or_default();
        match file.split_once('/').and_then(|(log, _)| topic_of(log)) {
            Some(topic) => drop(topics.insert(topic)),
            None => {
                let node = format!("n{}", damaged["node"]);
                topics.extend(on_nodes(holders, &BTreeSet::from([node.as_str()])));
            }
        }
    }
    topics
}

/// The topic of a log by the name of its folder: `t` of `t-3`.
fn topic_of(log: &str) -> Option<String> {
    let (topic, partition) = log.rsplit_once('-')?;
    partition.parse::<u32>().ok().map(|_| topic.to_owned())
}

fn names(detail: &Value, field: &str) -> Option<BTreeSet<String>> {
    let names = entries(detail, field)?.iter().filter_map(Value::as_str);
    Some(names.map(str::to_owned).collect())
}

fn entries<'a>(detail: &'a Value, field: &str) -> Option<&'a [Value]> {
    detail.get(field)?.as_array().map(Vec::as_slice)
}

fn short_name(endpoint: Endpoint) -> String {
    crate::nemesis::short_names(&[endpoint]).concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Flush;
    use crate::matrix::{Pack, plan};
    use checkers::history::{CommitMode, FaultClass};
    use serde_json::json;

    fn proof(target: Value, detail: Value) -> NemesisEvent {
        NemesisEvent {
            fault: "a fault".to_owned(),
            class: FaultClass::Disk,
            phase: Phase::Prove,
            target,
            detail,
        }
    }

    #[test]
    fn only_the_topics_that_the_proof_names_are_struck() {
        let plan = plan("none", Pack::Durability(Flush::Never), 1).expect("a plan");
        let held = |topic: &str, nodes: &[&str]| {
            let nodes = nodes.iter().map(ToString::to_string);
            (topic.to_owned(), nodes.collect())
        };
        let holders = Holders::from([
            held("0-rf1-isr1", &["n1"]),
            held("1-rf2-isr1", &["n1", "n2"]),
            held("all-rf1-isr1", &["n3"]),
        ]);
        let disk = |hits: u64, log: &str| json!({"node": 1, "hits": hits, "holds": [log]});
        let file = |file: &str| json!({"node": 3, "directory": 0, "file": file});
        for (target, detail, wanted) in [
            (json!(["n2"]), json!("killed"), &["1-rf2-isr1"][..]),
            (
                json!(["n1"]),
                json!({"evidence": "cut"}),
                &["0-rf1-isr1", "1-rf2-isr1"],
            ),
            (
                json!(["n1", "n2"]),
                json!({
                    "min.insync.replicas": "3",
                    "topics": ["all-rf1-isr1", "1-rf2-isr1", "1-rf2-isr2"],
                }),
                &["1-rf2-isr1"],
            ),
            (
                json!(["n1"]),
                json!({"disks": [disk(0, "0-rf1-isr1-0")]}),
                &[],
            ),
            (
                json!(["n1"]),
                json!({"disks": [disk(0, "0-rf1-isr1-0"), disk(3, "1-rf2-isr1-2")]}),
                &["1-rf2-isr1"],
            ),
            (
                json!(["n1"]),
                json!({"disks": [{"node": 1, "lost_bytes": 7}]}),
                &["0-rf1-isr1", "1-rf2-isr1"],
            ),
            (
                json!(["n3"]),
                json!({"damaged": [file("1-rf2-isr1-0/0.log")]}),
                &["1-rf2-isr1"],
            ),
            (
                json!(["n3"]),
                json!({"damaged": [file("recovery-point")]}),
                &["all-rf1-isr1"],
            ),
            (json!(["c1"]), json!({"clients": []}), &[]),
        ] {
            let struck = struck(&plan, &holders, &proof(target, detail.clone()));
            assert_eq!(
                struck,
                wanted.iter().map(ToString::to_string).collect(),
                "{detail}"
            );
        }
        let mut vacuous = proof(json!(["n1"]), json!("nothing"));
        vacuous.phase = Phase::Vacuous;
        assert!(struck(&plan, &holders, &vacuous).is_empty());
    }

    #[test]
    fn a_client_strikes_the_topics_of_its_acks_and_a_member_that_of_its_group() {
        let plan_of = |pack| plan("none", pack, 1).expect("a plan");
        let durable = plan_of(Pack::Durability(Flush::Never));
        for number in 1..=3 {
            let killed = proof(json!([]), json!({"clients": [format!("c{number}")]}));
            let struck = struck(&durable, &Holders::new(), &killed);
            let way = durable.way_of(number - 1);
            let of_way = durable
                .topics()
                .into_iter()
                .filter(|t| t.is_served_by(&way));
            assert_eq!(struck, of_way.map(|topic| topic.name).collect());
            assert_eq!(struck.len(), 9);
        }
        let group = plan_of(Pack::Mode(CommitMode::SyncAfter));
        let member = group.workload.producers + 1;
        let killed = proof(json!([]), json!({"clients": [format!("c{member}")]}));
        let struck = struck(&group, &Holders::new(), &killed);
        assert!(struck.contains(&group.cluster.topic));
    }
}
