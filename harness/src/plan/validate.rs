//! Which values of a plan make no sense, although they read.
//!
//! In: a plan. Out: the first field that cannot be run, with its value and the remedy.
//! Invariant: what passes here neither overflows a clock, nor is refused by the broker or the
//! client, nor names files outside the result directory.

use broker::config::Settings;
use broker::config::sabotage::Sabotage;
use broker::id::BrokerId;

use crate::cluster::node::properties;
use crate::link::{FrameAction, FramePick, FrameRule};
use crate::nemesis::{FaultSpec, Target};
use crate::plan::{
    Condition, PLAN_FORMAT, Plan, ScheduledFault, When, quota, validate_damage, validate_disk,
    validate_topics,
};
use crate::worker::protocol::Acks;

/// One day: longer waits are typing errors.
const DAY_MS: u64 = 86_400_000;
/// One minute: longer timeouts outlive every run.
pub(super) const MINUTE_MS: u64 = 60_000;
/// Log directories of a node: each may be a mount with a thread of its own.
const LOG_DIRS_MAX: u32 = 8;
/// The smallest faulty disk, in MiB.
const QUOTA_MIB_MIN: u64 = 1;
/// Settings that the harness decides for each node.
const OWN_SETTINGS: [&str; 7] = [
    "node.id",
    "cluster.id",
    "listeners",
    "advertised.listeners",
    "controller.quorum.voters",
    "log.dirs",
    "metadata.log.dir",
];

/// A field that cannot be run.
pub(super) struct Complaint {
    /// Its path, dotted.
    pub(super) field: String,
    /// Its value.
    pub(super) value: String,
    /// What would be right.
    pub(super) remedy: String,
}

impl Complaint {
    pub(super) fn new(
        field: impl Into<String>,
        value: impl ToString,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            value: value.to_string(),
            remedy: remedy.into(),
        }
    }
}

/// The first field that cannot be run.
pub(super) fn complaint(plan: &Plan) -> Option<Complaint> {
    let ranges = cluster_ranges(plan)
        .into_iter()
        .chain(disk_ranges(plan))
        .chain(quota::ranges(plan))
        .chain(workload_ranges(plan))
        .chain(client_ranges(plan))
        .chain(time_ranges(plan));
    out_of_range(ranges)
        .or_else(|| words(plan))
        .or_else(|| quota::contradiction(plan))
        .or_else(|| validate_topics::complaint(plan))
        .or_else(|| own_setting(plan))
        .or_else(|| broker_refusal(plan))
        .or_else(|| {
            let mut faults = plan.faults.iter().enumerate();
            faults.find_map(|(i, fault)| fault_complaint(plan, i, fault))
        })
        .or_else(|| validate_damage::overlapping_changes(plan))
}

