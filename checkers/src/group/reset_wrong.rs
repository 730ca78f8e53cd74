//! `reset-wrong`: `auto.offset.reset` was not obeyed.
//!
//! Either an owner reset its position although an offset was committed for certain, or with
//! `none`, or it went elsewhere than the policy says: `earliest` is the first record, `latest` the
//! end of the log at that time. Where a log loses its head a reset may have other reasons, and
//! while faults are about a leader may not know the end: then those rules rest.

use crate::group::Share;
use crate::group::rows::{CommitRow, NO_OFFSET, ResumeRow};
use crate::history::{OffsetReset, ResumeSource};
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    if share.has_gaps() {
        return;
    }
    let register = share.register();
    for read in register.reads.iter().filter(|read| read.value == NO_OFFSET) {
        let resume = read
            .resume
            .and_then(|number| share.rows.resumes.get(number));
        let overlooked = resume.and_then(|_| register.overlooked(read));
        if let (Some(resume), Some(commit)) = (resume, overlooked) {
            findings.report(resume.at, || although(share, resume, commit));
        }
    }
    let is_reset = |resume: &&ResumeRow| resume.source == ResumeSource::Reset;
    for resume in share.rows.resumes.iter().filter(is_reset) {
        if let Some((proof, why)) = elsewhere(share, resume) {
            findings.report(resume.at, || wrong(share, resume, proof, &why));
        }
    }
}

/// Why this is not where the policy leads, and what proves it.
fn elsewhere(share: &Share<'_>, resume: &ResumeRow) -> Option<(Option<Seen>, String)> {
    let at = resume.offset;
    match share.settings.reset {
        OffsetReset::None => Some((None, "auto.offset.reset is none".to_owned())),
        OffsetReset::Earliest if at != 0 => Some((
            None,
            "the log begins at offset 0 and the policy is earliest".to_owned(),
        )),
        OffsetReset::Earliest => None,
        OffsetReset::Latest if at > share.log_end() => {
            let why = format!("the log never went beyond offset {}", share.log_end());
            Some((None, why))
        }
        OffsetReset::Latest => before_end(share, resume),
    }
}

/// A record that was acknowledged before the reset began lies behind where it went.
fn before_end(share: &Share<'_>, resume: &ResumeRow) -> Option<(Option<Seen>, String)> {
    let rules = share.log.rules;
    if resume.since < rules.ends_strict_from || rules.acks_early {
        return None;
    }
    // Sends are in the order of their completions.
    let sends = &share.log.rows.sends;
    let before = sends.partition_point(|send| send.completed < resume.since);
    let last = sends.get(..before)?.iter().max_by_key(|send| send.offset)?;
    let shows = format!("a record is acknowledged at offset {}", last.offset);
    let why = format!(
        "the policy is latest and the log went to offset {} before",
        last.offset
    );
    (last.offset >= resume.offset).then(|| (Some(Seen::new(last.completed, shows)), why))
}

fn although(share: &Share<'_>, resume: &ResumeRow, commit: &CommitRow) -> Finding {
    let (key, group, who) = (share.key(), &share.group.name, share.name(resume.consumer));
    let committed = Seen::new(
        commit.invoked,
        format!("commits offset {}, acknowledged", commit.offset),
    );
    let explanation = format!(
        "{who} took over {key} in group {group}, found no committed offset and reset to {}, \
         although {} had committed {} and that was acknowledged",
        resume.offset,
        share.name(commit.consumer),
        commit.offset
    );
    Finding {
        offsets: (
            resume.offset.min(commit.offset),
            resume.offset.max(commit.offset),
        ),
        witness: vec![committed, seen(resume)],
        explanation,
    }
}

fn wrong(share: &Share<'_>, resume: &ResumeRow, proof: Option<Seen>, why: &str) -> Finding {
    let (key, group, who) = (share.key(), &share.group.name, share.name(resume.consumer));
    let explanation = format!(
        "{who} reset its position of {key} in group {group} to offset {}, but {why}",
        resume.offset
    );
    Finding {
        offsets: (resume.offset, resume.offset),
        witness: proof.into_iter().chain([seen(resume)]).collect(),
        explanation,
    }
}

fn seen(resume: &ResumeRow) -> Seen {
    Seen::new(resume.at, format!("resets to offset {}", resume.offset))
}
