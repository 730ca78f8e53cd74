//! How much was judged: the numbers beside a verdict.

use crate::anomaly::Kind;
use crate::group::Groups;
use crate::group::rows::NEVER;
use crate::history::History;
use crate::history::columns::{Columns, Outcome, Partition};
use crate::verdict::{Check, Counts, GroupCounts};

/// The numbers of a history and of what was found in it.
pub(crate) fn counts(
    history: &History,
    columns: &Columns,
    groups: &Groups,
    checks: &[Check],
) -> Counts {
    let mut counts = Counts {
        events: history.ops.len() as u64,
        partitions: columns.partitions.len() as u64,
        group: of_groups(groups),
        ..Counts::default()
    };
    for Partition {
        sends,
        values,
        ends,
        ..
    } in &columns.partitions
    {
        let of = |outcome| sends.iter().filter(|send| send.outcome == outcome).count() as u64;
        counts.acknowledged += of(Outcome::Acked);
        counts.failed += of(Outcome::Failed);
        counts.unknown += of(Outcome::Unknown) + of(Outcome::Unplaced);
        counts.read += values.len() as u64;
        counts.end_reads += ends.len() as u64;
    }
    let found = |kind: Kind| {
        let of_kind = checks.iter().filter(|check| check.anomaly == kind);
        of_kind.map(|check| check.count).sum()
    };
    counts.group.duplicates = found(Kind::GroupDuplicate);
    counts.group.lost = found(Kind::GroupLost);
    counts
}

fn of_groups(groups: &Groups) -> GroupCounts {
    let consumers = groups.consumers.iter();
    let mut counts = GroupCounts {
        consumers: groups.consumers.len() as u64,
        crashed: consumers
            .clone()
            .filter(|consumer| consumer.crashed)
            .count() as u64,
        rebalances: consumers.map(|consumer| consumer.events.len() as u64).sum(),
        generations: groups
            .all
            .iter()
            .map(|group| group.generations.len() as u64)
            .sum(),
        commits_failed: groups.commits_failed,
        ..GroupCounts::default()
    };
    for rows in groups.all.iter().flat_map(|group| &group.partitions) {
        let processed = rows
            .processed
            .iter()
            .filter(|row| row.completed != NEVER)
            .count();
        counts.processed += processed as u64;
        counts.processed_unknown += (rows.processed.len() - processed) as u64;
        let acked = rows.commits.iter().filter(|commit| commit.is_acked).count();
        counts.commits += acked as u64;
        counts.commits_unknown += (rows.commits.len() - acked) as u64;
        counts.resumes += rows.resumes.len() as u64;
    }
    counts
}
