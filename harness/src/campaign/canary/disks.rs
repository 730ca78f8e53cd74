//! The incidents on faulty disks that show planted bugs of storage.
//!
//! In: a seed. Out: the plan of a run. Invariant: without the bug such a plan keeps every promise.
//! Most clusters have one node, one copy of everything: what its disk loses is lost. Where a
//! replica must come back with less than it had, and lead, or nodes vote, there are three. With
//! segments of a kilobyte every batch is a segment.

use crate::disk::journal::NameDurability;
use crate::disk::rule::{
    DiskAction, DiskErrno, DiskPick, DiskRule, FileClass, OperationClass, Survival,
};
use crate::link::{FrameAction, FramePick, FrameRule, FrameSide};
use crate::nemesis::{Damage, DirectoryPick, FaultSpec, FileKind, PartitionShape, Target};
use crate::plan::{Condition, DiskPlan, Plan, ScheduledFault, When};
use crate::worker::protocol::Compression;

use super::drawn;

const CHECKPOINT_INTERVAL: &str = "replica.high.watermark.checkpoint.interval.ms";

/// An fsync takes a moment, in which much is under way.
const DISK: DiskPlan = DiskPlan {
    fsync_ms: 10,
    quota_mib: None,
    names: NameDurability::WithFile,
};

/// One node that flushes every message.
fn one_node(seed: u64, workload_ms: u64) -> Plan {
    let mut plan = three_nodes(seed, workload_ms);
    let cluster = &mut plan.cluster;
    cluster.nodes = 1;
    cluster.replication_factor = 1;
    cluster.min_insync_replicas = 1;
    plan.workload.processes_per_producer = 10;
    set(&mut plan, "log.flush.interval.messages", "1");
    plan
}

/// Three nodes and one partition, every send a batch of its own.
fn three_nodes(seed: u64, workload_ms: u64) -> Plan {
    let mut plan = drawn("none", seed, workload_ms);
    plan.cluster.partitions = 1;
    plan.cluster.disk = Some(DISK);
    plan.workload.producers = 2;
    plan.workload.consumers = 2;
    plan.workload.processes_per_producer = 3;
    plan.workload.payload_bytes = [16, 256];
    plan.workload.producer.linger_ms = 0;
    plan.time.recovery_deadline_ms = 8_000;
    set(&mut plan, CHECKPOINT_INTERVAL, "100");
    plan
}

/// Every node loses its power, and all that it had not flushed.
pub(super) fn power_goes(seed: u64) -> Plan {
    let mut plan = one_node(seed, 3_000);
    // While a checkpoint is fsynced nothing is appended that could be lost.
    set(&mut plan, CHECKPOINT_INTERVAL, "60000");
    plan.faults = vec![fault(
        seed,
        1_500,
        500,
        power_loss(Target::All, Survival::None),
    )];
    plan
}

/// All of three nodes lose their power, and with it what they voted unless that was flushed: the
/// metadata log, which was, knows of an epoch in which a node may have voted then, so that it does
/// not start. One reader does not come to everything before.
pub(super) fn power_of_all_goes(seed: u64) -> Plan {
    let mut plan = three_nodes(seed, 3_000);
    plan.cluster.partitions = 6;
    plan.workload.consumers = 1;
    plan.time.final_deadline_ms = 8_000;
    set(&mut plan, "log.flush.interval.messages", "1");
    plan.faults = vec![fault(
        seed,
        1_500,
        500,
        power_loss(Target::All, Survival::None),
    )];
    plan
}

/// What a failed fsync should have written is lost with the power.
pub(super) fn power_goes_after_failed_fsyncs(seed: u64) -> Plan {
    let mut plan = one_node(seed, 3_500);
    let rule = DiskRule {
        operations: vec![OperationClass::Sync],
        files: vec![FileClass::Segment],
        pick: DiskPick::Every,
        action: DiskAction::Error {
            errno: DiskErrno::Eio,
        },
    };
    let failing = FaultSpec::Disk {
        target: Target::All,
        directory: DirectoryPick::All,
        rule,
    };
    plan.faults = vec![
        fault(seed, 1_000, 1_200, failing),
        fault(seed, 1_900, 500, power_loss(Target::All, Survival::None)),
    ];
    plan
}

/// The power goes after many segments were begun, on a disk that keeps a name only if its
/// directory was synced.
pub(super) fn power_goes_after_rolls(seed: u64) -> Plan {
    let mut plan = power_goes(seed);
    plan.cluster.disk = Some(DiskPlan {
        names: NameDurability::DirectoryOnly,
        ..DISK
    });
    set(&mut plan, "log.segment.bytes", "1024");
    plan
}

/// One write fails half-way; then the node is killed, and has to find what it wrote behind it.
pub(super) fn a_write_fails(seed: u64) -> Plan {
    let mut plan = one_node(seed, 4_000);
    flush_never(&mut plan);
    let rule = DiskRule {
        operations: vec![OperationClass::Write],
        files: vec![FileClass::Segment],
        pick: DiskPick::Nth(3),
        action: DiskAction::Torn { bytes: 20 },
    };
    let tears = FaultSpec::Disk {
        target: Target::All,
        directory: DirectoryPick::All,
        rule,
    };
    plan.faults = vec![
        fault(seed, 1_000, 400, tears),
        fault(seed, 2_400, 500, kill(Target::All)),
    ];
    plan
}

