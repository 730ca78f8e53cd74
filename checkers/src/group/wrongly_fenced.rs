//! `wrongly-fenced`: a static member was told that another one holds its instance; there is none.
//!
//! Only the next life of an instance replaces it. So it is wrong to fence a member while every
//! earlier life had ended before it subscribed, and no later one has subscribed. That it was a
//! member shows in a commit that was acknowledged after its last assignment: a join of its own
//! that came twice, late, is excluded by that. Who has lost its partitions joins again under a new
//! id and so fences what it sent before. Reported at the group's first partition.

use crate::group::Share;
use crate::group::rows::Consumer;
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let first = share.group.partitions.first();
    if first.is_none_or(|rows| rows.number != share.rows.number) {
        return;
    }
    for (_, member) in share.members() {
        if let Some((acked, fenced)) = wrongly(share, member) {
            findings.report(fenced, || finding(share, member, acked, fenced));
        }
    }
}

/// The commit that shows the member, and the event that fences it.
fn wrongly(share: &Share<'_>, member: &Consumer) -> Option<(u32, u32)> {
    let (fenced, acked) = member.fenced?;
    let instance = member.instance.as_ref()?;
    let told = member
        .events
        .iter()
        .rev()
        .find(|told| told.at < fenced)
        .filter(|told| told.assigned)?;
    let acked = acked.filter(|acked| *acked > told.at)?;
    let mut others = share
        .members()
        .map(|(_, other)| other)
        .filter(|other| other.instance.as_ref() == Some(instance) && !std::ptr::eq(*other, member));
    let alone = others.all(|other| has_gone(other, member.subscribed) || other.subscribed > fenced);
    alone.then_some((acked, fenced))
}

/// Whether a life had ended by then, as a member: a first join of it that is still on its way would
/// take the instance when it arrives.
fn has_gone(other: &Consumer, by: u32) -> bool {
    other.ended < by && other.events.last().is_some_and(|told| told.assigned)
}

fn finding(share: &Share<'_>, member: &Consumer, acked: u32, fenced: u32) -> Finding {
    let (who, group) = (&member.name, &share.group.name);
    let instance = member.instance.as_deref().unwrap_or_default();
    let explanation = format!(
        "{who} was fenced as the static member {instance} of group {group}, although every earlier \
         life of that instance had ended before it came and no later one has come"
    );
    Finding {
        offsets: (0, 0),
        witness: vec![
            Seen::new(member.subscribed, format!("{who} subscribes as {instance}")),
            Seen::new(acked, "it is a member: its commit is acknowledged"),
            Seen::new(fenced, "it is told that it is fenced"),
        ],
        explanation,
    }
}
