//! `wrongly-fenced`: a static member was told that another one holds its instance; there is none.
//!
//! Only the next life of an instance replaces it. So it is wrong to fence a member while every
//! earlier life had ended before it subscribed, and no later one has subscribed. It must either
//! never have been told that it is one, or have been one: that shows in a commit that was
//! acknowledged after its last assignment. Who has lost its partitions joins again under a new id
//! and so fences what it sent before; what a poll tells the listener because it has found the fence
//! is no such loss, nor is what an eager member gives up before the join that finds it. Reported at
//! the group's first partition.

use crate::group::Share;
use crate::group::rows::{Consumer, Fenced, Told};
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

/// The commit that shows the member, if it was one before, and the event that fences it.
fn wrongly(share: &Share<'_>, member: &Consumer) -> Option<(Option<u32>, u32)> {
    let found = member.fenced?;
    let (fenced, acked) = (found.at, found.acked);
    let instance = member.instance.as_ref()?;
    let mut told = member.events.iter().rev().filter(|told| told.at < fenced);
    let acked = match told.find(|told| !is_of_fence(told, found)) {
        Some(told) if told.assigned => Some(acked.filter(|acked| *acked > told.at)?),
        Some(_) => return None,
        None => None,
    };
    let mut others = share
        .members()
        .map(|(_, other)| other)
        .filter(|other| other.instance.as_ref() == Some(instance) && !std::ptr::eq(*other, member));
    let alone = others.all(|other| has_gone(other, member.subscribed) || other.subscribed > fenced);
    alone.then_some((acked, fenced))
}

/// Whether the listener was told of it by the poll that was fenced, or before the join that was.
fn is_of_fence(told: &Told, fenced: Fenced) -> bool {
    let by_poll = fenced.poll.is_some_and(|poll| !told.lost || told.at > poll);
    by_poll && !told.assigned
}

/// Whether a life had ended by then, as a member: a join without an id that is still on its way
/// would take the instance when it arrives. Who holds nothing is not told that it is no member.
fn has_gone(other: &Consumer, by: u32) -> bool {
    let last = other.events.last();
    other.ended < by && last.is_some_and(|told| told.assigned && told.holds > 0)
}

fn finding(share: &Share<'_>, member: &Consumer, acked: Option<u32>, fenced: u32) -> Finding {
    let (who, group) = (&member.name, &share.group.name);
    let instance = member.instance.as_deref().unwrap_or_default();
    let explanation = format!(
        "{who} was fenced as the static member {instance} of group {group}, although every earlier \
         life of that instance had ended before it came and no later one has come"
    );
    let subscribed = Seen::new(member.subscribed, format!("{who} subscribes as {instance}"));
    let acked = acked.map(|acked| Seen::new(acked, "it is a member: its commit is acknowledged"));
    let fenced = Seen::new(fenced, "it is told that it is fenced");
    Finding {
        offsets: (0, 0),
        witness: [subscribed]
            .into_iter()
            .chain(acked)
            .chain([fenced])
            .collect(),
        explanation,
    }
}
