//! `dual-owner`: two members own a partition at once.
//!
//! Within one generation an assignment gives a partition to one member: two claims of one
//! generation are wrong whenever they were made, unless one static member replaced another under
//! the same instance. Across generations the next owner may only come when the last one has given
//! up, left, or been silent for its session or rebalance timeout: a partition that was taken over
//! sooner than that was owned twice. An owner that was frozen past its session is legally replaced.
//!
//! And who was told that a partition is revoked or lost acts as its owner no more, because another
//! may by now: no poll that ends later gives out a record of it, and the loop processes none, until
//! it is assigned again. Listeners are called inside polls (KafkaConsumer, "callbacks are executed
//! in the user thread as part of poll"), and what was fetched before is dropped with the partition,
//! so a poll in which the callback ran is bound as well, and no record of the loop is on its way
//! then. Where another task processes, records are on their way to it at the time of the callback;
//! that it goes on is the weakness of that mode, and only its polls are judged.

use rustc_hash::FxHashMap;

use crate::group::Share;
use crate::group::rows::{Claim, NEVER, Stint};
use crate::history::CommitMode;
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    same_generation(share, findings);
    taken_over(share, findings);
    went_on(share, findings);
}

fn same_generation(share: &Share<'_>, findings: &mut Findings) {
    let mut first: FxHashMap<i32, &Claim> = FxHashMap::default();
    for claim in &share.rows.claims {
        let one = *first.entry(claim.generation).or_insert(claim);
        if one.consumer == claim.consumer || same_instance(share, one.consumer, claim.consumer) {
            continue;
        }
        findings.report(claim.at, || {
            let (a, b) = (share.name(one.consumer), share.name(claim.consumer));
            let explanation = format!(
                "{a} and {b} were both told to own {} in generation {} of group {}",
                share.key(),
                claim.generation,
                share.group.name
            );
            let seen = |claim: &Claim, name: &str| {
                Seen::new(
                    claim.at,
                    format!("{name} owns it in generation {}", claim.generation),
                )
            };
            Finding {
                offsets: (0, 0),
                witness: vec![seen(one, a), seen(claim, b)],
                explanation,
            }
        });
    }
}

fn same_instance(share: &Share<'_>, a: u32, b: u32) -> bool {
    let instance = |number| share.consumer(number).and_then(|c| c.instance.as_deref());
    instance(a).is_some() && instance(a) == instance(b)
}

/// An ownership that began while another one lasted, before the protocol lets it.
fn taken_over(share: &Share<'_>, findings: &mut Findings) {
    // Stints are in the order of their beginnings; few are open at a time.
    let mut open: Vec<&Stint> = Vec::new();
    for stint in &share.rows.stints {
        open.retain(|other| other.to > stint.from);
        for other in &open {
            let alien = other.consumer != stint.consumer
                && !same_instance(share, other.consumer, stint.consumer);
            if let Some(contact) = alien.then(|| too_soon(share, other, stint)).flatten() {
                findings.report(stint.from, || early(share, other, stint, contact));
            }
        }
        open.push(stint);
    }
}

/// The event from which on the coordinator had heard of the owner, if no timeout of the owner can
/// have passed since.
fn too_soon(share: &Share<'_>, owner: &Stint, next: &Stint) -> Option<u32> {
    let consumer = share.consumer(owner.consumer)?;
    let now = share.time(next.from);
    let passed = |event: u32, limit_ms: u64| {
        now.saturating_sub(share.time(event)) >= limit_ms.saturating_mul(1_000_000)
    };
    // The join for this ownership came after what its listener was told before.
    let before = consumer.events.partition_point(|told| told.at < owner.from);
    let earlier = before
        .checked_sub(1)
        .and_then(|place| consumer.events.get(place));
    let joined = earlier.map_or(consumer.subscribed, |told| told.at);
    let contact = last_commit(share, owner, next.from).map_or(joined, |at| at.max(joined));
    let polls = &consumer.polls;
    let polled = polls.partition_point(|poll| poll.invoked < next.from);
    let polled = polls.get(polled.checked_sub(1)?)?.invoked;
    let interval = share.settings.max_poll_interval_ms;
    let expired = joined == NEVER
        || passed(contact, share.settings.session_timeout_ms)
        || passed(joined, interval)
        || passed(polled, interval);
    (!expired).then_some(contact)
}