/// A field, its value, and the least and greatest that make sense.
pub(super) type Range = (&'static str, i128, i128, i128);

pub(super) fn range(field: &'static str, value: impl Into<i128>, low: u64, high: u64) -> Range {
    (field, value.into(), low.into(), high.into())
}

pub(super) fn out_of_range(ranges: impl Iterator<Item = Range>) -> Option<Complaint> {
    let (field, value, low, high) = ranges
        .into_iter()
        .find(|(_, value, low, high)| !(low..=high).contains(&value))?;
    let remedy = format!("it must be {low} to {high}");
    Some(Complaint::new(field, value, remedy))
}

fn cluster_ranges(plan: &Plan) -> Vec<Range> {
    let cluster = &plan.cluster;
    let replicas = u64::try_from(cluster.replication_factor).unwrap_or(0);
    vec![
        range(
            "format",
            plan.format,
            PLAN_FORMAT.into(),
            PLAN_FORMAT.into(),
        ),
        range("cluster.nodes", cluster.nodes, 1, 9),
        range("cluster.partitions", cluster.partitions, 1, 1000),
        range("cluster.log_dirs", cluster.log_dirs, 1, LOG_DIRS_MAX.into()),
        range(
            "cluster.replication_factor",
            cluster.replication_factor,
            1,
            cluster.nodes.into(),
        ),
        range(
            "cluster.min_insync_replicas",
            cluster.min_insync_replicas,
            1,
            replicas,
        ),
    ]
}

fn disk_ranges(plan: &Plan) -> Vec<Range> {
    let Some(disk) = &plan.cluster.disk else {
        return vec![];
    };
    // Below this a node has no room for the logs of an idle cluster.
    let quota = disk.quota_mib.unwrap_or(QUOTA_MIB_MIN);
    vec![
        range("cluster.disk.fsync_ms", disk.fsync_ms, 0, 1_000),
        range("cluster.disk.quota_mib", quota, QUOTA_MIB_MIN, 1 << 20),
    ]
}

fn workload_ranges(plan: &Plan) -> Vec<Range> {
    let workload = &plan.workload;
    let [smallest, largest] = workload.payload_bytes.map(|bytes| bytes as u64);
    let many = u64::from(u32::MAX);
    vec![
        range("workload.producers", workload.producers, 1, 64),
        range("workload.consumers", workload.consumers, 1, 64),
        range(
            "workload.processes_per_producer",
            workload.processes_per_producer,
            1,
            1000,
        ),
        range("workload.payload_bytes[0]", smallest, 16, 1 << 19),
        range("workload.payload_bytes[1]", largest, smallest, 1 << 19),
        range(
            "workload.polls_per_assignment",
            workload.polls_per_assignment,
            1,
            many,
        ),
        range(
            "workload.polls_per_end_read",
            workload.polls_per_end_read,
            1,
            many,
        ),
        range(
            "workload.request_timeout_ms",
            workload.request_timeout_ms,
            1,
            MINUTE_MS,
        ),
        range(
            "workload.poll_timeout_ms",
            workload.poll_timeout_ms,
            0,
            MINUTE_MS,
        ),
    ]
}

/// What the clients under test would refuse, or could not do anything with.
fn client_ranges(plan: &Plan) -> Vec<Range> {
    let (producer, consumer) = (&plan.workload.producer, &plan.workload.consumer);
    let in_flight = producer.max_in_flight as u64;
    // Brokers remember five batches of an idempotent producer.
    let in_flight_max = if producer.idempotence { 5 } else { 100 };
    vec![
        range(
            "workload.producer.linger_ms",
            producer.linger_ms,
            0,
            producer.delivery_timeout_ms.clamp(1, MINUTE_MS) - 1,
        ),
        range(
            "workload.producer.delivery_timeout_ms",
            producer.delivery_timeout_ms,
            1,
            10 * MINUTE_MS,
        ),
        range(
            "workload.producer.retry_backoff_ms",
            producer.retry_backoff_ms,
            0,
            MINUTE_MS,
        ),
        range(
            "workload.producer.max_in_flight",
            in_flight,
            1,
            in_flight_max,
        ),
        range(
            "workload.consumer.max_poll_records",
            consumer.max_poll_records as u64,
            1,
            1_000_000,
        ),
        range(
            "workload.consumer.fetch_max_wait_ms",
            consumer.fetch_max_wait_ms,
            0,
            MINUTE_MS,
        ),
        range(
            "workload.consumer.partition_fetch_bytes",
            consumer.partition_fetch_bytes,
            1,
            1 << 30,
        ),
    ]
}

fn time_ranges(plan: &Plan) -> Vec<Range> {
    let time = &plan.time;
    vec![
        range("time.start_deadline_ms", time.start_deadline_ms, 1, DAY_MS),
        range("time.workload_ms", time.workload_ms, 1, DAY_MS),
        range(
            "time.recovery_deadline_ms",
            time.recovery_deadline_ms,
            1,
            DAY_MS,
        ),
        range("time.final_deadline_ms", time.final_deadline_ms, 1, DAY_MS),
    ]
}

/// Whether a profile or topic may be called so; the remedy if not.
pub(super) fn is_name(text: &str) -> Result<(), &'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_name =
        (1..=100).contains(&text.len()) && text.chars().all(legal) && !text.starts_with(['.', '_']);
    let remedy = "use 1 to 100 of a-z, A-Z, 0-9, '.', '_' and '-', not '.' or '_' first";
    is_name.then_some(()).ok_or(remedy)
}

