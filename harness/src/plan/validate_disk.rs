//! Which faults of log directories make no sense in a plan.
//!
//! In: a fault of a plan. Out: its first field that cannot be carried out, with the remedy.
//! Invariant: what passes here acts on faulty disks that the plan has, and can have an effect.

use crate::disk::rule::{DiskAction, DiskPick, DiskRule, OperationClass, Survival};
use crate::nemesis::{DirectoryPick, FaultSpec};
use crate::plan::validate::{Complaint, MINUTE_MS, Range, out_of_range, range};
use crate::plan::{Plan, quota};

/// Larger than any write of a broker.
const TORN_BYTES_MAX: u64 = 1 << 30;
/// More than any disk of a run has.
const LEFT_BYTES_MAX: u64 = 1 << 50;

/// The first field that cannot be carried out; its path begins after `what`.
pub(super) fn complaint(plan: &Plan, fault: &FaultSpec) -> Option<Complaint> {
    if fault.needs_disks() && plan.cluster.disk.is_none() {
        let remedy = match plan.cluster.tmpfs_mib {
            Some(_) => {
                "it acts on faulty disks only, which a tmpfs is none of; put cluster.disk in the \
                 place of cluster.tmpfs_mib"
            }
            None => "it acts on faulty disks only; add cluster.disk, for example {\"fsync_ms\": 0}",
        };
        return Some(Complaint::new("fault", fault.name(), remedy));
    }
    match fault {
        FaultSpec::Disk {
            directory, rule, ..
        } => out_of_range(pick_range(rule).into_iter().chain(action_ranges(rule)))
            .or_else(|| idle(rule))
            .or_else(|| holding(plan, directory)),
        FaultSpec::PowerLoss {
            survival,
            stagger_ms,
            ..
        } => {
            let stagger = range("stagger_ms", *stagger_ms, 0, MINUTE_MS);
            let chance = match survival {
                Survival::Subset(chance) => Some(range("survival", *chance, 0, 1_000)),
                Survival::None | Survival::Prefix | Survival::Torn => None,
            };
            out_of_range(chance.into_iter().chain([stagger]))
        }
        FaultSpec::DiskQuota {
            directory, left, ..
        } => quota::complaint(plan, directory, *left),
        _ => None,
    }
}

fn pick_range(rule: &DiskRule) -> Option<Range> {
    match rule.pick {
        DiskPick::Every => None,
        DiskPick::Nth(number) | DiskPick::From(number) => {
            Some(range("rule.pick", number, 1, u64::MAX))
        }
        DiskPick::PerMille(chance) => Some(range("rule.pick", chance, 1, 1_000)),
    }
}

fn action_ranges(rule: &DiskRule) -> Vec<Range> {
    match rule.action {
        DiskAction::OnOff { off_ms, on_ms } => vec![
            range("rule.action.off_ms", off_ms, 1, MINUTE_MS),
            range("rule.action.on_ms", on_ms, 1, MINUTE_MS),
        ],
        DiskAction::Slow { mean_ms, jitter_ms } => vec![
            range("rule.action.mean_ms", mean_ms, 0, MINUTE_MS),
            range("rule.action.jitter_ms", jitter_ms, 0, mean_ms),
        ],
        DiskAction::Full { left_bytes, .. } => {
            vec![range(
                "rule.action.left_bytes",
                left_bytes,
                0,
                LEFT_BYTES_MAX,
            )]
        }
        DiskAction::Torn { bytes } => {
            vec![range("rule.action.bytes", bytes, 0, TORN_BYTES_MAX)]
        }
        DiskAction::Stall
        | DiskAction::Error { .. }
        | DiskAction::Short
        | DiskAction::Lie
        | DiskAction::FlipOnRead => vec![],
    }
}

/// An action that can happen to none of the rule's operations.
fn idle(rule: &DiskRule) -> Option<Complaint> {
    use OperationClass::{Create, Read, SetLength, Sync, SyncDirectory, Write};
    let fitting: &[OperationClass] = match rule.action {
        DiskAction::Short | DiskAction::Torn { .. } => &[Write],
        DiskAction::Lie => &[Sync, SyncDirectory],
        DiskAction::FlipOnRead => &[Read],
        DiskAction::Full { .. } => &[Write, Create, SetLength],
        _ => return None,
    };
    let is_idle = !rule.operations.is_empty()
        && rule
            .operations
            .iter()
            .all(|operation| !fitting.contains(operation));
    let remedy = format!("this action only happens to {fitting:?}; name one of them, or none");
    is_idle.then(|| Complaint::new("rule.operations", format!("{:?}", rule.operations), remedy))
}

