//! `commit-lost`: an acknowledged commit was not seen by a later read, which answered what had been
//! committed before it.
//!
//! The older value must be one that nobody may have written since: then no order of the commits
//! explains the answer.

use crate::group::Share;
use crate::group::register::Read;
use crate::group::rows::{CommitRow, NO_OFFSET};
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let register = share.register();
    for read in &register.reads {
        let is_reset = read.resume.is_some() && read.value == NO_OFFSET;
        if is_reset || !register.is_explained(read) {
            // These have names of their own.
            continue;
        }
        if let Some(commit) = register.overlooked(read) {
            findings.report(read.until, || finding(share, read, commit));
        }
    }
}

/// An offset in words.
pub(crate) fn offset(value: i64) -> String {
    if value == NO_OFFSET {
        return "nothing".to_owned();
    }
    format!("offset {value}")
}

/// Who read, in words.
pub(crate) fn reader(share: &Share<'_>, read: &Read) -> String {
    let resume = read
        .resume
        .and_then(|number| share.rows.resumes.get(number));
    resume.map_or_else(
        || "a read of the committed offset".to_owned(),
        |resume| format!("{}, which became the owner,", share.name(resume.consumer)),
    )
}

/// What a commit does, in words.
pub(crate) fn deed(commit: &CommitRow) -> String {
    if commit.offset == NO_OFFSET {
        return "deletes the committed offset".to_owned();
    }
    format!("commits offset {}", commit.offset)
}

fn finding(share: &Share<'_>, read: &Read, commit: &CommitRow) -> Finding {
    let (key, group) = (share.key(), &share.group.name);
    let who = share.name(commit.consumer);
    let mut witness = Vec::new();
    if let Some((older, _)) = share.register().writer(read) {
        let shows = format!("{} {}", share.name(older.consumer), deed(older));
        witness.push(Seen::new(older.invoked, shows));
    }
    let shows = format!("{who} {}, acknowledged", deed(commit));
    witness.push(Seen::new(commit.invoked, shows));
    let found = offset(read.value);
    witness.push(Seen::new(read.until, format!("finds {found} committed")));
    let what = if commit.offset == NO_OFFSET {
        format!("the committed offset of {key} was deleted")
    } else {
        format!("offset {} of {key} was committed by {who}", commit.offset)
    };
    let explanation = format!(
        "{what} for group {group} and acknowledged, and {} {} later found {found}, which nobody \
         committed after it: the commit is lost",
        reader(share, read),
        share.apart(commit.completed, read.until),
    );
    let (low, high) = (read.value.min(commit.offset), read.value.max(commit.offset));
    Finding {
        offsets: (low.max(0), high.max(0)),
        witness,
        explanation,
    }
}
