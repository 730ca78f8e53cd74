//! `unbounded-duplicate`: the client commits by itself, and the group repeated more than that lets
//! it.
//!
//! Kafka looks at its timer in every poll and at no other time
//! (`ConsumerCoordinator.maybeAutoCommitOffsetsAsync`): if `auto.commit.interval.ms` is over, the
//! poll sends a commit of all positions, which lie behind all that earlier polls gave out. So what
//! was processed at `t` is in a commit by the first poll that is invoked at `t + interval` or
//! later. For either the last auto commit was begun after `t`, and then in a poll that came after
//! the record's, or the timer is over. No slack is added: a clock is read after the poll is
//! invoked, and was read before `t`. A longer pause between two polls, and the session timeout
//! after a crash, come on top: they lengthen the wait and repeat nothing that a poll had to commit.
//!
//! Who crashes before that poll repeats its records legally. What counts is that a commit was
//! *sent*: one that was refused or lost repeats records, and nobody is to blame here. A rebalance
//! may take the place of an auto commit (that of an earlier generation is dropped), so the interval
//! begins anew with what the listener is told; while a commit is open the next one waits for it.
//! By the end of the next poll a commit that was begun is in the history.
//!
//! All this holds while the member keeps the partition. A task that was handed records may process
//! them after their partition went and came back: the positions have then gone back, too.

use rustc_hash::FxHashMap;

use crate::group::Share;
use crate::group::rows::{Due, NEVER, ProcessRow, Stint};
use crate::history::CommitMode;
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let mode = share.settings.mode;
    if !matches!(mode, CommitMode::AutoInLoop | CommitMode::AutoHandoff) {
        return;
    }
    let furthest = furthest_sent(share);
    let mut last: FxHashMap<i64, &ProcessRow> = FxHashMap::default();
    for again in share.rows.processed.iter().filter(|r| r.completed != NEVER) {
        let Some(first) = last.insert(again.offset, again) else {
            continue;
        };
        if let Some(due) = overdue(share, &furthest, first, again.invoked) {
            findings.report(again.completed, || finding(share, first, due, again));
        }
    }
}

/// For each commit when it was invoked and the greatest offset of those so far; both ascend.
pub(crate) fn furthest_sent(share: &Share<'_>) -> Vec<(u32, i64)> {
    let mut furthest = i64::MIN;
    let sent = share.rows.sent.iter().map(|(invoked, offset)| {
        furthest = furthest.max(*offset);
        (*invoked, furthest)
    });
    sent.collect()
}

/// The poll before `again` that was due to commit what was processed, if neither it nor anybody
/// before has.
pub(crate) fn overdue(
    share: &Share<'_>,
    furthest: &[(u32, i64)],
    first: &ProcessRow,
    again: u32,
) -> Option<Due> {
    let consumer = share.consumer(first.consumer)?;
    let interval = share.settings.auto_commit_interval_ms;
    let interval = interval.saturating_mul(1_000_000);
    let from = share.time(first.completed).saturating_add(interval);
    let due = consumer
        .due
        .partition_point(|due| share.time(due.invoked) < from);
    let due = *consumer.due.get(due)?;
    let place = furthest.partition_point(|(_, offset)| *offset <= first.offset);
    let was_sent = furthest
        .get(place)
        .is_some_and(|(invoked, _)| *invoked < due.by);
    let is_overdue = !was_sent && due.by < again && due.by < kept_until(share, first)?;
    is_overdue.then_some(due)
}

/// How long its member kept the partition from the poll on that gave the record out.
fn kept_until(share: &Share<'_>, processed: &ProcessRow) -> Option<u32> {
    let mut polls = share.rows.polls.iter().rev();
    let given = polls.find(|poll| {
        poll.consumer == processed.consumer
            && poll.completed < processed.invoked
            && (poll.first..=poll.last).contains(&processed.offset)
    })?;
    let mut stints = share.rows.stints.iter().rev();
    let held = |stint: &&Stint| stint.consumer == given.consumer && stint.from < given.completed;
    stints.find(held).map(|stint| stint.to)
}

fn finding(share: &Share<'_>, first: &ProcessRow, due: Due, again: &ProcessRow) -> Finding {
    let (key, group, offset) = (share.key(), &share.group.name, first.offset);
    let (a, b) = (share.name(first.consumer), share.name(again.consumer));
    let slot = share.log.order.slots.at_or_after(offset);
    let value = share.log.value_at(slot);
    let interval = share.settings.auto_commit_interval_ms;
    let explanation = format!(
        "{value} at offset {offset} of {key} was processed twice by group {group}, first by {a} \
         and {} later by {b}: {a} polled {} after it had processed it, was due to commit every \
         {interval} ms, and sent no commit of it",
        share.apart(first.completed, again.completed),
        share.apart(first.completed, due.invoked),
    );
    let witness = vec![
        Seen::new(first.completed, format!("{a} processes {value}")),
        Seen::new(due.invoked, format!("{a} polls and is due to commit it")),
        Seen::new(again.completed, format!("{b} processes {value} again")),
    ];
    Finding {
        offsets: (offset, offset),
        witness,
        explanation,
    }
}
