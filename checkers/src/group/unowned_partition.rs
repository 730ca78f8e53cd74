//! `unowned-partition`: the group is stable, and nobody owns a partition that it reads.
//!
//! Stable: at the end of the drain every living member was last told its partitions in the same
//! generation, and since the last change (of membership, ownership, or a fault) as much time has
//! passed as a dead member needs to expire and a rebalance may take. Only then does nobody being
//! told mean that nobody owns: a rebalance leaves partitions without an owner for a while.
//!
//! Mostly a matter of liveness: without a coordinator the rebalance that is due cannot come. The
//! assignment itself is known to be wrong if everybody who can be in the generation was told it,
//! and no second rebalance was due: a cooperative leader gives to nobody what somebody else still
//! claims, and who gives it up then joins again (KIP-429). An eager one has no such excuse.

use crate::group::Share;
use crate::group::rows::Consumer;
use crate::log::{Finding, Findings, Seen};

pub(crate) fn check(share: &Share<'_>, findings: &mut Findings) {
    let Some(drain) = share.drain() else {
        return;
    };
    let end = drain.completed;
    let topic = share.key().topic();
    let living: Vec<&Consumer> = share.living(end).map(|(_, consumer)| consumer).collect();
    let is_read = living
        .iter()
        .any(|consumer| consumer.topics.iter().any(|t| t == topic));
    let owned = share
        .rows
        .stints
        .iter()
        .any(|stint| stint.from < end && stint.to > end);
    if !is_read || owned {
        return;
    }
    let Some((generation, told)) = stable(&living, end) else {
        return;
    };
    let since = last_change(share, end);
    let needed = share
        .settings
        .session_timeout_ms
        .saturating_add(share.settings.max_poll_interval_ms);
    let quiet = share.time(end).saturating_sub(share.time(since));
    if quiet < needed.saturating_mul(1_000_000) {
        return;
    }
    findings.is_final |= is_wrong_by_itself(share, (&living, end), generation, needed);
    findings.report(end, || {
        let explanation = format!(
            "nobody in group {} owned {} although all {} member(s) were in generation {generation} \
             and nothing had changed for {}",
            share.group.name,
            share.key(),
            living.len(),
            share.apart(since, end),
        );
        let witness = vec![
            Seen::new(
                told,
                format!("the last member enters generation {generation}"),
            ),
            Seen::new(end, "nobody owns it"),
        ];
        Finding {
            offsets: (0, 0),
            witness,
            explanation,
        }
    });
}

/// The generation that all members were last told of, and when the last of them was.
fn stable(living: &[&Consumer], end: u32) -> Option<(i32, u32)> {
    let mut stable: Option<(i32, u32)> = None;
    for consumer in living {
        let told = consumer.events.iter().rev().find(|told| told.at < end)?;
        let differs = stable.is_some_and(|(generation, _)| generation != told.generation);
        if !told.assigned || differs {
            return None;
        }
        stable = Some((
            told.generation,
            stable.map_or(told.at, |(_, at)| at.max(told.at)),
        ));
    }
    stable
}

/// The last event before the end that may have moved the group.
fn last_change(share: &Share<'_>, end: u32) -> u32 {
    let changes = share.members().flat_map(|(_, consumer)| {
        let told = consumer.events.iter().map(|told| told.at);
        told.chain([consumer.subscribed, consumer.ended])
    });
    let last = changes.filter(|at| *at < end).max().unwrap_or(0);
    last.max(share.log.rules.ends_strict_from)
}

/// Whether the assignment of a generation was wrong, whatever could come later.
fn is_wrong_by_itself(
    share: &Share<'_>,
    (living, end): (&[&Consumer], u32),
    generation: i32,
    needed_ms: u64,
) -> bool {
    // Who assigns may not have heard of a partition that nobody ever owned.
    let is_known = !share.rows.stints.is_empty();
    let assignors = &share.settings.assignors;
    let is_cooperative = assignors.iter().any(|name| name == "cooperative-sticky");
    let gave_up = living
        .iter()
        .any(|consumer| gave_up(consumer, end, generation, is_cooperative));
    let mut dead = (share.members()).map(|(_, consumer)| consumer);
    let may_be_in_it = dead.any(|consumer| {
        let is_dead = consumer.subscribed < end && consumer.ended < end;
        is_dead
            && !is_replaced(consumer, living)
            && !had_expired(share, consumer, generation, needed_ms)
    });
    is_known && !gave_up && !may_be_in_it
}

/// Whether a member may have had to join again for what it gave up on entering a generation.
fn gave_up(consumer: &Consumer, end: u32, generation: i32, is_cooperative: bool) -> bool {
    let told = consumer.events.iter().filter(|told| told.at < end);
    let (mut gave_up, mut before) = (false, true);
    for told in told {
        if told.generation == generation {
            gave_up |= !told.assigned || (is_cooperative && !before);
        }
        before = told.assigned;
    }
    gave_up
}

/// Whether a later life holds the place of a dead static member.
fn is_replaced(dead: &Consumer, living: &[&Consumer]) -> bool {
    let instance = dead.instance.as_ref();
    instance.is_some() && living.iter().any(|next| next.instance.as_ref() == instance)
}

/// Whether a dead member was none any more when a generation began.
fn had_expired(share: &Share<'_>, dead: &Consumer, generation: i32, needed_ms: u64) -> bool {
    let mut generations = share.group.generations.iter();
    let began = generations.find(|known| known.number == generation);
    began.is_some_and(|began| {
        let passed = share
            .time(began.first)
            .saturating_sub(share.time(dead.ended));
        dead.ended < began.first && passed >= needed_ms.saturating_mul(1_000_000)
    })
}