fn words(plan: &Plan) -> Option<Complaint> {
    let producer = &plan.workload.producer;
    for (field, name) in [
        ("profile", &plan.profile),
        ("cluster.topic", &plan.cluster.topic),
    ] {
        if let Err(remedy) = is_name(name) {
            return Some(Complaint::new(field, format!("{name:?}"), remedy));
        }
    }
    if producer.idempotence && producer.acks != Acks::All {
        let remedy = "it needs workload.producer.acks \"all\"";
        return Some(Complaint::new(
            "workload.producer.idempotence",
            true,
            remedy,
        ));
    }
    let unknown = |name: &&String| Sabotage::from_name(name).is_none();
    let name = plan.cluster.sabotage.as_ref().filter(unknown)?;
    let remedy = "`verdict list sabotage` names them";
    Some(Complaint::new(
        "cluster.sabotage",
        format!("{name:?}"),
        remedy,
    ))
}

fn own_setting(plan: &Plan) -> Option<Complaint> {
    let settings = &plan.cluster.broker_settings;
    let (key, value) = settings
        .iter()
        .find(|(key, _)| OWN_SETTINGS.contains(&key.as_str()))?;
    let remedy = "the harness decides it for each node; remove it";
    Some(Complaint::new(
        format!("cluster.broker_settings.{key}"),
        value,
        remedy,
    ))
}

/// What the broker itself would say about its settings.
fn broker_refusal(plan: &Plan) -> Option<Complaint> {
    let text = properties(plan, BrokerId(1), &["/data".into()]);
    let refusal = Settings::parse::<&str>(&text, &[]).err()?;
    let (field, value) = ("cluster.broker_settings", "refused by the broker");
    Some(Complaint::new(field, value, refusal.to_string()))
}

fn fault_complaint(plan: &Plan, i: usize, fault: &ScheduledFault) -> Option<Complaint> {
    let end = plan.time.workload_ms;
    if fault.heal_ms(&plan.cluster).is_none_or(|heal| heal > end) {
        let at = fault.at_ms;
        let remedy = format!(
            "with at_ms {at} it ends after time.workload_ms {end}; shorten it or raise that"
        );
        return Some(Complaint::new(
            format!("faults[{i}].for_ms"),
            fault.for_ms,
            remedy,
        ));
    }
    if fault.what.acts_on_client() != fault.what.target().is_client() {
        let remedy = "faults of clients need the role member or owner, faults of nodes another";
        let field = format!("faults[{i}].what.target");
        return Some(Complaint::new(field, fault.what.target(), remedy));
    }
    let is_kill = matches!(fault.what, FaultSpec::ClientKill { .. });
    if *fault.what.target() == Target::Producer && !is_kill {
        let remedy = "a producer can be killed; it has no session that a pause could outlive";
        let field = format!("faults[{i}].what.target");
        return Some(Complaint::new(field, fault.what.target(), remedy));
    }
    if let Some(Complaint {
        field,
        value,
        remedy,
    }) = fault
        .when
        .as_ref()
        .and_then(|when| when_complaint(plan, when))
    {
        return Some(Complaint::new(
            format!("faults[{i}].when.{field}"),
            value,
            remedy,
        ));
    }
    target_complaint(plan, fault.what.target())
        .or_else(|| parameter_complaint(&fault.what))
        .or_else(|| validate_disk::complaint(plan, &fault.what))
        .or_else(|| validate_damage::complaint(plan, fault))
        .map(|complaint| Complaint {
            field: format!("faults[{i}].what.{}", complaint.field),
            ..complaint
        })
}

/// No node is started more often in a run.
const LIVES_MAX: u64 = 1_000;

