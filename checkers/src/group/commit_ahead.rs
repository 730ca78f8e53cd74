//! `commit-ahead`: a commit went beyond what the mode allows to be committed.
//!
//! Where an offset is committed after processing, every record before it must have been processed
//! by then; where it is committed before, or another task processes, every record before it must
//! at least have been returned by a poll that was over. Whoever did it counts, and processing in
//! doubt counts as done. No commit may go beyond the end of the log.

use rustc_hash::FxHashMap;

use crate::group::Share;
use crate::group::next::Next;
use crate::group::rows::{CommitRow, NEVER, ResumeRow};
use crate::history::CommitMode;
use crate::log::{Finding, Findings, Seen};

#[derive(Clone, Copy)]
enum Step {
    /// These offsets, first and last, are done.
    Done(i64, i64),
    Resume(usize),
    Commit(usize),
}

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    if share.rows.commits.is_empty() {
        return;
    }
    let slots = &share.log.order.slots;
    let mut next = Next::new(slots.len());
    for slot in (0..slots.len()).filter(|slot| share.log.order.value(*slot).is_none()) {
        next.done(slot);
    }
    let mut from: FxHashMap<u32, &ResumeRow> = FxHashMap::default();
    let end = share.log_end();
    for (_, step) in steps(share) {
        match step {
            Step::Done(first, last) => {
                for slot in slots.at_or_after(first)..slots.at_or_after(last.saturating_add(1)) {
                    next.done(slot);
                }
            }
            Step::Resume(row) => {
                if let Some(resume) = share.rows.resumes.get(row) {
                    from.insert(resume.consumer, resume);
                }
            }
            Step::Commit(row) => {
                let Some(commit) = share.rows.commits.get(row) else {
                    continue;
                };
                let Some(resume) = from.get(&commit.consumer).copied() else {
                    continue;
                };
                if commit.offset <= resume.offset {
                    continue;
                }
                let missing = slots.offset(next.at(slots.at_or_after(resume.offset)));
                if missing < commit.offset {
                    findings.report(commit.invoked, || ahead(share, resume, commit, missing));
                } else if commit.offset > end && !share.has_gaps() {
                    findings.report(commit.invoked, || beyond(share, resume, commit, end));
                }
            }
        }
    }
}

/// Whether this mode commits what it has processed.
fn after_processing(mode: CommitMode) -> bool {
    match mode {
        CommitMode::AutoInLoop | CommitMode::SyncAfter | CommitMode::AsyncAfter => true,
        CommitMode::AutoHandoff | CommitMode::SyncBefore => false,
    }
}

fn steps(share: &Share<'_>) -> Vec<(u32, Step)> {
    let rows = share.rows;
    let mut steps: Vec<(u32, Step)> = Vec::new();
    if after_processing(share.settings.mode) {
        steps.extend(rows.processed.iter().map(|row| {
            let at = if row.completed == NEVER {
                row.invoked
            } else {
                row.completed
            };
            (at, Step::Done(row.offset, row.offset))
        }));
    } else {
        let polls = rows.polls.iter();
        steps.extend(polls.map(|row| (row.completed, Step::Done(row.first, row.last))));
    }
    steps.extend(
        rows.resumes
            .iter()
            .enumerate()
            .map(|(row, at)| (at.at, Step::Resume(row))),
    );
    let commits = rows.commits.iter().enumerate();
    steps.extend(commits.map(|(row, commit)| (commit.invoked, Step::Commit(row))));
    steps.sort_by_key(|(at, _)| *at);
    steps
}

fn ahead(share: &Share<'_>, resume: &ResumeRow, commit: &CommitRow, missing: i64) -> Finding {
    let who = share.name(commit.consumer);
    let slot = share.log.order.slots.slot(missing);
    let value = share.log.value_at(slot);
    let done = if after_processing(share.settings.mode) {
        "processed"
    } else {
        "received"
    };
    let explanation = format!(
        "{who} committed offset {} of {} for group {}, although nobody had {done} {value} at \
         offset {missing} by then: in mode {} a commit follows what it covers",
        commit.offset,
        share.key(),
        share.group.name,
        share.settings.mode.name(),
    );
    let shows = format!("covers {value} at offset {missing}, not {done} yet");
    Finding {
        offsets: (missing, commit.offset.saturating_sub(1)),
        witness: vec![start(resume), Seen::new(commit.invoked, shows)],
        explanation,
    }
}

fn beyond(share: &Share<'_>, resume: &ResumeRow, commit: &CommitRow, end: i64) -> Finding {
    let who = share.name(commit.consumer);
    let explanation = format!(
        "{who} committed offset {} of {} for group {}, but the log never went beyond {end}",
        commit.offset,
        share.key(),
        share.group.name,
    );
    let shows = format!("commits offset {}, beyond the end", commit.offset);
    Finding {
        offsets: (end, commit.offset),
        witness: vec![start(resume), Seen::new(commit.invoked, shows)],
        explanation,
    }
}

fn start(resume: &ResumeRow) -> Seen {
    Seen::new(resume.at, format!("starts at offset {}", resume.offset))
}
