//! `zombie-commit`: a commit of somebody who was replaced was accepted.
//!
//! A coordinator that has given out a generation refuses the commits of every earlier one, also
//! while it prepares the next: so a commit is late if it was *invoked* after a later generation
//! had been seen. A static member is also replaced within a generation, by the next life of its
//! instance.

use crate::group::Share;
use crate::group::rows::{CommitRow, Consumer, Told};
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    for commit in &share.rows.commits {
        if !commit.is_acked || !commit.is_first || commit.generation < 0 {
            continue;
        }
        if share.group.after(commit.generation) < commit.invoked {
            findings.report(commit.completed, || outdated(share, commit));
        } else if let Some((heir, at)) = heir(share, commit) {
            findings.report(commit.completed, || replaced(share, commit, heir, at));
        }
    }
}

/// Another life of the same instance that joined after this member did, and was a member already
/// when the commit began.
fn heir<'a>(share: &Share<'a>, commit: &CommitRow) -> Option<(&'a Consumer, u32)> {
    let own = share.consumer(commit.consumer)?;
    let instance = own.instance.as_ref()?;
    let joined = first_assigned(own, commit.member)?.at;
    let others = share.groups.consumers.iter().filter(|other| {
        other.instance.as_ref() == Some(instance)
            && other.group == own.group
            && other.subscribed > joined
    });
    let mut assigned = others.filter_map(|other| {
        let told = other.events.iter().find(|told| told.assigned)?;
        (told.member != commit.member && told.at < commit.invoked).then_some((other, told.at))
    });
    assigned.next()
}

fn first_assigned(consumer: &Consumer, member: u32) -> Option<&Told> {
    consumer
        .events
        .iter()
        .find(|told| told.assigned && told.member == member)
}

fn outdated(share: &Share<'_>, commit: &CommitRow) -> Finding {
    let (group, who) = (&share.group.name, share.name(commit.consumer));
    let (generation, later) = (commit.generation, share.group.after(commit.generation));
    let explanation = format!(
        "{who} committed offset {} of {} for generation {generation} of group {group}, and it was \
         accepted, although a later generation had been given out {} before",
        commit.offset,
        share.key(),
        share.apart(later, commit.invoked),
    );
    let shows = "a member is told its partitions of a later generation";
    finding(commit, Seen::new(later, shows), explanation)
}

fn replaced(share: &Share<'_>, commit: &CommitRow, heir: &Consumer, at: u32) -> Finding {
    let (group, who) = (&share.group.name, share.name(commit.consumer));
    let instance = heir.instance.as_deref().unwrap_or_default();
    let explanation = format!(
        "{who} committed offset {} of {} for group {group}, and it was accepted, although {} had \
         replaced it as the static member {instance} {} before",
        commit.offset,
        share.key(),
        heir.name,
        share.apart(at, commit.invoked),
    );
    let shows = format!("{} is the static member {instance}", heir.name);
    finding(commit, Seen::new(at, shows), explanation)
}

fn finding(commit: &CommitRow, later: Seen, explanation: String) -> Finding {
    let shows = format!(
        "commits offset {} for generation {}, acknowledged",
        commit.offset, commit.generation
    );
    Finding {
        offsets: (commit.offset, commit.offset),
        witness: vec![later, Seen::new(commit.invoked, shows)],
        explanation,
    }
}