/// A condition that never holds.
fn when_complaint(plan: &Plan, when: &When) -> Option<Complaint> {
    let nodes = u64::from(plan.cluster.nodes);
    let Some((topic, partition)) = when.holds.partition() else {
        let Condition::Recovers { node, life } = &when.holds else {
            return None;
        };
        let ranges = [
            range("holds.recovers.node", *node, 1, nodes),
            range("holds.recovers.life", *life, 1, LIVES_MAX),
        ];
        return out_of_range(ranges.into_iter());
    };
    let Some(topic) = plan.topic(topic) else {
        let (field, remedy) = ("holds.topic", remedy_for_topics(plan));
        return Some(Complaint::new(field, format!("{topic:?}"), remedy));
    };
    let last = u64::try_from(topic.partitions - 1).unwrap_or(0);
    let copies = u64::try_from(topic.replication_factor).unwrap_or(0);
    let mut ranges = vec![range("holds.partition", partition, 0, last)];
    match &when.holds {
        Condition::IsrHas { replicas, .. } => {
            ranges.push(range("holds.replicas", *replicas, 0, copies));
        }
        Condition::IsrIs { nodes: isr, .. } => {
            ranges.push(range("holds.nodes.length", isr.len() as u64, 0, copies));
            ranges.extend(isr.iter().map(|node| range("holds.nodes", *node, 1, nodes)));
        }
        Condition::Recovers { .. } => {}
    }
    out_of_range(ranges.into_iter())
}

fn remedy_for_topics(plan: &Plan) -> String {
    match plan.has_several_topics() {
        true => "the plan has no such topic".to_owned(),
        false => format!("the topic of the plan is {:?}", plan.cluster.topic),
    }
}

/// A target that no cluster of this plan has.
fn target_complaint(plan: &Plan, target: &Target) -> Option<Complaint> {
    let cluster = &plan.cluster;
    match target {
        Target::Node { id } => {
            out_of_range([range("target.id", *id, 1, cluster.nodes.into())].into_iter())
        }
        Target::Leader { topic, .. }
        | Target::Follower { topic, .. }
        | Target::Followers { topic, .. }
        | Target::Owner { topic, .. }
            if plan.topic(topic).is_none() =>
        {
            let remedy = remedy_for_topics(plan);
            Some(Complaint::new("target.topic", format!("{topic:?}"), remedy))
        }
        Target::Coordinator { .. } | Target::Member | Target::AllMembers | Target::Owner { .. }
            if plan.workload.group.is_none() =>
        {
            let remedy = "only a plan with workload.group has such a one";
            Some(Complaint::new("target", target, remedy))
        }
        Target::Leader { topic, partition }
        | Target::Follower { topic, partition }
        | Target::Followers { topic, partition }
        | Target::Owner { topic, partition } => {
            let partitions = plan.topic(topic).map_or(0, |topic| topic.partitions);
            let last = u64::try_from(partitions - 1).unwrap_or(0);
            out_of_range([range("target.partition", *partition, 0, last)].into_iter())
        }
        Target::Random
        | Target::Controller
        | Target::OnlyReplicaInIsr
        | Target::All
        | Target::Coordinator { .. }
        | Target::Member
        | Target::AllMembers
        | Target::Producer => None,
    }
}

fn parameter_complaint(fault: &FaultSpec) -> Option<Complaint> {
    let ranges = match fault {
        FaultSpec::Delay {
            mean_ms, jitter_ms, ..
        } => vec![
            range("mean_ms", *mean_ms, 0, MINUTE_MS),
            range("jitter_ms", *jitter_ms, 0, *mean_ms),
        ],
        FaultSpec::Bandwidth {
            bytes_per_second, ..
        } => vec![range("bytes_per_second", *bytes_per_second, 1, 1 << 40)],
        FaultSpec::Frame { rule, .. } => return rule_complaint(rule),
        _ => vec![],
    };
    out_of_range(ranges.into_iter())
}

fn rule_complaint(rule: &FrameRule) -> Option<Complaint> {
    if let FramePick::Probability(chance) = rule.pick
        && !(0.0..=1.0).contains(&chance)
    {
        return Some(Complaint::new("rule.pick", chance, "it must be 0 to 1"));
    }
    let pick = match rule.pick {
        FramePick::Nth(number) => Some(range("rule.pick", number, 1, u64::MAX)),
        FramePick::All | FramePick::Probability(_) => None,
    };
    let action = match rule.action {
        FrameAction::Delay(millis) => Some(range("rule.action", millis, 0, MINUTE_MS)),
        FrameAction::Drop | FrameAction::Reset | FrameAction::Hold => None,
    };
    out_of_range(pick.into_iter().chain(action))
}
