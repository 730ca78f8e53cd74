//! `surplus-owner`: a member owns what it should not.
//!
//! A partition of a topic that it never subscribed to; or, in a group that reads one topic with a
//! balanced assignor, more partitions in one generation than an even share: at most
//! `ceil(partitions / members)`. Members that were not recorded only make the true share smaller.

use std::collections::BTreeSet;

use crate::group::Share;
use crate::group::rows::{Claim, Consumer, NEVER, Rows, Told};
use crate::log::{Finding, Findings, Seen};

const BALANCED: [&str; 4] = ["range", "roundrobin", "sticky", "cooperative-sticky"];

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let topic = share.key().topic();
    for stint in &share.rows.stints {
        let Some(consumer) = share.consumer(stint.consumer) else {
            continue;
        };
        let foreign = consumer.subscribed != NEVER && !consumer.topics.iter().any(|t| t == topic);
        if foreign {
            findings.report(stint.from, || outside(share, consumer, stint.from));
        }
    }
    if one_topic(share) {
        let partitions = partitions(share);
        for claim in &share.rows.claims {
            let uneven = uneven(share, claim, partitions).filter(|_| is_last(share, claim));
            if let Some((holds, even)) = uneven {
                findings.report(claim.at, || too_many(share, claim, holds, even));
            }
        }
    }
}

/// How many partitions the topic has, as far as anybody knows.
fn partitions(share: &Share<'_>) -> u64 {
    let known = share
        .group
        .partitions
        .iter()
        .filter_map(|rows| share.key_of(rows.number));
    let own = known.filter(|key| key.topic() == share.key().topic());
    own.map(|key| key.partition() as u64 + 1).max().unwrap_or(0)
}

/// Whether an even share is promised.
fn one_topic(share: &Share<'_>) -> bool {
    let assignors = &share.settings.assignors;
    let balanced = assignors
        .iter()
        .all(|name| BALANCED.contains(&name.as_str()));
    let topics: BTreeSet<&String> = share
        .members()
        .flat_map(|(_, consumer)| &consumer.topics)
        .collect();
    balanced && !assignors.is_empty() && topics.len() == 1
}

/// Whether this is the claim, of all that the member made with it, that is reported for them.
fn is_last(share: &Share<'_>, claim: &Claim) -> bool {
    let partitions = share.group.partitions.iter().rev();
    let claims = |rows: &Rows| {
        let from = rows.claims.partition_point(|other| other.at < claim.at);
        rows.claims
            .get(from)
            .is_some_and(|other| other.at == claim.at)
    };
    let mut with = partitions.filter(|rows| claims(rows));
    with.next()
        .is_some_and(|rows| rows.number == share.rows.number)
}

/// How many partitions the member holds in this generation, and how many are its even share, if
/// that is fewer.
fn uneven(share: &Share<'_>, claim: &Claim, partitions: u64) -> Option<(u64, u64)> {
    let consumer = share.consumer(claim.consumer)?;
    let place = consumer.events.partition_point(|told| told.at < claim.at);
    let told = consumer.events.get(place)?;
    let next = consumer.events.get(place + 1);
    let gives_up = next.filter(|next| !next.assigned && next.generation == told.generation);
    if gives_up.is_some_and(|next| !polled_between(consumer, told.at, next.at)) {
        // It was told of both by the same poll: of what it gives up it never read.
        return None;
    }
    let holds = u64::from(told.holds);
    let share_of = |members: u64| partitions.div_ceil(members.max(1));
    if holds <= share_of(share.group.members(claim.generation)) {
        return None;
    }
    let even = share_of(members_with(share, claim, consumer));
    (holds > even).then_some((holds, even))
}

/// How many members are known to have been in the very generation of `claim`.
///
/// The generations of a group whose coordinator forgot it begin anew, so their numbers come twice.
/// Whoever subscribed after another was told of a generation was not in it, and a lower number in
/// between says that it is not the same one.
fn members_with(share: &Share<'_>, claim: &Claim, consumer: &Consumer) -> u64 {
    let mut names = BTreeSet::new();
    for (_, other) in share.members() {
        let told = other.events.iter();
        let mut told = told.filter(|told| told.assigned && told.generation == claim.generation);
        let is_with = |told: &Told| {
            other.subscribed < claim.at
                && consumer.subscribed < told.at
                && !begins_anew(share, claim, told.at)
        };
        if told.any(is_with) {
            names.insert(other.instance.as_ref().unwrap_or(&other.name));
        }
    }
    names.len() as u64
}

/// Whether somebody was given a lower generation between `claim` and `at`.
fn begins_anew(share: &Share<'_>, claim: &Claim, at: u32) -> bool {
    let between = claim.at.min(at)..claim.at.max(at);
    let mut told = share.members().flat_map(|(_, other)| &other.events);
    told.any(|told| {
        told.assigned && told.generation < claim.generation && between.contains(&told.at)
    })
}

fn polled_between(consumer: &Consumer, from: u32, to: u32) -> bool {
    let later = consumer.polls.partition_point(|poll| poll.invoked <= from);
    consumer
        .polls
        .get(later)
        .is_some_and(|poll| poll.invoked < to)
}

fn outside(share: &Share<'_>, consumer: &Consumer, at: u32) -> Finding {
    let (key, topics) = (share.key(), consumer.topics.join(", "));
    let explanation = format!(
        "{} of group {} was given {key}, but it only subscribed to {topics}",
        consumer.name, share.group.name
    );
    let subscribed = Seen::new(consumer.subscribed, format!("subscribes to {topics}"));
    Finding {
        offsets: (0, 0),
        witness: vec![subscribed, Seen::new(at, format!("is given {key}"))],
        explanation,
    }
}

fn too_many(share: &Share<'_>, claim: &Claim, holds: u64, even: u64) -> Finding {
    let who = share.name(claim.consumer);
    let explanation = format!(
        "{who} held {holds} partitions in generation {} of group {}, though no member's share is \
         more than {even}",
        claim.generation, share.group.name
    );
    let shows = format!("{who} holds {holds} partitions from here on");
    Finding {
        offsets: (0, 0),
        witness: vec![Seen::new(claim.at, shows)],
        explanation,
    }
}
