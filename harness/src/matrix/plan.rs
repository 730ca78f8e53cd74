//! From a column, a pack of rows and a seed to the plan of one run.
//!
//! In: a name of a class of faults, the rows that the run shall cover, a seed. Out: a short plan,
//! or why that column has no meaning for these rows.
//! Invariant: the faults of a plan are those of its column, and what makes their effect visible:
//! a control that is promised nothing has to show a loss, or it has shown nothing. So before a
//! leader goes it is cut off from its followers for a moment, and has records that nobody else has.

use checkers::history::{Acks as HistoryAcks, CommitMode};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::cli::Flush;
use crate::matrix::column::{self, Column};
use crate::matrix::control::{commits_first, shows_repetition};
use crate::matrix::scene;
use crate::matrix::{Pack, Row};
use crate::plan::profile;
use crate::plan::{GroupPlan, Plan, TopicPlan, disk};
use crate::worker::protocol::Acks;

/// Plans of the matrix have draws of their own.
const STREAM: u64 = 1 << 42;

/// The longest workload of a pack of durability rows, in milliseconds: room for two faults of two
/// seconds.
const DURABILITY_MS: u64 = 5_500;

/// The workload of a group, whose sessions last a second or more.
const GROUP_MS: u64 = 6_500;

/// How long clients go on after the last fault, in milliseconds: they see it healed.
const AFTER_HEAL_MS: u64 = 600;

/// The shortest workload, in milliseconds: a group has committed several times by then.
const LEAST_MS: u64 = 3_000;

/// One leader on each of three nodes, so that whoever is struck leads a partition of every topic.
const PARTITIONS: i32 = 3;

/// Sends a second to one partition, about; records that are sent while a leader is cut off are the
/// ones that can be lost.
const SENDS_PER_PARTITION: u32 = 10;

