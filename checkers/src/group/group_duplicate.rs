//! `group-duplicate`: the group processed a record twice.
//!
//! Both must be certain: processing in doubt accuses nobody. The report says how far apart they
//! are, in records (how far the group had come in between) and in time.
//! Where members commit before they process, a commit in doubt may have come so late that it set
//! the group back behind what was committed and processed since: that is no repetition by the
//! group, and does not count there.

use rustc_hash::FxHashMap;

use crate::group::Share;
use crate::group::rows::{NEVER, ProcessRow, Rows};
use crate::history::CommitMode;
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let before_processing = share.settings.mode == CommitMode::SyncBefore;
    for (first, again) in duplicates(share.rows) {
        if !(before_processing && set_back(share.rows, first, again)) {
            findings.report(again.completed, || finding(share, first, again));
        }
    }
}

/// Whether a commit in doubt may have set the group back to the record, after it was processed:
/// somebody has to have started there since, or the commit changed nothing for anybody.
fn set_back(rows: &Rows, first: &ProcessRow, again: &ProcessRow) -> bool {
    rows.commits.iter().any(|commit| {
        !commit.is_acked
            && commit.offset <= first.offset
            && commit.invoked < again.invoked
            && commit.effect_by > first.invoked
            && rows.resumes.iter().any(|resume| {
                let since = commit.invoked < resume.at && resume.at < again.invoked;
                since && resume.offset <= first.offset
            })
    })
}

/// Each processing of a record that had been processed before, with the first one.
fn duplicates(rows: &Rows) -> impl Iterator<Item = (&ProcessRow, &ProcessRow)> {
    let mut first: FxHashMap<i64, &ProcessRow> = FxHashMap::default();
    let certain = rows.processed.iter().filter(|row| row.completed != NEVER);
    certain.filter_map(move |row| {
        let earlier = *first.entry(row.offset).or_insert(row);
        (!std::ptr::eq(earlier, row)).then_some((earlier, row))
    })
}

fn finding(share: &Share<'_>, first: &ProcessRow, again: &ProcessRow) -> Finding {
    let (key, group, offset) = (share.key(), &share.group.name, first.offset);
    let (a, b) = (share.name(first.consumer), share.name(again.consumer));
    let value = share
        .log
        .value_at(share.log.order.slots.at_or_after(offset));
    let before = share
        .rows
        .processed
        .iter()
        .filter(|row| row.invoked < again.invoked);
    let furthest = before.map(|row| row.offset).max().unwrap_or(offset);
    let back = furthest.saturating_sub(offset).saturating_add(1);
    let apart = share.apart(first.completed, again.completed);
    let explanation = format!(
        "{value} at offset {offset} of {key} was processed twice by group {group}, first by {a} \
         and {apart} later by {b}: the group went back by {back} record(s)"
    );
    let mut witness = vec![Seen::new(first.completed, format!("{a} processes {value}"))];
    let resumes = share.rows.resumes.iter();
    let mut resumed = resumes.rev().filter(|resume| {
        let between = first.invoked < resume.at && resume.at < again.invoked;
        resume.consumer == again.consumer && between
    });
    if let Some(resume) = resumed.next() {
        let shows = format!("{b} starts at offset {}", resume.offset);
        witness.push(Seen::new(resume.at, shows));
    }
    witness.push(Seen::new(
        again.completed,
        format!("{b} processes {value} again"),
    ));
    Finding {
        offsets: (offset, offset),
        witness,
        explanation,
    }
}