/// The directory that holds a partition, which must be one of the plan's topic.
pub(super) fn holding(plan: &Plan, directory: &DirectoryPick) -> Option<Complaint> {
    let DirectoryPick::Holding { topic, partition } = directory else {
        return None;
    };
    let cluster = &plan.cluster;
    if *topic != cluster.topic {
        let remedy = format!("the topic of the plan is {:?}", cluster.topic);
        let value = format!("{topic:?}");
        return Some(Complaint::new("directory.holding.topic", value, remedy));
    }
    let last = u64::try_from(cluster.partitions - 1).unwrap_or(0);
    out_of_range([range("directory.holding.partition", *partition, 0, last)].into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::journal::NameDurability;
    use crate::nemesis::Target;
    use crate::plan::DiskPlan;
    use crate::plan::profile::PROFILES;

    fn plan() -> Plan {
        let mut plan = Plan::draw(1, &PROFILES[0]);
        plan.cluster.disk = Some(DiskPlan {
            fsync_ms: 0,
            quota_mib: None,
            names: NameDurability::default(),
        });
        plan
    }

    fn disk(operations: &[OperationClass], pick: DiskPick, action: DiskAction) -> FaultSpec {
        FaultSpec::Disk {
            target: Target::Random,
            directory: DirectoryPick::Any,
            rule: DiskRule {
                operations: operations.to_vec(),
                files: vec![],
                pick,
                action,
            },
        }
    }

    fn power_loss(survival: Survival) -> FaultSpec {
        FaultSpec::PowerLoss {
            target: Target::All,
            survival,
            stagger_ms: 0,
        }
    }

    #[test]
    fn a_plan_without_faulty_disks_is_told_what_it_lacks() {
        let mut plan = plan();
        plan.cluster.disk = None;
        for fault in [
            disk(&[], DiskPick::Every, DiskAction::Stall),
            power_loss(Survival::None),
        ] {
            let complaint = complaint(&plan, &fault).expect("refused");
            assert!(
                complaint.remedy.contains("cluster.disk"),
                "{}",
                complaint.remedy
            );
        }
    }

    #[test]
    fn what_could_never_act_is_refused_with_its_field() {
        let slow = DiskAction::Slow {
            mean_ms: 5,
            jitter_ms: 6,
        };
        let holding = FaultSpec::Disk {
            target: Target::All,
            directory: DirectoryPick::Holding {
                topic: "other".to_owned(),
                partition: 0,
            },
            rule: DiskRule {
                operations: vec![],
                files: vec![],
                pick: DiskPick::Every,
                action: DiskAction::Stall,
            },
        };
        let (read, sync) = ([OperationClass::Read], [OperationClass::Sync]);
        for (fault, expected) in [
            (disk(&[], DiskPick::Nth(1), DiskAction::Lie), None),
            (disk(&sync, DiskPick::Every, DiskAction::Lie), None),
            (
                disk(&read, DiskPick::Every, DiskAction::Lie),
                Some("rule.operations"),
            ),
            (
                disk(&sync, DiskPick::Every, DiskAction::Short),
                Some("rule.operations"),
            ),
            (
                disk(&[], DiskPick::From(0), DiskAction::Stall),
                Some("rule.pick"),
            ),
            (
                disk(&[], DiskPick::PerMille(1_001), DiskAction::Stall),
                Some("rule.pick"),
            ),
            (
                disk(&[], DiskPick::Every, slow),
                Some("rule.action.jitter_ms"),
            ),
            (holding, Some("directory.holding.topic")),
            (power_loss(Survival::Subset(1_000)), None),
            (power_loss(Survival::Subset(1_001)), Some("survival")),
        ] {
            let field = complaint(&plan(), &fault).map(|complaint| complaint.field);
            assert_eq!(field.as_deref(), expected, "{fault:?}");
        }
    }
}