/// The end of the last record turns to zeroes while its node is down. Uncompressed, it is still a
/// record, of something that nobody sent.
pub(super) fn the_last_record_changes(seed: u64) -> Plan {
    let mut plan = one_node(seed, 3_000);
    flush_never(&mut plan);
    plan.workload.payload_bytes = [200, 600];
    plan.workload.producer.compression = Compression::None;
    let zeroes = FaultSpec::Damage {
        target: Target::All,
        directory: DirectoryPick::All,
        damage: Damage::ZeroTail {
            files: FileKind::Segment,
            files_max: 1,
            bytes: 40,
        },
        clean: false,
    };
    plan.faults = vec![fault(seed, 1_500, 500, zeroes)];
    plan
}

/// The answers to producers are lost, then the power of the node; so all that was under way is
/// sent again to a node that has to know it from its disk.
///
/// Every record is a segment: of a producer with a batch behind the last snapshot the node would
/// know where it is, and take none of the others again.
pub(super) fn retries_after_power_loss(seed: u64) -> Plan {
    let mut plan = one_node(seed, 4_500);
    set(&mut plan, "log.segment.bytes", "1024");
    plan.workload.processes_per_producer = 3;
    plan.workload.payload_bytes = [500, 700];
    plan.workload.producer.compression = Compression::None;
    plan.workload.producer.delivery_timeout_ms = 4_000;
    let rule = FrameRule {
        side: FrameSide::Response,
        api: Some(PRODUCE),
        pick: FramePick::All,
        action: FrameAction::Drop,
    };
    let unanswered = FaultSpec::Frame {
        target: Target::All,
        rule,
    };
    plan.faults = vec![
        fault(seed, 1_200, 800, unanswered),
        fault(seed, 1_900, 500, power_loss(Target::All, Survival::None)),
    ];
    plan
}

/// The leader loses some of its last segments while later ones are whole; it comes back, catches
/// up, and leads again once its successor is stopped.
pub(super) fn a_replica_with_gaps_leads(seed: u64) -> Plan {
    let mut plan = gaps(seed, 8_000);
    plan.faults = vec![
        fault(seed, 2_500, 600, power_loss(leader(&plan), SOME)),
        fault(seed, 5_500, 800, stop(leader(&plan))),
    ];
    plan
}

/// Every batch is a segment, and flushed are some at a time only, so that much can be lost. The
/// first flush writes the epochs, without which recovery trusts nothing.
fn gaps(seed: u64, workload_ms: u64) -> Plan {
    let mut plan = three_nodes(seed, workload_ms);
    set(&mut plan, "log.segment.bytes", "1024");
    set(&mut plan, "log.flush.interval.messages", "30");
    plan.cluster.disk = Some(DiskPlan {
        fsync_ms: 1,
        ..DISK
    });
    plan.workload.payload_bytes = [300, 800];
    plan
}

/// A leader alone writes what nobody acknowledges; its successor goes on without it; then all lose
/// their power, and with it the knowledge where epochs begin, by which the successor would have
/// told it to cut that off. It leads again once that one is killed.
///
/// Only what both wrote can differ, so the power stays until producers have found the successor:
/// they ask another node after each timeout, and the one that is alone still names itself. And it
/// has to be in sync again before the kill, so it may not miss much: every segment takes a fetch,
/// and its end must not lie inside a batch of the successor, so no batch has several records.
pub(super) fn a_diverged_replica_leads_after_power_loss(seed: u64) -> Plan {
    let mut plan = three_nodes(seed, 14_500);
    set(&mut plan, "log.segment.bytes", "2048");
    set(&mut plan, "log.flush.interval.messages", "1");
    plan.workload.producers = 6;
    plan.workload.processes_per_producer = 1;
    plan.workload.sends_per_second = 50;
    plan.workload.request_timeout_ms = 500;
    let alone = FaultSpec::Partition {
        target: leader(&plan),
        shape: PartitionShape::IsolateFromNodes,
    };
    let power = power_loss(Target::All, Survival::None);
    plan.faults = vec![
        fault(seed, 1_000, 7_000, alone),
        ScheduledFault {
            when: Some(isr_has(&plan, 2, 3_500, 3_200)),
            ..fault(seed, 1_100, 600, power)
        },
        ScheduledFault {
            when: Some(isr_has(&plan, 3, 5_000, 300)),
            ..fault(seed, 8_100, 800, kill(leader(&plan)))
        },
    ];
    plan
}

fn isr_has(plan: &Plan, replicas: u32, within_ms: u64, after_ms: u64) -> When {
    When {
        holds: Condition::IsrHas {
            topic: plan.cluster.topic.clone(),
            partition: 0,
            replicas,
        },
        within_ms,
        after_ms,
        is_needed: false,
    }
}

/// The API key of Produce.
const PRODUCE: i16 = 0;

/// Half of what was not flushed survives, in any mixture.
const SOME: Survival = Survival::Subset(500);

fn leader(plan: &Plan) -> Target {
    Target::Leader {
        topic: plan.cluster.topic.clone(),
        partition: 0,
    }
}

fn kill(target: Target) -> FaultSpec {
    FaultSpec::Kill { target }
}

/// In order, for a node that stops uncleanly may lose what it did not flush.
fn stop(target: Target) -> FaultSpec {
    FaultSpec::Terminate { target }
}

fn power_loss(target: Target, survival: Survival) -> FaultSpec {
    FaultSpec::PowerLoss {
        target,
        survival,
        stagger_ms: 0,
    }
}

fn fault(seed: u64, at_ms: u64, for_ms: u64, what: FaultSpec) -> ScheduledFault {
    ScheduledFault {
        at_ms,
        for_ms,
        draw: (seed as u32).wrapping_mul(0x9E37_79B9),
        when: None,
        what,
    }
}

fn flush_never(plan: &mut Plan) {
    plan.flush_every_message(false);
}

fn set(plan: &mut Plan, key: &str, value: &str) {
    let settings = &mut plan.cluster.broker_settings;
    settings.insert(key.to_owned(), value.to_owned());
}
