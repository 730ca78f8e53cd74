//! `nonlinearizable-commit`: no order of the commits explains what was read of the committed
//! offset.
//!
//! The committed offset of one partition is a register: commits write it, in doubt unless
//! acknowledged; questions and first resumes read it. The decision is exact. Reported is what
//! `commit-lost`, `commit-regressed`, `resume-wrong` and `reset-wrong` do not name, at most once
//! for each partition of a group.

use crate::group::Share;
use crate::group::commit_lost::{deed, offset};
use crate::group::register::{Read, Register};
use crate::group::rows::NO_OFFSET;
use crate::linear::register::{self, Write};
use crate::log::{Finding, Findings, Seen};

/// So many operations are shown before the read that nothing explains.
const SHOWN_MAX: usize = 5;

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let register = share.register();
    if register.reads.is_empty() {
        return;
    }
    let unexplained = register.reads.iter().find(|read| {
        let other_name = read.resume.is_some();
        !other_name && !register.is_explained(read)
    });
    if let Some(read) = unexplained {
        findings.report(read.until, || finding(share, read, &[]));
        return;
    }
    if register
        .reads
        .iter()
        .any(|read| has_other_name(register, read))
    {
        return;
    }
    let reads: Vec<&Read> = register
        .reads
        .iter()
        .filter(|read| read.is_current)
        .collect();
    match register::violation(NO_OFFSET, &writes(register), &as_searched(&reads)) {
        Ok(None) => {}
        Ok(Some(number)) => {
            if let Some(read) = reads.get(number) {
                findings.report(read.until, || {
                    finding(share, read, reads.get(..number).unwrap_or_default())
                });
            }
        }
        Err(register::TooLarge) => findings.give_up(format!(
            "too many commits of {} in group {} overlap to search all their orders",
            share.key(),
            share.group.name
        )),
    }
}

fn has_other_name(register: &Register<'_>, read: &Read) -> bool {
    !register.is_explained(read)
        || register.overlooked(read).is_some()
        || register.went_back(read).is_some()
}

fn writes(register: &Register<'_>) -> Vec<Write> {
    let commits = register.rows.commits.iter();
    let writes = commits.map(|commit| Write {
        value: commit.offset,
        call: commit.invoked,
        end: commit.effect_by,
        is_certain: commit.is_acked,
    });
    writes.collect()
}

fn as_searched(reads: &[&Read]) -> Vec<register::Read> {
    let reads = reads.iter().map(|read| register::Read {
        value: read.value,
        call: read.since,
        end: read.until,
    });
    reads.collect()
}

fn finding(share: &Share<'_>, read: &Read, earlier: &[&Read]) -> Finding {
    let (key, group, found) = (share.key(), &share.group.name, offset(read.value));
    let is_explained = share.register().is_explained(read);
    let explanation = if is_explained {
        format!(
            "no order of the commits of {key} in group {group} explains why {found} was committed \
             when it was read"
        )
    } else {
        format!("{found} of {key} was read as committed in group {group}, and nobody committed it")
    };
    let mut witness = if is_explained {
        shown(share, read, earlier)
    } else {
        Vec::new()
    };
    witness.push(Seen::new(read.until, format!("finds {found} committed")));
    Finding {
        offsets: (read.value.max(0), read.value.max(0)),
        witness,
        explanation,
    }
}

/// The read before, and the commits that may have come since.
fn shown(share: &Share<'_>, read: &Read, earlier: &[&Read]) -> Vec<Seen> {
    let last = earlier.last();
    let since = last.map_or(0, |read| read.since);
    let commits = share.rows.commits.iter();
    let between = commits.filter(|commit| commit.invoked < read.until && commit.effect_by >= since);
    let commits = between.map(|commit| {
        let doubt = if commit.is_acked {
            "acknowledged"
        } else {
            "in doubt"
        };
        let who = share.name(commit.consumer);
        let shows = format!("{who} {}, {doubt}", deed(commit));
        Seen::new(commit.invoked, shows)
    });
    let before = last.map(|read| {
        Seen::new(
            read.until,
            format!("finds {} committed", offset(read.value)),
        )
    });
    let mut shown: Vec<Seen> = commits.chain(before).collect();
    shown.sort_by_key(|seen| seen.event);
    shown.split_off(shown.len().saturating_sub(SHOWN_MAX))
}
