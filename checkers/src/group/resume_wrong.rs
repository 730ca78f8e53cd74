//! `resume-wrong`: a new owner started at an offset that cannot have been the committed one.
//!
//! Either nobody ever committed it, or a later commit was acknowledged before the coordinator can
//! have been asked. Only the first resume of an ownership counts.

use crate::group::Share;
use crate::group::commit_lost::deed;
use crate::group::register::Read;
use crate::group::rows::{CommitRow, NO_OFFSET};
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let register = share.register();
    for read in &register.reads {
        if read.resume.is_none() || read.value == NO_OFFSET {
            continue;
        }
        let is_explained = register.is_explained(read);
        let overlooked = register.overlooked(read).filter(|_| is_explained);
        if overlooked.is_some() || !is_explained {
            findings.report(read.until, || finding(share, read, overlooked));
        }
    }
}

fn finding(share: &Share<'_>, read: &Read, overlooked: Option<&CommitRow>) -> Finding {
    let (key, group, at) = (share.key(), &share.group.name, read.value);
    let resume = read
        .resume
        .and_then(|number| share.rows.resumes.get(number));
    let who = resume.map_or("", |resume| share.name(resume.consumer));
    let owned = resume.map_or(read.since, |resume| {
        share.owned_from(resume.consumer, resume.at)
    });
    let mut witness = Vec::new();
    let should = overlooked.map_or_else(
        || "which nobody ever committed".to_owned(),
        |commit| {
            let shows = format!("{}, acknowledged", deed(commit));
            witness.push(Seen::new(commit.invoked, shows));
            let committer = share.name(commit.consumer);
            format!(
                "but {committer} {} later, and that was acknowledged",
                deed(commit)
            )
        },
    );
    witness.push(Seen::new(owned, format!("{who} becomes the owner")));
    witness.push(Seen::new(read.until, format!("it starts at offset {at}")));
    let explanation = format!(
        "{who} took over {key} in group {group} and started at offset {at} as the committed one, \
         {should}"
    );
    let other = overlooked.map_or(at, |commit| commit.offset);
    Finding {
        offsets: (at.min(other), at.max(other)),
        witness,
        explanation,
    }
}