/// The plan of one run that covers all rows of `pack` under `column`.
///
/// # Errors
/// Why the column is not exercised for these rows, or that no column is called so.
pub fn plan(column: &str, pack: Pack, seed: u64) -> Result<Plan, String> {
    let column = column::find(column).ok_or_else(|| {
        let names = column::names();
        format!("no column is called `{column}`; there are {names}")
    })?;
    column.refuses(pack)?;
    let mut plan = match pack {
        Pack::Durability(flush) => durability(seed, flush, column),
        Pack::Mode(mode) => group(seed, mode, column),
    };
    plan.profile = format!("matrix-{}", column.name);
    if column.needs_disks() {
        disk::draw_into(seed, &mut plan.cluster);
    }
    if column.name == "disk-stall" {
        disk::make_impatient(seed, &mut plan.cluster);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    plan.faults = scene::draw(&mut rng, column.name, &plan);
    plan.faults.sort_by_key(|fault| fault.at_ms);
    // What would only be waited for after the last fault is better spent on another run.
    let needed_ms = (plan.last_heal_ms() + AFTER_HEAL_MS).max(LEAST_MS);
    plan.time.workload_ms = plan.time.workload_ms.min(needed_ms);
    Ok(plan)
}

impl Column {
    /// Why it has no meaning for these rows, if so.
    fn refuses(&self, pack: Pack) -> Result<(), String> {
        let of_groups = ["group-churn", "coordinator-kill", "client-pause"];
        match (self.name, pack) {
            ("reassignment", _) => Err("the broker has no partition reassignment yet".to_owned()),
            (name, Pack::Durability(_)) if of_groups.contains(&name) => Err(format!(
                "{name} is about the members of a group, and these rows have none"
            )),
            _ => Ok(()),
        }
    }

    /// Whether its faults act on faulty disks.
    fn needs_disks(&self) -> bool {
        let of_disks = ["disk-stall", "disk-error", "disk-full"];
        let of_power = ["power-loss-one", "power-loss-all", "corruption"];
        of_disks.contains(&self.name) || of_power.contains(&self.name)
    }
}

/// The topics of all durability rows, and producers that send to all of them all the time.
fn durability(seed: u64, flush: Flush, column: &Column) -> Plan {
    let mut plan = base(seed, DURABILITY_MS);
    let topics = Pack::Durability(flush)
        .rows()
        .into_iter()
        .filter_map(|row| topic_of(row, column));
    let (own, further): (Vec<_>, Vec<_>) = topics.partition(is_strongest);
    if let Some(own) = own.into_iter().next() {
        plan.cluster.topic = own.name;
    }
    plan.cluster.partitions = PARTITIONS;
    plan.cluster.further_topics = further;
    plan.flush_every_message(flush == Flush::Every);
    // As many of each of the three ways to send.
    let partitions = plan.partitions_of(&plan.way_of(0)).len() as u32;
    let workload = &mut plan.workload;
    workload.payload_bytes = [16, 256];
    workload.producer.delivery_timeout_ms = 2_000;
    workload.producer.linger_ms = 0;
    workload.polls_per_assignment = 2;
    workload.poll_timeout_ms = 100;
    workload.producers = 3;
    workload.processes_per_producer = partitions;
    workload.sends_per_second = 3 * partitions * SENDS_PER_PARTITION;
    plan
}

/// The topic of the plan itself: the strongest row that a failure leaves available.
fn is_strongest(topic: &TopicPlan) -> bool {
    let copies = (topic.replication_factor, topic.min_insync_replicas);
    topic.acks == Acks::All && copies == (3, 2)
}

/// The topic of a durability row: `all-rf3-isr2`.
fn topic_of(row: Row, column: &Column) -> Option<TopicPlan> {
    let Row::Durability {
        acks,
        replication_factor,
        min_insync_replicas,
        ..
    } = row
    else {
        return None;
    };
    let (acks, word) = match acks {
        HistoryAcks::Zero => (Acks::Zero, "0"),
        HistoryAcks::One => (Acks::One, "1"),
        HistoryAcks::All => (Acks::All, "all"),
    };
    Some(TopicPlan {
        name: format!("{word}-rf{replication_factor}-isr{min_insync_replicas}"),
        partitions: match replication_factor {
            // A replica in either directory of every node, whichever is struck.
            1 if column.needs_disks() => 2 * PARTITIONS,
            _ => PARTITIONS,
        },
        replication_factor: replication_factor as i16,
        min_insync_replicas: min_insync_replicas as i16,
        acks,
        idempotence: acks == Acks::All,
    })
}

/// A group that commits in this mode.
fn group(seed: u64, mode: CommitMode, column: &Column) -> Plan {
    let mut plan = base(seed, GROUP_MS);
    GroupPlan::draw_into(&mut plan, Some(mode));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM + 1);
    // Fewer have more to do each, and a short run has time for few rebalances.
    plan.workload.consumers = rng.random_range(3..=4);
    if let Some(group) = &mut plan.workload.group {
        group.session_timeout_ms = 1_000;
        // Who is replaced at once has its old name: no rebalance, and nothing to see.
        group.static_members &= column.name != "group-churn";
    }
    // Who is always at its work holds something when it dies: committed first it is lost, and
    // committed after it is repeated.
    if commits_first(mode) || shows_repetition(column.name, Row::Mode(mode)) {
        plan.let_work_pile_up();
    }
    if mode == CommitMode::AutoHandoff
        && let Some(group) = &mut plan.workload.group
    {
        // Slower than sending, so that work waits for longer than the client does to commit it.
        let [least, most] = group.process_ms;
        group.process_ms = [2 * least, least + most];
        group.auto_commit_interval_ms = match column.name {
            // Nothing that was processed is committed when the first member dies.
            "group-churn" => 1_250,
            _ => 500,
        };
    }
    plan
}

fn base(seed: u64, workload_ms: u64) -> Plan {
    let none = profile::find("none").expect("invariant: the control is a profile");
    let mut plan = Plan::draw_with(seed, none, workload_ms);
    let settings = &mut plan.cluster.broker_settings;
    // Short, so that a run has time for what follows.
    settings.insert("broker.session.timeout.ms".to_owned(), "1000".to_owned());
    settings.insert("replica.lag.time.max.ms".to_owned(), "800".to_owned());
    plan
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod plan_test;
