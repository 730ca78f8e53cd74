//! `unowned-partition`: the group is stable, and nobody owns a partition that it reads.
//!
//! Stable: at the end of the drain every living member was last told its partitions in the same
//! generation, and since the last change (of membership, ownership, or a fault) as much time has
//! passed as a dead member needs to expire and a rebalance may take. Only then does nobody being
//! told mean that nobody owns: a rebalance leaves partitions without an owner for a while.

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
