//! The committed offset of one partition as a register: who wrote, who read, and the simple
//! contradictions, each of two or three operations.
//!
//! A commit is a write, in doubt unless acknowledged. The answer to `committed` is a read, and so
//! is the first resume of an owner. A resume that found nothing reads "none".
//! A resume is asked of the coordinator that gave the assignment, whose log holds every commit of
//! earlier generations: it is never out of date. Anybody else may ask a coordinator that does not
//! know yet that it was deposed, so while faults are about `committed` only says what was once
//! committed.

use rustc_hash::FxHashSet;

use crate::group::rows::{CommitRow, NO_OFFSET, Rows};

/// An answered question for the committed offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    /// `NO_OFFSET` for none.
    pub(crate) value: i64,
    /// From here on it may have been answered.
    pub(crate) since: u32,
    /// The event of the answer.
    pub(crate) until: u32,
    /// The row of the resume, if it is one.
    pub(crate) resume: Option<usize>,
    /// Whether the answer was that of its time.
    pub(crate) is_current: bool,
}

/// The committed offset of one partition.
pub(crate) struct Register<'a> {
    pub(crate) rows: &'a Rows,
    /// In the order of their answers.
    pub(crate) reads: Vec<Read>,
    /// The commits that may have written what was read, by value and then in order.
    written: Vec<Written>,
    /// Acknowledged commits: until when it had its effect, and which of those up to there was
    /// invoked last.
    certain: Vec<(u32, u32)>,
}

/// A commit that may have written a value that was read.
#[derive(Clone, Copy, Debug)]
struct Written {
    value: i64,
    /// The row of the commit.
    number: u32,
    invoked: u32,
    /// The latest effect of the commits of the value up to here.
    effect_by: u32,
}

impl<'a> Register<'a> {
    pub(crate) fn new(rows: &'a Rows, strict_from: u32) -> Self {
        let reads = reads(rows, strict_from);
        let (mut written, mut certain) = (Vec::new(), Vec::new());
        if !reads.is_empty() {
            written = commits_of(&reads, rows);
            certain = latest_certain(rows);
        }
        Self {
            rows,
            reads,
            written,
            certain,
        }
    }

    /// The last commit that may have written what was read, and the latest effect of all that may.
    pub(crate) fn writer(&self, read: &Read) -> Option<(&'a CommitRow, u32)> {
        let wanted = (read.value, read.until);
        let begun = self
            .written
            .partition_point(|written| (written.value, written.invoked) < wanted);
        let last = self.written.get(begun.checked_sub(1)?)?;
        let commit = self.rows.commits.get(last.number as usize)?;
        (last.value == read.value).then_some((commit, last.effect_by))
    }

    /// Whether anybody may have written what was read.
    pub(crate) fn is_explained(&self, read: &Read) -> bool {
        read.value == NO_OFFSET || self.writer(read).is_some()
    }

    /// The acknowledged commit that a read should have seen, or what came later, and did not: all
    /// that may have written what was read was over before that commit began.
    pub(crate) fn overlooked(&self, read: &Read) -> Option<&'a CommitRow> {
        let before = self
            .certain
            .partition_point(|(effect_by, _)| *effect_by < read.since);
        let (_, latest) = self.certain.get(before.checked_sub(1)?)?;
        let commit = self.rows.commits.get(*latest as usize)?;
        let is_older = self
            .writer(read)
            .is_none_or(|(_, effect_by)| effect_by < commit.invoked);
        (read.is_current && is_older && commit.offset != read.value).then_some(commit)
    }

    /// The read before this one that saw a greater offset, if nothing in between may have set the
    /// offset back.
    pub(crate) fn went_back(&self, read: &Read) -> Option<&Read> {
        if !read.is_current {
            return None;
        }
        let earlier = self.reads.partition_point(|other| other.until < read.since);
        let before = self
            .reads
            .get(..earlier)?
            .iter()
            .rev()
            .find(|other| other.is_current)?;
        let is_older = self
            .writer(read)
            .is_none_or(|(_, effect_by)| effect_by < before.since);
        (is_older && before.value > read.value).then_some(before)
    }
}

fn reads(rows: &Rows, strict_from: u32) -> Vec<Read> {
    let committed = rows.reads.iter().map(|read| Read {
        value: read.offset,
        since: read.invoked,
        until: read.completed,
        resume: None,
        is_current: read.invoked >= strict_from,
    });
    let resumes = rows
        .resumes
        .iter()
        .enumerate()
        .filter(|(_, resume)| resume.is_first);
    let resumes = resumes.map(|(number, resume)| Read {
        value: if resume.is_committed() {
            resume.offset
        } else {
            NO_OFFSET
        },
        since: resume.since,
        until: resume.at,
        resume: Some(number),
        is_current: true,
    });
    let mut reads: Vec<Read> = committed.chain(resumes).collect();
    reads.sort_unstable_by_key(|read| read.until);
    reads
}

fn commits_of(reads: &[Read], rows: &Rows) -> Vec<Written> {
    let values: FxHashSet<i64> = reads.iter().map(|read| read.value).collect();
    let commits = rows.commits.iter().enumerate();
    let commits = commits.filter(|(_, commit)| values.contains(&commit.offset));
    let mut written: Vec<Written> = commits
        .map(|(number, commit)| Written {
            value: commit.offset,
            number: number as u32,
            invoked: commit.invoked,
            effect_by: commit.effect_by,
        })
        .collect();
    // Commits are in the order of their invocations, and stay so within a value.
    written.sort_by_key(|written| written.value);
    for same in written.chunk_by_mut(|a, b| a.value == b.value) {
        let mut latest = 0;
        for written in same {
            latest = latest.max(written.effect_by);
            written.effect_by = latest;
        }
    }
    written
}

fn latest_certain(rows: &Rows) -> Vec<(u32, u32)> {
    let acked = rows
        .commits
        .iter()
        .enumerate()
        .filter(|(_, commit)| commit.is_acked);
    let mut certain: Vec<(u32, u32)> = acked
        .map(|(number, commit)| (commit.effect_by, number as u32))
        .collect();
    certain.sort_unstable();
    // Commits are in the order of their invocations.
    let mut latest = 0;
    for (_, number) in &mut certain {
        latest = latest.max(*number);
        *number = latest;
    }
    certain
}