/// The last acknowledged commit of this owner that began before an event, of this partition.
fn last_commit(share: &Share<'_>, owner: &Stint, before: u32) -> Option<u32> {
    let commits = &share.rows.commits;
    let begun = commits.partition_point(|commit| commit.invoked < before);
    let begun = commits.get(..begun)?.iter().rev();
    let own = begun.take_while(|commit| commit.invoked > owner.from);
    own.filter(|commit| commit.consumer == owner.consumer && commit.is_acked)
        .map(|commit| commit.invoked)
        .next()
}

fn early(share: &Share<'_>, owner: &Stint, next: &Stint, contact: u32) -> Finding {
    let (a, b) = (share.name(owner.consumer), share.name(next.consumer));
    let explanation = format!(
        "{b} was given {} of group {} while {a} still owned it: {a} had not given it up, and had \
         been in touch with the coordinator {} before, within its session timeout of {:.1} s",
        share.key(),
        share.group.name,
        share.apart(contact, next.from),
        share.settings.session_timeout_ms as f64 / 1e3,
    );
    let mut witness = vec![Seen::new(owner.from, format!("{a} becomes the owner"))];
    if contact > owner.from {
        witness.push(Seen::new(
            contact,
            format!("{a} is heard by the coordinator"),
        ));
    }
    witness.push(Seen::new(next.from, format!("{b} becomes the owner")));
    Finding {
        offsets: (0, 0),
        witness,
        explanation,
    }
}

/// The times of one consumer as the owner, in their order.
struct Held<'a> {
    stints: FxHashMap<u32, Vec<&'a Stint>>,
    /// The last one that was found; what is asked next is mostly in it.
    last: Option<&'a Stint>,
}

impl<'a> Held<'a> {
    fn of(share: &Share<'a>) -> Self {
        let mut stints: FxHashMap<u32, Vec<&Stint>> = FxHashMap::default();
        for stint in &share.rows.stints {
            stints.entry(stint.consumer).or_default().push(stint);
        }
        Self { stints, last: None }
    }

    /// Whether the consumer was the owner at an event, or else when it ceased to be.
    fn check(&mut self, consumer: u32, at: u32) -> Result<(), Option<u32>> {
        let is_in = |stint: &&Stint| stint.from < at && at < stint.to;
        if (self.last.filter(is_in)).is_some_and(|stint| stint.consumer == consumer) {
            return Ok(());
        }
        let own = self.stints.get(&consumer).ok_or(None)?;
        let begun = own.partition_point(|stint| stint.from < at);
        let stint = begun.checked_sub(1).and_then(|place| own.get(place));
        let stint = *stint.ok_or(None)?;
        self.last = Some(stint);
        if is_in(&stint) {
            Ok(())
        } else {
            Err(Some(stint.to))
        }
    }
}

/// Polls and processing by who was told that it is no owner.
fn went_on(share: &Share<'_>, findings: &mut Findings) {
    let mut held = Held::of(share);
    let tells = |number| share.consumer(number).is_some_and(|c| !c.events.is_empty());
    for poll in share.rows.polls.iter().filter(|row| tells(row.consumer)) {
        if let Err(ended) = held.check(poll.consumer, poll.completed) {
            let act = (poll.consumer, "was given", (poll.first, poll.last));
            findings.report(poll.completed, || {
                no_owner(share, act, ended, poll.completed)
            });
        }
    }
    if share.settings.mode == CommitMode::AutoHandoff {
        return;
    }
    for row in (share.rows.processed.iter()).filter(|row| tells(row.consumer)) {
        if let Err(ended) = held.check(row.consumer, row.invoked) {
            let act = (row.consumer, "processed", (row.offset, row.offset));
            findings.report(row.invoked, || no_owner(share, act, ended, row.invoked));
        }
    }
}

fn no_owner(
    share: &Share<'_>,
    (consumer, did, offsets): (u32, &str, (i64, i64)),
    ended: Option<u32>,
    at: u32,
) -> Finding {
    let (who, key, group) = (share.name(consumer), share.key(), &share.group.name);
    let (first, last) = offsets;
    let since = match ended {
        Some(ended) => format!("{} after it had ceased to own it", share.apart(ended, at)),
        None => "which it had never been assigned".to_owned(),
    };
    let explanation =
        format!("{who} {did} offsets {first} to {last} of {key} in group {group}, {since}");
    let ended = ended.map(|ended| Seen::new(ended, format!("{who} owns it no more")));
    let shows = format!("{who} {did} offsets {first} to {last}");
    Finding {
        offsets,
        witness: ended.into_iter().chain([Seen::new(at, shows)]).collect(),
        explanation,
    }
}
