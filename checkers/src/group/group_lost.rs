//! `group-lost`: the group went past a record for ever, and no member processed it.
//!
//! The record exists (some poll returned it), the committed offset lies behind it after the group
//! had its time to drain, and nobody processed it, not even in doubt. What lies before a legal
//! start of the group (`auto.offset.reset`) is not the group's. Jepsen cannot see this one.

use crate::group::Share;
use crate::group::rows::{CommitRow, Consumer, NEVER, PolledRow};
use crate::history::{OffsetReset, ResumeSource};
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let Some((Some(committed), event)) = share.final_committed() else {
        return;
    };
    for offset in lost(share, committed) {
        findings.report(event, || finding(share, offset, committed, event));
    }
}

/// The offsets of the records that were skipped, ascending.
pub(crate) fn lost(share: &Share<'_>, committed: i64) -> Vec<i64> {
    let slots = &share.log.order.slots;
    let mut missing = vec![true; slots.len()];
    let mut clear = |first: i64, last: i64| {
        let range = slots.at_or_after(first)..slots.at_or_after(last.saturating_add(1));
        missing.get_mut(range).unwrap_or_default().fill(false);
    };
    for row in &share.rows.processed {
        clear(row.offset, row.offset);
    }
    if !share.drain().is_some_and(|drain| drain.done) {
        // Who is still alive may be about to process what it received.
        let living: Vec<u32> = share.living(NEVER - 1).map(|(number, _)| number).collect();
        for poll in share
            .rows
            .polls
            .iter()
            .filter(|poll| living.contains(&poll.consumer))
        {
            clear(poll.first, poll.last);
        }
    }
    let begin = slots.at_or_after(start(share));
    let skipped = begin..slots.at_or_after(committed);
    let skipped = skipped.filter(|slot| missing.get(*slot) == Some(&true));
    let skipped = skipped.filter(|slot| share.was_returned(*slot));
    skipped.map(|slot| slots.offset(slot)).collect()
}

/// Where the group began by its policy.
pub(crate) fn start(share: &Share<'_>) -> i64 {
    if share.settings.reset == OffsetReset::Earliest {
        return i64::MIN;
    }
    let resets = share.rows.resumes.iter();
    let resets = resets.filter(|resume| resume.source == ResumeSource::Reset);
    resets.map(|resume| resume.offset).max().unwrap_or(i64::MIN)
}

/// The story: received, committed, crashed, resumed beyond.
fn finding(share: &Share<'_>, offset: i64, committed: i64, event: u32) -> Finding {
    let (key, group) = (share.key(), &share.group.name);
    let value = share.log.value_at(share.log.order.slots.slot(offset));
    let mut witness = Vec::new();
    let mut story = Vec::new();
    let received = received(share, offset);
    let receiver = received.and_then(|poll| share.consumer(poll.consumer));
    match received.zip(receiver) {
        Some((poll, receiver)) => {
            let name = &receiver.name;
            witness.push(Seen::new(
                poll.completed,
                format!("{name} receives {value}"),
            ));
            story.push(format!("{name} received it"));
        }
        None => story.push("no member received it".to_owned()),
    }
    if let Some(commit) = covering(share, offset) {
        let who = share.name(commit.consumer);
        let shows = format!("{who} commits offset {}", commit.offset);
        witness.push(Seen::new(commit.invoked, shows));
        story.push(format!("{who} committed {}", commit.offset));
    }
    if let Some((seen, words)) = receiver.and_then(ending) {
        witness.push(seen);
        story.push(words);
    }
    let after = received.map_or(0, |poll| poll.completed);
    let beyond = share
        .rows
        .resumes
        .iter()
        .find(|row| row.at > after && row.offset > offset);
    if let Some(resume) = beyond {
        let who = share.name(resume.consumer);
        let words = format!("{who} resumed at {}", resume.offset);
        witness.push(Seen::new(resume.at, words.clone()));
        story.push(words);
    }
    witness.push(Seen::new(
        event,
        format!("offset {committed} is committed in the end"),
    ));
    let explanation = format!(
        "{value} at offset {offset} of {key} was never processed by group {group}: {}, and the \
         committed offset is {committed} in the end",
        story.join(", ")
    );
    Finding {
        offsets: (offset, offset),
        witness,
        explanation,
    }
}

/// The last poll of a member that returned it.
fn received<'a>(share: &Share<'a>, offset: i64) -> Option<&'a PolledRow> {
    let mut polls = share.rows.polls.iter().rev();
    polls.find(|poll| (poll.first..=poll.last).contains(&offset))
}

/// The first commit that covers it and may have had its effect.
fn covering<'a>(share: &Share<'a>, offset: i64) -> Option<&'a CommitRow> {
    let mut covering = share
        .rows
        .commits
        .iter()
        .filter(|commit| commit.offset > offset);
    let acked = share
        .rows
        .commits
        .iter()
        .find(|commit| commit.offset > offset && commit.is_acked);
    acked.or_else(|| covering.next())
}

/// How a consumer ended.
fn ending(consumer: &Consumer) -> Option<(Seen, String)> {
    let (name, at) = (&consumer.name, consumer.ended);
    let how = if consumer.crashed { "crashed" } else { "left" };
    let words = format!("{name} {how}");
    (at != NEVER).then(|| (Seen::new(at, words.clone()), words))
}
