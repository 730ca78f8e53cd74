//! What ran: the settings that the promises depend on, and the workload.
//!
//! In: the plan and the verdict. Out: rows of a table. Invariant: what differs between the topics
//! of a run is not told as if it were one; the table of its rows has it.

use checkers::history::{Acks, Settings};

use crate::plan::Plan;
use crate::report::Input;
use crate::report::words::shortened;

/// A name and its value.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) value: String,
}

fn consumers(plan: &Plan) -> String {
    let number = plan.workload.consumers;
    let Some(group) = &plan.workload.group else {
        return format!("{number} processes, assigned partitions");
    };
    let kind = if group.static_members {
        "static"
    } else {
        "dynamic"
    };
    format!(
        "{number} processes, {kind} members of {}, assignors {}, session.timeout.ms {}, \
         heartbeat.interval.ms {}, auto.commit.interval.ms {}",
        group.group,
        group.assignors.join(" and "),
        group.session_timeout_ms,
        group.heartbeat_interval_ms,
        group.auto_commit_interval_ms
    )
}

fn topics(plan: &Plan, settings: &Settings) -> Row {
    let (cluster, topics) = (&plan.cluster, plan.topics());
    if let [_] = topics.as_slice() {
        let value = format!(
            "{} with {} partitions, replication factor {}, min.insync.replicas {}",
            cluster.topic,
            cluster.partitions,
            settings.replication_factor,
            settings.min_insync_replicas
        );
        return Row {
            name: "topic",
            value,
        };
    }
    let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
    let partitions: i32 = topics.iter().map(|topic| topic.partitions).sum();
    let value = format!(
        "{} with {partitions} partitions, each for a row above: {}",
        topics.len(),
        shortened(&names.join(", "), 1_000)
    );
    Row {
        name: "topics",
        value,
    }
}

fn producers(plan: &Plan, settings: &Settings) -> Row {
    let workload = &plan.workload;
    let ways = if plan.has_several_topics() {
        "acks and idempotence as the row of each topic says".to_owned()
    } else {
        let acks = match settings.acks {
            Acks::Zero => "0",
            Acks::One => "1",
            Acks::All => "all",
        };
        let idempotence = if settings.idempotence { "on" } else { "off" };
        format!("acks={acks}, idempotence {idempotence}")
    };
    let value = format!(
        "{} processes of {} threads, {ways}, {} in flight",
        workload.producers, workload.processes_per_producer, settings.max_in_flight
    );
    Row {
        name: "producers",
        value,
    }
}

/// The rows of the table.
pub(super) fn rows(input: &Input<'_>) -> Vec<Row> {
    let settings = &input.summary.verdict.settings;
    let cluster = &input.plan.cluster;
    let row = |name, value: String| Row { name, value };
    let mut rows = vec![
        row(
            "cluster",
            format!(
                "{} brokers, each also a voter of the metadata quorum",
                cluster.nodes
            ),
        ),
        topics(input.plan, settings),
        producers(input.plan, settings),
        row("consumers", consumers(input.plan)),
        row(
            "unclean leader election",
            if settings.unclean_leader_election {
                "enabled"
            } else {
                "disabled"
            }
            .to_owned(),
        ),
        row(
            "profile and seed",
            format!("{}, {}", input.plan.profile, input.plan.seed),
        ),
    ];
    if let Some(disk) = &cluster.disk {
        let directories = format!(
            "{} faulty disks a node, an fsync takes {} ms; flush.messages {}",
            cluster.log_dirs,
            disk.fsync_ms,
            if settings.flush_every_message {
                "1"
            } else {
                "at Kafka's default, never"
            }
        );
        rows.push(row("log directories", directories));
    }
    if let Some(mib) = cluster.tmpfs_mib {
        let directories = format!("{} a node, each a tmpfs of {mib} MiB", cluster.log_dirs);
        rows.push(row("log directories", directories));
    }
    let settings = cluster.broker_settings.iter();
    let settings: Vec<String> = settings
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if !settings.is_empty() {
        rows.push(row(
            "broker settings",
            shortened(&settings.join(", "), 1_000),
        ));
    }
    if !input.summary.client.is_empty() {
        rows.push(row("client under test", input.summary.client.clone()));
    }
    if let Some(sabotage) = &cluster.sabotage {
        rows.push(row("planted bug", sabotage.clone()));
    }
    rows
}
