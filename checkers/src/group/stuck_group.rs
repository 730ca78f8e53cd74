//! `stuck-group`: after everything was healed, the group did not work off what was left before the
//! deadline of the drain.
//!
//! Records that nobody processed and no position has passed; or, where members commit for
//! certain in the end, processed ones that were never committed. A commit of `commit_async` is not
//! repeated, so there the last one may be missing. A client that commits by itself does so once
//! more when it leaves, after the deadline: it is judged by the poll that was due to commit, as in
//! `unbounded-duplicate`. Without a living member nothing is promised.

use crate::group::Share;
use crate::group::group_lost::start;
use crate::group::rows::{Due, ProcessRow};
use crate::group::unbounded_duplicate::{furthest_sent, overdue};
use crate::history::CommitMode;
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let Some(drain) = share.drain().filter(|drain| !drain.done) else {
        return;
    };
    let topic = share.key().topic();
    let mut living = share.living(drain.completed);
    if !living.any(|(_, consumer)| consumer.topics.iter().any(|t| t == topic)) {
        return;
    }
    let slots = &share.log.order.slots;
    let Some(last) = (0..slots.len())
        .rev()
        .find(|slot| share.was_returned(*slot))
    else {
        return;
    };
    let end = slots.offset(last).saturating_add(1);
    let (committed, read) = share.final_committed().unwrap_or((None, drain.completed));
    let processed = share
        .rows
        .processed
        .iter()
        .map(|row| row.offset.saturating_add(1))
        .max();
    let resumed = share.rows.resumes.iter().map(|row| row.offset).max();
    let reached = processed
        .max(resumed)
        .max(committed)
        .unwrap_or(0)
        .max(start(share))
        .max(0);
    if reached < end {
        let words = format!(
            "processed nothing of {} from offset {reached} on",
            share.key()
        );
        findings.report(drain.completed, || {
            finding(share, (reached, end), read, &words)
        });
        return;
    }
    let commits_in_the_end = share.settings.mode != CommitMode::AsyncAfter;
    let committed = committed.unwrap_or(0).max(start(share)).max(0);
    if commits_in_the_end && read > drain.completed && committed < end && processed.is_some() {
        let words = format!(
            "committed nothing of {} beyond offset {committed}",
            share.key()
        );
        findings.report(drain.completed, || {
            finding(share, (committed, end), read, &words)
        });
    } else if let Some((last, due)) = unsent(share, drain.completed) {
        findings.report(drain.completed, || {
            let next = last.offset.saturating_add(1);
            let words = format!("sent no commit of {} up to {next}", share.key());
            let mut finding = finding(share, (last.offset, next), read, &words);
            let name = share.name(last.consumer);
            let poll = Seen::new(due.invoked, format!("{name} polls and is due to commit"));
            finding.witness.insert(0, poll);
            finding
        });
    }
}

/// The last record that was processed, and the poll that was due to commit it, if no commit was
/// sent until the deadline.
fn unsent<'a>(share: &'a Share<'_>, deadline: u32) -> Option<(&'a ProcessRow, Due)> {
    let mode = share.settings.mode;
    if !matches!(mode, CommitMode::AutoInLoop | CommitMode::AutoHandoff) {
        return None;
    }
    let in_time = share.rows.processed.iter();
    let in_time = in_time.filter(|row| row.completed < deadline);
    let last = in_time.max_by_key(|row| row.offset)?;
    let mut sent = share.rows.sent.iter();
    if sent.any(|(invoked, offset)| *offset > last.offset && *invoked < deadline) {
        return None;
    }
    let due = overdue(share, &furthest_sent(share), last, deadline)?;
    Some((last, due))
}

fn finding(share: &Share<'_>, (from, end): (i64, i64), read: u32, words: &str) -> Finding {
    let drain = share
        .drain()
        .map_or((0, 0), |drain| (drain.invoked, drain.completed));
    let mut witness = vec![Seen::new(drain.1, "the deadline of the drain passes")];
    if read > drain.1 {
        witness.push(Seen::new(read, "what is committed in the end"));
    }
    let explanation = format!(
        "with everything healed and {} given, group {} {words}, although the log goes to {end}",
        share.apart(drain.0, drain.1),
        share.group.name,
    );
    Finding {
        offsets: (from, end.saturating_sub(1)),
        witness,
        explanation,
    }
}
